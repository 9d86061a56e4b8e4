//! Who proposes the next look: one file per strategy, all behind one function.
//!
//! A strategy is a pure function of plan and trials like everything here; what it draws by chance
//! it draws from the plan's seed and the number of looks so far.

mod auto;
mod coordinate;
mod random;
mod tpe;

use autotune_engine::api::Setting;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::cost::Cost;
use super::field::Field;
use super::ledger::Ledger;
use crate::model::{Plan, Strategy};

/// Looks of a search that nothing else limits.
const MOST_LOOKS: usize = 120;

/// The setting that this plan's strategy wants to look at next; `None`: it is done.
pub(super) fn propose(ledger: &Ledger<'_>, cost: &Cost) -> Option<Setting> {
    let protocol = &ledger.plan.protocol;
    let unlimited = protocol.budget_ms.is_none() && protocol.max_trials.is_none();
    if unlimited && ledger.seen().len() >= MOST_LOOKS && protocol.strategy != Strategy::Grid {
        return None;
    }
    if let Some(target) = protocol.target
        && standing(ledger).first().is_some_and(|(_, cost)| *cost <= 1.0 / (1.0 + target))
    {
        return None;
    }
    let field = Field::new(ledger.plan);
    match protocol.strategy {
        Strategy::Auto => auto::propose(ledger, &field, cost),
        Strategy::Grid => random::in_order(ledger, &field),
        Strategy::Random => random::propose(ledger, &field),
        Strategy::Coordinate => coordinate::propose(ledger, &field),
        Strategy::Tpe => tpe::propose(ledger, &field),
    }
}

/// The settings that were looked at, best first, with the cost of a turn in units of the
/// baseline's: as believed where the strategy has a belief, else as seen.
pub(super) fn standing(ledger: &Ledger<'_>) -> Vec<(Setting, f64)> {
    if ledger.plan.protocol.strategy == Strategy::Auto {
        auto::standing(ledger)
    } else {
        seen(ledger)
    }
}

/// The settings that were looked at, with the cost that was seen, best first.
fn seen(ledger: &Ledger<'_>) -> Vec<(Setting, f64)> {
    let mut seen: Vec<(Setting, f64)> = ledger
        .seen()
        .iter()
        .copied()
        .filter_map(|setting| Some((setting.clone(), ledger.seen_cost(setting)?)))
        .collect();
    seen.sort_by(|a, b| a.1.total_cmp(&b.1));
    seen
}

/// So many settings by chance, whether they were looked at or not.
pub(super) fn unseen(plan: &Plan, count: u32) -> Vec<Setting> {
    let field = Field::new(plan);
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(plan.seed ^ (5 << 48));
    let mut settings: Vec<Setting> = Vec::new();
    for point in field.sample(8 * count as usize, &mut chance) {
        let setting = field.setting(&point).filter(|it| *it != plan.baseline);
        if let Some(setting) = setting
            && settings.len() < count as usize
            && !settings.contains(&setting)
        {
            settings.push(setting);
        }
    }
    settings
}

/// The chance of the next look.
fn chance(ledger: &Ledger<'_>, salt: u64) -> Xoshiro256PlusPlus {
    let looks = ledger.seen().len() as u64;
    Xoshiro256PlusPlus::seed_from_u64(ledger.plan.seed ^ (salt << 48) ^ (looks << 16) ^ looks)
}
