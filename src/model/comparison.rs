//! Two runs side by side: two machines, two models, before and after.

use serde::{Deserialize, Serialize};

use super::{Candidate, Level};
use crate::stats::Change;

/// What two runs have in common and what not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`Comparison::SCHEMA`].
    pub schema: String,
    /// The first run.
    pub first: ComparedRun,
    /// The second run.
    pub second: ComparedRun,
    /// What else than the setting differs between the two, one entry each; empty where only time
    /// passed.
    pub differs: Vec<Difference>,
    /// Why speeds of whole turns cannot be held against each other; `None` where they can.
    pub not_comparable: Option<String>,
    /// Speed of whole turns, second over first; `None` where it was not measured or means nothing.
    pub turn: Option<Change>,
    /// Speed of prompts.
    pub prefill: Option<Change>,
    /// Speed of generation.
    pub decode: Option<Change>,
    /// Knobs that the recommended settings differ in.
    pub settings: Vec<SettingDifference>,
}

impl Comparison {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.comparison/1";
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedRun {
    /// When it was planned, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it.
    pub command: String,
    /// The setting that it recommends: the best where that was proven, else the default.
    pub recommended: Candidate,
    /// Whether that is the tuned one.
    pub tuned: bool,
    /// What tuning gave over this run's own default, in interleaved pairs; `None` where no gain was
    /// proven.
    pub gain: Option<Change>,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// What.
    pub what: String,
    /// In the first run.
    pub first: String,
    /// In the second run.
    pub second: String,
}

/// A knob with two levels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingDifference {
    /// Its name.
    pub knob: String,
    /// Its level in the first run.
    pub first: Level,
    /// Its level in the second run.
    pub second: Level,
}
