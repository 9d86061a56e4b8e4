//! The interval of a centre of symmetry, by inversion of Wilcoxon's signed-rank test.

use statrs::distribution::{ContinuousCDF, Normal};

use super::{finite, tail};

/// Samples up to which the null distribution is counted rather than approximated.
const EXACT_UP_TO: usize = 50;

/// The two-sided signed-rank interval: all centres that the test would not reject, which are the
/// values between two Walsh averages. `None` where the samples are too few for the confidence
/// (below 6 at 95 %).
///
/// The null distribution is counted for up to 50 samples and approximated by a normal one with
/// continuity correction beyond. Memory and time grow with the square of the samples.
#[must_use]
pub fn signed_rank_interval(samples: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let tail = tail(confidence)?;
    let averages = walsh_averages(finite(samples)?);
    let rank = match samples.len() {
        n if n <= EXACT_UP_TO => exact_rank(n, tail),
        n => approximate_rank(n, tail),
    };
    (rank > 0).then(|| (averages[rank - 1], averages[averages.len() - rank]))
}

/// The means of all pairs of samples, each with itself too, in ascending order.
pub(super) fn walsh_averages(samples: &[f64]) -> Vec<f64> {
    let mut averages = Vec::with_capacity(samples.len() * (samples.len() + 1) / 2);
    for (index, first) in samples.iter().enumerate() {
        averages.extend(samples[index..].iter().map(|second| f64::midpoint(*first, *second)));
    }
    averages.sort_unstable_by(f64::total_cmp);
    averages
}

/// The rank, from 1, of the Walsh average that is the lower end: the largest `rank` with
/// `P(T <= rank - 1) <= tail` for the sum `T` of the positive ranks; 0 where there is none.
fn exact_rank(samples: usize, tail: f64) -> usize {
    // ways[s] = subsets of the ranks 1..=n with sum s; at most 2^50, exact in f64.
    let mut ways = vec![0.0_f64; samples * (samples + 1) / 2 + 1];
    ways[0] = 1.0;
    for rank in 1..=samples {
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    let allowed = tail * 2_f64.powi(i32::try_from(samples).expect("at most 50 samples"));
    let mut below = 0.0;
    ways.iter()
        .take_while(|count| {
            below += **count;
            below <= allowed
        })
        .count()
}

fn approximate_rank(samples: usize, tail: f64) -> usize {
    let n = samples as f64;
    let mean = n * (n + 1.0) / 4.0;
    let sd = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
    let rank = mean + Normal::standard().inverse_cdf(tail) * sd + 0.5;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    let rank = rank.max(0.0) as usize;
    rank
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    // Ends found by calling scipy.stats.wilcoxon(samples - center, method='exact') (for 55 samples
    // method='asymptotic', correction=True) between all neighbouring Walsh averages and keeping
    // those with p > .05.
    const SIGNED_RANK_INTERVALS: &[(&[f64], f64, f64)] = &[
        (
            &[
                0.079, 0.11101, 0.11102, 0.20603, 0.04404, 0.08105, 0.20206, 0.13207, 0.13308,
                0.07409, 0.0181, 0.10811, 0.10512,
            ],
            0.076_075,
            0.141_555,
        ),
        (
            &[
                0.039, 0.06601, 0.09602, 0.05303, 0.09504, 0.10505, 0.10206, 0.07507, 0.13008,
                0.14509, 0.1161, 0.05911, 0.13712, 0.07513, 0.14414, 0.04615, 0.14616, 0.09917,
                0.03818, 0.08419,
            ],
            0.074_105,
            0.110_575,
        ),
        (
            &[
                0.103, 0.11401, 0.05102, 0.04503, 0.11004, 0.07705, 0.11206, 0.13807, 0.01808,
                0.11309, 0.1611, 0.08511, 0.05912, 0.13813, 0.11314, 0.14515, 0.08316, 0.02617,
                0.09418, 0.07819, 0.1392, 0.11021, 0.01822, 0.04023, 0.14424, 0.13425, 0.06826,
                0.10027, 0.12228, 0.12329, 0.1443, 0.11331, 0.09532, 0.08733, 0.15334, -0.01265,
                0.09336, 0.10237, 0.02938, 0.11739, 0.0674, 0.14341, 0.09442, 0.13343, 0.16144,
                0.11945, 0.05646, 0.02447, 0.18848, 0.09449, 0.0665, 0.10751, 0.09052, 0.14353,
                0.10254,
            ],
            0.087_33,
            0.111_67,
        ),
    ];

    #[test]
    fn critical_ranks_are_those_of_the_published_table() {
        // Wilcoxon's table, two-sided 5 %: the largest sum that is still significant.
        for (samples, critical) in [(6, 0), (7, 2), (8, 3), (10, 8), (13, 17), (20, 52), (25, 89)] {
            assert_eq!(exact_rank(samples, 0.025), critical + 1, "{samples} samples");
        }
        assert_eq!(exact_rank(5, 0.025), 0);
    }

    #[test]
    fn the_ends_are_where_the_test_of_scipy_changes_its_mind() {
        for (samples, low, high) in SIGNED_RANK_INTERVALS {
            let (got_low, got_high) = signed_rank_interval(samples, 0.95).unwrap();
            assert!(
                (got_low - low).abs() < 1e-12 && (got_high - high).abs() < 1e-12,
                "{got_low} to {got_high}, not {low} to {high}"
            );
        }
    }

    #[test]
    fn counting_and_approximation_meet_at_fifty_samples() {
        for tail in [0.05, 0.025, 0.005] {
            let (exact, approximate) = (exact_rank(50, tail), approximate_rank(50, tail));
            assert!(exact.abs_diff(approximate) <= 3, "{exact} against {approximate}");
        }
    }

    #[test]
    fn it_covers_as_often_as_it_says() {
        let mut chance = Normals::seeded(3);
        for n in [13, 28, 60] {
            let covered = (0..2000)
                .filter(|_| {
                    let (low, high) = signed_rank_interval(&chance.take(n), 0.95).unwrap();
                    low <= 0.0 && high >= 0.0
                })
                .count();
            assert!((1870..=1935).contains(&covered), "{covered} of 2000 at {n} samples");
        }
    }
}
