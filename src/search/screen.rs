//! Screening: every level of every knob once per round, the other knobs at the baseline.

use super::Ask;
use super::ledger::{Ledger, star};
use super::order::walk;
use crate::model::{Plan, Purpose};
use autotune_engine::api::Setting;

/// Settings that share one visit to the baseline.
pub(super) const SETTINGS_PER_BLOCK: usize = 4;
/// A setting that loses so much in its first round (logarithm of the turn's time: nearly three
/// times as slow) is not asked for again. The others are, although most of them cannot win: their
/// levels are points of a curve that people look at.
const HOPELESS: f64 = -1.0;

/// Blocks of one round.
pub(super) fn blocks_per_round(plan: &Plan) -> u32 {
    u32::try_from(star(plan).len().div_ceil(SETTINGS_PER_BLOCK)).unwrap_or(u32::MAX)
}

/// The asks of all rounds, in order.
pub(super) fn asks(ledger: &Ledger<'_>) -> Vec<Ask> {
    let plan = ledger.plan;
    let star = star(plan);
    let mut asks = Vec::new();
    for round in 0..plan.protocol.screen_blocks {
        let first_block = round * blocks_per_round(plan);
        let kept = |setting: &&Setting| {
            round == 0 || {
                let earlier = ledger.gain(setting, |trial| {
                    trial.purpose == Purpose::Screen && trial.block < first_block
                });
                let turn = earlier.and_then(|gain| ledger.turn_gain(&gain, ledger.part(setting)));
                match turn {
                    Some(turn) => turn > HOPELESS,
                    None => ledger.accidents(setting, first_block) > 0,
                }
            }
        };
        let settings = star.iter().filter(kept).cloned().collect();
        asks.extend(in_blocks(plan, Purpose::Screen, first_block, settings));
    }
    asks
}

/// The settings in blocks, each with a visit to the baseline; a block begins with what the one
/// before left loaded.
pub(super) fn in_blocks(
    plan: &Plan,
    purpose: Purpose,
    first_block: u32,
    settings: Vec<Setting>,
) -> Vec<Ask> {
    let settings = walk(plan, purpose, first_block, &plan.baseline, settings);
    let mut loaded = plan.baseline.clone();
    let mut asks = Vec::new();
    for (block, members) in (first_block..).zip(settings.chunks(SETTINGS_PER_BLOCK)) {
        let mut members = members.to_vec();
        members.push(plan.baseline.clone());
        for setting in walk(plan, purpose, block, &loaded, members) {
            loaded.clone_from(&setting);
            asks.push(Ask { purpose, block, setting });
        }
    }
    asks
}
