//! llama.cpp's own programs, as a command for a POSIX shell.

use super::command::{grouped, program};
use super::wrapper::{self, Wrapper};
use super::{Subject, Target, Written, quoted};
use crate::knob::Tool;

/// One of llama.cpp's programs.
#[derive(Debug)]
pub(super) struct Program {
    tool: Tool,
    summary: &'static str,
}

/// The HTTP server.
pub(super) static LLAMA_SERVER: Program =
    Program { tool: Tool::LlamaServer, summary: "a shell command" };
/// The chat in a terminal.
pub(super) static LLAMA_CLI: Program = Program { tool: Tool::LlamaCli, summary: "a shell command" };
/// The benchmark.
pub(super) static LLAMA_BENCH: Program =
    Program { tool: Tool::LlamaBench, summary: "a shell command, to compare by hand" };

impl Target for Program {
    fn name(&self) -> &'static str {
        program(self.tool)
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let setting = subject.setting();
        let mut notes = subject.notes(self.tool);
        notes.extend(wrapper::privileges(setting));
        if self.tool == Tool::LlamaBench && subject.model.contains(',') {
            notes.push(
                "llama-bench takes a comma for the next model; link the file under a name without \
                 one and give that with --model-path"
                    .to_owned(),
            );
        }
        let mut first = Wrapper::of(setting).words();
        first.push(program(self.tool).to_owned());
        let arguments = subject.arguments(self.tool, subject.model);
        let lines: Vec<String> =
            std::iter::once(first.as_slice()).chain(grouped(&arguments)).map(line).collect();
        Written { body: lines.join(" \\\n  ") + "\n", usage: Vec::new(), notes }
    }
}

/// Words on one line of a shell.
fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}
