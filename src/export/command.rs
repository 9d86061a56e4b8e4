//! A setting as the command line of one of llama.cpp's programs.
//!
//! Flags are spelled as llama.cpp's `common/arg.cpp` and llama-bench's help of 2026 spell them
//! (the copy inside the pinned binding). A flag appears when it differs from that program's own
//! default or when its knob was tuned; what no flag can say becomes a note.

use std::path::Path;

use autotune_engine::api::Setting;

use super::wrapper::Wrapper;
use super::{flags, quoted, unsaid};
use crate::knob::Tool;
use crate::model::Workload;

/// A command that can be pasted into a POSIX shell, and what it cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments, unquoted.
    pub words: Vec<String>,
    /// What the program's flags cannot express, one sentence each.
    pub notes: Vec<String>,
}

impl Command {
    /// One line, quoted for a POSIX shell.
    #[must_use]
    pub fn line(&self) -> String {
        self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// One flag per line, quoted and continued with backslashes.
    #[must_use]
    pub fn lines(&self) -> String {
        self.flags().join(" \\\n  ")
    }

    /// The program, then each flag with its values, quoted for a POSIX shell.
    fn flags(&self) -> Vec<String> {
        grouped(&self.words)
            .map(|group| group.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
            .collect()
    }
}

/// The words of a command, a flag with its values at a time. The program comes first.
pub(super) fn grouped(words: &[String]) -> impl Iterator<Item = &[String]> {
    words.chunk_by(|_, next| !flags::is_flag(next))
}

/// The command that runs `model` under `setting`.
///
/// `tuned` names the knobs that were searched: their flags are written even at the default level,
/// so that a later llama.cpp with other defaults still runs what was measured.
#[must_use]
pub fn command(
    tool: Tool,
    setting: &Setting,
    model: &Path,
    workload: &Workload,
    tuned: &[&str],
) -> Command {
    let mut words = vec![program(tool).to_owned()];
    words.extend(arguments(tool, setting, &model.to_string_lossy(), workload, tuned));
    Command { words, notes: notes(tool, setting, tuned) }
}

/// What follows the program.
pub(super) fn arguments(
    tool: Tool,
    setting: &Setting,
    model: &str,
    workload: &Workload,
    tuned: &[&str],
) -> Vec<String> {
    let mut words = vec!["--model".to_owned(), file_argument(model)];
    words.extend(flags::of(tool, setting, tuned));
    if tool == Tool::LlamaBench {
        let counts = [
            ("--n-prompt", workload.prompt_tokens),
            ("--n-gen", workload.generate_tokens),
            ("--n-depth", workload.depth),
        ];
        for (flag, count) in counts.into_iter().filter(|(flag, n)| *n > 0 || *flag != "--n-depth") {
            words.extend([flag.to_owned(), count.to_string()]);
        }
    }
    words
}

/// The program's name.
#[must_use]
pub fn program(tool: Tool) -> &'static str {
    match tool {
        Tool::LlamaServer => "llama-server",
        Tool::LlamaCli => "llama-cli",
        Tool::LlamaBench => "llama-bench",
        Tool::Ollama => "ollama",
    }
}

/// A file name that no program takes for a flag.
fn file_argument(path: &str) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path.to_owned() }
}

/// What the flags cannot express: what stands in, where something does.
fn notes(tool: Tool, setting: &Setting, tuned: &[&str]) -> Vec<String> {
    let program = program(tool);
    let mut notes = unsaid::special(tool, setting, tuned);
    let wrapper = Wrapper::of(setting);
    notes.extend(unsaid::unsaid(tool, setting, tuned).iter().filter_map(|(knob, level)| {
        match knob.name() {
            "nice" => Some(format!("run it under `nice -n {level}`")),
            "memory_policy" => Some(format!("run it under numactl: the memory policy is {level}")),
            name if unsaid::is_wrapped(name, setting) => None,
            name => Some(format!("{program} has no flag for `{name}`, which is {level}")),
        }
    }));
    let variables = wrapper.environment.iter();
    notes.extend(variables.map(|(name, value)| format!("run it with {name}={value} set")));
    notes
}
