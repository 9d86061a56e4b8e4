//! What a program has no word for, and what of it something around the program can say.

use autotune_engine::api::{HugePages, Setting, Toggle};

use super::flags;
use crate::knob::{self, Knob, Tool};
use crate::model::Level;

/// Knobs off llama.cpp's default that a program has no word for. What [`special`] tells is not
/// among them.
pub(super) fn unsaid(
    tool: Tool,
    setting: &Setting,
    tuned: &[&str],
) -> Vec<(&'static dyn Knob, Level)> {
    let plain = knob::plain(setting);
    let told =
        |name: &str| name == "isa_variant" || (name == "threads_batch" && tool == Tool::LlamaBench);
    flags::written(tool, setting, tuned)
        .map(|knob| (knob, knob.read(setting)))
        .filter(|(knob, level)| *level != knob.read(&plain))
        .filter(|(knob, level)| knob.spell(tool, level).is_empty() && !told(knob.name()))
        .collect()
}

/// Whether a variable or a program in front of it gives a process this knob's level.
pub(super) fn is_wrapped(knob: &str, setting: &Setting) -> bool {
    match knob {
        // No program in front can turn huge pages off.
        "huge_pages" => setting.process.huge_pages == HugePages::On,
        "memory_policy" | "malloc_arenas" | "tiled_products" | "graph_reuse" | "nice" => true,
        _ => false,
    }
}

/// What needs a sentence of its own, because it is no matter of one flag.
pub(super) fn special(tool: Tool, setting: &Setting, tuned: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    if tuned.contains(&knob::IsaVariantKnob.name()) {
        notes.extend(variant(tool, setting));
    }
    let threads = &setting.threads;
    if tool == Tool::LlamaBench && threads.threads != threads.threads_batch {
        notes.push(format!(
            "llama-bench has one thread count for prompt and generation; the setting uses {} for \
             prompts and {} for generation",
            threads.threads_batch, threads.threads
        ));
    }
    if threads.strict == Toggle::On && threads.cpu_mask.is_none() {
        notes.push("strict placement has no effect without a CPU mask".into());
    }
    notes
}

/// The CPU variant that was measured; no program can be told which to load.
pub(super) fn variant(tool: Tool, setting: &Setting) -> Option<String> {
    let variant = setting.process.isa_variant.as_ref()?;
    Some(format!(
        "measured with the CPU variant `{variant}`; no flag of {} selects it: a build with \
         dynamic CPU modules loads the one it scores best, so keep only `libggml-cpu-{variant}` \
         beside the program to force it",
        super::program(tool)
    ))
}
