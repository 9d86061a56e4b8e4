//! The way from the baseline to the best setting, one knob at a time.

use autotune_engine::api::Setting;

use super::pace::{Paced, Part, log_speeds, pairs};
use crate::knob;
use crate::model::{Axis, Effect, Plan, Purpose};
use crate::stats::{Change, paired_change};

/// Pairs below which the interval of a step says nothing.
const LEAST: usize = 3;

/// Each knob that differs: what it does alone, what is lost without it, and what it and those
/// before it do together; from the blocks of the ablation. The largest step alone comes first.
///
/// Where only one knob differs, the confirmation is its measurement.
pub(super) fn effects(plan: &Plan, paced: &[Paced<'_>], best: &Setting) -> Vec<Effect> {
    let changed = knob::changed(&plan.baseline, best);
    let single = changed.len() == 1;
    let purpose = if single { Purpose::Confirm } else { Purpose::Ablation };
    let measured = |from: &Setting, to: &Setting| measured(plan, paced, purpose, from, to);
    let mut steps: Vec<(Axis, Effect)> = changed
        .into_iter()
        .map(|(knob, from, to)| {
            let axis = Axis {
                knob: knob.name().to_owned(),
                scope: knob.scope(),
                levels: vec![from.clone(), to.clone()],
            };
            let alone = knob::apply(&axis, &plan.baseline, &to);
            let without = knob::apply(&axis, best, &from).filter(|_| !single);
            let alone = alone.map(|it| measured(&plan.baseline, &it)).unwrap_or_default();
            let without = without.map(|it| measured(&it, best)).unwrap_or_default();
            let mut evidence = [alone.1, without.1].concat();
            evidence.sort_unstable();
            evidence.dedup();
            let effect = Effect {
                knob: axis.knob.clone(),
                from,
                to,
                alone: alone.0,
                withdrawn: without.0,
                cumulative: None,
                evidence,
            };
            (axis, effect)
        })
        .collect();
    let ratio = |effect: &Effect| effect.alone.map_or(0.0, |change| change.speed_ratio.value);
    steps.sort_by(|a, b| ratio(&b.1).total_cmp(&ratio(&a.1)));
    // The way that was walked: the settings of its blocks are those that were visited last.
    let last_block = |setting: &Setting| {
        let own = |one: &&Paced<'_>| one.trial.purpose == purpose && one.trial.asked == *setting;
        paced.iter().filter(own).map(|one| one.trial.block).max()
    };
    let mut here = plan.baseline.clone();
    for place in 0..steps.len() {
        let next = |(axis, _): &(Axis, Effect)| knob::apply(axis, &here, &axis.levels[1]);
        let walked = |step: &(Axis, Effect)| next(step).and_then(|setting| last_block(&setting));
        // Of equals the first one, which does most alone.
        let chosen =
            (place..steps.len()).rev().max_by_key(|it| walked(&steps[*it])).unwrap_or(place);
        steps[place..=chosen].rotate_right(1);
        let Some(next) = next(&steps[place]) else { continue };
        here = next;
        let effect = &mut steps[place].1;
        let (cumulative, evidence) = measured(&plan.baseline, &here);
        effect.cumulative = cumulative;
        effect.evidence.extend(evidence);
        effect.evidence.sort_unstable();
        effect.evidence.dedup();
    }
    steps.into_iter().map(|(_, effect)| effect).collect()
}

/// How much faster one setting is than another, from the blocks that hold both.
fn measured(
    plan: &Plan,
    paced: &[Paced<'_>],
    purpose: Purpose,
    from: &Setting,
    to: &Setting,
) -> (Option<Change>, Vec<u32>) {
    let pairs = pairs(paced, purpose, from, to);
    let (ratios, evidence) = log_speeds(&pairs, Part::Turn);
    if ratios.len() < LEAST {
        return (None, evidence);
    }
    let protocol = &plan.protocol;
    (paired_change(&ratios, protocol.confidence, protocol.indifference), evidence)
}
