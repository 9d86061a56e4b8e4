//! The shapes a statistical answer has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value with the interval that covers it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// Point estimate, in the unit that the field's name says.
    pub value: f64,
    /// Lower end of the interval; `None` where there are too few samples for one.
    pub low: Option<f64>,
    /// Upper end of the interval; `None` where there are too few samples for one.
    pub high: Option<f64>,
    /// Two-sided coverage of the interval, for example 0.95.
    pub confidence: f64,
    /// Samples behind it.
    pub n: u32,
}

/// How one setting compares with another, from paired samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Speed of the second over speed of the first: 1.25 is a quarter more tokens per second,
    /// that is, the inverse ratio of their times.
    pub speed_ratio: Estimate,
    /// What may be said.
    pub separation: Separation,
}

/// What an interval for a ratio of speeds allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Separation {
    /// The whole interval is above the zone of indifference.
    Faster,
    /// The whole interval is below it.
    Slower,
    /// Anything else, printed as `~`.
    NotSeparated,
}

impl Separation {
    /// The word for an interval of the logarithm of a ratio of speeds, outside of a zone of
    /// indifference (0.01 = 1 %) that is symmetric in the logarithm.
    pub(super) fn of(log_interval: Option<(f64, f64)>, indifference: f64) -> Self {
        let zone = indifference.ln_1p();
        match log_interval {
            Some((low, _)) if low > zone => Self::Faster,
            Some((_, high)) if high < -zone => Self::Slower,
            _ => Self::NotSeparated,
        }
    }
}
