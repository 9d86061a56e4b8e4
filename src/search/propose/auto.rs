//! The tool's own strategy: a few looks spread over the space, then where the surrogates promise
//! most per second.

use autotune_engine::api::{GpuLayers, Setting};
use rand::seq::IndexedRandom;

use super::super::acquisition::{Map, prior};
use super::super::cost::Cost;
use super::super::field::{Field, Point};
use super::super::ledger::Ledger;
use super::{chance, seen};
use crate::knob;
use crate::model::Phase;

/// Looks before the surrogates are asked: so many, and one more for every so many axes.
const SPREAD: [usize; 2] = [2, 2];
/// Random points of which the one farthest from all looks is taken.
const DRAWS: usize = 40;
/// Of those, what the peaks let expect to take more than so many times the baseline's time is left
/// to the surrogates: one such look costs as much as several others.
const DEAR: f64 = 2.5;
/// The search is over when no look promises more than this share of a turn, ...
const WORTHWHILE: f64 = 0.001;
/// ... after so many looks per axis, ...
const LOOKS_PER_AXIS: usize = 5;
/// ... and when the last so many made nothing better.
const PATIENCE: usize = 6;

pub(super) fn propose(ledger: &Ledger<'_>, field: &Field<'_>, cost: &Cost) -> Option<Setting> {
    let looks = ledger.seen().len();
    let spread = SPREAD[0] + field.dimensions().div_ceil(SPREAD[1]);
    if let Some(setting) = without_experts(ledger, field) {
        return Some(setting);
    }
    if looks < spread
        && let Some(setting) = spread_out(ledger, field, cost)
    {
        return Some(setting);
    }
    let map = Map::new(ledger, field)?;
    if is_at_the_roof(ledger, &map) {
        return None;
    }
    let Some(promise) = map.best_look(cost, &mut chance(ledger, 2)) else {
        return map.beside_the_best();
    };
    let enough = looks >= (LOOKS_PER_AXIS * field.dimensions()).min(field.size() / 2);
    let over = promise.improvement < WORTHWHILE && enough && is_settled(ledger);
    if over { map.beside_the_best() } else { Some(promise.setting) }
}

/// The layout that mixtures of experts larger than a card are mostly fastest with, which no single
/// change of the baseline leads to: all layers on the card, as few experts left behind as fit.
/// `None` once one of them ran.
fn without_experts(ledger: &Ledger<'_>, field: &Field<'_>) -> Option<Setting> {
    let ran = |setting: &&Setting| {
        setting.load.gpu_layers == GpuLayers::All && setting.load.cpu_experts > 0
    };
    if ledger.seen().iter().copied().any(|setting| ran(&setting)) {
        return None;
    }
    let experts = ledger.plan.axes.iter().find(|axis| axis.knob == "cpu_experts")?;
    experts.levels.iter().find_map(|level| {
        let mut setting = knob::apply(experts, &ledger.plan.baseline, level)?;
        setting.load.gpu_layers = GpuLayers::All;
        let point = field.point(&setting)?;
        let setting = field.setting(&point)?;
        (ran(&&setting) && ledger.may_run(&setting)).then_some(setting)
    })
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
    let baseline: Vec<Point> = field.point(&ledger.plan.baseline).into_iter().collect();
    let pool = field.pool(&baseline, &mut chance);
    let mut drawn: Vec<(bool, usize, Setting)> = pool
        .sample(&mut chance, DRAWS)
        .filter_map(|point| {
            let setting = field.setting(point).filter(|setting| ledger.may_run(setting))?;
            if foreseen(ledger, &setting) > DEAR {
                return None;
            }
            Some((cost.is_loaded(&setting), distance(point), setting))
        })
        .filter(|(_, distance, _)| *distance > 0)
        .collect();
    drawn.sort_by_key(|(loaded, distance, _)| std::cmp::Reverse((*loaded, *distance)));
    drawn.into_iter().next().map(|(_, _, setting)| setting)
}

/// What the peaks let expect of a turn's cost, in units of the baseline's.
fn foreseen(ledger: &Ledger<'_>, setting: &Setting) -> f64 {
    let Some(shares) = ledger.shares() else { return 1.0 };
    let phases = [Phase::Prefill, Phase::Decode].into_iter().zip(shares);
    phases.map(|(phase, share)| share * prior(ledger.plan, setting, phase).exp()).sum()
}

/// Whether not even generation at the memory's whole bandwidth would make a turn much cheaper than
/// the best seen. Prompts have no such roof: whoever must process one finds no end here.
fn is_at_the_roof(ledger: &Ledger<'_>, map: &Map<'_, '_, '_>) -> bool {
    let roof = ledger.plan.prior.as_ref().and_then(|prior| prior.decode_roof_tok_per_s);
    let pace = ledger.baseline_pace().and_then(|pace| pace.decode);
    let (Some(roof), Some(pace), Some(shares)) = (roof, pace, ledger.shares()) else {
        return false;
    };
    // Whoever is faster than the roof shows that it is none.
    let least = shares[1] / (roof * pace.exp());
    let best = map.standing().first().map_or(1.0, |(_, cost)| *cost).min(1.0);
    best >= least && best <= least * (1.0 + ledger.plan.protocol.certify_within)
}

/// Whether the last looks made nothing better.
fn is_settled(ledger: &Ledger<'_>) -> bool {
    let order = ledger.seen();
    let ranked = seen(ledger);
    let Some((best, _)) = ranked.first() else { return true };
    order.iter().rev().take(PATIENCE).all(|setting| *setting != best)
}
