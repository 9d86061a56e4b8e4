//! Intervals of any statistic, from samples drawn again out of those at hand.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{finite, median, quantile, tail};

/// Draws. The ends of a 95 % interval then lie within 0.16 % of their probability (one standard
/// deviation of a binomial share).
const DRAWS: usize = 10_000;

/// The two-sided percentile interval of the median (Efron, 1979); `None` below 2 samples and for a
/// confidence whose ends 10 000 draws cannot tell.
///
/// It is narrow for few samples: below 15, `median_estimate` covers more honestly.
#[must_use]
pub fn bootstrap_median(samples: &[f64], confidence: f64, seed: u64) -> Option<(f64, f64)> {
    let groups: Vec<Vec<f64>> = samples.iter().map(|sample| vec![*sample]).collect();
    cluster_bootstrap(&groups, |drawn| median(drawn).unwrap_or(f64::NAN), confidence, seed)
}

/// The two-sided percentile interval of a statistic whose samples come in groups, such as those of
/// a process: whole groups are drawn, so that what the samples of a group have in common widens
/// the interval as it should. `None` below 2 groups, for an empty group, and where the statistic
/// of a draw is not finite.
#[must_use]
pub fn cluster_bootstrap(
    groups: &[Vec<f64>],
    statistic: fn(&[f64]) -> f64,
    confidence: f64,
    seed: u64,
) -> Option<(f64, f64)> {
    let tail = tail(confidence)?;
    if groups.len() < 2 || groups.iter().any(|group| finite(group).is_none()) {
        return None;
    }
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut drawn = Vec::new();
    let statistics: Vec<f64> = (0..DRAWS)
        .map(|_| {
            drawn.clear();
            for _ in groups {
                drawn.extend_from_slice(&groups[chance.random_range(0..groups.len())]);
            }
            statistic(&drawn)
        })
        .collect();
    quantile(&statistics, tail).zip(quantile(&statistics, 1.0 - tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    fn mean(samples: &[f64]) -> f64 {
        samples.iter().sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn ends_are_those_of_all_draws() {
        // numpy.quantile([numpy.median(c) for c in itertools.product(samples, repeat=n)], ends)
        let five = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert_eq!(bootstrap_median(&five, 0.95, 3), Some((1.0, 16.0)));
        let seven = [0.3, 0.1, 0.7, 0.2, 0.9, 0.5, 0.4];
        assert_eq!(bootstrap_median(&seven, 0.95, 3), Some((0.2, 0.7)));
        // The same of means of joined groups, at 80 %.
        let groups = [vec![1.0, 1.2], vec![2.0, 2.4, 2.2], vec![3.0], vec![5.0, 5.5]];
        let (low, high) = cluster_bootstrap(&groups, mean, 0.8, 3).unwrap();
        assert!((low - 1.75).abs() < 0.02 && (high - 3.825).abs() < 0.03, "{low} to {high}");
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let samples = Normals::seeded(1).take(20);
        let draw = |seed| bootstrap_median(&samples, 0.9, seed).unwrap();
        assert_eq!(draw(5), draw(5));
    }

    #[test]
    fn groups_that_differ_widen_the_interval() {
        let mut chance = Normals::seeded(2);
        let groups: Vec<Vec<f64>> = (0..12)
            .map(|_| {
                let own = chance.draw();
                chance.take(10).iter().map(|draw| own + 0.1 * draw).collect()
            })
            .collect();
        let loose: Vec<Vec<f64>> = groups.concat().iter().map(|sample| vec![*sample]).collect();
        let width = |groups: &[Vec<f64>]| {
            let (low, high) = cluster_bootstrap(groups, mean, 0.9, 1).unwrap();
            high - low
        };
        assert!(width(&groups) > 2.0 * width(&loose));
    }

    #[test]
    fn it_covers_about_as_often_as_it_says() {
        let mut chance = Normals::seeded(6);
        let covered = (0..200)
            .filter(|seed| {
                let (low, high) = bootstrap_median(&chance.take(25), 0.9, *seed).unwrap();
                low <= 0.0 && high >= 0.0
            })
            .count();
        // 90 % of 200 with three standard deviations.
        assert!((167..=193).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn what_cannot_be_drawn_is_not() {
        assert_eq!(bootstrap_median(&[1.0], 0.9, 1), None);
        assert_eq!(bootstrap_median(&[1.0, f64::NAN], 0.9, 1), None);
        assert_eq!(bootstrap_median(&[1.0, 2.0], 0.9999, 1), None);
        assert_eq!(cluster_bootstrap(&[vec![1.0], vec![]], mean, 0.9, 1), None);
        assert_eq!(cluster_bootstrap(&[vec![1.0], vec![2.0]], |_| f64::NAN, 0.9, 1), None);
    }
}
