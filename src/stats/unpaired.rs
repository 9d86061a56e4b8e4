//! How two speeds compare that were measured at different times, on different machines perhaps.

use super::{Change, Estimate, Separation};

/// The ratio of two independent speeds, second over first, from their own intervals.
///
/// The distances of the ends from the logarithms of the estimates are added in quadrature, low
/// with high: the method of variance estimates recovery (Zou & Donner 2008, "Construction of
/// confidence limits about effect measures", Statistics in Medicine 27), which needs neither
/// symmetry nor the samples. Coverage is that of the weaker interval. What moved between the two
/// measurements besides their settings is in the ratio, and not in its interval.
///
/// `None` where a speed is not a positive number; without both intervals the ratio has none and is
/// [`Separation::NotSeparated`]. The zone of indifference is that of `paired_change`.
#[must_use]
pub fn unpaired_change(first: &Estimate, second: &Estimate, indifference: f64) -> Option<Change> {
    let log = |value: f64| (value > 0.0 && value.is_finite()).then(|| value.ln());
    let (a, b) = (log(first.value)?, log(second.value)?);
    let ends = |it: &Estimate| Some((log(it.low?)?, log(it.high?)?));
    let center = b - a;
    let interval = ends(first).zip(ends(second)).map(|((a_low, a_high), (b_low, b_high))| {
        let below = (b - b_low).hypot(a_high - a);
        let above = (b_high - b).hypot(a - a_low);
        (center - below, center + above)
    });
    Some(Change {
        speed_ratio: Estimate {
            value: center.exp(),
            low: interval.map(|(low, _)| low.exp()),
            high: interval.map(|(_, high)| high.exp()),
            confidence: first.confidence.min(second.confidence),
            n: first.n.min(second.n),
        },
        separation: Separation::of(interval, indifference.max(0.0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;
    use crate::stats::student_t_interval;

    fn estimate(value: f64, low: f64, high: f64) -> Estimate {
        Estimate { value, low: Some(low), high: Some(high), confidence: 0.95, n: 9 }
    }

    #[test]
    fn ends_are_added_in_quadrature_in_the_logarithm() {
        let e = f64::exp;
        // Distances 0.3 down and 0.4 up against 0.4 down and 0.3 up: 0.3² + 0.3², 0.4² + 0.4².
        let (a, b) = (estimate(1.0, e(-0.4), e(0.3)), estimate(e(1.0), e(0.7), e(1.4)));
        let ratio = unpaired_change(&a, &b, 0.01).unwrap().speed_ratio;
        assert!((ratio.value.ln() - 1.0).abs() < 1e-12);
        assert!((ratio.low.unwrap().ln() - (1.0 - 0.18_f64.sqrt())).abs() < 1e-12);
        assert!((ratio.high.unwrap().ln() - (1.0 + 0.32_f64.sqrt())).abs() < 1e-12);
    }

    #[test]
    fn swapping_the_two_swaps_the_word() {
        let (slow, fast) = (estimate(10.0, 9.8, 10.2), estimate(12.0, 11.8, 12.2));
        let word = |a, b| unpaired_change(a, b, 0.01).unwrap().separation;
        assert_eq!(word(&slow, &fast), Separation::Faster);
        assert_eq!(word(&fast, &slow), Separation::Slower);
        assert_eq!(word(&slow, &slow), Separation::NotSeparated);
        let lone = Estimate { low: None, high: None, ..fast };
        assert_eq!(word(&slow, &lone), Separation::NotSeparated);
        assert!(unpaired_change(&slow, &Estimate { value: 0.0, ..fast }, 0.01).is_none());
    }

    const RUNS: u32 = 2000;

    #[test]
    fn the_interval_covers_the_true_ratio_as_often_as_it_says() {
        let mut normals = Normals::seeded(11);
        let mut covered = 0;
        for _ in 0..RUNS {
            let mut one = |centre: f64, spread: f64| {
                let logs: Vec<f64> = (0..8).map(|_| centre + spread * normals.draw()).collect();
                let mean = logs.iter().sum::<f64>() / 8.0;
                let (low, high) = student_t_interval(&logs, 0.95).unwrap();
                estimate(mean.exp(), low.exp(), high.exp())
            };
            let (a, b) = (one(0.0, 0.02), one(0.2, 0.05));
            let ratio = unpaired_change(&a, &b, 0.0).unwrap().speed_ratio;
            let truth = 0.2_f64.exp();
            covered += u32::from(ratio.low.unwrap() <= truth && truth <= ratio.high.unwrap());
        }
        let share = f64::from(covered) / f64::from(RUNS);
        assert!((0.93..=0.99).contains(&share), "{share}");
    }
}
