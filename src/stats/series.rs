//! Samples in the order of time: does one depend on the one before, do they wander off?

use std::f64::consts::{PI, SQRT_2};

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::order::MAD_TO_SD;
use super::{finite, median};

/// A monotonic trend over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Spearman's rank correlation with time, -1 to 1.
    pub correlation: f64,
    /// Two-sided probability of so much correlation by chance, by Student's t.
    pub p_value: f64,
}

/// How far each sample resembles the one before, -1 to 1; `None` below 3 samples and where all
/// are equal. Above 0.3, neighbours are not independent and an interval from them is too narrow.
#[must_use]
pub fn lag_one_autocorrelation(samples: &[f64]) -> Option<f64> {
    let samples = finite(samples)?;
    if samples.len() < 3 {
        return None;
    }
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let square: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    let product: f64 = samples.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    (square > 0.0).then(|| product / square)
}

/// Spearman's rank correlation of the samples with their order; `None` below 4 samples and where
/// all are equal.
#[must_use]
pub fn rank_trend(samples: &[f64]) -> Option<Trend> {
    let samples = finite(samples)?;
    if samples.len() < 4 {
        return None;
    }
    let ranks = ranks(samples);
    let n = samples.len() as f64;
    let mean = f64::midpoint(n, 1.0);
    let (mut product, mut square, mut time_square) = (0.0, 0.0, 0.0);
    for (index, rank) in ranks.iter().enumerate() {
        let time = (index + 1) as f64 - mean;
        product += time * (rank - mean);
        square += (rank - mean).powi(2);
        time_square += time.powi(2);
    }
    if square <= 0.0 {
        return None;
    }
    let correlation = (product / (square * time_square).sqrt()).clamp(-1.0, 1.0);
    let rest = 1.0 - correlation * correlation;
    let p_value = if rest <= f64::EPSILON {
        0.0
    } else {
        let statistic = correlation.abs() * ((n - 2.0) / rest).sqrt();
        let student = StudentsT::new(0.0, 1.0, n - 2.0).expect("degrees of freedom are positive");
        2.0 * student.sf(statistic)
    };
    Some(Trend { correlation, p_value })
}

/// The standard deviation as differences of neighbours tell it, which a change of level moves in
/// one place only; `None` below 2 samples.
///
/// It is taken from the median of the differences' sizes. Where half of the neighbours are equal,
/// as in coarsely rounded values, it is taken from their mean: `E|a - b| = 2 sd / sqrt(pi)` for
/// normal noise.
#[must_use]
pub fn difference_spread(samples: &[f64]) -> Option<f64> {
    let sizes: Vec<f64> =
        finite(samples)?.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let typical = MAD_TO_SD * median(&sizes)? / SQRT_2;
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    Some(if typical > 0.0 { typical } else { mean * PI.sqrt() / 2.0 })
}

/// Ranks from 1; equal samples share the mean of theirs.
pub(super) fn ranks(samples: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_unstable_by(|a, b| samples[*a].total_cmp(&samples[*b]));
    let mut ranks = vec![0.0; samples.len()];
    let mut start = 0;
    for group in order.chunk_by(|a, b| samples[*a].total_cmp(&samples[*b]).is_eq()) {
        let shared = start as f64 + (group.len() + 1) as f64 / 2.0;
        for index in group {
            ranks[*index] = shared;
        }
        start += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    const TRENDS: &[(&[f64], f64, f64)] = &[
        (&[1.0, 3.0, 2.0, 5.0, 4.0, 6.0], 0.885_714_285_714_285_8, 0.018_845_481_049_562_66),
        (
            &[2.0, 2.0, 1.0, 3.0, 5.0, 4.0, 4.0, 8.0],
            0.843_434_712_245_789_8,
            0.008_503_234_145_179_265,
        ),
        (&[9.0, 7.0, 8.0, 3.0, 4.0, 1.0, 2.0], -0.892_857_142_857_142_9, 0.006_807_187_408_935_393),
    ];

    #[test]
    fn trends_are_those_of_scipy() {
        // scipy.stats.spearmanr(range(n), samples)
        for (samples, correlation, p_value) in TRENDS {
            let trend = rank_trend(samples).unwrap();
            assert!((trend.correlation - correlation).abs() < 1e-12, "{trend:?}");
            assert!((trend.p_value - p_value).abs() < 1e-9, "{trend:?}");
        }
    }

    #[test]
    fn too_few_or_equal_samples_have_no_trend() {
        assert_eq!(rank_trend(&[1.0, 2.0, 3.0]), None);
        assert_eq!(rank_trend(&[2.0; 9]), None);
        assert_eq!(lag_one_autocorrelation(&[1.0; 9]), None);
        assert_eq!(lag_one_autocorrelation(&[1.0, 2.0]), None);
    }

    #[test]
    fn independent_samples_are_told_from_wandering_ones() {
        let noise = Normals::seeded(9).take(400);
        assert!(lag_one_autocorrelation(&noise).unwrap().abs() < 0.15);
        let mut level = 0.0;
        let wandering: Vec<f64> = noise
            .iter()
            .map(|draw| {
                level = 0.8 * level + draw;
                level
            })
            .collect();
        assert!((lag_one_autocorrelation(&wandering).unwrap() - 0.8).abs() < 0.1);
    }

    #[test]
    fn a_change_of_level_does_not_move_the_spread() {
        // numpy: 1.482602218505602 * median(abs(diff(samples))) / sqrt(2)
        let calm = [1.0, 1.2, 0.9, 1.4, 1.1];
        assert!((difference_spread(&calm).unwrap() - 0.314_507_424_752_259_07).abs() < 1e-12);
        let step = [1.0, 1.2, 0.9, 1.4, 1.1, 9.0, 9.2];
        assert!((difference_spread(&step).unwrap() - 0.314_507_424_752_259_07).abs() < 1e-12);
        // Half of the differences are zero: numpy.mean(abs(diff(samples))) * sqrt(pi) / 2
        let rounded = [1.0, 1.0, 1.0, 2.0, 2.0];
        assert!((difference_spread(&rounded).unwrap() - 0.221_556_731_363_189_5).abs() < 1e-12);
        assert_eq!(difference_spread(&[1.0]), None);
        assert_eq!(difference_spread(&[1.0; 5]), Some(0.0));
    }

    #[test]
    fn alternating_samples_are_negatively_correlated() {
        // numpy: sum(d[1:] * d[:-1]) / sum(d * d) with d = samples - mean
        let got = lag_one_autocorrelation(&[1.0, 2.0, 1.0, 2.0]).unwrap();
        assert!((got + 0.75).abs() < 1e-12);
    }
}
