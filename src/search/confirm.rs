//! Confirming: the frozen winner and the baseline in pairs, the order turned round from one pair
//! to the next (ABBA), until they are told apart or the pairs run out.

use autotune_engine::api::Setting;

use super::budget::Budget;
use super::ledger::Ledger;
use super::pace::Pace;
use super::{Ask, Now, Reason, Step};
use crate::model::{Outcome, Protocol, Purpose, Trial};
use crate::stats::{Separation, paired_change};

/// Pairs that share a process: a process may have had luck with the pages that it got, so each
/// setting is measured in several.
const BLOCKS_PER_PROCESS: u32 = 2;
/// The same where loading takes so many times as long as a visit.
const BLOCKS_PER_DEAR_PROCESS: u32 = 4;
const DEAR: f64 = 4.0;

/// The winner whose confirmation has begun: it stays the winner whatever happens to it.
pub(super) fn frozen(ledger: &Ledger<'_>) -> Option<Setting> {
    let confirmed = |trial: &&Trial| trial.purpose == Purpose::Confirm;
    let mut settings = ledger.trials.iter().filter(confirmed).map(|trial| &trial.asked);
    settings.find(|setting| **setting != ledger.plan.baseline).cloned()
}

/// The next visit of the confirmation. A pair that a restart cut in two is run again: its halves
/// would be minutes or days apart.
pub(super) fn next(ledger: &Ledger<'_>, budget: &Budget, winner: &Setting, now: Now) -> Step {
    let plan = ledger.plan;
    // What is taken apart after the decision may fail without shaking it.
    let after = ledger.trials.iter().position(|trial| trial.purpose > Purpose::Confirm);
    let then = after.map(|after| Ledger::new(plan, &ledger.trials[..after]));
    if !then.as_ref().unwrap_or(ledger).may_run(winner) {
        return Step::Done(Reason::WinnerFailed);
    }
    let per_process = if budget.cost.load_ms > DEAR * budget.cost.visit_ms {
        BLOCKS_PER_DEAR_PROCESS
    } else {
        BLOCKS_PER_PROCESS
    };
    let mut differences = Vec::new();
    for block in 0..plan.protocol.confirm_pairs[1] {
        let order = match block % 2 {
            0 => [winner, &plan.baseline],
            _ => [&plan.baseline, winner],
        };
        match Pair::find(ledger, block, order, now.session) {
            Pair::Complete(difference) => differences.extend(difference),
            Pair::Missing { second, setting } => {
                let fresh = !second && block.is_multiple_of(per_process);
                let ask = Ask { fresh, ..Ask::of(plan, Purpose::Confirm, block, setting) };
                // A pair that was begun is finished; a new one has to fit.
                let too_few = differences.len() < plan.protocol.confirm_pairs[0] as usize;
                return match budget.limit_of_pair(winner, too_few).filter(|_| !second) {
                    Some(limit) => Step::Done(limit),
                    None => Step::Visit(ask),
                };
            }
        }
        if is_decided(&differences, &plan.protocol) {
            return Step::Done(Reason::Settled);
        }
    }
    Step::Done(Reason::PairsExhausted)
}

/// Whether the confirmation shows that the winner is faster than the baseline.
pub(super) fn is_faster(ledger: &Ledger<'_>, winner: &Setting, session: u32) -> bool {
    let plan = ledger.plan;
    let difference = |block: u32| match Pair::find(ledger, block, [winner, &plan.baseline], session)
    {
        Pair::Complete(difference) => difference,
        Pair::Missing { .. } => None,
    };
    let protocol = &plan.protocol;
    let differences: Vec<f64> = (0..protocol.confirm_pairs[1]).filter_map(difference).collect();
    let change = paired_change(&differences, protocol.confirm_confidence(), protocol.indifference);
    differences.len() >= protocol.confirm_pairs[0].max(2) as usize
        && change.is_some_and(|change| change.separation == Separation::Faster)
}

#[expect(clippy::large_enum_variant, reason = "made once per look, never kept")]
enum Pair {
    /// Both were run; the logarithm of the ratio of speeds, unless the baseline failed.
    Complete(Option<f64>),
    /// This one is to be run next.
    Missing { second: bool, setting: Setting },
}

impl Pair {
    fn find(ledger: &Ledger<'_>, block: u32, order: [&Setting; 2], session: u32) -> Self {
        let turn = |wanted: &Setting, session: u32| {
            ledger.paced().find_map(|(trial, pace)| {
                let own = (trial.purpose, trial.block, trial.session);
                let found = own == (Purpose::Confirm, block, session) && trial.asked == *wanted;
                let ran = matches!(trial.outcome, Outcome::Measured(_));
                found.then(|| {
                    pace.filter(|_| ran).map(|pace: &Pace| pace.turn(&ledger.plan.workload))
                })
            })
        };
        for session in 0..=session {
            if let (Some(first), Some(second)) = (turn(order[0], session), turn(order[1], session))
            {
                let reversed = *order[0] == ledger.plan.baseline;
                let sign = if reversed { 1.0 } else { -1.0 };
                return Self::Complete(
                    first.zip(second).map(|(first, second)| sign * (first - second)),
                );
            }
        }
        let second = turn(order[0], session).is_some();
        Self::Missing { second, setting: order[usize::from(second)].clone() }
    }
}

/// Whether the pairs so far are enough; a pair that lacks a visit is none. The looks share the error between them, so that looking
/// several times does not make a false answer likelier.
fn is_decided(differences: &[f64], protocol: &Protocol) -> bool {
    let [least, _] = protocol.confirm_pairs;
    let pairs = u32::try_from(differences.len()).unwrap_or(u32::MAX);
    if pairs < least || !(pairs - least).is_multiple_of(Protocol::CONFIRM_LOOK_EVERY) {
        return false;
    }
    let confidence = protocol.confirm_confidence();
    let Some(change) = paired_change(differences, confidence, protocol.indifference) else {
        return false;
    };
    let zone = protocol.indifference.ln_1p();
    let equal = match (change.speed_ratio.low, change.speed_ratio.high) {
        (Some(low), Some(high)) => low.ln() > -zone && high.ln() < zone,
        _ => false,
    };
    equal || change.separation != Separation::NotSeparated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_without_a_difference_does_not_bring_a_look_nearer() {
        let least = 8;
        let card = crate::plan::tests::card();
        let plan = crate::plan::plan(crate::plan::tests::wish(&card));
        let protocol = Protocol { confirm_pairs: [least, 16], ..plan.protocol };
        let differences: Vec<f64> =
            (0..least + 2).map(|pair| 0.2 + f64::from(pair % 3) / 1e3).collect();
        let decided = |pairs: u32| is_decided(&differences[..pairs as usize], &protocol);
        assert!(!decided(least - 1) && decided(least) && !decided(least + 1));
    }
}
