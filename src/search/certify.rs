//! The certificate: the last few against each other in complete blocks, until none of them can be
//! much better than the best, or the blocks run out.

use super::ledger::Ledger;
use super::order::walk;
use super::{Ask, halving};
use crate::model::Purpose;
use crate::stats::{LOOKS, certificate};

/// The next visit; `None` where there is nothing to certify any more.
pub(super) fn ask(ledger: &Ledger<'_>) -> Option<Ask> {
    let plan = ledger.plan;
    let runners = halving::survivors(ledger);
    if runners.len() < 2 {
        return None;
    }
    let mut loaded = plan.baseline.clone();
    let mut complete = Vec::new();
    for block in 0..plan.protocol.certify_blocks {
        let members = runners.iter().chain([&plan.baseline]).cloned().collect();
        for setting in walk(plan, Purpose::Certify, block, &loaded, members) {
            loaded.clone_from(&setting);
            let ask = Ask::of(plan, Purpose::Certify, block, setting);
            if ledger.wants(&ask) {
                return Some(ask);
            }
        }
        complete.extend(ledger.turns_in(Purpose::Certify, block, &runners));
        let look = u32::try_from(complete.len()).is_ok_and(|blocks| LOOKS.contains(&blocks));
        let found = certificate(&complete, plan.protocol.confidence).filter(|_| look);
        if found.is_some_and(|found| found.within <= plan.protocol.certify_within) {
            return None;
        }
    }
    None
}
