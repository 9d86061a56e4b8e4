//! How far a sweep has come and how long it may still take.

use std::time::Duration;

use crate::model::{Plan, Purpose, Trial};
use crate::search;

/// How far a sweep has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Trials done.
    pub trials: u32,
    /// Trials expected in all: the confirmation at its shortest before it begins, at its longest
    /// from then on.
    pub expected_trials: u32,
    /// Time spent, earlier sessions included.
    pub elapsed: Duration,
    /// Time left, by the mean visit so far and the budget.
    pub remaining: Duration,
}

impl Progress {
    /// After these trials and this time.
    #[must_use]
    pub fn of(plan: &Plan, trials: &[Trial], elapsed: Duration) -> Self {
        let done = u32::try_from(trials.len()).unwrap_or(u32::MAX);
        let confirmed = trials.iter().filter(|trial| trial.purpose == Purpose::Confirm).count();
        let expected = match u32::try_from(confirmed).unwrap_or(u32::MAX) {
            0 => search::expected_visits(plan),
            confirmed => done + (2 * plan.protocol.confirm_pairs[1]).saturating_sub(confirmed),
        };
        let expected =
            expected.max(done).min(plan.protocol.max_trials.unwrap_or(u32::MAX).max(done));
        let mean = elapsed.div_f64(f64::from(done.max(1)));
        let by_trials = mean.saturating_mul(expected - done);
        let left = |budget| Duration::from_millis(budget).saturating_sub(elapsed);
        let remaining = plan.protocol.budget_ms.map_or(by_trials, |ms| by_trials.min(left(ms)));
        Self { trials: done, expected_trials: expected, elapsed, remaining }
    }
}
