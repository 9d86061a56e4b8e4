//! Who measured: without it a number cannot be compared with another one.

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::Failure;

/// Signals that a program earns itself; others are sent to it.
const EARNED: [Signal; 7] =
    [Signal::ILL, Signal::TRAP, Signal::ABORT, Signal::BUS, Signal::FPE, Signal::SEGV, Signal::SYS];

/// The engine behind a result. Two results may be compared only when these are equal.
///
/// The llama.cpp commit is left out on purpose: a build from a package registry does not know it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// `"llama.cpp"`, `"sim"` or `"replay"`.
    pub name: String,
    /// Version of llama.cpp as it names itself, for example `0.6.0-dev`.
    pub version: String,
    /// Version of ggml as it names itself, for example `0.26.0`.
    pub ggml_version: String,
    /// Version of the binding crate that pins both.
    pub binding_version: String,
    /// Which thread pool the CPU code was built with.
    pub threading: Threading,
    /// Whether the times come from a simulated machine, or from a record.
    pub synthetic: bool,
}

/// The thread pool that the CPU code was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threading {
    /// ggml's own pool: affinity, poll and priority act on it.
    Ggml,
    /// OpenMP, as most stock builds of llama.cpp have it.
    OpenMp,
}

/// One build variant of the CPU code, and whether it can be used here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariantReport {
    /// ggml's name for it, for example `icelake`.
    pub name: String,
    /// ggml's own preference; 0 means that the processor lacks something it needs.
    pub score: i32,
    /// What trying it showed.
    #[serde(flatten)]
    pub verdict: VariantVerdict,
}

/// What trying a variant showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum VariantVerdict {
    /// The self-test ran and its products were right.
    Usable,
    /// The processor does not announce what the variant needs.
    Unsupported,
    /// Announced, and yet it is not usable.
    Failed {
        /// In what way.
        #[serde(default)]
        fault: VariantFault,
        /// One line: what happened, with the signal where there was one.
        reason: String,
    },
}

/// In what way a variant failed: only the first two are the variant's own doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariantFault {
    /// It died of a signal that a program earns itself, such as SIGILL.
    Crashed,
    /// Its products were wrong.
    WrongProduct,
    /// It hung, was killed from outside, had no memory or could not be started, twice.
    #[default]
    Untested,
}

impl VariantFault {
    /// What a worker that ended so tells of the variant that it ran.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Crashed { signal: Some(signal), .. }
                if EARNED.iter().any(|earned| earned.as_raw() == *signal) =>
            {
                Self::Crashed
            }
            _ => Self::Untested,
        }
    }
}

impl VariantReport {
    /// Whether a sweep may run it.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.verdict == VariantVerdict::Usable
    }
}
