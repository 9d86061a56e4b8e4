//! Numbers by name.

use serde::{Deserialize, Serialize};

/// A number of a setting that reports and workloads speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Prompt tokens per second.
    Prefill,
    /// Generated tokens per second, of all sequences.
    Decode,
    /// Seconds of a turn.
    Turn,
    /// Seconds until the first token.
    Ttft,
    /// Seconds between two tokens of a sequence.
    Itl,
    /// Largest resident set.
    Memory,
}

impl Figure {
    /// Its word in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Prefill => "prefill",
            Self::Decode => "decode",
            Self::Turn => "turn",
            Self::Ttft => "ttft",
            Self::Itl => "itl",
            Self::Memory => "memory",
        }
    }
}
