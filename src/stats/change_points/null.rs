//! What noise alone reaches: the largest statistic over all intervals of a series without changes.

/// The chance that noise alone has a candidate anywhere in a series.
pub(super) const ALLOWED: f64 = 0.01;
const RARE: f64 = 0.001;

/// Points of a series, and what the largest statistic exceeds in 1 % and in 0.1 % of series of
/// independent normal noise, with the noise estimated as in a search.
///
/// Made by the ignored test `the_table_is_made`: 100 000 seeded series of each length.
const QUANTILES: [(f64, f64, f64); 10] = [
    (12.0, 5.903, 11.063),
    (15.0, 5.554, 9.398),
    (20.0, 5.553, 8.692),
    (30.0, 5.191, 6.974),
    (50.0, 4.986, 6.434),
    (100.0, 4.815, 5.679),
    (200.0, 4.792, 5.494),
    (500.0, 4.863, 5.445),
    (1000.0, 4.951, 5.470),
    (2000.0, 5.063, 5.577),
];

/// The statistic, in standard deviations of the noise, that a candidate has to exceed.
pub(super) fn threshold(points: usize) -> f64 {
    quantiles(points).0
}

/// The probability of so large a statistic anywhere in a series without changes.
///
/// Between the two quantiles and beyond, the probability is a power of the statistic. That holds
/// for short series, whose noise is known badly, and is too large for long ones: on the safe side.
/// It means little above 1 %.
pub(super) fn p_value(points: usize, statistic: f64) -> f64 {
    let (allowed, rare) = quantiles(points);
    let power = (ALLOWED / RARE).ln() / (rare / allowed).ln();
    (ALLOWED * (allowed / statistic).powf(power)).min(1.0)
}

/// The statistic whose probability this is, the inverse of [`p_value`].
pub(super) fn statistic(points: usize, p_value: f64) -> Option<f64> {
    let (allowed, rare) = quantiles(points);
    let power = (ALLOWED / RARE).ln() / (rare / allowed).ln();
    (p_value > 0.0 && p_value <= ALLOWED).then(|| allowed * (ALLOWED / p_value).powf(1.0 / power))
}

/// Both quantiles for a length, between the rows of the table by its logarithm; beyond the ends
/// along the nearest two rows.
fn quantiles(points: usize) -> (f64, f64) {
    let upper = QUANTILES.partition_point(|(length, ..)| *length < points as f64);
    let upper = upper.clamp(1, QUANTILES.len() - 1);
    let (below, above) = (QUANTILES[upper - 1], QUANTILES[upper]);
    let share = (points as f64 / below.0).ln() / (above.0 / below.0).ln();
    (below.1 + share * (above.1 - below.1), below.2 + share * (above.2 - below.2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;
    use crate::stats::change_points::scan;
    use crate::stats::difference_spread;
    use crate::stats::hampel::without_outliers;

    fn largest(values: &[f64]) -> f64 {
        let values = without_outliers(values).unwrap();
        let largest = scan::peaks(&values).map(|peak| peak.statistic).fold(0.0, f64::max);
        largest / difference_spread(&values).unwrap()
    }

    #[test]
    fn probabilities_are_those_of_noise() {
        // Between rows of the table too.
        for points in [13, 25, 70, 150] {
            let mut normals = Normals::seeded(points as u64 + 100);
            let reached: Vec<f64> =
                (0..5000).map(|_| p_value(points, largest(&normals.take(points)))).collect();
            let within = |limit: f64| reached.iter().filter(|p_value| **p_value <= limit).count();
            // 1 % and 0.3 % of 5000, with three standard deviations and the table's own doubt.
            assert!((25..=80).contains(&within(0.01)), "{} at {points}", within(0.01));
            assert!((4..=32).contains(&within(0.003)), "{} at {points}", within(0.003));
        }
    }

    #[test]
    fn a_statistic_and_its_probability_belong_together() {
        for points in [12, 13, 99, 2000, 5000] {
            assert!((p_value(points, threshold(points)) - ALLOWED).abs() < 1e-12);
            for chance in [0.01, 0.001, 1e-6] {
                let statistic = statistic(points, chance).unwrap();
                assert!((p_value(points, statistic) / chance - 1.0).abs() < 1e-9);
            }
        }
        assert!(p_value(50, 0.0) >= 1.0);
        assert_eq!(statistic(50, 0.02), None);
    }

    #[test]
    #[ignore = "makes the table: minutes, and nothing to hold it against"]
    fn the_table_is_made() {
        for points in [12, 15, 20, 30, 50, 100, 200, 500, 1000, 2000] {
            let mut normals = Normals::seeded(points as u64);
            let mut reached: Vec<f64> =
                (0..100_000).map(|_| largest(&normals.take(points))).collect();
            reached.sort_unstable_by(f64::total_cmp);
            println!("({points}.0, {:.3}, {:.3}),", reached[99_000], reached[99_900]);
        }
    }
}
