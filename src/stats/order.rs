//! Statistics of the sorted samples: median, quantiles, spread that outliers cannot move.

use statrs::function::beta::beta_reg;

use super::{Estimate, count, finite, sorted, tail};

/// Turns a median absolute deviation into the standard deviation of a normal sample:
/// `1 / Phi^-1(3/4)`.
pub(super) const MAD_TO_SD: f64 = 1.482_602_218_505_602;

/// The middle sample, or the mean of the middle two.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    sorted(samples).map(|sorted| middle(&sorted))
}

/// The median with the interval between two samples that covers it whatever the distribution.
///
/// The true coverage is at least `confidence`. The interval needs 6 samples at 95 %; below that
/// the ends are `None`.
#[must_use]
pub fn median_estimate(samples: &[f64], confidence: f64) -> Option<Estimate> {
    let tail = tail(confidence)?;
    let sorted = sorted(samples)?;
    let rank = median_rank(sorted.len(), tail);
    Some(Estimate {
        value: middle(&sorted),
        low: rank.map(|rank| sorted[rank - 1]),
        high: rank.map(|rank| sorted[sorted.len() - rank]),
        confidence,
        n: count(samples),
    })
}

/// The value that a share `probability` of all samples stays below, interpolated between samples;
/// `None` where there are fewer than [`samples_to_bound`] asks for at 95 %.
///
/// The rule is for tails: the 99th percentile of 128 samples is no more than their maximum, and
/// the next 128 will exceed it.
#[must_use]
pub fn quantile(samples: &[f64], probability: f64) -> Option<f64> {
    let needed = samples_to_bound(probability, 0.95)?;
    let sorted = sorted(samples)?;
    if sorted.len() < needed {
        return None;
    }
    let place = probability * (sorted.len() - 1) as f64;
    let below = place.floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to len - 1")]
    let index = below as usize;
    let next = sorted[(index + 1).min(sorted.len() - 1)];
    Some(sorted[index] + (place - below) * (next - sorted[index]))
}

/// The fewest samples whose extreme bounds the `probability` quantile at this one-sided
/// confidence: `ln(1 - confidence) / ln(probability)`, for a lower quantile by symmetry.
///
/// ```
/// use autotune::stats::samples_to_bound;
/// assert_eq!(samples_to_bound(0.99, 0.95), Some(299));
/// ```
#[must_use]
pub fn samples_to_bound(probability: f64, confidence: f64) -> Option<usize> {
    tail(confidence)?;
    if !(probability > 0.0 && probability < 1.0) {
        return None;
    }
    let needed = (1.0 - confidence).ln() / probability.max(1.0 - probability).ln();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let samples = needed.ceil() as usize;
    Some(samples)
}

/// The standard deviation as the median distance from the median tells it; half of the samples
/// may be outliers without moving it far.
#[must_use]
pub fn robust_spread(samples: &[f64]) -> Option<f64> {
    let center = median(samples)?;
    let distances: Vec<f64> =
        finite(samples)?.iter().map(|sample| (sample - center).abs()).collect();
    median(&distances).map(|deviation| MAD_TO_SD * deviation)
}

