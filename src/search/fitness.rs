//! Fitness: the baseline against itself. What differs here is noise, and the least that this
//! machine can resolve.

use super::Ask;
use super::ledger::Ledger;
use crate::model::Purpose;

/// The visits, each a block of its own.
pub(super) fn ask(ledger: &Ledger<'_>) -> Option<Ask> {
    let plan = ledger.plan;
    (0..2 * plan.protocol.fitness_pairs)
        .map(|block| Ask::of(plan, Purpose::Fitness, block, plan.baseline.clone()))
        .find(|ask| ledger.wants(ask))
}
