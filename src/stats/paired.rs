//! How much faster the second of two settings is, from pairs of visits close together in time.

use super::order::middle;
use super::signed_rank::{signed_rank_interval, walsh_averages};
use super::{Change, Estimate, Separation, count, finite, student_t_interval, tail};

/// Pairs from which on the interval is the signed-rank one. Below, ranks are too coarse and
/// Student's t is used, which wants fewer pairs where the noise is light.
pub const SIGNED_RANK_FROM: usize = 13;

/// The median of all means of two samples: as steady as a median against outliers and nearly as
/// sharp as a mean without them. Memory and time grow with the square of the samples.
#[must_use]
pub fn hodges_lehmann(samples: &[f64]) -> Option<f64> {
    finite(samples).map(|samples| middle(&walsh_averages(samples)))
}

/// What paired differences say about two settings; each is `ln(t_first / t_second)` of one pair,
/// positive where the second is faster.
///
/// The estimate is the Hodges-Lehmann one, turned back into a ratio of speeds. Its interval comes
/// from signed ranks for [`SIGNED_RANK_FROM`] pairs and more, from Student's t below (widened, if
/// need be, to hold the estimate); a single pair has none.
///
/// With the zone of indifference `z`, the second is [`Separation::Faster`] only if the whole
/// interval lies above `1 + z`, and [`Separation::Slower`] only if it lies below `1 / (1 + z)`.
/// The zone is symmetric in the logarithm, so swapping the two settings swaps the two words.
/// `None` without pairs, for a difference that is not finite, and for a negative zone.
#[must_use]
pub fn paired_change(
    log_speed_differences: &[f64],
    confidence: f64,
    indifference: f64,
) -> Option<Change> {
    tail(confidence)?;
    if !(indifference.is_finite() && indifference >= 0.0) {
        return None;
    }
    let differences = log_speed_differences;
    let center = hodges_lehmann(differences)?;
    let interval = if differences.len() < SIGNED_RANK_FROM {
        student_t_interval(differences, confidence)
    } else {
        signed_rank_interval(differences, confidence)
    };
    let interval = interval.map(|(low, high)| (low.min(center), high.max(center)));
    Some(Change {
        speed_ratio: Estimate {
            value: center.exp(),
            low: interval.map(|(low, _)| low.exp()),
            high: interval.map(|(_, high)| high.exp()),
            confidence,
            n: count(differences),
        },
        separation: Separation::of(interval, indifference),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;
    use proptest::prelude::*;

    const HODGES_LEHMANN: &[(&[f64], f64)] = &[
        (&[0.3], 0.3),
        (&[1.0, 2.0], 1.5),
        (&[1.0, 2.0, 10.0], 3.75),
        (&[0.1, -0.2, 0.35, 0.7, 0.05], 0.2),
        (
            &[
                0.079, 0.11101, 0.11102, 0.20603, 0.04404, 0.08105, 0.20206, 0.13207, 0.13308,
                0.07409, 0.0181, 0.10811, 0.10512,
            ],
            0.106_615,
        ),
    ];

    fn change(differences: &[f64]) -> Change {
        paired_change(differences, 0.95, 0.01).unwrap()
    }

    #[test]
    fn the_estimate_is_the_median_of_walsh_averages() {
        // Independent: numpy.median([(a + b) / 2 for each pair with itself])
        for (samples, expected) in HODGES_LEHMANN {
            assert!((hodges_lehmann(samples).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(hodges_lehmann(&[]), None);
    }

    #[test]
    fn a_word_needs_the_whole_interval_outside_of_the_zone() {
        let around = |center: f64| [center - 0.001, center, center + 0.001, center];
        for (center, word) in [
            (0.05, Separation::Faster),
            (0.0105, Separation::NotSeparated),
            (0.0, Separation::NotSeparated),
            (-0.0105, Separation::NotSeparated),
            (-0.05, Separation::Slower),
        ] {
            assert_eq!(change(&around(center)).separation, word, "around {center}");
        }
    }

    #[test]
    fn one_pair_separates_nothing() {
        let single = change(&[3.0]);
        assert_eq!(single.separation, Separation::NotSeparated);
        assert_eq!((single.speed_ratio.low, single.speed_ratio.n), (None, 1));
        assert!((single.speed_ratio.value - 3_f64.exp()).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_judged_is_not() {
        assert_eq!(paired_change(&[], 0.95, 0.01), None);
        assert_eq!(paired_change(&[0.1, f64::NAN], 0.95, 0.01), None);
        assert_eq!(paired_change(&[0.1, 0.2], 95.0, 0.01), None);
        assert_eq!(paired_change(&[0.1, 0.2], 0.95, -0.5), None);
    }

    #[test]
    fn a_setting_against_itself_is_rarely_called_different() {
        let mut chance = Normals::seeded(17);
        for n in [4, 8, 12, 13, 20] {
            let called = (0..2000)
                .filter(|_| {
                    let noise: Vec<f64> = chance.take(n).iter().map(|draw| draw * 0.05).collect();
                    paired_change(&noise, 0.95, 0.0).unwrap().separation != Separation::NotSeparated
                })
                .count();
            assert!((60..=135).contains(&called), "{called} of 2000 at {n} pairs");
        }
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_estimate_and_order_does_not_matter(
            mut differences in proptest::collection::vec(-3.0_f64..3.0, 1..60),
            confidence in 0.5_f64..0.999,
        ) {
            let forward = paired_change(&differences, confidence, 0.01).unwrap();
            let ratio = forward.speed_ratio;
            prop_assert!(ratio.low.is_none_or(|low| low <= ratio.value));
            prop_assert!(ratio.high.is_none_or(|high| high >= ratio.value));
            differences.reverse();
            let backward = paired_change(&differences, confidence, 0.01).unwrap();
            prop_assert!((backward.speed_ratio.value - ratio.value).abs() < 1e-9 * ratio.value);
        }

        #[test]
        fn swapping_the_settings_inverts_the_ratio(
            differences in proptest::collection::vec(-3.0_f64..3.0, 2..60),
        ) {
            let forward = change(&differences);
            let swapped: Vec<f64> = differences.iter().map(|difference| -difference).collect();
            let backward = change(&swapped);
            let product = forward.speed_ratio.value * backward.speed_ratio.value;
            prop_assert!((product - 1.0).abs() < 1e-9);
            let ends = forward.speed_ratio.low.unwrap() * backward.speed_ratio.high.unwrap();
            prop_assert!((ends - 1.0).abs() < 1e-9);
        }

        #[test]
        fn the_estimate_scales_with_the_differences(
            differences in proptest::collection::vec(-1.0_f64..1.0, 1..40),
            scale in 0.01_f64..10.0,
        ) {
            let scaled: Vec<f64> = differences.iter().map(|value| value * scale).collect();
            let plain = hodges_lehmann(&differences).unwrap();
            prop_assert!((hodges_lehmann(&scaled).unwrap() - plain * scale).abs() < 1e-9);
        }
    }
}
