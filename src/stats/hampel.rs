//! Single points far from their neighbours in time, which are no change of level.

use super::difference_spread;
use super::order::{middle, robust_spread};
use super::{finite, sorted};

/// Points that a point is held against, itself in the middle where there is room: three on each
/// side outvote a pair of outliers. The filter is that of Pearson (2002, "Outliers in process
/// modeling and identification"), the size our choice.
const WINDOW: usize = 7;
/// Scaled deviations from the window's median beyond which a point is an outlier:
/// one in 1100 points of normal noise is, measured in seeded series.
const FAR: f64 = 3.5;

/// Places of single outliers: points more than 3.5 standard deviations from the median of the
/// seven around them, whose neighbours are nearer to that median than to them. Two or more in a
/// row may be a short change and are not listed. `None` below 7 points.
///
/// The deviation is the window's own or that of the differences of all neighbours, whichever is
/// larger: four equal points would otherwise make any fifth an outlier.
#[must_use]
pub fn hampel_outliers(values: &[f64]) -> Option<Vec<usize>> {
    let typical = difference_spread(finite(values)?)?;
    if values.len() < WINDOW {
        return None;
    }
    let single = |index: &usize| {
        let (value, window) = (values[*index], window(values, *index));
        let center = center(window);
        let spread = robust_spread(window).unwrap_or(0.0).max(typical);
        let neighbours = &values[index.saturating_sub(1)..(index + 2).min(values.len())];
        let beside = neighbours.iter().filter(|it| (*it - center).abs() > (*it - value).abs());
        // The point itself is nearest to itself.
        (value - center).abs() > FAR * spread && beside.count() == 1
    };
    Some((0..values.len()).filter(single).collect())
}

/// The values with the median of its neighbours in place of each single outlier.
pub(super) fn without_outliers(values: &[f64]) -> Option<Vec<f64>> {
    let mut clean = values.to_vec();
    for index in hampel_outliers(values)? {
        clean[index] = center(window(values, index));
    }
    Some(clean)
}

/// The points around one; moved inward at the ends.
fn window(values: &[f64], index: usize) -> &[f64] {
    let start = index.saturating_sub(WINDOW / 2).min(values.len() - WINDOW);
    &values[start..start + WINDOW]
}

fn center(window: &[f64]) -> f64 {
    sorted(window).map_or(f64::NAN, |sorted| middle(&sorted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    const SPIKES: [f64; 24] = [
        0.13, -0.13, 0.64, 9.1, -0.54, 0.36, 1.3, 0.95, -0.7, -1.27, 8.38, 0.04, -2.33, -0.22,
        -1.25, -0.73, -8.54, -8.32, 0.41, 1.04, -0.13, 1.37, -0.67, 0.35,
    ];

    #[test]
    fn single_points_are_told_from_two_in_a_row() {
        // numpy: abs(x - median(w)) > 3.5 * max(scipy.stats.median_abs_deviation(w,
        // scale='normal'), 1.4826 * median(abs(diff(all))) / sqrt(2)) in windows of seven, without
        // those beside another
        assert_eq!(hampel_outliers(&SPIKES), Some(vec![3, 10]));
        let clean = without_outliers(&SPIKES).unwrap();
        assert_eq!((clean[3], clean[10], clean[16]), (0.36, -0.22, -8.54));
    }

    #[test]
    fn the_last_point_may_be_one_and_the_last_two_may_not() {
        let mut values = Normals::seeded(3).take(20);
        values[19] += 20.0;
        assert_eq!(hampel_outliers(&values), Some(vec![19]));
        values[18] += 20.0;
        assert_eq!(hampel_outliers(&values), Some(vec![]));
    }

    #[test]
    fn neither_side_of_a_step_is_one() {
        let mut chance = Normals::seeded(4);
        for at in 4..17 {
            for step in [6.0, 12.0, 50.0] {
                let values: Vec<f64> = (0..20)
                    .map(|index| chance.draw() + if index < at { 0.0 } else { step })
                    .collect();
                let found = hampel_outliers(&values).unwrap();
                assert!(found.iter().all(|index| index.abs_diff(at) > 1), "{at}: {found:?}");
            }
        }
    }

    #[test]
    fn noise_has_few() {
        let mut chance = Normals::seeded(5);
        let count: usize =
            (0..200).map(|_| hampel_outliers(&chance.take(200)).unwrap().len()).sum();
        // One in 1100 of 40 000, with three standard deviations.
        assert!((18..=54).contains(&count), "{count}");
    }

    #[test]
    fn nothing_is_said_of_few_or_equal_points() {
        assert_eq!(hampel_outliers(&[1.0; 6]), None);
        assert_eq!(hampel_outliers(&[f64::NAN; 9]), None);
        assert_eq!(hampel_outliers(&[1.0; 9]), Some(vec![]));
    }
}
