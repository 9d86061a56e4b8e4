//! One knob after the other: every level of it with the others as they are best so far; over again
//! until a round changes nothing.

use autotune_engine::api::Setting;

use super::super::field::{Field, Point};
use super::super::ledger::Ledger;

/// Rounds over all knobs.
const ROUNDS: usize = 8;

pub(super) fn propose(ledger: &Ledger<'_>, field: &Field<'_>) -> Option<Setting> {
    let mut here = field.point(&ledger.plan.baseline)?;
    for _ in 0..ROUNDS {
        let before = here.clone();
        for axis in 0..field.dimensions() {
            match best_level(ledger, field, &here, axis) {
                Level::Best(better) => here = better,
                Level::Missing(setting) => return Some(*setting),
            }
        }
        if here == before {
            break;
        }
    }
    None
}

/// What is known of the levels of an axis.
enum Level {
    /// The point with the best one.
    Best(Point),
    /// This has to be looked at first.
    Missing(Box<Setting>),
}

/// The point with the best level of an axis, or a setting that has to be looked at to know it.
fn best_level(ledger: &Ledger<'_>, field: &Field<'_>, here: &Point, axis: usize) -> Level {
    let mut best = (here.clone(), cost(ledger, field, here).unwrap_or(f64::INFINITY));
    for level in 0..field.levels(axis) {
        let mut point = here.clone();
        point[axis] = level;
        match cost(ledger, field, &point) {
            Some(own) if own < best.1 => best = (point, own),
            Some(_) => {}
            None => {
                if let Some(setting) = super::random::wanted(ledger, field, &point) {
                    return Level::Missing(Box::new(setting));
                }
            }
        }
    }
    Level::Best(best.0)
}

/// What was seen of a point; `None` where it was not looked at.
fn cost(ledger: &Ledger<'_>, field: &Field<'_>, point: &[u8]) -> Option<f64> {
    let setting = field.setting(point)?;
    if setting == ledger.plan.baseline { Some(1.0) } else { ledger.seen_cost(&setting) }
}
