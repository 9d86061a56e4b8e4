//! What costs speed on a machine today: the document of `autotune doctor`.
//!
//! Looking is left to `detect`, judging to `doctor`, printing to `render`.

use serde::{Deserialize, Serialize};

use super::Provenance;
use crate::stats::Change;

/// Everything that was checked and what was found, worst first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Diagnosis {
    /// [`Diagnosis::SCHEMA`].
    pub schema: String,
    /// Version of `autotune`.
    pub tool_version: String,
    /// When it was looked at, RFC 3339 in UTC.
    pub examined_at: String,
    /// Whose facts these are; only a live machine is measured.
    pub provenance: Provenance,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Every check in the order of the list, those that found something too.
    pub checked: Vec<Checked>,
}

impl Diagnosis {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.doctor/1";
}

/// One thing that costs speed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The check that found it, for example `cpu-quota`.
    pub check: String,
    /// One line: what is the matter.
    pub what: String,
    /// What shows it.
    pub evidence: Vec<Evidence>,
    /// What it costs.
    pub cost: Cost,
    /// What to do: commands as they are typed, or one sentence where no command does it.
    pub remedy: Vec<String>,
    /// Whether the remedy needs root.
    pub needs_root: bool,
}

/// One observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// A file, a fact's path in the machine document, or a measurement.
    pub source: String,
    /// What it says.
    pub value: String,
}

/// What a finding costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cost {
    /// Tried here, in interleaved pairs.
    Measured {
        /// What was run, one line.
        trial: String,
        /// Tokens per second as it is.
        before_tok_per_s: f64,
        /// Tokens per second with the remedy.
        after_tok_per_s: f64,
        /// Speed with the remedy over speed as it is.
        change: Change,
    },
    /// What others measured elsewhere.
    Published {
        /// For example `0.27 instead of 12.07 tokens/s`.
        figure: String,
        /// How many times faster it was without the fault, where the source tells.
        factor: Option<f64>,
        /// Address of the source.
        source: String,
    },
    /// Nobody measured it here, and no public figure is known.
    Unknown,
}

/// One check and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The check, for example `cpu-quota`.
    pub check: String,
    /// What it looks at, one line.
    pub title: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: CheckOutcome,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum CheckOutcome {
    /// Nothing is the matter.
    Fine,
    /// It is among the findings.
    Found,
    /// It has no meaning on this machine, for example cards where there are none.
    NotApplicable {
        /// One line.
        reason: String,
    },
    /// What it needs could not be seen.
    Unseen {
        /// One line.
        reason: String,
    },
}

impl Cost {
    /// How many times faster it gets without the fault, as far as anybody knows: what findings
    /// are ordered by.
    #[must_use]
    pub fn factor(&self) -> Option<f64> {
        match self {
            Self::Measured { change, .. } => Some(change.speed_ratio.value),
            Self::Published { factor, .. } => *factor,
            Self::Unknown => None,
        }
    }
}
