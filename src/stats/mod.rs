//! From samples to an estimate with an interval, and from paired samples to a change.
//!
//! Pure: no I/O, no clock, no knowledge of tokens, and chance from a seed only. Every function answers `None` for
//! samples it can say nothing about (none at all, or one that is not a finite number) and for a
//! confidence outside of 0 to 1. What is compared with what is left to `analysis`; when to stop
//! is left to `search`.

mod binomial;
mod bootstrap;
mod certificate;
mod change_points;
mod clustered;
mod drift;
mod estimate;
mod hampel;
mod interval;
mod mann_whitney;
mod moderate;
mod multiple;
mod order;
mod paired;
mod series;
mod sign_flip;
mod signed_rank;
mod spending;
mod unpaired;
mod welch;

pub use binomial::{clopper_pearson, trials_without_event};
pub use bootstrap::{bootstrap_median, cluster_bootstrap};
pub use certificate::{Certificate, LOOKS, certificate};
pub use change_points::{
    CHANGE_POINTS_FROM, Instability, LevelChange, change_floor, change_points, instability,
    smallest_step,
};
pub use clustered::{ClusteredMean, clustered_mean};
pub use drift::{Drift, drift_from, drift_from_best};
pub use estimate::{Change, Estimate, Separation};
pub use hampel::hampel_outliers;
pub use interval::{student_quantile, student_t_interval, student_tail};
pub use mann_whitney::{mann_whitney, mann_whitney_floor};
pub use moderate::{Variance, moderated};
pub use multiple::{benjamini_hochberg, holm, holm_levels, holm_rejections};
pub use order::{median, median_estimate, quantile, robust_spread, samples_to_bound};
pub use paired::{SIGNED_RANK_FROM, hodges_lehmann, paired_change};
pub use series::{Trend, difference_spread, lag_one_autocorrelation, rank_trend};
pub use sign_flip::{sign_flip, sign_flip_floor};
pub use signed_rank::signed_rank_interval;
pub use spending::Spending;
pub use unpaired::unpaired_change;
pub use welch::{MeanShift, mean_shift, welch};

/// The samples in ascending order; `None` without samples or with one that is not finite.
fn sorted(samples: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = finite(samples)?.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Some(sorted)
}

/// The samples, where there is at least one and all are finite.
fn finite(samples: &[f64]) -> Option<&[f64]> {
    (!samples.is_empty() && samples.iter().all(|sample| sample.is_finite())).then_some(samples)
}

/// The probability left in each tail outside of a two-sided interval.
fn tail(confidence: f64) -> Option<f64> {
    (confidence > 0.0 && confidence < 1.0).then(|| (1.0 - confidence) / 2.0)
}

/// Number of samples as documents have it.
fn count(samples: &[f64]) -> u32 {
    u32::try_from(samples.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod chance {
    //! Seeded normal numbers for tests.

    use rand::RngExt;
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// Standard normal numbers by the polar method of Marsaglia.
    pub(crate) struct Normals(Xoshiro256PlusPlus);

    impl Normals {
        pub(crate) fn seeded(seed: u64) -> Self {
            Self(Xoshiro256PlusPlus::seed_from_u64(seed))
        }

        pub(crate) fn draw(&mut self) -> f64 {
            loop {
                let u = self.0.random_range(-1.0..1.0_f64);
                let v = self.0.random_range(-1.0..1.0_f64);
                let square = u * u + v * v;
                if square > 0.0 && square < 1.0 {
                    return u * (-2.0 * square.ln() / square).sqrt();
                }
            }
        }

        pub(crate) fn take(&mut self, count: usize) -> Vec<f64> {
            (0..count).map(|_| self.draw()).collect()
        }
    }
}
