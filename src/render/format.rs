//! Numbers as people read them: scaled, rounded, with unit, interval and sample count.

use crate::stats::{Change, Estimate, Separation};

/// A number and what surrounds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Figure {
    /// The value with its unit, or `~`.
    pub(super) text: String,
    /// Interval and sample count.
    pub(super) detail: String,
}

/// Tokens per second.
pub(super) fn rate(estimate: &Estimate) -> Figure {
    let show = |value: f64| three(value);
    Figure { text: format!("{} tok/s", three(estimate.value)), detail: detail(estimate, show) }
}

/// A duration, in the unit that suits its value.
pub(super) fn duration(estimate: &Estimate) -> Figure {
    let (factor, unit) = time_unit(estimate.value);
    let show = |value: f64| three(value * factor);
    Figure { text: format!("{} {unit}", show(estimate.value)), detail: detail(estimate, show) }
}

/// Seconds without an interval, in the unit that suits them.
pub(super) fn seconds(value: f64) -> String {
    let (factor, unit) = time_unit(value);
    format!("{} {unit}", three(value * factor))
}

/// How much faster, or `~` where that cannot be told.
pub(super) fn change(change: &Change) -> Figure {
    let estimate = &change.speed_ratio;
    let detail = detail(estimate, ratio);
    match change.separation {
        Separation::NotSeparated => {
            Figure { text: "~".into(), detail: format!("{} {detail}", ratio(estimate.value)) }
        }
        Separation::Faster | Separation::Slower => Figure { text: ratio(estimate.value), detail },
    }
}

/// A ratio of speeds: as a percentage up to twice the speed, as a factor beyond.
pub(super) fn ratio(value: f64) -> String {
    if value >= 2.0 {
        return format!("{}×", three(value));
    }
    let percent = (value - 1.0) * 100.0;
    if !percent.is_finite() {
        return "–".into();
    }
    let digits = usize::from(percent.abs() < 9.95);
    let text = format!("{:.digits$}", percent.abs());
    let sign = match percent {
        _ if text.trim_start_matches(['0', '.']).is_empty() => "±",
        p if p < 0.0 => "−",
        _ => "+",
    };
    format!("{sign}{text} %")
}

/// A share of one as a percentage.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if !percent.is_finite() {
        return "–".into();
    }
    let digits = usize::from(percent.abs() < 9.95 && percent.fract() != 0.0);
    format!("{percent:.digits$} %")
}

/// A share of one as a percentage of whole numbers.
pub(super) fn whole_percent(share: f64) -> String {
    percent((share * 100.0).round() / 100.0)
}

/// A share of one as a percentage of tenths, where it is small enough for them.
pub(super) fn tenth_percent(share: f64) -> String {
    percent((share * 1000.0).round() / 1000.0)
}

/// A coverage as a percentage with what digits it has: 98.75 % stays 98.75 %.
pub(super) fn confidence(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}

/// Three significant digits, without an exponent: `0.0123`, `5.03`, `42.1`, `1234`.
pub(super) fn three(value: f64) -> String {
    let digits = match value.abs() {
        v if !v.is_finite() => return "–".into(),
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 || v == 0.0 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}

/// A count with thin separators: `1 234 567`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && digits.len() > 4 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Parameters: `1.24 B`, `135 M`.
pub(super) fn parameters(value: u64) -> String {
    match value as f64 {
        v if v >= 999.5e6 => format!("{} B", three(v / 1e9)),
        v if v >= 999.5e3 => format!("{} M", three(v / 1e6)),
        _ => count(value),
    }
}

/// `1 trial`, `2 trials`.
pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn time_unit(seconds: f64) -> (f64, &'static str) {
    match seconds.abs() {
        v if v >= 0.9995 => (1.0, "s"),
        v if v >= 0.000_999_5 => (1e3, "ms"),
        _ => (1e6, "µs"),
    }
}

fn detail(estimate: &Estimate, show: impl Fn(f64) -> String) -> String {
    match (estimate.low, estimate.high) {
        (Some(low), Some(high)) => {
            format!("[{}, {}], n = {}", show(low), show(high), estimate.n)
        }
        _ => format!("no interval, n = {}", estimate.n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low: Some(low), high: Some(high), confidence: 0.95, n: 12 }
    }

    #[test]
    fn ratios_read_as_percent_or_factor() {
        for (value, text) in [
            (1.234, "+23 %"),
            (1.034, "+3.4 %"),
            (0.95, "−5.0 %"),
            (1.0001, "±0.0 %"),
            (2.417, "2.42×"),
            (13.0, "13.0×"),
            (1.999, "+100 %"),
        ] {
            assert_eq!(ratio(value), text);
        }
    }

    #[test]
    fn every_estimate_shows_its_unit_interval_and_count() {
        let shown = duration(&estimate(0.0123, 0.0118, 0.0131));
        assert_eq!(shown.text, "12.3 ms");
        assert_eq!(shown.detail, "[11.8, 13.1], n = 12");
        let lone = Estimate { low: None, high: None, n: 2, ..estimate(5.0, 0.0, 0.0) };
        assert_eq!(rate(&lone).detail, "no interval, n = 2");
    }

    #[test]
    fn what_is_not_separated_prints_a_tilde_before_the_numbers() {
        let ratio = estimate(1.003, 0.992, 1.014);
        let shown = change(&Change { speed_ratio: ratio, separation: Separation::NotSeparated });
        assert_eq!(shown.text, "~");
        assert_eq!(shown.detail, "+0.3 % [−0.8 %, +1.4 %], n = 12");
    }

    #[test]
    fn counts_are_grouped_from_five_digits_on() {
        assert_eq!(count(1234), "1234");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(parameters(1_235_814_400), "1.24 B");
    }
}
