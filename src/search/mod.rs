//! What to run next: a pure function of the plan, the trials so far and the time spent.
//!
//! The phases of a sweep, each fed by the trials of the ones before: *fitness* compares the
//! baseline with itself, *search* looks once at each setting that a strategy proposes, *finalist*
//! halves the best few in interleaved rounds, *certify* bounds what the last few may still differ
//! by, *confirm* compares the frozen winner with the baseline in pairs. Then the winner is
//! characterised: *soak*, *ablation*, *curve*, *audit*. The baseline is visited in every block of
//! every phase, so every comparison is between visits close together in time. A phase is over
//! when its asks are met, when its share of the budget is spent, or when a trial of a later phase
//! exists: that makes a resumed sweep continue where it stopped.
//!
//! Running an ask is left to `measure`, what may be claimed at the end to `analysis`.

mod acquisition;
mod budget;
mod certify;
mod characterise;
mod closure;
mod confirm;
mod cost;
mod field;
mod fitness;
mod halving;
mod ledger;
mod look;
mod order;
mod pace;
mod propose;
mod surrogate;

use std::time::Duration;

use autotune_engine::api::{Setting, Work};

use crate::model::{Plan, Purpose, Trial};
use budget::Budget;
use field::Field;
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
    /// What to run there.
    pub work: Work,
    /// Whether it is to begin with a new process.
    pub fresh: bool,
}

impl Ask {
    /// A visit that does the plan's usual work.
    fn of(plan: &Plan, purpose: Purpose, block: u32, setting: Setting) -> Self {
        let work = plan.work(&setting);
        Self { purpose, block, setting, work, fresh: false }
    }
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
    /// Every setting of the grid was recorded.
    Recorded,
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
            Self::Recorded => "every setting of the grid was recorded",
        }
    }
}

/// The next visit, or why there is none.
#[must_use]
pub fn next(plan: &Plan, trials: &[Trial], now: Now) -> Step {
    let ledger = Ledger::new(plan, trials);
    let budget = Budget::new(&ledger, now);
    if plan.protocol.record_grid > 0 {
        return match look::recording(&ledger) {
            Some(ask) => budget.limit_of(&ask).map_or(Step::Visit(ask), Step::Done),
            None => Step::Done(Reason::Recorded),
        };
    }
    if ledger.baseline_is_dead() {
        return Step::Done(Reason::BaselineFailed);
    }
    if let Some(ask) = searching(&ledger, &budget, now) {
        return Step::Visit(ask);
    }
    let winner = confirm::frozen(&ledger).or_else(|| halving::winner(&ledger));
    let Some(winner) = winner else {
        let ask = characterising(&ledger, &budget, &plan.baseline, None);
        let cut = ledger.trials.iter().all(|trial| trial.purpose < Purpose::Finalist)
            && propose::propose(&ledger, &budget.cost).is_some();
        let limit =
            if plan.protocol.max_trials.is_some() { Reason::TrialLimit } else { Reason::Budget };
        let reason = if cut { limit } else { Reason::KeepBaseline };
        return ask.map_or(Step::Done(reason), |ask| Step::Visit(opened(&ledger, ask, now)));
    };
    let late = trials.iter().any(|trial| trial.purpose > Purpose::Confirm);
    let reason = match confirm::next(&ledger, &budget, &winner, now) {
        Step::Done(reason) => reason,
        visit @ Step::Visit(_) if !late => return visit,
        Step::Visit(_) => Reason::PairsExhausted,
    };
    let faster = confirm::is_faster(&ledger, &winner, now.session);
    let best = if faster { &winner } else { &plan.baseline };
    match characterising(&ledger, &budget, best, faster.then_some(&winner)) {
        Some(ask) => Step::Visit(opened(&ledger, ask, now)),
        None => Step::Done(reason),
    }
}

/// The next visit before the confirmation.
fn searching(ledger: &Ledger<'_>, budget: &Budget, now: Now) -> Option<Ask> {
    let reached = ledger.trials.iter().map(|trial| trial.purpose).max();
    let reached = reached.unwrap_or(Purpose::Fitness);
    let open = |purpose: Purpose| match purpose {
        Purpose::Fitness => fitness::ask(ledger),
        Purpose::Search => look::ask(ledger, &budget.cost, now.session),
        Purpose::Finalist => halving::ask(ledger),
        _ => certify::ask(ledger),
    };
    [Purpose::Fitness, Purpose::Search, Purpose::Finalist, Purpose::Certify]
        .into_iter()
        .filter(|purpose| *purpose >= reached)
        .find_map(|purpose| {
            let ask = opened(ledger, open(purpose)?, now);
            let late =
                || purpose == Purpose::Search && !is_ahead(ledger) && budget.allow_late(&ask);
            (budget.allow(&ask) || late()).then_some(ask)
        })
}