/// Middle of sorted samples.
pub(super) fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// The rank, counted from 1, of the sample that is the lower end of a median's interval: the
/// largest with at most `tail` probability that fewer than `rank` samples lie below the median.
fn median_rank(samples: usize, tail: f64) -> Option<usize> {
    // P(Binomial(n, 1/2) <= rank - 1) is the regularized incomplete beta function at 1/2.
    let below = |rank: usize| beta_reg((samples - rank + 1) as f64, rank as f64, 0.5);
    let (mut low, mut high) = (0, samples.div_ceil(2) + 1);
    while high - low > 1 {
        let rank = usize::midpoint(low, high);
        if below(rank) <= tail { low = rank } else { high = rank }
    }
    (low > 0).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;
    use proptest::prelude::*;

    const RANKS: [(usize, usize); 12] = [
        (6, 1),
        (8, 1),
        (9, 2),
        (10, 2),
        (15, 4),
        (20, 6),
        (30, 10),
        (71, 27),
        (100, 40),
        (500, 228),
        (2000, 956),
        (5000, 2431),
    ];

    #[test]
    fn six_samples_are_the_fewest_for_a_median_interval_at_95_percent() {
        // scipy.stats.binom.cdf(0, 5, .5) = .03125, binom.cdf(0, 6, .5) = .015625
        let five = median_estimate(&[5.0, 1.0, 4.0, 2.0, 3.0], 0.95).unwrap();
        assert_eq!((five.value, five.low, five.high), (3.0, None, None));
        let six = median_estimate(&[6.0, 5.0, 1.0, 4.0, 2.0, 3.0], 0.95).unwrap();
        assert_eq!((six.value, six.low, six.high, six.n), (3.5, Some(1.0), Some(6.0), 6));
    }

    #[test]
    fn median_ranks_are_those_of_the_binomial_distribution() {
        // k = the largest with scipy.stats.binom.cdf(k - 1, n, .5) <= .025
        for (samples, rank) in RANKS {
            assert_eq!(median_rank(samples, 0.025), Some(rank), "{samples} samples");
        }
    }

    #[test]
    fn a_tail_that_the_samples_cannot_bound_is_not_told() {
        assert_eq!([0.9, 0.95, 0.99].map(|p| samples_to_bound(p, 0.95).unwrap()), [29, 59, 299]);
        assert_eq!([0.9, 0.95, 0.99].map(|p| samples_to_bound(p, 0.99).unwrap()), [44, 90, 459]);
        assert_eq!(samples_to_bound(0.01, 0.95), Some(299));
        let samples: Vec<f64> = (0..299).map(f64::from).collect();
        assert_eq!(quantile(&samples[..298], 0.99), None);
        // numpy.quantile(range(299), .99)
        assert!((quantile(&samples, 0.99).unwrap() - 295.02).abs() < 1e-9);
        assert_eq!(samples_to_bound(1.0, 0.95), None);
        assert_eq!(quantile(&samples, 0.0), None);
    }

    #[test]
    fn half_of_the_samples_may_be_outliers() {
        // scipy.stats.median_abs_deviation([1, 2, 3, 4, 1e9], scale='normal')
        let spread = robust_spread(&[1.0, 2.0, 3.0, 4.0, 1e9]).unwrap();
        assert!((spread - 1.482_602_218_505_602).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_said_about_nothing() {
        assert_eq!(median(&[]), None);
        assert_eq!(median_estimate(&[1.0, f64::NAN], 0.95), None);
        assert_eq!(median_estimate(&[1.0], 1.0), None);
        assert_eq!(robust_spread(&[f64::INFINITY]), None);
    }

    #[test]
    fn the_median_interval_covers_as_often_as_it_says() {
        let mut chance = Normals::seeded(11);
        let covered = (0..2000)
            .filter(|_| {
                let estimate = median_estimate(&chance.take(15), 0.95).unwrap();
                estimate.low.unwrap() <= 0.0 && estimate.high.unwrap() >= 0.0
            })
            .count();
        // Exact coverage at n = 15 is 1 - 2 binom.cdf(3, 15, .5) = 96.5 %.
        assert!((1905..=1955).contains(&covered), "{covered} of 2000");
    }

    proptest! {
        #[test]
        fn an_estimate_lies_in_its_interval_and_order_does_not_matter(
            mut samples in proptest::collection::vec(-1e6_f64..1e6, 1..60),
            scale in 0.001_f64..1000.0,
        ) {
            let estimate = median_estimate(&samples, 0.95).unwrap();
            prop_assert!(estimate.low.is_none_or(|low| low <= estimate.value));
            prop_assert!(estimate.high.is_none_or(|high| high >= estimate.value));
            let scaled: Vec<f64> = samples.iter().map(|sample| sample * scale).collect();
            let other = median_estimate(&scaled, 0.95).unwrap();
            prop_assert!((other.value - estimate.value * scale).abs() <= 1e-9 * other.value.abs());
            samples.reverse();
            prop_assert_eq!(median_estimate(&samples, 0.95).unwrap(), estimate);
        }
    }
}
