//! The tool's own strategy: a few looks spread over the space, then where the surrogates promise
//! most per second.

use autotune_engine::api::Setting;
use rand::seq::IndexedRandom;

use super::super::acquisition::Map;
use super::super::cost::Cost;
use super::super::field::{Field, Point};
use super::super::ledger::Ledger;
use super::{chance, seen};

/// Looks before the surrogates are asked: so many, and one more for every so many axes.
const SPREAD: [usize; 2] = [2, 2];
/// Random points of which the one farthest from all looks is taken.
const DRAWS: usize = 40;
/// The search is over when no look promises more than this share of a turn, ...
const WORTHWHILE: f64 = 0.001;
/// ... after so many looks per axis, ...
const LOOKS_PER_AXIS: usize = 5;
/// ... and when the last so many made nothing better.
const PATIENCE: usize = 6;

pub(super) fn propose(ledger: &Ledger<'_>, field: &Field<'_>, cost: &Cost) -> Option<Setting> {
    let looks = ledger.seen().len();
    let spread = SPREAD[0] + field.dimensions().div_ceil(SPREAD[1]);
    if looks < spread
        && let Some(setting) = spread_out(ledger, field, cost)
    {
        return Some(setting);
    }
    let map = Map::new(ledger, field)?;
    let promise = map.best_look(cost, &mut chance(ledger, 2))?;
    let enough = looks >= (LOOKS_PER_AXIS * field.dimensions()).min(field.size() / 2);
    let over = promise.improvement < WORTHWHILE && enough && is_settled(ledger);
    (!over).then_some(promise.setting)
}

pub(super) fn standing(ledger: &Ledger<'_>) -> Vec<(Setting, f64)> {
    let field = Field::new(ledger.plan);
    Map::new(ledger, &field).map_or_else(Vec::new, |map| map.standing())
}

/// A setting far from all that were seen, most of its levels the baseline's and nothing new to be
/// loaded where that can be helped: what is dear to change is for the surrogates to ask for.
fn spread_out(ledger: &Ledger<'_>, field: &Field<'_>, cost: &Cost) -> Option<Setting> {
    let mut chance = chance(ledger, 1);
    let known: Vec<Point> = ledger
        .seen()
        .iter()
        .copied()
        .chain([&ledger.plan.baseline])
        .filter_map(|setting| field.point(setting))
        .collect();
    let distance = |one: &Point| {
        let differing = |other: &Point| one.iter().zip(other).filter(|(a, b)| a != b).count();
        known.iter().map(differing).min().unwrap_or(0)
    };
    let pool = field.sample(DRAWS * 4, &mut chance);
    let mut drawn: Vec<(bool, usize, Setting)> = pool
        .sample(&mut chance, DRAWS)
        .filter_map(|point| {
            let setting = field.setting(point).filter(|setting| ledger.may_run(setting))?;
            Some((cost.is_loaded(&setting), distance(point), setting))
        })
        .filter(|(_, distance, _)| *distance > 0)
        .collect();
    drawn.sort_by_key(|(loaded, distance, _)| std::cmp::Reverse((*loaded, *distance)));
    drawn.into_iter().next().map(|(_, _, setting)| setting)
}

/// Whether the last looks made nothing better.
fn is_settled(ledger: &Ledger<'_>) -> bool {
    let order = ledger.seen();
    let ranked = seen(ledger);
    let Some((best, _)) = ranked.first() else { return true };
    order.iter().rev().take(PATIENCE).all(|setting| *setting != best)
}
