//! The flags of a setting, in one order for every program.

use autotune_engine::api::Setting;

use crate::knob::{self, Knob, Tool};

/// The servers whose devices take layers, the flags that differ from the program's defaults, and those of the `tuned` knobs.
pub(super) fn of(tool: Tool, setting: &Setting, tuned: &[&str]) -> Vec<String> {
    let servers = &setting.process.rpc;
    let rpc = (tool != Tool::Ollama && !servers.is_empty())
        .then(|| ["--rpc".to_owned(), servers.join(",")]);
    let knobs =
        written(tool, setting, tuned).flat_map(|knob| knob.spell(tool, &knob.read(setting)));
    // A device of theirs can only be named once they are.
    rpc.into_iter().flatten().chain(knobs).collect()
}

/// The knobs that a command has to say something of.
pub(super) fn written<'a>(
    tool: Tool,
    setting: &'a Setting,
    tuned: &'a [&'a str],
) -> impl Iterator<Item = &'static dyn Knob> + 'a {
    let plain = knob::plain(setting);
    knob::ALL.iter().copied().filter(move |knob| match knob.name() {
        // Their defaults depend on the machine, or on the memory that is free at the time.
        "threads" | "context" | "gpu_layers" => true,
        // Left alone, llama-server makes four slots that share one cache.
        "sequences" if tool == Tool::LlamaServer => true,
        name => tuned.contains(&name) || knob.read(setting) != knob.read(&plain),
    })
}

/// Whether a word of a command begins a new flag (a negative number does not).
pub(super) fn is_flag(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
}
