//! The way from the baseline to the best setting, one knob at a time.

use autotune_engine::api::Setting;

use super::pace::{Paced, Part, log_speeds, pairs};
use crate::knob;
use crate::model::{Axis, Effect, Plan, Purpose};
use crate::stats::paired_change;

/// Each knob that differs, with what it does alone: from blocks of the screening that hold the
/// baseline and the setting that differs in this knob only. Largest step first.
pub(super) fn effects(plan: &Plan, paced: &[Paced<'_>], best: &Setting) -> Vec<Effect> {
    let mut effects: Vec<Effect> = knob::changed(&plan.baseline, best)
        .into_iter()
        .map(|(knob, from, to)| {
            let axis = Axis {
                knob: knob.name().to_owned(),
                scope: knob.scope(),
                levels: vec![from.clone(), to.clone()],
            };
            let alone = knob::apply(&axis, &plan.baseline, &to);
            let pairs = alone.map(|alone| pairs(paced, Purpose::Screen, &plan.baseline, &alone));
            let (ratios, evidence) = log_speeds(&pairs.unwrap_or_default(), Part::Turn);
            let protocol = &plan.protocol;
            let alone = paired_change(&ratios, protocol.confidence, protocol.indifference);
            Effect { knob: axis.knob, from, to, alone, evidence }
        })
        .collect();
    let ratio = |effect: &Effect| effect.alone.map_or(0.0, |change| change.speed_ratio.value);
    effects.sort_by(|a, b| ratio(b).total_cmp(&ratio(a)));
    effects
}
