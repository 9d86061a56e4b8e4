//! A setting in the words of the tools people run.
//!
//! [`command`] spells it for one of llama.cpp's programs; [`TARGETS`] are the forms that
//! `autotune export` hands over, one file each. What a target cannot express becomes a note that
//! says what it costs. Which setting deserves to be exported is left to `analysis`, checking it on
//! a real server to its user.

mod command;
mod comment;
mod compose;
mod cost;
mod device;
mod document;
mod environment;
mod flags;
mod kubernetes;
mod llama_cpp;
mod llama_swap;
mod lm_studio;
mod ollama;
mod shell;
mod subject;
mod systemd;
mod unsaid;
mod wrapper;
mod yaml;

pub use command::{Command, command, program};
pub use document::Document;
pub use shell::quoted;
pub use subject::{Choice, Subject};

/// Every target, in the order of the help.
pub const TARGETS: &[&dyn Target] = &[
    &llama_cpp::LLAMA_SERVER,
    &llama_cpp::LLAMA_CLI,
    &llama_cpp::LLAMA_BENCH,
    &ollama::Ollama,
    &lm_studio::LmStudio,
    &llama_swap::LlamaSwap,
    &systemd::Systemd,
    &compose::DockerCompose,
    &kubernetes::Kubernetes,
    &environment::Environment,
    &document::Json,
];

/// A form that a setting can be handed over in.
pub trait Target: Sync + std::fmt::Debug {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What is written, one line.
    fn summary(&self) -> &'static str;

    /// What begins a comment in its format; `None` where there are no comments.
    fn comment(&self) -> Option<&'static str> {
        Some("#")
    }

    /// Whether it runs in a folder of its own, so that the model's path has to be absolute.
    fn wants_absolute_path(&self) -> bool {
        false
    }

    /// The setting in this form.
    fn write(&self, subject: &Subject<'_>) -> Written;
}

/// What a target makes of a setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The file without its comments.
    pub body: String,
    /// How it is put to use, one sentence each.
    pub usage: Vec<String>,
    /// What it cannot express, one sentence each.
    pub notes: Vec<String>,
}

/// A file to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The whole file.
    pub text: String,
    /// What the format has no comments for, one sentence each.
    pub remarks: Vec<String>,
}

/// The setting in the form of a target. `extra` are notes about the subject itself.
#[must_use]
pub fn export(target: &dyn Target, subject: &Subject<'_>, extra: &[String]) -> Exported {
    let Written { body, usage, notes } = target.write(subject);
    let notes = notes.iter().chain(extra).map(|note| format!("note: {note}"));
    match target.comment() {
        None => Exported { text: body, remarks: usage.into_iter().chain(notes).collect() },
        Some(mark) => {
            let said = subject.provenance().into_iter().chain(usage).chain(notes);
            let head: String = said.map(|line| comment::lines(mark, &line)).collect();
            Exported { text: head + &body, remarks: Vec::new() }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
