//! How often something happens, from how often it was seen.

use statrs::distribution::{Beta, ContinuousCDF};

use super::tail;

/// The two-sided interval of a rate from `events` in `trials` (Clopper and Pearson, 1934): it
/// covers the true rate at least as often as `confidence` says. `None` without trials and for
/// more events than trials.
#[must_use]
pub fn clopper_pearson(events: u32, trials: u32, confidence: f64) -> Option<(f64, f64)> {
    let tail = tail(confidence)?;
    let others = trials.checked_sub(events).filter(|_| trials > 0)?;
    let quantile = |shape_a: u32, shape_b: u32, probability: f64| {
        Beta::new(f64::from(shape_a), f64::from(shape_b))
            .map(|beta| beta.inverse_cdf(probability))
            .ok()
    };
    let low = if events == 0 { 0.0 } else { quantile(events, others + 1, tail)? };
    let high = if others == 0 { 1.0 } else { quantile(events + 1, others, 1.0 - tail)? };
    Some((low, high))
}

/// The fewest trials that show a rate of at most `rate` at this one-sided confidence if none of
/// them has the event: the smallest `n` with `(1 - rate)^n <= 1 - confidence`.
///
/// ```
/// use autotune::stats::trials_without_event;
/// assert_eq!(trials_without_event(0.01, 0.95), Some(299));
/// ```
#[must_use]
pub fn trials_without_event(rate: f64, confidence: f64) -> Option<u32> {
    tail(confidence)?;
    if !(rate > 0.0 && rate < 1.0) {
        return None;
    }
    let needed = ((1.0 - confidence).ln() / (-rate).ln_1p()).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let trials = needed as u32;
    Some(trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy.stats.binomtest(events, trials).proportion_ci(confidence, 'exact')
    const INTERVALS: [(u32, u32, f64, f64, f64); 9] = [
        (0, 299, 0.95, 0.0, 0.012_261_595_907_536_983),
        (1, 473, 0.95, 5.352_458_861_658_878_4e-5, 0.011_722_605_254_181_683),
        (3, 20, 0.95, 0.032_070_937_185_544_77, 0.378_926_826_545_295_64),
        (20, 20, 0.95, 0.831_566_529_016_914_5, 1.0),
        (7, 1500, 0.99, 0.001_360_022_732_758_396_5, 0.011_383_856_980_668_695),
        (0, 1, 0.95, 0.0, 0.975),
        (5, 10, 0.9, 0.222_441_101_008_128_92, 0.777_558_898_991_871),
        (1, 2, 0.95, 0.012_579_117_093_678_99, 0.987_420_882_906_321),
        (100_000, 1_000_000, 0.95, 0.099_412_669_866_020_21, 0.100_589_648_187_348_71),
    ];

    #[test]
    fn intervals_are_those_of_scipy() {
        for (events, trials, confidence, low, high) in INTERVALS {
            let (got_low, got_high) = clopper_pearson(events, trials, confidence).unwrap();
            let close = (got_low - low).abs() < 1e-8 && (got_high - high).abs() < 1e-8;
            assert!(close, "{events} of {trials}: {got_low} to {got_high}, not {low} to {high}");
        }
        assert_eq!(clopper_pearson(1, 0, 0.95), None);
        assert_eq!(clopper_pearson(3, 2, 0.95), None);
        assert_eq!(clopper_pearson(1, 2, 1.0), None);
    }

    #[test]
    fn a_rate_is_shown_by_enough_trials_without_an_event() {
        // The first n with (1 - rate)**n <= 1 - confidence, counted up in Python.
        for (rate, confidence, trials) in [
            (0.01, 0.95, 299),
            (0.05, 0.95, 59),
            (0.001, 0.99, 4603),
            (0.5, 0.9, 4),
            (0.9, 0.95, 2),
        ] {
            assert_eq!(trials_without_event(rate, confidence), Some(trials));
            // The interval says the same: its upper end at twice the tail is the rate.
            let (_, high) = clopper_pearson(0, trials, 2.0 * confidence - 1.0).unwrap();
            let (_, before) = clopper_pearson(0, trials - 1, 2.0 * confidence - 1.0).unwrap();
            assert!(high <= rate && before > rate, "{before}, {high} against {rate}");
        }
        assert_eq!(trials_without_event(0.0, 0.95), None);
        assert_eq!(trials_without_event(0.01, 1.0), None);
    }
}
