//! Numbers as sentences and tables about quality have them.

use crate::stats::ClusteredMean;

/// A mean in nats with one standard error, both to the error's first digit: `0.031 ± 0.002`.
/// Without a finite error, and for one of zero, three digits of the mean alone.
#[must_use]
pub fn nats(mean: f64, se: Option<f64>) -> String {
    let known = se.filter(|se| se.is_finite() && *se > 0.0);
    let decimals = match known {
        Some(se) => decimals(se, 1),
        None if mean == 0.0 || !mean.is_finite() => 0,
        None => decimals(mean.abs(), 3),
    };
    match known {
        Some(se) => format!("{mean:.decimals$} ± {se:.decimals$}"),
        None => format!("{mean:.decimals$}"),
    }
}

/// The same of a mean over chunks.
pub(super) fn mean_nats(mean: &ClusteredMean) -> String {
    nats(mean.mean, mean.se)
}

/// How many of the likeliest tokens are others: `1 of 12 tokens differs`.
#[must_use]
pub fn differing(agreement: f64) -> String {
    let one_of = (1.0 / (1.0 - agreement)).round();
    match agreement {
        a if a >= 1.0 => "no token differs".to_owned(),
        a if a <= 0.5 => format!("{:.0} % of the tokens differ", 100.0 * (1.0 - a)),
        _ => format!("1 of {one_of:.0} tokens differs"),
    }
}

/// Decimals that show so many significant digits of a positive number.
fn decimals(value: f64, digits: i32) -> usize {
    let decimals = f64::from(digits - 1) - value.log10().floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
    let decimals = decimals.clamp(0.0, 12.0) as usize;
    decimals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_digits_that_its_error_leaves_it() {
        for (mean, se, text) in [
            (0.031_27, Some(0.001_8), "0.031 ± 0.002"),
            (0.5, Some(0.031), "0.50 ± 0.03"),
            (2.254, Some(12.0), "2 ± 12"),
            (-0.000_12, Some(0.000_04), "-0.00012 ± 0.00004"),
            (0.031_27, None, "0.0313"),
            (0.031_27, Some(0.0), "0.0313"),
            (0.031_27, Some(f64::INFINITY), "0.0313"),
            (12.34, None, "12.3"),
            (0.0, Some(0.0), "0"),
        ] {
            assert_eq!(nats(mean, se), text);
        }
    }

    #[test]
    fn tokens_that_differ_are_told_as_one_of_so_many() {
        for (agreement, text) in [
            (1.0, "no token differs"),
            (0.919, "1 of 12 tokens differs"),
            (0.9767, "1 of 43 tokens differs"),
            (0.711_4, "1 of 3 tokens differs"),
            (0.5, "50 % of the tokens differ"),
            (0.2, "80 % of the tokens differ"),
        ] {
            assert_eq!(differing(agreement), text);
        }
    }
}
