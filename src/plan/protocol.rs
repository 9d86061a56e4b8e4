//! How a budget becomes rounds: few settings looked at once, fewer of them often.

use std::time::Duration;

use autotune_engine::api::Work;

use super::Rates;
use crate::model::{Axis, Calibration, Protocol, Strategy};
use crate::stats::LOOKS;

/// Pairs of a confirmation, at least and at most: figures that are quoted rest on ten samples.
const CONFIRM_PAIRS: [u32; 2] = [10, 22];
/// Ratios closer to 1 than this are called equal.
const INDIFFERENCE: f64 = 0.01;
/// Two-sided coverage of every interval.
const CONFIDENCE: f64 = 0.95;
/// Pairs of the baseline with itself, at least and at most.
const FITNESS_PAIRS: [u32; 2] = [3, 10];
/// Share of a budget that they may take.
const FITNESS_SHARE: f64 = 0.04;
/// Rounds of the certificate at most, where it has a tenth of the visits.
const CERTIFY_SHARE: f64 = 0.1;
/// How much faster than the winner another finalist may be when the certificate is complete.
const CERTIFY_WITHIN: f64 = 0.02;
/// A soak makes sense from this budget on, and takes so long: shorter, nothing gets hot.
const SOAK_FROM: Duration = Duration::from_secs(15 * 60);
const SOAK: Duration = Duration::from_secs(180);
/// Share of the budget that curves may take, short ones less.
const CURVE_SHARE: f64 = 0.25;

/// How long a sweep may take, and what it is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Wall-clock time; `None`: no limit.
    pub budget: Option<Duration>,
    /// Trials; `None`: no limit.
    pub max_trials: Option<u32>,
    /// Who proposes settings.
    pub strategy: Strategy,
    /// How often every setting of the space is visited; 0: this is an ordinary sweep.
    pub record_grid: u32,
    /// Whether curves around the winner are measured.
    pub curves: bool,
    /// Settings by chance that judge the search.
    pub audit: u32,
    /// The speed-up at which the search may end (0.3 = 30 %).
    pub target: Option<f64>,
}

impl Limits {
    /// Nothing but time and trials.
    #[must_use]
    pub fn of(budget: Option<Duration>, max_trials: Option<u32>) -> Self {
        Self {
            budget,
            max_trials,
            strategy: Strategy::Auto,
            record_grid: 0,
            curves: true,
            audit: 0,
            target: None,
        }
    }
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
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 1e6")]
    let rounds = |share: f64, size: u32| (share * visits / f64::from(size.max(1))) as u32;
    let finalists = if visits < 150.0 { 4 } else { 8 }.min(star.max(1));
    let fitness_pairs = rounds(FITNESS_SHARE, 2).clamp(FITNESS_PAIRS[0], FITNESS_PAIRS[1]);
    let most_looks = LOOKS[LOOKS.len() - 1];
    let soak = limits.budget.is_some_and(|budget| budget >= SOAK_FROM);
    let soak_ms = if soak { u64::try_from(SOAK.as_millis()).unwrap_or(u64::MAX) } else { 0 };
    let short = limits.budget.is_some_and(|budget| budget < Duration::from_secs(180));
    let curve_share = if short { CURVE_SHARE / 2.0 } else { CURVE_SHARE };
    Protocol {
        slice,
        strategy: limits.strategy,
        record_grid: limits.record_grid,
        fitness_pairs,
        finalists,
        certify_blocks: rounds(CERTIFY_SHARE, 4).clamp(LOOKS[0], most_looks),
        certify_within: CERTIFY_WITHIN,
        soak_ms,
        curve_share: if limits.curves { curve_share } else { 0.0 },
        audit: limits.audit,
        target: limits.target,
        finalist_blocks: rounds(0.1, finalists + 1).clamp(3, 6),
        confirm_pairs: CONFIRM_PAIRS,
        indifference: INDIFFERENCE,
        confidence: CONFIDENCE,
        budget_ms: limits
            .budget
            .map(|budget| u64::try_from(budget.as_millis()).unwrap_or(u64::MAX)),
        max_trials: limits.max_trials,
        calibration,
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
        let limits = Limits::of(budget_s.map(Duration::from_secs), max_trials);
        protocol(&axes(), work(), Rates { prefill: 256.0, decode: 32.0 }, None, limits)
    }

    #[test]
    fn more_time_means_more_rounds_and_finalists() {
        let (short, long) = (with(Some(60), None), with(Some(3600), None));
        assert_eq!((short.finalists, short.finalist_blocks, short.soak_ms), (4, 3, 0));
        assert!(long.finalists > short.finalists && long.soak_ms == 180_000);
        assert!(long.fitness_pairs >= short.fitness_pairs && short.fitness_pairs >= 3);
        assert!(long.finalist_blocks > short.finalist_blocks);
        assert_eq!(short.confirm_pairs, [10, 22]);
    }

    #[test]
    fn a_limit_of_trials_is_a_budget_too() {
        assert_eq!(with(None, Some(30)).certify_blocks, LOOKS[0]);
        assert_eq!(with(None, Some(30)).max_trials, Some(30));
        assert_eq!(with(None, None).certify_blocks, LOOKS[LOOKS.len() - 1]);
    }
}