/// Whether a setting looks better than the baseline by more than what counts as equal.
fn is_ahead(ledger: &Ledger<'_>) -> bool {
    let indifference = ledger.plan.protocol.indifference;
    halving::leader(ledger).is_some_and(|(_, cost)| cost < 1.0 / (1.0 + indifference))
}

/// The next visit after the confirmation.
fn characterising(
    ledger: &Ledger<'_>,
    budget: &Budget,
    best: &Setting,
    winner: Option<&Setting>,
) -> Option<Ask> {
    let protocol = &ledger.plan.protocol;
    let reached = ledger.trials.iter().map(|trial| trial.purpose).max()?;
    let curves = || ledger.trials.iter().filter(|trial| trial.purpose == Purpose::Curve);
    let open = |purpose: Purpose| match purpose {
        Purpose::Soak => characterise::soak(ledger, winner?),
        Purpose::Ablation => characterise::ablation(ledger, winner?),
        Purpose::Curve => {
            let spent: u64 = curves().map(|trial| trial.elapsed_ms).sum();
            let allowed = protocol.curve_share > 0.0 && budget.allow_curve(spent as f64);
            allowed.then(|| characterise::curve(ledger, best, budget.cost.visit_ms))?
        }
        _ => characterise::audit(ledger, best),
    };
    [Purpose::Soak, Purpose::Ablation, Purpose::Curve, Purpose::Audit]
        .into_iter()
        .filter(|purpose| *purpose >= reached)
        .find_map(|purpose| {
            let ask = open(purpose)?;
            let allowed = budget.allow(&ask) && budget.limit_of(&ask).is_none();
            allowed.then_some(ask)
        })
}

/// The ask, or in its place the visit to the baseline that a session begins with: settings are
/// compared within a session only.
fn opened(ledger: &Ledger<'_>, ask: Ask, now: Now) -> Ask {
    let baseline = &ledger.plan.baseline;
    let begun =
        ledger.trials.iter().any(|trial| trial.session == now.session && trial.asked == *baseline);
    if begun { ask } else { Ask::of(ledger.plan, ask.purpose, ask.block, baseline.clone()) }
}

/// Whether an earlier sweep's answer may stand in for this visit. It may steer the search: the
/// look at a setting. Whatever a result is quoted from is always measured anew.
#[must_use]
pub fn may_reuse(plan: &Plan, ask: &Ask) -> bool {
    ask.purpose == Purpose::Search && ask.setting != plan.baseline && plan.protocol.record_grid == 0
}

/// The setting that looks best so far, with the cost of a turn in units of the baseline's; `None`
/// before anything looked better than the baseline.
#[must_use]
pub fn leader(plan: &Plan, trials: &[Trial]) -> Option<(Setting, f64)> {
    let ledger = Ledger::new(plan, trials);
    halving::leader(&ledger).filter(|(_, cost)| *cost < 1.0)
}

/// Settings of the plan's space, those that are the same run counted once as far as the space is
/// small enough to be counted.
#[must_use]
pub fn space_size(plan: &Plan) -> usize {
    /// Larger spaces are not counted one by one.
    const COUNTED: usize = 20_000;
    let field = Field::new(plan);
    if field.size() > COUNTED {
        return field.size();
    }
    field.all().filter(|point| field.setting(point).is_some()).count()
}

/// The different settings of the plan's space.
#[must_use]
pub fn settings(plan: &Plan) -> Vec<Setting> {
    let field = Field::new(plan);
    field.all().filter_map(|point| field.setting(&point)).collect()
}

/// Visits of a sweep that nothing cuts short; for progress and dry runs.
#[must_use]
pub fn expected_visits(plan: &Plan) -> u32 {
    let protocol = &plan.protocol;
    let count = |visits: usize| u32::try_from(visits).unwrap_or(u32::MAX);
    if protocol.record_grid > 0 {
        return count(space_size(plan)).saturating_mul(protocol.record_grid);
    }
    // Asked for after every trial: no more of the space is counted than matters.
    let field = Field::new(plan);
    let settings = field.all().filter(|point| field.setting(point).is_some());
    let looks = settings.take(40 + 4 * plan.axes.len()).count();
    let search = looks + looks / 4 + halving::expected_visits(plan);
    let fixed = 2 * (protocol.fitness_pairs + protocol.confirm_pairs[0]);
    count(search).saturating_add(fixed).min(protocol.max_trials.unwrap_or(u32::MAX))
}
