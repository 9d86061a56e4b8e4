//! What a user asked of single knobs: a level for good, or other levels than a knob would offer.

use autotune_engine::api::Setting;

use super::{Here, Wish};
use crate::knob::{Ground, Knob, Space, canonical, put, space};
use crate::model::{Axis, Bounds, Level, Objective, Rejected};

/// A setting with knobs at the levels that they are to keep.
///
/// The baseline has them too: who fixes a knob says how the model will be run, and a default that
/// nobody would run is no control. What the search gains is then its own.
#[must_use]
pub fn fixed(mut setting: Setting, levels: &[(&'static dyn Knob, Level)]) -> Setting {
    // A context that was asked for is the whole one, however many sequences share it.
    let context = |knob: &dyn Knob| knob.name() == "context";
    let (last, first): (Vec<_>, Vec<_>) = levels.iter().partition(|(knob, _)| context(*knob));
    for (knob, level) in first.into_iter().chain(last) {
        // Levels are checked where they are typed; one that does not fit changes nothing.
        let _ = put(*knob, &mut setting, level);
    }
    canonical(setting)
}

/// A machine with no more memory than a workload may have.
#[must_use]
pub fn within(mut here: Here, limits: &Bounds) -> Here {
    if let Some(limit) = limits.memory {
        here.available_memory = Some(here.available_memory.map_or(limit, |had| had.min(limit)));
    }
    here
}

/// What of the workload is asked for, but cannot be had by measuring time.
fn unmeasured(wish: &Wish<'_>) -> Vec<String> {
    let workload = &wish.workload;
    let mut notes = Vec::new();
    if workload.objective == Objective::Energy {
        notes.push(format!(
            "`{}` asks for little energy, but no counter of energy is read during a visit: the \
             time of a turn stands for it, which is not the same where a faster setting draws \
             more power",
            workload.name
        ));
    }
    let changing = wish.knobs.iter().any(|knob| knob.changes_output());
    if workload.limits.max_kl_divergence.is_some() && changing {
        notes.push(
            "the limit on the divergence of answers is not checked by a sweep, although a knob \
             that may change answers is turned"
                .to_owned(),
        );
    }
    notes
}

/// What the plan says of it, one sentence each.
pub(super) fn notes(wish: &Wish<'_>) -> Vec<String> {
    let fixed = wish.fixed.iter().map(|(knob, level)| {
        let name = knob.name();
        format!("`{name}` is fixed at {level} in every setting, the default included")
    });
    let turned = wish.knobs.iter().filter(|knob| knob.changes_output());
    let output = turned.map(|knob| {
        format!("`{}` was asked for: answers of the model may change with it", knob.name())
    });
    fixed.chain(output).chain(unmeasured(wish)).collect()
}

/// The space of the knobs that are left to turn, with the levels that were asked for.
pub(super) fn asked(wish: &Wish<'_>, ground: &Ground<'_>) -> Space {
    let is_fixed = |name: &str| wish.fixed.iter().any(|(knob, _)| knob.name() == name);
    let listed = |name: &str| wish.levels.iter().any(|(knob, _)| knob.name() == name);
    let own: Vec<&'static dyn Knob> = wish
        .knobs
        .iter()
        .copied()
        .filter(|knob| !is_fixed(knob.name()) && !listed(knob.name()))
        .collect();
    let mut space = space(&own, ground);
    for (knob, level) in &wish.fixed {
        let reason = format!("fixed at {level}");
        space.rejected.push(Rejected { knob: knob.name().into(), level: None, reason });
    }
    for (knob, asked) in wish.levels.iter().filter(|(knob, _)| !is_fixed(knob.name())) {
        let mut levels = vec![knob.read(ground.baseline)];
        levels.extend(asked.iter().cloned());
        let mut seen = Vec::new();
        levels.retain(|level| {
            !seen.contains(level) && {
                seen.push(level.clone());
                true
            }
        });
        if levels.len() < 2 {
            let reason = "the only level that was asked for is the default's".to_owned();
            space.rejected.push(Rejected { knob: knob.name().into(), level: None, reason });
        } else {
            space.axes.push(Axis { knob: knob.name().into(), scope: knob.scope(), levels });
        }
    }
    space
}

#[cfg(test)]
mod tests {
    use super::super::plan;
    use autotune_engine::api::Bytes;

    use super::super::tests::{card, here, wish};
    use super::*;
    use crate::knob::named;

    #[test]
    fn a_fixed_knob_is_fixed_in_the_baseline_too_and_no_axis() {
        let card = card();
        let mut wish = wish(&card);
        wish.fixed = vec![(named("type_v").unwrap(), Level::Word("q8_0".into()))];
        wish.fixed.push((named("ubatch").unwrap(), Level::Count(256)));
        let plan = plan(wish);
        assert_eq!(plan.baseline.context.ubatch, 256);
        assert_eq!(plan.baseline.context.flash_attention.word(), "on", "a quantized V needs it");
        assert!(plan.axes.iter().all(|axis| axis.knob != "ubatch"));
        assert!(plan.rejected.iter().any(|it| it.knob == "ubatch" && it.reason.contains("256")));
        assert!(plan.baseline_notes.iter().any(|note| note.contains("`type_v` is fixed at q8_0")));
    }

    #[test]
    fn asked_levels_stand_beside_the_defaults_own() {
        let card = card();
        let mut wish = wish(&card);
        let levels = vec![Level::Count(32), Level::Count(512), Level::Count(32)];
        wish.levels = vec![(named("ubatch").unwrap(), levels)];
        wish.knobs = vec![named("ubatch").unwrap(), named("type_k").unwrap()];
        let plan = plan(wish);
        let ubatch = plan.axes.iter().find(|axis| axis.knob == "ubatch").unwrap();
        assert_eq!(ubatch.levels, [512, 32].map(Level::Count));
        assert!(plan.baseline_notes.iter().any(|note| note.contains("answers of the model")));
    }

    #[test]
    fn a_workload_bounds_the_memory_and_tells_what_is_not_measured() {
        let limits = Bounds { memory: Some(Bytes(1 << 30)), ..Bounds::default() };
        assert_eq!(within(here(), &limits).available_memory, Some(Bytes(1 << 30)));
        assert_eq!(within(here(), &Bounds::default()), here());
        let unknown = Here { available_memory: None, ..here() };
        assert_eq!(within(unknown, &limits).available_memory, Some(Bytes(1 << 30)));

        let card = card();
        let mut wish = wish(&card);
        assert!(notes(&wish).is_empty());
        wish.workload.objective = Objective::Energy;
        wish.workload.limits.max_kl_divergence = Some(0.01);
        assert_eq!(notes(&wish).len(), 1, "no knob here changes answers");
        wish.knobs.push(named("type_k").unwrap());
        let notes = notes(&wish).join("; ");
        assert!(notes.contains("no counter of energy") && notes.contains("divergence"), "{notes}");
    }
}
