//! Without a plan: settings by chance, or all of them in the order of the space.

use autotune_engine::api::Setting;

use super::super::field::Field;
use super::super::ledger::Ledger;
use super::chance;

/// Draws until one is new; in a space that is nearly used up the rest is gone through.
const DRAWS: usize = 200;

pub(super) fn propose(ledger: &Ledger<'_>, field: &Field<'_>) -> Option<Setting> {
    let mut chance = chance(ledger, 3);
    let drawn = field.sample(DRAWS, &mut chance);
    drawn.iter().find_map(|point| wanted(ledger, field, point)).or_else(|| in_order(ledger, field))
}

pub(super) fn in_order(ledger: &Ledger<'_>, field: &Field<'_>) -> Option<Setting> {
    field.all().find_map(|point| wanted(ledger, field, &point))
}

/// The setting of a point, if it was not looked at and may run.
pub(super) fn wanted(ledger: &Ledger<'_>, field: &Field<'_>, point: &[u8]) -> Option<Setting> {
    let setting = field.setting(point)?;
    let new = setting != ledger.plan.baseline && !ledger.has_seen(&setting);
    (new && ledger.may_run(&setting)).then_some(setting)
}
