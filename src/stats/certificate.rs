//! How much better than the best of a few another of them may still be.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{finite, median, signed_rank_interval};

/// Complete blocks after which a race is looked at. The error is shared between the looks.
pub const LOOKS: [u32; 8] = [6, 9, 13, 19, 28, 42, 63, 94];
/// Degrees of freedom that the common variance of all differences is worth beside an own one
/// (Smyth, 2004, with a prior that is not estimated).
const MODERATION: f64 = 4.0;
/// Blocks from which on ranks give a bound that is worth having.
const RANKS_FROM: usize = 13;

/// Who leads a race, and by how much it may be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// Place of the leader among those compared.
    pub leader: usize,
    /// With the confidence asked for, none of the others takes less than the leader's time by
    /// more than this share (0.02 = 2 %).
    pub within: f64,
    /// Complete blocks.
    pub blocks: u32,
}

/// The certificate of complete blocks: each holds the logarithm of the time of every runner, in
/// the same order, measured close together.
///
/// Every other runner's disadvantage is bounded twice, by Student's t with a moderated variance
/// and by signed ranks, the smaller bound counts. A union bound over bounds, runners and
/// [`LOOKS`] holds whatever leader the same blocks elect: an error needs the bound of the one
/// truly best runner to fail. `None` with fewer than two runners or blocks, for uneven blocks,
/// and for a number that is not finite.
#[must_use]
pub fn certificate(blocks: &[Vec<f64>], confidence: f64) -> Option<Certificate> {
    let runners = blocks.first()?.len();
    let even = blocks.iter().all(|block| block.len() == runners);
    if runners < 2 || blocks.len() < 2 || !even || !(0.0..1.0).contains(&confidence) {
        return None;
    }
    let center = |runner: usize| {
        let over: Vec<f64> = blocks
            .iter()
            .map(|block| block[runner] - block.iter().sum::<f64>() / runners as f64)
            .collect();
        finite(&over).and_then(median)
    };
    let centers: Vec<f64> = (0..runners).map(center).collect::<Option<_>>()?;
    let leader = (0..runners).min_by(|a, b| centers[*a].total_cmp(&centers[*b]))?;
    let others: Vec<Vec<f64>> = (0..runners)
        .filter(|runner| *runner != leader)
        .map(|runner| blocks.iter().map(|block| block[leader] - block[runner]).collect())
        .collect();
    let variances: Vec<f64> = others.iter().map(|differences| variance(differences)).collect();
    let common = median(&variances);
    let alpha = (1.0 - confidence) / (2.0 * others.len() as f64 * LOOKS.len() as f64);
    let worst = others
        .iter()
        .zip(&variances)
        .map(|(differences, own)| {
            upper(differences, *own, common.filter(|_| others.len() > 1), alpha)
        })
        .fold(f64::NEG_INFINITY, f64::max);
    let within = worst.max(0.0).exp_m1();
    Some(Certificate { leader, within, blocks: u32::try_from(blocks.len()).unwrap_or(u32::MAX) })
}

fn variance(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0)
}

/// The upper bound of a mean at level `1 - alpha`: by t with a moderated variance, or by ranks.
/// A single difference has no common variance to lean on.
fn upper(differences: &[f64], own: f64, common: Option<f64>, alpha: f64) -> f64 {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let lent = if common.is_some() { MODERATION } else { 0.0 };
    let degrees = n - 1.0 + lent;
    let moderated = (lent * common.unwrap_or_default() + (n - 1.0) * own) / degrees;
    let student = StudentsT::new(0.0, 1.0, degrees).expect("positive degrees");
    let by_t = mean + student.inverse_cdf(1.0 - alpha) * (moderated / n).sqrt();
    let by_rank = (differences.len() >= RANKS_FROM)
        .then(|| signed_rank_interval(differences, 1.0 - 2.0 * alpha))
        .flatten();
    by_rank.map_or(by_t, |(_, high)| by_t.min(high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    fn race(means: &[f64], sd: f64, blocks: usize, normals: &mut Normals) -> Vec<Vec<f64>> {
        (0..blocks).map(|_| means.iter().map(|mean| mean + sd * normals.draw()).collect()).collect()
    }

    #[test]
    fn a_clear_leader_is_certified_and_a_tie_is_within_little() {
        let mut normals = Normals::seeded(1);
        let clear = certificate(&race(&[0.1, 0.0, 0.2], 0.005, 9, &mut normals), 0.95).unwrap();
        assert_eq!((clear.leader, clear.within), (1, 0.0));
        let tie = certificate(&race(&[0.0, 0.0], 0.01, 28, &mut normals), 0.95).unwrap();
        assert!(tie.within > 0.0 && tie.within < 0.02, "{tie:?}");
    }

    #[test]
    fn certificates_hold_at_every_look_as_often_as_they_say() {
        let mut normals = Normals::seeded(2);
        let (mut wrong, races) = (0, 400);
        for _ in 0..races {
            let means: Vec<f64> = (0..4).map(|_| 0.02 * normals.draw()).collect();
            let blocks = race(&means, 0.03, 42, &mut normals);
            let best = means.iter().copied().fold(f64::INFINITY, f64::min);
            let fails = LOOKS[..6].iter().any(|look| {
                let found = certificate(&blocks[..*look as usize], 0.95).unwrap();
                means[found.leader] - best > found.within.ln_1p()
            });
            wrong += usize::from(fails);
        }
        // 5 % of 400 and three standard deviations.
        assert!(wrong <= 33, "{wrong} of {races}");
    }

    #[test]
    fn nothing_is_certified_without_a_race() {
        assert_eq!(certificate(&[], 0.95), None);
        assert_eq!(certificate(&[vec![1.0], vec![1.0]], 0.95), None);
        assert_eq!(certificate(&[vec![1.0, 2.0]], 0.95), None);
        assert_eq!(certificate(&[vec![1.0, 2.0], vec![1.0]], 0.95), None);
        assert_eq!(certificate(&vec![vec![f64::NAN, 2.0]; 8], 0.95), None);
    }
}
