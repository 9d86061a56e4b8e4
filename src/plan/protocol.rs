//! How a budget becomes rounds: few settings looked at once, fewer of them often.

use std::time::Duration;

use autotune_engine::api::Work;

use super::Rates;
use crate::model::{Axis, Calibration, Protocol};

/// Pairs of a confirmation, at least and at most.
const CONFIRM_PAIRS: [u32; 2] = [8, 20];
/// Ratios closer to 1 than this are called equal.
const INDIFFERENCE: f64 = 0.01;
/// Two-sided coverage of every interval.
const CONFIDENCE: f64 = 0.95;
/// Share of a budget that goes into screening.
const SCREEN_SHARE: f64 = 0.4;
/// Each round visits the baseline once for so many settings.
const SETTINGS_PER_BLOCK: u32 = 4;

/// How long a sweep may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time; `None`: no limit.
    pub budget: Option<Duration>,
    /// Trials; `None`: no limit.
    pub max_trials: Option<u32>,
}

/// The protocol for this space under these limits.
#[must_use]
pub(super) fn protocol(
    axes: &[Axis],
    slice: Work,
    rates: Rates,
    calibration: Option<Calibration>,
    limits: Limits,
) -> Protocol {
    let visits = expected_visits(&slice, rates, calibration, limits);
    let star = star_settings(axes);
    let round = star + star.div_ceil(SETTINGS_PER_BLOCK);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 1e6")]
    let rounds = |share: f64, size: u32| (share * visits / f64::from(size.max(1))) as u32;
    let finalists = if visits < 150.0 { 4 } else { 8 }.min(star.max(1));
    Protocol {
        slice,
        screen_blocks: rounds(SCREEN_SHARE, round).clamp(1, 3),
        finalists,
        finalist_blocks: rounds(0.1, finalists + 1).clamp(3, 6),
        confirm_pairs: CONFIRM_PAIRS,
        indifference: INDIFFERENCE,
        confidence: CONFIDENCE,
        budget_ms: limits
            .budget
            .map(|budget| u64::try_from(budget.as_millis()).unwrap_or(u64::MAX)),
        max_trials: limits.max_trials,
        calibration,
        target: None,
    }
}

/// Settings that differ from the baseline in one axis.
fn star_settings(axes: &[Axis]) -> u32 {
    let levels: usize = axes.iter().map(|axis| axis.levels.len().saturating_sub(1)).sum();
    u32::try_from(levels).unwrap_or(u32::MAX)
}

/// Visits that fit into the limits; without any, enough for every round.
fn expected_visits(
    slice: &Work,
    rates: Rates,
    calibration: Option<Calibration>,
    limits: Limits,
) -> f64 {
    let by_time = limits.budget.map_or(f64::INFINITY, |budget| {
        budget.as_secs_f64() / visit_seconds(slice, rates, calibration).max(1e-3)
    });
    by_time.min(limits.max_trials.map_or(f64::INFINITY, f64::from)).min(1e6)
}

/// Seconds of one visit: the prompt twice (once to warm up), generation once, a new context.
#[must_use]
pub fn visit_seconds(slice: &Work, rates: Rates, calibration: Option<Calibration>) -> f64 {
    let transition = calibration.map_or(0.0, |it| it.transition_ms as f64 / 1000.0);
    let sequences = f64::from(slice.sequences());
    let prompt = f64::from(2 * slice.prompt_tokens + slice.depth) / rates.prefill.max(1e-6);
    let generation = f64::from(slice.generate_tokens + 1) / rates.decode.max(1e-6);
    let (prompt, generation) = (prompt * sequences, generation * sequences);
    // A load is needed for a tenth of the visits at most, a context for about half of them.
    prompt + generation + 0.1 * transition
}

#[cfg(test)]
mod tests {
    use super::super::tests::{axes, work};
    use super::*;

    fn with(budget_s: Option<u64>, max_trials: Option<u32>) -> Protocol {
        let limits = Limits { budget: budget_s.map(Duration::from_secs), max_trials };
        protocol(&axes(), work(), Rates { prefill: 256.0, decode: 32.0 }, None, limits)
    }

    #[test]
    fn more_time_means_more_rounds_and_finalists() {
        let (short, long) = (with(Some(60), None), with(Some(3600), None));
        assert_eq!((short.screen_blocks, short.finalists, short.finalist_blocks), (1, 4, 3));
        assert!(long.screen_blocks == 3 && long.finalists > short.finalists);
        assert!(long.finalist_blocks > short.finalist_blocks);
        assert_eq!(short.confirm_pairs, [8, 20]);
    }

    #[test]
    fn a_limit_of_trials_is_a_budget_too() {
        assert_eq!(with(None, Some(30)).screen_blocks, 1);
        assert_eq!(with(None, Some(30)).max_trials, Some(30));
        assert_eq!(with(None, None).screen_blocks, 3);
    }
}
