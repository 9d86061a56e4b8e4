//! Many tests at once: how small a probability has to be when there were many chances to be small.

/// The probabilities after Holm's correction (1979): each may be held against the share of builds
/// in which any of the tests may be wrong, whatever their dependence. `None` where one is not
/// within 0 to 1.
#[must_use]
pub fn holm(p_values: &[f64]) -> Option<Vec<f64>> {
    let order = ascending(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.iter().enumerate() {
        largest = largest.max(p_values[*index] * (order.len() - rank) as f64);
        adjusted[*index] = largest.min(1.0);
    }
    Some(adjusted)
}

/// What each probability has to stay within in Holm's procedure: `alpha` over the number of tests
/// whose probability is not smaller. A test is rejected if it and all with smaller probabilities
/// do, see [`holm_rejections`].
#[must_use]
pub fn holm_levels(p_values: &[f64], alpha: f64) -> Option<Vec<f64>> {
    let order = ascending(p_values).filter(|_| (0.0..=1.0).contains(&alpha))?;
    let mut levels = vec![0.0; p_values.len()];
    for (rank, index) in order.iter().enumerate() {
        levels[*index] = alpha / (order.len() - rank) as f64;
    }
    Some(levels)
}

/// Which tests Holm's procedure rejects, from the smallest probability up to the first that
/// exceeds its level: any of them wrongly with the probability `alpha` at most.
#[must_use]
pub fn holm_rejections(p_values: &[f64], alpha: f64) -> Option<Vec<bool>> {
    let levels = holm_levels(p_values, alpha)?;
    let mut rejected = vec![false; p_values.len()];
    for index in ascending(p_values)? {
        if p_values[index] > levels[index] {
            break;
        }
        rejected[index] = true;
    }
    Some(rejected)
}

/// The probabilities after the correction of Benjamini and Hochberg (1995): of those within `q`, a
/// share of `q` is expected to be wrong. `None` where one is not within 0 to 1.
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64]) -> Option<Vec<f64>> {
    let order = ascending(p_values)?;
    let mut adjusted = vec![0.0; p_values.len()];
    let mut smallest = 1.0_f64;
    for (rank, index) in order.iter().enumerate().rev() {
        smallest = smallest.min(p_values[*index] * order.len() as f64 / (rank + 1) as f64);
        adjusted[*index] = smallest;
    }
    Some(adjusted)
}

/// Places of the probabilities, smallest first.
fn ascending(p_values: &[f64]) -> Option<Vec<usize>> {
    if !p_values.iter().all(|p_value| (0.0..=1.0).contains(p_value)) {
        return None;
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Case = (&'static [f64], &'static [f64], &'static [f64], &'static [bool]);

    // statsmodels.stats.multitest.multipletests(p, .05, method='holm')[1], the same with
    // method='fdr_bh', and [0] of the first
    const CORRECTED: &[Case] = &[
        (
            &[0.01, 0.04, 0.03, 0.005],
            &[0.03, 0.06, 0.06, 0.02],
            &[0.02, 0.04, 0.04, 0.02],
            &[true, false, false, true],
        ),
        (
            &[0.2, 0.001, 0.013, 0.04, 0.013, 0.9],
            &[0.4, 0.006, 0.065, 0.12, 0.065, 0.9],
            &[0.24, 0.006, 0.026, 0.060_000_000_000_000_005, 0.026, 0.9],
            &[false, true, false, false, false, false],
        ),
        (&[0.5], &[0.5], &[0.5], &[false]),
        (
            &[0.0001, 0.6, 0.02, 0.03, 0.04, 0.01, 0.01, 0.8],
            &[0.0008, 1.0, 0.1, 0.12, 0.12, 0.07, 0.07, 1.0],
            &[
                0.0008,
                0.685_714_285_714_285_7,
                0.04,
                0.048,
                0.053_333_333_333_333_34,
                0.026_666_666_666_666_67,
                0.026_666_666_666_666_67,
                0.8,
            ],
            &[true, false, false, false, false, false, false, false],
        ),
    ];

    #[test]
    fn corrections_are_those_of_statsmodels() {
        let close = |got: &[f64], expected: &[f64]| {
            got.len() == expected.len()
                && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12)
        };
        for (p_values, by_holm, by_rate, rejected) in CORRECTED {
            assert!(close(&holm(p_values).unwrap(), by_holm), "{p_values:?}");
            assert!(close(&benjamini_hochberg(p_values).unwrap(), by_rate), "{p_values:?}");
            assert_eq!(holm_rejections(p_values, 0.05).unwrap(), *rejected);
        }
    }

    #[test]
    fn the_smallest_is_held_against_the_strictest_level() {
        assert_eq!(holm_levels(&[0.5, 0.01], 0.05), Some(vec![0.05, 0.025]));
        assert_eq!(holm_levels(&[], 0.05), Some(Vec::new()));
        assert_eq!(holm(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_probability_is_not_corrected() {
        for p_value in [-0.1, 1.1, f64::NAN] {
            assert_eq!(holm(&[0.5, p_value]), None);
            assert_eq!(benjamini_hochberg(&[0.5, p_value]), None);
            assert_eq!(holm_rejections(&[0.5, p_value], 0.05), None);
            assert_eq!(holm_levels(&[0.5], p_value), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_rejected_has_a_small_corrected_probability(
            p_values in proptest::collection::vec(0.0_f64..1.0, 1..30),
            alpha in 0.001_f64..0.5,
        ) {
            let by_family = holm(&p_values).unwrap();
            let by_rate = benjamini_hochberg(&p_values).unwrap();
            let rejected = holm_rejections(&p_values, alpha).unwrap();
            for (index, p_value) in p_values.iter().enumerate() {
                // Sums and products round differently.
                let (family, rate) = (by_family[index], by_rate[index]);
                prop_assert!(rejected[index] == (family <= alpha) || (family - alpha).abs() < 1e-12);
                prop_assert!(*p_value <= rate + 1e-12 && rate <= family + 1e-12);
            }
        }
    }
}
