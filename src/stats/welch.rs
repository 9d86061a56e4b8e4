//! Whether a mean exceeds another, or a limit, by more than is allowed.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::finite;

/// A difference of means, held against the shift that is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanShift {
    /// The difference, in the unit of the samples.
    pub difference: f64,
    /// Its standard error, in the same unit.
    pub standard_error: f64,
    /// Degrees of freedom of Student's t.
    pub degrees: f64,
    /// One-sided probability of so large a difference if the true one were the shift: 0, 0.5 or 1
    /// without any error.
    pub p_value: f64,
}

impl MeanShift {
    fn new(difference: f64, variance: f64, degrees: f64, shift: f64) -> Option<Self> {
        let standard_error = variance.sqrt();
        let over = difference - shift;
        if !over.is_finite() || !standard_error.is_finite() {
            return None;
        }
        let p_value = if standard_error > 0.0 {
            student(degrees)?.sf(over / standard_error)
        } else if over > 0.0 {
            0.0
        } else if over < 0.0 {
            1.0
        } else {
            0.5
        };
        Some(Self { difference, standard_error, degrees, p_value })
    }

    /// What the true difference is above, wrongly with the probability `level`.
    #[must_use]
    pub fn lower_bound(&self, level: f64) -> Option<f64> {
        self.reach(level).map(|reach| self.difference - reach)
    }

    /// What the true difference is below, wrongly with the probability `level`.
    #[must_use]
    pub fn upper_bound(&self, level: f64) -> Option<f64> {
        self.reach(level).map(|reach| self.difference + reach)
    }

    fn reach(&self, level: f64) -> Option<f64> {
        let inside = level > 0.0 && level < 1.0;
        Some(student(self.degrees).filter(|_| inside)?.inverse_cdf(1.0 - level))
            .map(|quantile| quantile * self.standard_error)
    }
}

/// Whether the mean of `second` is more than `shift` above that of `first`, with variances that
/// may differ (Welch, 1947, with the degrees of freedom of Satterthwaite).
///
/// `extra` is a known variance that both samples cannot show, such as that between sessions; it is
/// added to the squared standard error and brings no degrees of freedom. `None` below 2 samples
/// on a side and for a variance below zero.
#[must_use]
pub fn welch(first: &[f64], second: &[f64], shift: f64, extra: f64) -> Option<MeanShift> {
    let ((a, a_variance), (b, b_variance)) = (moments(first)?, moments(second)?);
    let (a_degrees, b_degrees) = (first.len() as f64 - 1.0, second.len() as f64 - 1.0);
    let (a_error, b_error) = (a_variance / first.len() as f64, b_variance / second.len() as f64);
    let error = a_error + b_error;
    // Shares rather than squares, which could be too small for a number.
    let (a_share, b_share) = (a_error / error, b_error / error);
    let degrees = if error > 0.0 {
        1.0 / (a_share * a_share / a_degrees + b_share * b_share / b_degrees)
    } else {
        a_degrees + b_degrees
    };
    MeanShift::new(b - a, error + known(extra)?, degrees, shift)
}

/// Whether the mean of paired differences is more than `shift` above zero: the one-sample form of
/// [`welch`], with one degree of freedom less than there are differences.
#[must_use]
pub fn mean_shift(differences: &[f64], shift: f64, extra: f64) -> Option<MeanShift> {
    let (mean, variance) = moments(differences)?;
    let n = differences.len() as f64;
    MeanShift::new(mean, variance / n + known(extra)?, n - 1.0, shift)
}

fn student(degrees: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, degrees).ok()
}

fn known(variance: f64) -> Option<f64> {
    (variance >= 0.0 && variance.is_finite()).then_some(variance)
}

