//! Whether samples of one side tend to be greater than those of another, by their ranks alone.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::factorial::binomial;

use super::finite;
use super::series::ranks;

/// Additions up to which the permutation distribution is counted: always for up to 60 samples, and
/// for far more where one side is small or the sides hardly overlap.
const COUNTED_UP_TO: usize = 1 << 22;

/// The one-sided probability of the Mann-Whitney test that the second side ranks so high by
/// chance: small where `second` is greater than `first`. `None` where a side is empty.
///
/// Equal samples share the mean of their ranks. The distribution over all ways to deal the ranks
/// out is counted, ties included, and is exact for up to 60 samples; where counting would take
/// too long, a normal distribution with corrections for ties and continuity stands in.
#[must_use]
pub fn mann_whitney(first: &[f64], second: &[f64]) -> Option<f64> {
    let (first, second) = (finite(first)?, finite(second)?);
    let ranks = ranks(&[first, second].concat());
    Some(counted(&ranks, first.len()).unwrap_or_else(|| approximated(&ranks, first.len())))
}

/// The smallest probability that [`mann_whitney`] can count with so many samples: all of one side
/// above all of the other. `None` where a side is empty.
#[must_use]
pub fn mann_whitney_floor(first: usize, second: usize) -> Option<f64> {
    (first > 0 && second > 0).then(|| 1.0 / ways_to_choose(first + second, first.min(second)))
}

