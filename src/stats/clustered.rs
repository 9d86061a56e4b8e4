//! The mean of observations that come in clusters, such as the tokens of a text's chunks.

use super::{finite, student_quantile};

/// The probability that a normal number is more than two standard errors above its mean.
const TWO_ERRORS: f64 = 0.022_750;

/// A mean, with the error that clusters of observations give it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClusteredMean {
    /// Mean over all observations, in their unit: a large cluster counts for more than a small one.
    pub mean: f64,
    /// Its standard error, in the same unit; `None` with fewer than two clusters.
    pub se: Option<f64>,
    /// Observations behind it.
    pub n: u32,
    /// Clusters that they came in.
    pub clusters: u32,
}

impl ClusteredMean {
    /// How far the true mean may be to both sides with 95.4 %, what two standard errors are of a
    /// normal mean: with few clusters Student's t is wider (Cameron & Miller 2015, degrees of freedom
    /// one less than clusters). `None` where the error is not known.
    #[must_use]
    pub fn reach(&self) -> Option<f64> {
        let times = student_quantile(TWO_ERRORS, f64::from(self.clusters.checked_sub(1)?))?;
        Some(self.se? * times)
    }

    /// The mean less and plus its reach.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.reach().map(|reach| (self.mean - reach, self.mean + reach))
    }
}