/// Mean and variance; equal samples have exactly none, whatever rounding says.
fn moments(samples: &[f64]) -> Option<(f64, f64)> {
    let samples = finite(samples).filter(|samples| samples.len() > 1)?;
    if samples.iter().all(|sample| sample.total_cmp(&samples[0]).is_eq()) {
        return Some((samples[0], 0.0));
    }
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    Some((mean, squares / (n - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (&'static [f64], &'static [f64], f64, f64, f64, f64);

    // t = scipy.stats.ttest_ind(second - shift, first, equal_var=False, alternative='greater'):
    // shift, t.df, t.pvalue, and the low end of t.confidence_interval(.95) without the shift
    const WELCH: &[Case] = &[
        (
            &[-0.118, 0.116, -0.019],
            &[0.449, 0.494, 0.435, 0.021],
            0.0,
            4.691_187_547_213_971,
            0.021_456_884_615_499_296,
            0.091_992_743_647_303_25,
        ),
        (
            &[-0.1, -0.066, -0.01, -0.092, 0.119],
            &[0.231, 0.093, 0.02, 0.23, 0.376],
            0.02,
            6.895_918_832_923_325,
            0.015_348_637_697_457_507,
            0.079_727_576_992_159_4,
        ),
        (
            &[-0.193, 0.023, -0.03, -0.074, -0.034, 0.013, 0.187, 0.006],
            &[0.014, -0.145, 0.255],
            0.05,
            2.432_610_691_915_081,
            0.487_945_054_669_428_8,
            -0.263_028_998_873_198_97,
        ),
        (
            &[
                -0.075, -0.011, 0.071, 0.005, -0.039, -0.017, 0.09, -0.002, 0.024, 0.042, -0.033,
                0.033,
            ],
            &[
                0.045, 0.327, 0.2, -0.246, 0.059, 0.322, 0.057, 0.015, 0.299, -0.117, 0.113, 0.218,
                0.27, -0.107, -0.149, 0.399, -0.056, 0.082, 0.586, 0.007,
            ],
            -0.1,
            22.093_721_727_774_486,
            0.000_149_578_596_825_330_6,
            0.025_161_287_154_409_17,
        ),
    ];

    type Single = (&'static [f64], f64, f64, f64, f64, f64);

    // scipy.stats.ttest_1samp(samples, shift, alternative='greater').pvalue; then the same by
    // scipy.stats.t.sf and its bounds at 1 % and 10 % by scipy.stats.t.isf, with a standard error
    // of sqrt(var(ddof=1) / n + .01**2)
    const SINGLE: &[Single] = &[
        (
            &[-0.06, 0.189, 0.101, 0.068, 0.189, 0.046],
            0.02,
            0.067_204_723_937_746_94,
            0.072_336_180_275_608_13,
            -0.045_250_905_708_638_725,
            0.147_643_706_703_680_5,
        ),
        (
            &[0.122, 0.051, 0.036, 0.082, 0.094, 0.114, 0.11, 0.025, 0.046, 0.147, 0.08, 0.055],
            0.0,
            8.109_058_303_075_194e-6,
            0.000_111_411_120_066_919_97,
            0.039_676_722_246_95,
            0.100_477_045_453_846_57,
        ),
        (
            &[
                0.117, 0.12, 0.114, 0.023, 0.031, 0.088, 0.11, -0.01, 0.027, 0.039, 0.1, -0.004,
                0.185, 0.055, 0.081, 0.161, 0.081, 0.088, 0.041, 0.074, -0.002, 0.047, 0.052,
                0.001,
            ],
            0.05,
            0.056_107_212_442_010_44,
            0.121_220_744_751_008_91,
            0.031_081_820_891_176_927,
            0.086_658_301_504_559,
        ),
    ];

    fn close(got: f64, expected: f64) -> bool {
        (got - expected).abs() < 1e-7 * (1.0 + expected.abs())
    }

    #[test]
    fn two_samples_are_judged_as_by_scipy() {
        for (first, second, shift, degrees, p_value, low) in WELCH {
            let got = welch(first, second, *shift, 0.0).unwrap();
            let right = close(got.degrees, *degrees) && close(got.p_value, *p_value);
            assert!(right && close(got.lower_bound(0.05).unwrap(), *low), "{got:?}");
        }
    }

    #[test]
    fn differences_are_judged_as_by_scipy() {
        for (differences, shift, plain, with_extra, low, high) in SINGLE {
            let got = mean_shift(differences, *shift, 0.0).unwrap();
            assert!(close(got.p_value, *plain), "{got:?}");
            let got = mean_shift(differences, *shift, 0.01 * 0.01).unwrap();
            assert!(close(got.p_value, *with_extra), "{got:?}");
            assert!(close(got.lower_bound(0.01).unwrap(), *low), "{got:?}");
            assert!(close(got.upper_bound(0.1).unwrap(), *high), "{got:?}");
        }
    }

    #[test]
    fn without_any_scatter_the_answer_is_plain() {
        for (shift, p_value) in [(0.05, 0.0), (0.1, 0.5), (0.2, 1.0)] {
            for got in [
                mean_shift(&[0.1; 3], shift, 0.0).unwrap(),
                welch(&[0.0; 3], &[0.1; 4], shift, 0.0).unwrap(),
            ] {
                assert_eq!((got.p_value, got.standard_error), (p_value, 0.0));
                assert_eq!(got.lower_bound(0.01), Some(0.1));
                assert_eq!(got.upper_bound(0.01), Some(0.1));
            }
        }
        let known = mean_shift(&[0.1; 3], 0.0, 0.01).unwrap();
        // scipy.stats.t.sf(1, 2)
        assert!(close(known.p_value, 0.211_324_865_405_187_1), "{known:?}");
        assert!(welch(&[0.0; 3], &[0.1; 4], 0.0, 0.01).unwrap().p_value > 0.1);
        assert!(close(welch(&[0.0; 3], &[0.1, 0.2], 0.0, 0.0).unwrap().degrees, 1.0));
    }

    #[test]
    fn what_cannot_be_judged_is_not() {
        assert_eq!(mean_shift(&[1.0], 0.0, 0.0), None);
        assert_eq!(mean_shift(&[1.0, f64::NAN], 0.0, 0.0), None);
        assert_eq!(mean_shift(&[1.0, 2.0], 0.0, -1.0), None);
        assert_eq!(mean_shift(&[1.0, 2.0], f64::INFINITY, 0.0), None);
        assert_eq!(welch(&[1.0, 2.0], &[1.0], 0.0, 0.0), None);
        assert_eq!(mean_shift(&[1.0, 2.0], 0.0, 0.0).unwrap().lower_bound(0.0), None);
    }
}
