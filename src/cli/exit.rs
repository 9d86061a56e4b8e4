//! Exit codes, and what stops a verb.

use std::error::Error;
use std::process::ExitCode;

use crate::store::StoreError;

/// How the program ends. The numbers are part of the contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The gate found a regression, or a cell is missing.
    Regression = 1,
    /// Wrong usage, or input that cannot be read.
    Usage = 2,
    /// The gate could not compare, or not decide where that has to stop a build.
    Inconclusive = 3,
    /// The measured program crashed, or nothing could be measured.
    NothingMeasured = 4,
    /// Any other failure: a full disk, a missing permission.
    Failure = 5,
    /// Interrupted, state saved.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What stops a verb: one line that names the thing, perhaps a hint, and the exit code.
#[derive(Debug)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// One line, causes joined by `: `.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Stop {
    /// A mistake in what was typed or in a file that was named.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into(), hint: None }
    }

    /// An interruption by the user.
    #[must_use]
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, message: message.into(), hint: None }
    }

    /// An error and its causes in one line.
    #[must_use]
    pub fn from_error(exit: Exit, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self { exit, message, hint: None }
    }

    /// A document that cannot be read or written, with what helps.
    #[must_use]
    pub fn from_store(error: &StoreError) -> Self {
        let exit = match error {
            StoreError::Write { .. } => Exit::Failure,
            _ => Exit::Usage,
        };
        Self { hint: error.hint(), ..Self::from_error(exit, error) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
