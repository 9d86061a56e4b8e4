//! The search: one look at each setting that the strategy proposes, the baseline every few looks.

use super::Ask;
use super::cost::Cost;
use super::ledger::Ledger;
use super::propose::propose;
use crate::model::{Purpose, Source};

/// Looks between two visits to the baseline, ...
const LOOKS_PER_ANCHOR: usize = 4;
/// ... and where loading the baseline for it would take longer than a visit.
const LOOKS_PER_FAR_ANCHOR: usize = 10;

/// The next look, or the visit to the baseline that is due.
pub(super) fn ask(ledger: &Ledger<'_>, cost: &Cost, session: u32) -> Option<Ask> {
    let plan = ledger.plan;
    let search = || ledger.trials.iter().filter(|trial| trial.purpose == Purpose::Search);
    let anchors = search().filter(|trial| trial.asked == plan.baseline).count();
    let since = search()
        .rev()
        .take_while(|trial| trial.asked != plan.baseline || trial.session != session)
        .filter(|trial| trial.source == Source::Measured);
    let begun = search().any(|it| it.session == session && it.asked == plan.baseline);
    let due = if cost.is_far(&plan.baseline) { LOOKS_PER_FAR_ANCHOR } else { LOOKS_PER_ANCHOR };
    let block = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let proposal = propose(ledger, cost)?;
    if !begun || since.count() >= due {
        return Some(Ask::of(plan, Purpose::Search, block(anchors), plan.baseline.clone()));
    }
    Some(Ask::of(plan, Purpose::Search, block(anchors.saturating_sub(1)), proposal))
}

/// The visits of recording a grid: every setting so many times, each time in another order.
pub(super) fn recording(ledger: &Ledger<'_>) -> Option<Ask> {
    use super::field::Field;
    use super::order::walk;

    let plan = ledger.plan;
    let field = Field::new(plan);
    let settings: Vec<_> = field.all().filter_map(|point| field.setting(&point)).collect();
    let mut loaded = plan.baseline.clone();
    for block in 0..plan.protocol.record_grid {
        let order = walk(plan, Purpose::Search, block, &loaded, settings.clone());
        loaded.clone_from(order.last().unwrap_or(&plan.baseline));
        let asks = order.into_iter().map(|it| Ask::of(plan, Purpose::Search, block, it));
        // A setting that failed is asked for again: nothing is pruned from a record.
        if let Some(ask) = asks.into_iter().find(|ask| !ledger.has_answer(ask)) {
            return Some(ask);
        }
    }
    None
}
