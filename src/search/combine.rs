//! Combining: the best level of each knob together, and what lies next to that.
//!
//! A turn is a sum of two parts, and most knobs act on one of them; so the best levels found one
//! at a time are usually the best together. What is tried here besides guards against the cases
//! where they are not: the joint setting without each of its changes, and its neighbours.

use autotune_engine::api::Setting;

use super::Ask;
use super::ledger::{Ledger, star};
use super::screen::in_blocks;
use crate::knob;
use crate::model::{Axis, Level, Purpose};

/// Settings tried at most.
pub(super) const MOST: usize = 8;

/// The asks of this phase, from the trials of the screening alone.
pub(super) fn asks(ledger: &Ledger<'_>) -> Vec<Ask> {
    in_blocks(ledger.plan, Purpose::Combine, 0, proposals(ledger))
}

/// Levels of one axis that beat the baseline, best first.
struct Ranked<'a> {
    axis: &'a Axis,
    levels: Vec<(&'a Level, f64)>,
}

fn proposals(ledger: &Ledger<'_>) -> Vec<Setting> {
    let plan = ledger.plan;
    let ranked: Vec<Ranked<'_>> = plan.axes.iter().filter_map(|axis| rank(ledger, axis)).collect();
    let joint = |choose: &dyn Fn(&Ranked<'_>) -> Option<Level>| {
        ranked.iter().fold(plan.baseline.clone(), |setting, ranked| {
            let level = choose(ranked);
            level.and_then(|level| knob::apply(ranked.axis, &setting, &level)).unwrap_or(setting)
        })
    };
    let best = |ranked: &Ranked<'_>| Some(ranked.levels[0].0.clone());
    let worthwhile = |ranked: &Ranked<'_>| {
        (ranked.levels[0].1 > plan.protocol.indifference.ln_1p())
            .then(|| ranked.levels[0].0.clone())
    };
    let mut proposals = vec![joint(&best), joint(&worthwhile)];
    for special in &ranked {
        let name = &special.axis.knob;
        let without = |it: &Ranked<'_>| if it.axis.knob == *name { None } else { best(it) };
        proposals.push(joint(&without));
        let second = |it: &Ranked<'_>| {
            let place = usize::from(it.axis.knob == *name).min(it.levels.len() - 1);
            Some(it.levels[place].0.clone())
        };
        proposals.push(joint(&second));
        for neighbour in neighbours(special) {
            let beside = |it: &Ranked<'_>| {
                if it.axis.knob == *name { Some(neighbour.clone()) } else { best(it) }
            };
            proposals.push(joint(&beside));
        }
    }
    let known = star(plan);
    let mut kept: Vec<Setting> = Vec::new();
    for setting in proposals {
        let new = setting != plan.baseline && !known.contains(&setting) && !kept.contains(&setting);
        if new && kept.len() < MOST {
            kept.push(setting);
        }
    }
    kept
}

/// The levels of an axis that beat the baseline in the screening; `None` without any.
fn rank<'a>(ledger: &Ledger<'_>, axis: &'a Axis) -> Option<Ranked<'a>> {
    let part = knob::named(&axis.knob).ok()?.acts_on();
    let mut levels: Vec<(&Level, f64)> = axis
        .levels
        .iter()
        .filter_map(|level| {
            let setting = knob::apply(axis, &ledger.plan.baseline, level)?;
            if setting == ledger.plan.baseline {
                return None;
            }
            let gain = ledger.gain(&setting, |trial| trial.purpose == Purpose::Screen)?;
            Some((level, ledger.turn_gain(&gain, part)?))
        })
        .filter(|(_, gain)| *gain > 0.0)
        .collect();
    levels.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    (!levels.is_empty()).then_some(Ranked { axis, levels })
}

/// The levels next to the best one on its axis.
fn neighbours(ranked: &Ranked<'_>) -> Vec<Level> {
    let levels = &ranked.axis.levels;
    let Some(place) = levels.iter().position(|level| level == ranked.levels[0].0) else {
        return Vec::new();
    };
    let ordered = levels.iter().all(|level| matches!(level, Level::Count(_)));
    let places = [place.checked_sub(1), place.checked_add(1)];
    places
        .into_iter()
        .flatten()
        .filter(|_| ordered)
        .filter_map(|place| levels.get(place).cloned())
        .collect()
}
