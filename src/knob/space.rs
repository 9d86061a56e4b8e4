//! The search space: the axes of the chosen knobs, one form for settings that are the same run,
//! and everything left out.

use autotune_engine::api::{
    ContextSetting, FlashAttention, KvType, LoadSetting, ProcessSetting, Setting, ThreadSetting,
};

use super::{ALL, Ground, Knob, WrongLevel, named};
use crate::model::{Axis, Level, Rejected};

/// The axes of a search and what was left out of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Space {
    /// Knobs with at least two levels.
    pub axes: Vec<Axis>,
    /// Levels and knobs that are not tried.
    pub rejected: Vec<Rejected>,
}

/// The space of these knobs on this ground.
#[must_use]
pub fn space(knobs: &[&'static dyn Knob], ground: &Ground<'_>) -> Space {
    let mut space = Space::default();
    for knob in knobs {
        let offer = knob.offer(ground);
        space.rejected.extend(offer.rejected);
        if offer.levels.len() >= 2 {
            space.axes.push(Axis {
                knob: knob.name().to_owned(),
                scope: knob.scope(),
                levels: offer.levels,
            });
        }
    }
    space
}

/// The one form of all settings that are the same run: the logical batch holds the physical one,
/// and a quantized V cache has flash attention on.
#[must_use]
pub fn canonical(mut setting: Setting) -> Setting {
    let context = &mut setting.context;
    context.batch = context.batch.max(context.ubatch);
    if needs_flash_attention(context) {
        context.flash_attention = FlashAttention::On;
    }
    setting
}

/// What llama.cpp's programs run when they are told nothing but the threads, the context, the
/// layers on devices and the CPU variant of a setting.
#[must_use]
pub fn plain(setting: &Setting) -> Setting {
    let load = &setting.load;
    Setting {
        process: ProcessSetting {
            isa_variant: setting.process.isa_variant.clone(),
            ..ProcessSetting::default()
        },
        load: LoadSetting { gpu_layers: load.gpu_layers, ..LoadSetting::default() },
        context: ContextSetting { context: setting.context.context, ..ContextSetting::default() },
        threads: ThreadSetting::of(setting.threads.threads),
    }
}

/// The knobs whose level differs between two settings, with both levels.
#[must_use]
pub fn changed(from: &Setting, to: &Setting) -> Vec<(&'static dyn Knob, Level, Level)> {
    let levels = ALL.iter().map(|knob| (*knob, knob.read(from), knob.read(to)));
    levels.filter(|(_, from, to)| from != to).collect()
}

/// Puts a level of a knob into a setting. With another number of sequences each keeps its share of
/// the context, so that whatever fitted into one still does.
pub fn put(knob: &dyn Knob, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
    let before = setting.context.sequences.max(1);
    knob.write(setting, level)?;
    let context = &mut setting.context;
    if context.sequences != before {
        let share = context.context / before;
        context.context = share.saturating_mul(context.sequences);
    }
    Ok(())
}

/// The setting with an axis at one of its levels, in canonical form; `None` for a knob or a level
/// that this program does not know.
#[must_use]
pub fn apply(axis: &Axis, setting: &Setting, level: &Level) -> Option<Setting> {
    let mut setting = setting.clone();
    put(named(&axis.knob).ok()?, &mut setting, level).ok()?;
    Some(canonical(setting))
}

/// Whether a setting needs at least the memory of another one: the same process and load, the
/// same KV types, and nothing smaller. Threads need none.
#[must_use]
pub fn at_least_as_large(setting: &Setting, small: &Setting) -> bool {
    let (own, other) = (&setting.context, &small.context);
    (&setting.process, &setting.load) == (&small.process, &small.load)
        && {
            // All that is not a size must be the same.
            let (context, batch, ubatch) = (other.context, other.batch, other.ubatch);
            let sequences = other.sequences;
            ContextSetting { context, batch, ubatch, sequences, ..own.clone() } == *other
        }
        && own.context >= other.context
        && own.batch >= other.batch
        && own.ubatch >= other.ubatch
        && own.sequences >= other.sequences
}

/// Whether the V cache is of a type that only flash attention can read.
pub(super) fn needs_flash_attention(context: &ContextSetting) -> bool {
    !matches!(context.type_v, KvType::F32 | KvType::F16 | KvType::Bf16)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting, variants};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_knob_with_one_level_is_no_axis_but_a_rejection() {
        let baseline = setting();
        let space = space(ALL, &ground(&baseline, &[]));
        let names: Vec<&str> = space.axes.iter().map(|axis| axis.knob.as_str()).collect();
        for name in ["threads", "threads_batch", "ubatch", "flash_attention", "type_k"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert_eq!(names.len() + alone(&space).len(), ALL.len());
        assert!(space.rejected.iter().any(|it| it.knob == "isa_variant" && it.level.is_none()));
    }

    fn alone(space: &Space) -> Vec<&Rejected> {
        space.rejected.iter().filter(|rejected| rejected.level.is_none()).collect()
    }

    #[test]
    fn the_logical_batch_grows_with_the_physical_one() {
        let mut large = setting();
        large.context.ubatch = 4096;
        assert_eq!(canonical(large).context.batch, 4096);
    }

    #[test]
    fn more_sequences_bring_their_share_of_the_context() {
        let axis = |levels: &[u32]| Axis {
            knob: "sequences".into(),
            scope: crate::model::Scope::Context,
            levels: levels.iter().copied().map(Level::Count).collect(),
        };
        let baseline = setting();
        let eight = apply(&axis(&[1, 8]), &baseline, &Level::Count(8)).unwrap();
        assert_eq!((eight.context.sequences, eight.context.context), (8, 8 * 4096));
        assert!(at_least_as_large(&eight, &baseline) && !at_least_as_large(&baseline, &eight));
        let again = apply(&axis(&[1, 8]), &eight, &Level::Count(8)).unwrap();
        assert_eq!(again, eight);
        assert_eq!(apply(&axis(&[1, 8]), &eight, &Level::Count(1)), Some(baseline));
    }

    proptest! {
        #[test]
        fn no_axis_holds_a_rejected_level(
            physical in 1_u32..200,
            usable in 1_u32..200,
            prompt_slice in 0_u32..5000,
            context in 64_u32..10_000,
        ) {
            let mut baseline = setting();
            baseline.threads.threads = physical;
            baseline.context.context = context;
            let variants = variants();
            let ground = Ground {
                physical_cores: physical,
                usable_threads: usable,
                online_threads: usable + 7,
                prompt_slice,
                ..ground(&baseline, &variants)
            };
            let space = space(ALL, &ground);
            for rejected in &space.rejected {
                let axis = space.axes.iter().find(|axis| axis.knob == rejected.knob);
                match &rejected.level {
                    Some(level) => {
                        prop_assert!(axis.is_none_or(|axis| !axis.levels.contains(level)));
                    }
                    None => prop_assert!(axis.is_none()),
                }
            }
            for axis in &space.axes {
                for level in &axis.levels {
                    let once = apply(axis, &baseline, level).unwrap();
                    prop_assert_eq!(canonical(once.clone()), once);
                }
            }
        }
    }
}
