//! Numbers of quality and speed as people read them: each with its doubt where one is known.

use autotune_engine::api::Bytes;

use super::super::format;
use crate::quality;
use crate::stats::Estimate;

/// What stands where nothing is known.
pub(super) const NONE: &str = "–";

/// Bits per weight.
pub(super) fn bits(value: f64) -> String {
    match value {
        v if !v.is_finite() => NONE.to_owned(),
        v if v.abs() >= 999.5 => brief(v),
        v => format!("{v:.2}"),
    }
}

/// A value and what surrounds it, both to the first digit of the doubt: `0.031 ± 0.002`. Without
/// one, three digits. What is very small or very large has an exponent.
pub(super) fn doubtful(value: f64, doubt: Option<f64>) -> String {
    let doubt = doubt.filter(|doubt| doubt.is_finite() && *doubt > 0.0);
    let tiny = |v: f64| v != 0.0 && v.abs() < 0.000_01;
    match doubt {
        _ if !value.is_finite() => NONE.to_owned(),
        Some(doubt) if tiny(value) || tiny(doubt) || value.abs() >= 1e6 || doubt >= 1e6 => {
            format!("{} ± {doubt:.0e}", brief(value)).replace("e-", "e−")
        }
        None if tiny(value) || value.abs() >= 1e6 => brief(value),
        doubt => quality::nats(value, doubt).replace('-', "−"),
    }
}

fn brief(value: f64) -> String {
    if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}").replacen('-', "−", 1) }
}

/// The same in the fewest characters, for narrow tables: `0.031±0.002`.
pub(super) fn tight(text: &str) -> String {
    text.replace(" ± ", "±")
}

/// A share of one, never rounded up to all of it: `91.9 ± 0.3 %`.
pub(super) fn share(value: f64, se: Option<f64>) -> String {
    if !value.is_finite() {
        return NONE.to_owned();
    }
    let percent = value * 100.0;
    let se = se.map(|se| se * 100.0).filter(|se| se.is_finite() && *se >= 0.0005);
    let digits = match (percent, se) {
        (p, None) if p.fract() == 0.0 => 0,
        (p, _) if p > 99.9 => 2,
        _ => 1,
    };
    // Not one token in ten thousand is still not none.
    let percent = if percent < 100.0 { percent.min(99.99) } else { percent };
    match se {
        Some(se) if format!("{se:.digits$}").bytes().any(|c| (b'1'..=b'9').contains(&c)) => {
            format!("{percent:.digits$} ± {se:.digits$} %")
        }
        _ => format!("{percent:.digits$} %"),
    }
}

/// A rate and half of its interval.
pub(super) fn rate(estimate: Option<Estimate>) -> String {
    let Some(it) = estimate else { return NONE.to_owned() };
    let half = it.low.zip(it.high).map(|(low, high)| (high - low) / 2.0);
    match half.filter(|half| *half > 0.0) {
        Some(half) => doubtful(it.value, Some(half)),
        None => format::three(it.value),
    }
}

/// A size, or nothing.
pub(super) fn size(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(|| NONE.to_owned(), |bytes| bytes.to_string())
}

/// How much higher a perplexity is, from the logarithm of the ratio: `+2.8 ± 0.2 %`.
pub(super) fn higher(ln_ratio: f64, se: Option<f64>) -> String {
    let percent = ln_ratio.exp_m1() * 100.0;
    let se = se.map(|se| ln_ratio.exp() * se * 100.0);
    let text = doubtful(percent, se);
    if text == NONE {
        return text;
    }
    let sign = if percent > 0.0 { "+" } else { "" };
    format!("{sign}{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_all_of_it_only_where_it_is() {
        for (value, se, text) in [
            (1.0, None, "100 %"),
            (0.999_99, Some(0.000_02), "99.99 %"),
            (0.9974, Some(0.0007), "99.7 ± 0.1 %"),
            (0.919, Some(0.004), "91.9 ± 0.4 %"),
            (0.0, None, "0 %"),
            (f64::NAN, None, "–"),
        ] {
            assert_eq!(share(value, se), text);
        }
    }

    #[test]
    fn numbers_of_any_size_stay_short() {
        for (value, doubt, text) in [
            (0.031_27, Some(0.0018), "0.031 ± 0.002"),
            (2.5e-7, Some(3e-8), "2.5e−7 ± 3e−8"),
            (1e300, None, "1.0e300"),
            (0.0, Some(0.0), "0"),
            (f64::NAN, Some(1.0), "–"),
            (0.031_27, Some(f64::INFINITY), "0.0313"),
        ] {
            assert_eq!(doubtful(value, doubt), text);
        }
        assert_eq!(higher(0.0275, Some(0.001)), "+2.8 ± 0.1 %");
        assert_eq!(higher(-0.001, None), "−0.1000 %");
    }
}
