//! How far a series has come from where it was, although no single step may show it.

use std::f64::consts::FRAC_PI_2;

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{difference_spread, finite, median};

/// Degrees of freedom of the noise per point: differences tell it to about `sqrt(3 / n)` of itself,
/// as a variance of `n / 6` degrees is known. Measured in seeded series.
const DEGREES: f64 = 1.0 / 6.0;

/// How far the level at the end of a series is above an earlier one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// The difference of the two medians, in the unit of the series.
    pub difference: f64,
    /// First point of the earlier level.
    pub from: usize,
    /// One-sided probability of so much by chance in a series without any change.
    pub p_value: f64,
}

/// The median of the last `window` points against the lowest one that was held for as many before
/// them. `None` without room for two windows, and for a series that never varies.
///
/// That the lowest of many was picked is paid for by a union bound over all of them.
#[must_use]
pub fn drift_from_best(values: &[f64], window: usize) -> Option<Drift> {
    let earlier = values.len().checked_sub(window.checked_mul(2)?)? + 1;
    let level = |start: usize| median(values.get(start..start + window)?);
    let levels: Vec<f64> = (0..earlier).map(level).collect::<Option<_>>()?;
    let best = (0..earlier).min_by(|a, b| levels[*a].total_cmp(&levels[*b]))?;
    let drift = drift_from(values, window, best)?;
    Some(Drift { p_value: (drift.p_value * earlier as f64).min(1.0), ..drift })
}

/// The median of the last `window` points against that of `window` points from `from` on. `None`
/// where the two overlap, and for a series that never varies.
#[must_use]
pub fn drift_from(values: &[f64], window: usize, from: usize) -> Option<Drift> {
    let noise = difference_spread(finite(values)?).filter(|noise| *noise > 0.0)?;
    let (earlier, latest) = (from.checked_add(window)?, values.len().checked_sub(window)?);
    if earlier > latest {
        return None;
    }
    let difference = median(&values[latest..])? - median(&values[from..earlier])?;
    // Two medians, each with a standard error of sqrt(pi / 2) times that of a mean.
    let error = noise * (2.0 * FRAC_PI_2 / window as f64).sqrt();
    let student = StudentsT::new(0.0, 1.0, values.len() as f64 * DEGREES).ok()?;
    Some(Drift { difference, from, p_value: student.sf(difference / error) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    #[test]
    fn the_best_level_is_one_that_was_held() {
        let mut values = Normals::seeded(1).take(60);
        // One lucky point is no level; five are.
        values[10] -= 50.0;
        values[20..25].iter_mut().for_each(|value| *value -= 20.0);
        let drift = drift_from_best(&values, 5).unwrap();
        assert_eq!(drift.from, 20);
        assert!((drift.difference - 20.0).abs() < 2.0 && drift.p_value < 1e-6, "{drift:?}");
        let pinned = drift_from(&values, 5, 40).unwrap();
        assert!(pinned.difference.abs() < 2.0 && pinned.p_value > 0.01, "{pinned:?}");
    }

    #[test]
    fn a_slow_slope_is_seen_that_has_no_step() {
        let mut normals = Normals::seeded(2);
        let seen = (0..200)
            .filter(|_| {
                let values: Vec<f64> =
                    (0..80).map(|at| normals.draw() + 0.1 * f64::from(at)).collect();
                drift_from_best(&values, 5).unwrap().p_value <= 0.001
            })
            .count();
        assert!(seen >= 190, "{seen} of 200");
    }

    #[test]
    fn noise_drifts_no_more_often_than_it_says() {
        for points in [12, 20, 60, 200] {
            let mut normals = Normals::seeded(points as u64);
            let mut reached = |limit: f64| {
                (0..4000)
                    .filter(|_| drift_from_best(&normals.take(points), 5).unwrap().p_value <= limit)
                    .count()
            };
            let (often, seldom) = (reached(0.01), reached(0.001));
            // 1 % and 0.1 % of 4000 with three standard deviations.
            assert!(often <= 58 && seldom <= 10, "{often} and {seldom} with {points} points");
        }
    }

    #[test]
    fn the_probability_is_that_of_the_formula() {
        // numpy and scipy.stats.t.sf(difference / (noise * sqrt(pi / 3)), 9 / 6) with the noise
        // 1.482602218505602 * median(abs(diff(values))) / sqrt(2)
        let values = [1.0, 1.5, 1.25, 2.0, 1.75, 1.0, 3.0, 3.5, 2.5];
        let drift = drift_from(&values, 3, 0).unwrap();
        assert!((drift.difference - 1.75).abs() < 1e-12);
        assert!((drift.p_value - 0.080_298_588_786_714_93).abs() < 1e-7, "{drift:?}");
    }

    #[test]
    fn there_has_to_be_room_for_two_windows() {
        let values = Normals::seeded(3).take(9);
        assert_eq!(drift_from_best(&values, 5), None);
        assert_eq!(drift_from(&values, 4, 2), None);
        assert!(drift_from(&values, 4, 1).is_some());
        assert_eq!(drift_from_best(&values, 0), None);
        assert_eq!(drift_from_best(&[1.0; 20], 5), None);
        assert_eq!(drift_from(&[f64::NAN; 20], 5, 0), None);
        assert_eq!(drift_from(&values, 4, usize::MAX), None);
    }
}
