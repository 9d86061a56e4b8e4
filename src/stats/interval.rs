//! The interval of a mean, for few samples.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{finite, tail};

/// The two-sided Student-t interval of the mean; `None` below 2 samples.
///
/// Right for independent, roughly normal samples, which paired log differences of interleaved
/// visits are where the machine is quiet.
#[must_use]
pub fn student_t_interval(samples: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let tail = tail(confidence)?;
    let samples = finite(samples)?;
    let n = samples.len() as f64;
    if samples.len() < 2 {
        return None;
    }
    let mean = samples.iter().sum::<f64>() / n;
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    let standard_error = (squares / (n - 1.0) / n).sqrt();
    let student = StudentsT::new(0.0, 1.0, n - 1.0).expect("degrees of freedom are positive");
    let half_width = student.inverse_cdf(1.0 - tail) * standard_error;
    Some((mean - half_width, mean + half_width))
}

/// What Student's t exceeds with the probability `level`; `None` for a level outside of 0 to 1 and
/// for degrees of freedom that are not positive.
#[must_use]
pub fn student_quantile(level: f64, degrees: f64) -> Option<f64> {
    let inside = level > 0.0 && level < 1.0;
    let student = StudentsT::new(0.0, 1.0, degrees).ok().filter(|_| inside)?;
    Some(student.inverse_cdf(1.0 - level))
}

/// The probability that Student's t exceeds `statistic`; `None` for degrees of freedom that are
/// not positive, and for what is no number.
#[must_use]
pub fn student_tail(statistic: f64, degrees: f64) -> Option<f64> {
    let student = StudentsT::new(0.0, 1.0, degrees).ok().filter(|_| !statistic.is_nan())?;
    Some(student.sf(statistic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_and_quantiles_are_those_of_the_tables() {
        // Student's table: t exceeds 2.571 with 2.5 % at 5 degrees, 3.365 with 1 %.
        assert!((student_quantile(0.025, 5.0).unwrap() - 2.571).abs() < 5e-4);
        assert!((student_quantile(0.01, 5.0).unwrap() - 3.365).abs() < 5e-4);
        assert!((student_tail(3.365, 5.0).unwrap() - 0.01).abs() < 1e-5);
        assert_eq!(student_quantile(0.0, 5.0), None);
        assert_eq!(student_tail(1.0, 0.0), None);
    }

    use crate::stats::chance::Normals;

    const T_INTERVALS: &[(&[f64], f64, f64, f64)] = &[
        (&[0.117, 0.141], 0.95, -0.023_474_456_834_096_186, 0.281_474_456_834_096_2),
        (
            &[0.117, 0.035, 0.145, 0.122, 0.073],
            0.95,
            0.043_783_718_485_368_06,
            0.153_016_281_514_631_98,
        ),
        (
            &[0.129, 0.118, 0.115, 0.101, 0.127, 0.063, 0.092, 0.076],
            0.99,
            0.072_777_101_365_061_99,
            0.132_472_898_634_938,
        ),
        (
            &[0.13, 0.102, 0.085, 0.061, 0.087, 0.1, 0.086, 0.165, 0.15, -0.036, 0.006, 0.091],
            0.9,
            0.056_482_930_190_393_854,
            0.114_683_736_476_272_82,
        ),
    ];

    #[test]
    fn intervals_are_those_of_scipy() {
        // scipy.stats.t.interval(confidence, n - 1, loc=mean, scale=scipy.stats.sem(samples))
        for (samples, confidence, low, high) in T_INTERVALS {
            let (got_low, got_high) = student_t_interval(samples, *confidence).unwrap();
            assert!(
                (got_low - low).abs() < 1e-7 && (got_high - high).abs() < 1e-7,
                "{samples:?}: {got_low} to {got_high}, not {low} to {high}"
            );
        }
    }

    #[test]
    fn one_sample_has_no_interval() {
        assert_eq!(student_t_interval(&[1.0], 0.95), None);
        assert_eq!(student_t_interval(&[1.0, f64::NAN], 0.95), None);
        assert_eq!(student_t_interval(&[1.0, 2.0], 0.0), None);
    }

    #[test]
    fn it_covers_as_often_as_it_says() {
        let mut chance = Normals::seeded(5);
        let covered = (0..2000)
            .filter(|_| {
                let (low, high) = student_t_interval(&chance.take(8), 0.95).unwrap();
                low <= 0.0 && high >= 0.0
            })
            .count();
        // 95 % with three standard errors of 2000 draws on each side.
        assert!((1870..=1930).contains(&covered), "{covered} of 2000");
    }
}