/// The exact probability, from pooled ranks with the first side's in front; `None` where counting
/// would take too long.
fn counted(ranks: &[f64], first: usize) -> Option<f64> {
    // Shared ranks may be halves, so that twice a rank is a whole number.
    let unit = if ranks.iter().all(|rank| rank.fract() == 0.0) { 1.0 } else { 2.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 2n")]
    let ranks: Vec<usize> = ranks.iter().map(|rank| (unit * rank).round() as usize).collect();
    let (lowest, highest) = (*ranks.iter().min()?, *ranks.iter().max()?);
    // The smaller side is counted, by how far its ranks are from the end they would tend to.
    let (distances, side): (Vec<usize>, _) = if first <= ranks.len() - first {
        (ranks.iter().map(|rank| rank - lowest).collect(), 0..first)
    } else {
        (ranks.iter().map(|rank| highest - rank).collect(), first..ranks.len())
    };
    let chosen = side.len();
    let sum: usize = distances[side].iter().sum();
    let all = ways_to_choose(ranks.len(), chosen);
    // As many or fewer are counted from the nearer end: the sum from the other is its complement.
    let opposite = chosen * (highest - lowest) - sum;
    if sum <= opposite {
        return Some((subsets(&distances, chosen, sum)? / all).min(1.0));
    }
    let mirrored: Vec<usize> = distances.iter().map(|far| highest - lowest - far).collect();
    let beyond = opposite.checked_sub(1).map_or(Some(0.0), |most| subsets(&mirrored, chosen, most));
    Some((1.0 - beyond? / all).max(0.0))
}

/// How many subsets of `size` values sum to `most` or less.
fn subsets(values: &[usize], size: usize, most: usize) -> Option<f64> {
    let width = most.checked_add(1)?;
    if values.len().checked_mul(size)?.checked_mul(width)? > COUNTED_UP_TO {
        return None;
    }
    // One row per size of subset, one column per sum.
    let mut ways = vec![0.0_f64; (size + 1) * width];
    ways[0] = 1.0;
    for (seen, value) in values.iter().enumerate().filter(|(_, value)| **value < width) {
        for row in (1..=size.min(seen + 1)).rev() {
            let (smaller, larger) = ways.split_at_mut(row * width);
            let smaller = &smaller[(row - 1) * width..];
            for (to, from) in larger[*value..width].iter_mut().zip(smaller) {
                *to += from;
            }
        }
    }
    Some(ways[size * width..].iter().sum())
}

fn approximated(ranks: &[f64], first: usize) -> f64 {
    let (n, a) = (ranks.len() as f64, first as f64);
    let b = n - a;
    let greater = ranks[first..].iter().sum::<f64>() - b * (b + 1.0) / 2.0;
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted
        .chunk_by(|one, other| one.total_cmp(other).is_eq())
        .map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64)
        .sum();
    let variance = a * b / 12.0 * (n + 1.0 - ties / (n * (n - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    Normal::standard().sf((greater - a * b / 2.0 - 0.5) / variance.sqrt())
}

fn ways_to_choose(all: usize, some: usize) -> f64 {
    binomial(all as u64, some as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;
    use proptest::prelude::*;

    // scipy.stats.mannwhitneyu(second, first, alternative='greater', method='exact').pvalue; where
    // values are tied, scipy.stats.permutation_test((first, second), sum of scipy.stats.rankdata of
    // the second, permutation_type='independent', alternative='greater', n_resamples=inf).pvalue
    const RANK_SUMS: &[(&[f64], &[f64], f64)] = &[
        (&[0.05, 0.501, -0.998], &[1.6905, 0.5815, -0.577_5], 0.2),
        (
            &[-0.65, 0.601, 0.332, -1.147],
            &[1.1205, 0.4115, 0.9325, 0.8335, -0.655_5, 0.8555],
            0.057_142_857_142_857_14,
        ),
        (
            &[-0.61, 1.551, 0.722, 0.053, -0.976, 0.055, 0.166, -1.203],
            &[3.7205, 1.8915, 3.1925, 0.3935, 3.1445],
            0.003_108_003_108_003_108,
        ),
        (
            &[
                -1.36, -0.649, 0.542, 0.053, -2.356, -1.105, 0.846, 2.097, 0.918, -0.271, 0.81,
                -1.129,
            ],
            &[
                0.2105, -1.648_5, -0.307_5, -0.426_5, 0.5045, -0.594_5, 0.9065, -0.492_5, 0.5485,
                0.4995, -2.129_5, -0.248_5,
            ],
            0.622_357_585_878_921_2,
        ),
        (
            &[-0.43, -1.419, 0.882],
            &[
                3.3705, 1.5515, 2.6125, 1.7935, 2.4145, 3.7355, 1.6565, 0.7775, 2.7285, 2.5295,
                2.6805, 3.0415, 1.3325, 0.0435, 3.0545, 1.6055, 0.8065, 0.8475, 3.1485, 2.1995,
                2.3205, 2.8715, 1.3425, 0.8935, 1.1745, 0.9255, 1.7365, 1.1375, 2.0685, 1.5495,
                1.9505, 2.6815, 3.4325, 3.5935, 2.1445, 2.2455, 1.5265, 3.0475, 3.5685, 1.4495,
            ],
            0.000_891_337_817_032_655_4,
        ),
        (&[1.0, 0.0, 0.0], &[2.0, 1.0, 3.0, -1.0], 0.257_142_857_142_857_1),
        (
            &[-1.0, 0.0, -2.0, 1.0, -2.0],
            &[2.0, -1.0, 1.0, 2.0, 5.0, 3.0],
            0.015_151_515_151_515_152,
        ),
        (&[2.0, 0.0, 3.0, 0.0, 0.0, -2.0], &[0.0, 2.0, -1.0, -1.0], 0.785_714_285_714_285_7),
        (
            &[-1.0, 0.0, -1.0, -2.0, 2.0, -3.0, -1.0],
            &[2.0, 3.0, 1.0, 1.0, 2.0, 1.0, 3.0],
            0.002_622_377_622_377_622_5,
        ),
    ];

    /// Values that repeat after `modulus`, in jumps of `step`.
    fn made(count: u32, step: u32, modulus: u32, shift: f64) -> Vec<f64> {
        (0..count).map(|index| f64::from(index * step % modulus) + shift).collect()
    }

    #[test]
    fn probabilities_are_those_of_scipy() {
        for (first, second, expected) in RANK_SUMS {
            let got = mann_whitney(first, second).unwrap();
            assert!((got - expected).abs() < 1e-12, "{first:?} {second:?}: {got}, not {expected}");
        }
        // The same calls on made values; the last two with method='asymptotic'.
        for (first, second, expected) in [
            (made(30, 7, 101, 0.0), made(30, 11, 211, 0.5), 0.002_620_955_134_168_263_6),
            (made(10, 7, 101, 0.0), made(200, 11, 211, 0.5), 4.567_563_947_830_6e-5),
            (made(60, 7, 13, 0.0), made(70, 5, 14, 0.0), 0.187_446_240_688_340_48),
            (made(100, 7, 13, 0.0), made(140, 5, 14, 0.0), 0.128_483_598_322_209_85),
        ] {
            let got = mann_whitney(&first, &second).unwrap();
            assert!((got / expected - 1.0).abs() < 1e-9, "{got}, not {expected}");
        }
    }

    #[test]
    fn the_floor_is_reached_where_all_of_the_second_is_above() {
        for (first, second) in [(3, 3), (1, 9), (10, 4), (30, 30), (3, 500)] {
            let low: Vec<f64> = (0..first).map(f64::from).collect();
            let high: Vec<f64> = (0..second).map(|index| f64::from(index) + 1000.0).collect();
            let floor = mann_whitney_floor(low.len(), high.len()).unwrap();
            assert!((mann_whitney(&low, &high).unwrap() / floor - 1.0).abs() < 1e-9);
            assert!((mann_whitney(&high, &low).unwrap() - 1.0).abs() < 1e-12);
        }
        // 1 / scipy.special.comb(6, 3)
        assert!((mann_whitney_floor(3, 3).unwrap() - 0.05).abs() < 1e-15);
        assert_eq!(mann_whitney_floor(0, 3), None);
    }

    #[test]
    fn equal_samples_show_nothing() {
        assert_eq!(mann_whitney(&[1.0; 5], &[1.0; 7]), Some(1.0));
        assert_eq!(mann_whitney(&[1.0; 500], &[1.0; 700]), Some(1.0));
        assert_eq!(mann_whitney(&[], &[1.0]), None);
        assert_eq!(mann_whitney(&[f64::NAN], &[1.0]), None);
    }

    #[test]
    fn counting_and_approximation_meet() {
        let mut chance = Normals::seeded(4);
        for _ in 0..50 {
            let pooled = ranks(&chance.take(60));
            let (exact, rough) = (counted(&pooled, 28).unwrap(), approximated(&pooled, 28));
            assert!((exact - rough).abs() < 0.003, "{exact} against {rough}");
        }
    }

    proptest! {
        #[test]
        fn both_directions_share_the_ties(
            first in proptest::collection::vec(0_u8..6, 1..12),
            second in proptest::collection::vec(0_u8..6, 1..12),
        ) {
            let values = |side: &[u8]| side.iter().copied().map(f64::from).collect::<Vec<_>>();
            let (first, second) = (values(&first), values(&second));
            let up = mann_whitney(&first, &second).unwrap();
            let down = mann_whitney(&second, &first).unwrap();
            prop_assert!(up + down >= 1.0 - 1e-9);
            prop_assert!(up >= mann_whitney_floor(first.len(), second.len()).unwrap() - 1e-12);
        }
    }
}
