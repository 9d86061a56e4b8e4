//! How much of the budget each phase may use, and what a visit is expected to cost.

use std::time::Duration;

use autotune_engine::api::Setting;

use super::ledger::Ledger;
use super::{Ask, Now, Reason};
use crate::model::{Outcome, Plan, Purpose, Source, Trial};
use crate::stats::median;

/// Share of the search (without finals and confirmation) after which screening ends.
const SCREEN_SHARE: f64 = 0.75;
/// Share of the whole that is kept for the finals.
const FINALS_SHARE: f64 = 0.2;
/// Share of the whole that is kept for the confirmation, at least and at most.
const CONFIRM_SHARE: [f64; 2] = [0.15, 0.4];

/// Where the phases end, in milliseconds and in trials.
#[derive(Debug)]
pub(super) struct Bounds {
    elapsed_ms: f64,
    trials: f64,
    /// Ends of screen, combine, finals, confirmation; infinite without a limit.
    ends_ms: [f64; 4],
    ends_trials: [f64; 4],
    cost: Cost,
}

impl Bounds {
    pub(super) fn new(ledger: &Ledger<'_>, now: Now) -> Self {
        let protocol = &ledger.plan.protocol;
        let cost = Cost::of(ledger.plan, ledger.trials);
        let pairs = f64::from(protocol.confirm_pairs[0]);
        let whole_ms = protocol.budget_ms.map_or(f64::INFINITY, |budget| budget as f64);
        let whole_trials = protocol.max_trials.map_or(f64::INFINITY, f64::from);
        Self {
            elapsed_ms: millis(now.elapsed),
            trials: ledger.trials.len() as f64,
            ends_ms: ends(whole_ms, pairs * (2.0 * cost.visit_ms)),
            ends_trials: ends(whole_trials, pairs * 2.0),
            cost,
        }
    }

    /// Whether an ask of a phase before the confirmation fits into what is left for it. The very
    /// first visit always does: without it nothing is known.
    pub(super) fn allow(&self, ask: &Ask) -> bool {
        let phase = match ask.purpose {
            Purpose::Screen => 0,
            Purpose::Combine => 1,
            Purpose::Finalist => 2,
            Purpose::Confirm => 3,
        };
        let cost = self.cost.of_setting(&ask.setting);
        self.trials < 1.0 && self.ends_trials[3] >= 1.0
            || self.elapsed_ms + cost <= self.ends_ms[phase]
                && self.trials + 1.0 <= self.ends_trials[phase]
    }

    /// The limit that another pair of the confirmation would break.
    pub(super) fn limit_of_pair(&self, winner: &Setting) -> Option<Reason> {
        let cost = self.cost.of_setting(winner) + self.cost.visit_ms;
        if self.elapsed_ms + cost > self.ends_ms[3] {
            Some(Reason::Budget)
        } else if self.trials + 2.0 > self.ends_trials[3] {
            Some(Reason::TrialLimit)
        } else {
            None
        }
    }

    /// The limit of the whole that this ask would break.
    pub(super) fn limit_of(&self, ask: &Ask) -> Option<Reason> {
        if self.elapsed_ms + self.cost.of_setting(&ask.setting) > self.ends_ms[3] {
            Some(Reason::Budget)
        } else if self.trials + 1.0 > self.ends_trials[3] {
            Some(Reason::TrialLimit)
        } else {
            None
        }
    }
}

/// The ends of the phases when the confirmation should have `wanted` of the whole.
fn ends(whole: f64, wanted: f64) -> [f64; 4] {
    if whole.is_infinite() {
        return [f64::INFINITY; 4];
    }
    let finals = whole - wanted.clamp(CONFIRM_SHARE[0] * whole, CONFIRM_SHARE[1] * whole);
    let search = finals - FINALS_SHARE * whole;
    [search * SCREEN_SHARE, search, finals, whole]
}

/// What visits have cost so far.
#[derive(Debug, Clone)]
struct Cost {
    visit_ms: f64,
    load_ms: f64,
    loaded: Option<Setting>,
}

impl Cost {
    fn of(plan: &Plan, trials: &[Trial]) -> Self {
        let calibration = plan.protocol.calibration;
        let mut visits = Vec::new();
        let mut load_ms = calibration.map_or(0.0, |it| it.transition_ms as f64);
        let measured = || trials.iter().filter(|trial| trial.source == Source::Measured);
        for trial in measured() {
            let Outcome::Measured(run) = &trial.outcome else { continue };
            let load = [run.transition.process_ns, run.transition.load_ns];
            let load = load.into_iter().flatten().sum::<u64>() as f64 / 1e6;
            load_ms = load_ms.max(load);
            visits.push((trial.elapsed_ms as f64 - load).max(0.0));
        }
        let first = calibration.map_or(0.0, |it| it.elapsed_ms as f64);
        Self {
            visit_ms: median(&visits).unwrap_or(first),
            load_ms,
            loaded: measured().next_back().map(|trial| trial.asked.clone()),
        }
    }

    fn of_setting(&self, setting: &Setting) -> f64 {
        let stays = self.loaded.as_ref().is_some_and(|loaded| {
            (&loaded.process, &loaded.load) == (&setting.process, &setting.load)
        });
        self.visit_ms + if stays { 0.0 } else { self.load_ms }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_share_of_any_budget() {
        for (whole, wanted) in [(60e3, 100e3), (900e3, 40e3), (30.0, 16.0)] {
            let ends = ends(whole, wanted);
            assert!(ends.is_sorted() && ends[0] > 0.25 * whole && ends[3] >= whole, "{ends:?}");
            assert!(whole - ends[2] <= 0.4 * whole + 1e-9);
        }
    }
}
