//! What to run next: a pure function of the plan, the trials so far and the time spent.
//!
//! Four phases, each fed by the trials of the ones before: *screen* moves one knob at a time away
//! from the baseline, *combine* puts promising levels together, *finalist* halves the best few in
//! interleaved rounds, *confirm* compares the frozen winner with the baseline in pairs. The
//! baseline is visited in every block of every phase, so every comparison is between visits close
//! together in time. A phase is over when its asks are met, when its share of the budget is spent,
//! or when a trial of a later phase exists: that makes a resumed sweep continue where it stopped.
//!
//! Running an ask is left to `measure`, what may be claimed at the end to `analysis`.

mod bounds;
mod closure;
mod combine;
mod confirm;
mod halving;
mod ledger;
mod order;
mod pace;
mod screen;

use std::time::Duration;

use autotune_engine::api::Setting;

use crate::model::{Plan, Purpose, Trial};
use bounds::Bounds;
use ledger::Ledger;

/// Where a sweep stands besides its trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Wall-clock time spent, earlier sessions included.
    pub elapsed: Duration,
    /// How often the sweep had been started before.
    pub session: u32,
}

/// One visit that the search wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Why.
    pub purpose: Purpose,
    /// Round of interleaving within the purpose.
    pub block: u32,
    /// The setting, in canonical form.
    pub setting: Setting,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once per visit, never kept")]
pub enum Step {
    /// Visit this setting.
    Visit(Ask),
    /// Stop.
    Done(Reason),
}

/// Why a sweep ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing looked better than the baseline.
    KeepBaseline,
    /// The confirmation told winner and baseline apart, or showed them equal.
    Settled,
    /// Every pair of the confirmation was run.
    PairsExhausted,
    /// The winner failed when it was confirmed.
    WinnerFailed,
    /// The budget is spent.
    Budget,
    /// The limit of trials is reached.
    TrialLimit,
    /// The baseline did not run, so there is nothing to compare with.
    BaselineFailed,
}

impl Reason {
    /// The reason as a sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::KeepBaseline => "no setting looked better than the default",
            Self::Settled => "the confirmation is decided",
            Self::PairsExhausted => "every planned pair of the confirmation was run",
            Self::WinnerFailed => "the winner of the search failed when it was confirmed",
            Self::Budget => "the time budget is spent",
            Self::TrialLimit => "the limit of trials is reached",
            Self::BaselineFailed => "the default setting does not run here",
        }
    }
}

/// The visits of a phase, as far as they can be known.
type Asks = fn(&Ledger<'_>) -> Vec<Ask>;

/// The next visit, or why there is none.
#[must_use]
pub fn next(plan: &Plan, trials: &[Trial], now: Now) -> Step {
    let ledger = Ledger::new(plan, trials);
    if ledger.baseline_is_dead() {
        return Step::Done(Reason::BaselineFailed);
    }
    let bounds = Bounds::new(&ledger, now);
    let reached = trials.iter().map(|trial| trial.purpose).max().unwrap_or(Purpose::Screen);
    let phases: [(Purpose, Asks); 3] = [
        (Purpose::Screen, screen::asks),
        (Purpose::Combine, combine::asks),
        (Purpose::Finalist, halving::asks),
    ];
    for (_, asks) in phases.into_iter().filter(|(purpose, _)| *purpose >= reached) {
        let open = asks(&ledger).into_iter().find(|ask| ledger.wants(ask));
        let open = open.map(|ask| opened(&ledger, ask, now));
        if let Some(ask) = open.filter(|ask| bounds.allow(ask)) {
            return Step::Visit(ask);
        }
    }
    if let Some(winner) = confirm::frozen(&ledger).or_else(|| halving::winner(&ledger)) {
        return confirm::next(&ledger, &bounds, &winner, now);
    }
    // There is nothing to confirm yet, so what was kept for that is free for what is still open,
    // and for levels that the screening had no time for.
    let due = |ask: &Ask| {
        ask.purpose >= reached
            || ask.purpose == Purpose::Screen && ask.block < screen::blocks_per_round(plan)
    };
    let mut asks = phases.into_iter().flat_map(|(_, asks)| asks(&ledger));
    let Some(ask) = asks.find(|ask| due(ask) && ledger.wants(ask)) else {
        return Step::Done(Reason::KeepBaseline);
    };
    let ask = opened(&ledger, ask, now);
    bounds.limit_of(&ask).map_or(Step::Visit(ask), Step::Done)
}

/// The ask, or in its place the visit to the baseline that a session begins with: settings are
/// compared within a session only.
fn opened(ledger: &Ledger<'_>, ask: Ask, now: Now) -> Ask {
    let baseline = &ledger.plan.baseline;
    let begun =
        ledger.trials.iter().any(|trial| trial.session == now.session && trial.asked == *baseline);
    if begun { ask } else { Ask { setting: baseline.clone(), ..ask } }
}

/// Whether an earlier sweep's answer may stand in for this visit. It may steer the search: the
/// first look at a setting. Whatever a result is quoted from is always measured anew.
#[must_use]
pub fn may_reuse(plan: &Plan, ask: &Ask) -> bool {
    ask.purpose == Purpose::Screen
        && ask.setting != plan.baseline
        && ask.block < screen::blocks_per_round(plan)
}

/// Visits of a sweep that runs to the end of its plan with the fewest pairs; for progress and dry
/// runs.
#[must_use]
pub fn expected_visits(plan: &Plan) -> u32 {
    let ledger = Ledger::new(plan, &[]);
    let screen = screen::asks(&ledger).len();
    let combine = combine::MOST + combine::MOST.div_ceil(screen::SETTINGS_PER_BLOCK);
    let visits = screen + combine + halving::expected_visits(plan);
    let visits = u32::try_from(visits).unwrap_or(u32::MAX);
    let visits = visits.saturating_add(plan.protocol.confirm_pairs[0] * 2);
    visits.min(plan.protocol.max_trials.unwrap_or(u32::MAX))
}