/// The mean of all observations with a standard error that holds although those of one cluster
/// are alike. `None` without clusters, for an empty cluster, and for a number that is not finite.
///
/// With `N` observations in `G` clusters and `e_g` the sum of the deviations from the mean in
/// cluster `g`, the squared error is `G / (G - 1) · Σ e_g² / N²`: the sandwich estimator (Liang &
/// Zeger 1986, "Longitudinal data analysis using generalized linear models", Biometrika 73) of a
/// regression on a constant alone, which is the ratio of two sums over clusters and so takes
/// clusters of any sizes. The factor is the small-sample correction of Cameron & Miller (2015, "A
/// Practitioner's Guide to Cluster-Robust Inference", Journal of Human Resources 50) for one
/// coefficient. With one observation in each cluster it is the ordinary error of a mean.
///
/// ```
/// use autotune::stats::clustered_mean;
/// let found = clustered_mean(&[&[1.0, 1.0], &[3.0, 3.0]]).unwrap();
/// assert_eq!((found.mean, found.se), (2.0, Some(1.0)));
/// ```
#[must_use]
pub fn clustered_mean(clusters: &[&[f64]]) -> Option<ClusteredMean> {
    let first = *clusters.first()?.first()?;
    if clusters.iter().any(|cluster| finite(cluster).is_none()) {
        return None;
    }
    let n: usize = clusters.iter().map(|cluster| cluster.len()).sum();
    let total: f64 = clusters.iter().map(|cluster| cluster.iter().sum::<f64>()).sum();
    // Equal observations have exactly no error, whatever rounding says.
    let equal = clusters.iter().copied().flatten().all(|value| value.total_cmp(&first).is_eq());
    let mean = if equal { first } else { total / n as f64 };
    let groups = clusters.len() as f64;
    let squares: f64 = clusters
        .iter()
        .map(|cluster| cluster.iter().map(|value| value - mean).sum::<f64>().powi(2))
        .sum();
    let se = (clusters.len() > 1).then(|| (groups / (groups - 1.0) * squares).sqrt() / n as f64);
    let whole = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let found = ClusteredMean { mean, se, n: whole(n), clusters: whole(clusters.len()) };
    (mean.is_finite() && se.is_none_or(f64::is_finite)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;
    use proptest::prelude::*;

    fn close(got: Option<f64>, expected: f64) -> bool {
        got.is_some_and(|got| (got - expected).abs() < 1e-12 * (1.0 + expected.abs()))
    }

    #[test]
    fn numbers_are_those_worked_out_by_hand() {
        // Mean 3; sums of deviations -3, 0 and 3; 3/2 · 18 / 6² = 3/4.
        let even = clustered_mean(&[&[1.0, 2.0], &[2.0, 4.0], &[4.0, 5.0]]).unwrap();
        assert_eq!((even.mean, even.n, even.clusters), (3.0, 6, 3));
        assert!(close(even.se, 0.75_f64.sqrt()), "{even:?}");
        // Mean 12/4 = 3 and not the 3.5 of the clusters' means; deviations -3, 3; 2 · 18 / 4².
        let uneven = clustered_mean(&[&[1.0, 2.0, 3.0], &[6.0]]).unwrap();
        assert_eq!((uneven.mean, uneven.n, uneven.clusters), (3.0, 4, 2));
        assert!(close(uneven.se, 1.5), "{uneven:?}");
        // Student's t of one degree of freedom is Cauchy's: cot(π · 0.02275) = 13.97.
        assert!((uneven.reach().unwrap() - 1.5 * 13.967).abs() < 1e-2, "{:?}", uneven.reach());
        let (low, high) = uneven.interval().unwrap();
        assert!((f64::midpoint(low, high) - 3.0).abs() < 1e-9 && high > 3.0);
    }

    #[test]
    fn one_cluster_has_a_mean_and_no_error() {
        let found = clustered_mean(&[&[1.0, 2.0]]).unwrap();
        assert_eq!((found.mean, found.se, found.interval()), (1.5, None, None));
    }

    #[test]
    fn what_has_no_mean_gets_none() {
        assert_eq!(clustered_mean(&[]), None);
        assert_eq!(clustered_mean(&[&[], &[1.0]]), None);
        assert_eq!(clustered_mean(&[&[1.0], &[]]), None);
        assert_eq!(clustered_mean(&[&[1.0], &[f64::NAN]]), None);
        assert_eq!(clustered_mean(&[&[f64::INFINITY], &[1.0]]), None);
        assert_eq!(clustered_mean(&[&[f64::MAX], &[f64::MAX]]).map(|it| it.se), Some(Some(0.0)));
        assert_eq!(clustered_mean(&[&[f64::MAX], &[f64::MAX / 2.0]]), None);
    }

    #[test]
    fn the_interval_covers_although_the_observations_of_a_cluster_are_alike() {
        let mut chance = Normals::seeded(4);
        let covered = (0..1000)
            .filter(|_| {
                let clusters: Vec<Vec<f64>> = (0..32)
                    .map(|place| {
                        let own = chance.draw();
                        chance.take(4 + place % 9).iter().map(|draw| own + draw).collect()
                    })
                    .collect();
                let clusters: Vec<&[f64]> = clusters.iter().map(Vec::as_slice).collect();
                let (low, high) = clustered_mean(&clusters).unwrap().interval().unwrap();
                low <= 0.0 && high >= 0.0
            })
            .count();
        // 95.4 %, and uneven clusters take a little.
        assert!((930..=975).contains(&covered), "{covered} of 1000");
    }

    proptest! {
        #[test]
        fn lone_observations_have_the_ordinary_error_of_a_mean(
            samples in proptest::collection::vec(-1e3_f64..1e3, 2..50),
        ) {
            let clusters: Vec<&[f64]> = samples.chunks(1).collect();
            let found = clustered_mean(&clusters).unwrap();
            let n = samples.len() as f64;
            let mean = samples.iter().sum::<f64>() / n;
            let variance = samples.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / (n - 1.0);
            prop_assert!((found.mean - mean).abs() < 1e-9);
            prop_assert!((found.se.unwrap() - (variance / n).sqrt()).abs() < 1e-9);
        }

        #[test]
        fn the_order_of_clusters_does_not_matter(
            mut clusters in proptest::collection::vec(
                proptest::collection::vec(-1e3_f64..1e3, 1..8), 2..12),
        ) {
            let found = |clusters: &[Vec<f64>]| {
                let clusters: Vec<&[f64]> = clusters.iter().map(Vec::as_slice).collect();
                clustered_mean(&clusters).unwrap()
            };
            let there = found(&clusters);
            clusters.reverse();
            let back = found(&clusters);
            prop_assert!((there.mean - back.mean).abs() < 1e-9);
            prop_assert!((there.se.unwrap() - back.se.unwrap()).abs() < 1e-9);
        }
    }
}
