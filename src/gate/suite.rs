//! What is measured: models, and of each the quantities that become cells.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::model::{Better, GateClass, Weight};

/// Tokens that one test may ask for: beyond every context, below every overflow.
const MOST_TOKENS: u32 = 1 << 24;

/// A quantity of a model, as it is typed: `pp512`, `tg128@d4096`, `ttft512`, `load`, `memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// Time per token of a prompt of so many, after so many in the KV cache.
    Prefill {
        /// Prompt tokens.
        tokens: u32,
        /// Tokens in the KV cache beforehand.
        depth: u32,
    },
    /// Time per generated token.
    Decode {
        /// Generated tokens.
        tokens: u32,
        /// Tokens in the KV cache beforehand.
        depth: u32,
    },
    /// Time from a prompt of so many tokens to the first token of the answer.
    FirstToken {
        /// Prompt tokens.
        tokens: u32,
        /// Tokens in the KV cache beforehand.
        depth: u32,
    },
    /// Time to load the model, its file in the page cache.
    Load,
    /// Largest resident set of the process.
    Memory,
}

impl Quantity {
    /// The key of its limit: `pp`, `tg`, `ttft`, `load`, `memory`.
    #[must_use]
    pub fn metric(self) -> &'static str {
        match self {
            Self::Prefill { .. } => "pp",
            Self::Decode { .. } => "tg",
            Self::FirstToken { .. } => "ttft",
            Self::Load => "load",
            Self::Memory => "memory",
        }
    }

    /// The unit it is reported in.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Prefill { .. } | Self::Decode { .. } => "tok/s",
            Self::FirstToken { .. } | Self::Load => "s",
            Self::Memory => "bytes",
        }
    }

    /// Whether more of its unit is better.
    #[must_use]
    pub fn better(self) -> Better {
        match self {
            Self::Prefill { .. } | Self::Decode { .. } => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// Times, or bytes.
    #[must_use]
    pub fn class(self) -> GateClass {
        if self == Self::Memory { GateClass::Memory } else { GateClass::Timing }
    }

    /// A cost (seconds per token, seconds, bytes) in the unit that is reported.
    #[must_use]
    pub fn shown(self, cost: f64) -> f64 {
        if self.better() == Better::Higher { 1.0 / cost } else { cost }
    }

    /// Prompt tokens, generated tokens and depth of the work that shows it; `None` for what every
    /// work shows.
    #[must_use]
    pub fn work(self) -> Option<(u32, u32, u32)> {
        match self {
            Self::Prefill { tokens, depth } => Some((tokens, 0, depth)),
            Self::Decode { tokens, depth } => Some((0, tokens, depth)),
            Self::FirstToken { tokens, depth } => Some((tokens, 1, depth)),
            Self::Load | Self::Memory => None,
        }
    }

    /// The slowdown that is allowed unless another limit is asked for: what a change of code may
    /// cost without anybody noticing, and what a quiet machine can tell from noise.
    #[must_use]
    pub fn usual_limit(self) -> f64 {
        match self {
            Self::Decode { .. } => 0.02,
            Self::Prefill { .. } | Self::Memory => 0.03,
            Self::FirstToken { .. } => 0.05,
            Self::Load => 0.10,
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric();
        match self {
            Self::Prefill { tokens, depth }
            | Self::Decode { tokens, depth }
            | Self::FirstToken { tokens, depth } => {
                write!(f, "{metric}{tokens}")?;
                if *depth > 0 { write!(f, "@d{depth}") } else { Ok(()) }
            }
            Self::Load | Self::Memory => f.write_str(metric),
        }
    }
}

/// A quantity that is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no test: write pp512, tg128, tg128@d4096, ttft512, load or memory")]
pub struct WrongQuantity(String);

impl FromStr for Quantity {
    type Err = WrongQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WrongQuantity(text.chars().take(60).collect());
        let text = text.trim();
        let number = |digits: &str| {
            let number: u32 = digits.parse().ok()?;
            (1..=MOST_TOKENS).contains(&number).then_some(number)
        };
        match text {
            "load" => return Ok(Self::Load),
            "memory" => return Ok(Self::Memory),
            _ => {}
        }
        let (kind, depth) = match text.split_once('@') {
            Some((kind, depth)) => {
                let depth = depth.trim().strip_prefix('d').and_then(number).ok_or_else(wrong)?;
                (kind.trim(), depth)
            }
            None => (text, 0),
        };
        let of = |prefix: &str| kind.strip_prefix(prefix).and_then(number);
        if let Some(tokens) = of("ttft") {
            Ok(Self::FirstToken { tokens, depth })
        } else if let Some(tokens) = of("pp") {
            Ok(Self::Prefill { tokens, depth })
        } else if let Some(tokens) = of("tg") {
            Ok(Self::Decode { tokens, depth })
        } else {
            Err(wrong())
        }
    }
}

/// A cell to be measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// What.
    pub quantity: Quantity,
    /// Its name in the report.
    pub name: String,
    /// The slowdown that is allowed, as a share.
    pub delta: f64,
    /// The slowdown that a waiver accepts, where there is one: it is measured until that is
    /// decided.
    pub ceiling: Option<f64>,
    /// Whether it can fail the build.
    pub weight: Weight,
    /// What a session adds to one side alone: a standard deviation, as a share.
    pub session_noise: f64,
}

/// A model, of which one process shows all quantities.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Its name: the group of its cells.
    pub name: String,
    /// What is measured of it.
    pub wanted: Vec<Wanted>,
}

/// Everything that is measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Suite {
    /// The models.
    pub subjects: Vec<Subject>,
}

impl Suite {
    /// All cells, in order.
    pub fn cells(&self) -> impl Iterator<Item = (&Subject, &Wanted)> {
        self.subjects
            .iter()
            .flat_map(|subject| subject.wanted.iter().map(move |wanted| (subject, wanted)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_they_are_written() {
        for text in ["pp512", "tg128", "tg128@d4096", "ttft512", "pp1@d1", "load", "memory"] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), text);
        }
        for text in ["", "pp", "pp0", "tg128@", "tg128@4096", "xx3", "pp99999999999", "tg-1"] {
            let message = text.parse::<Quantity>().unwrap_err().to_string();
            assert!(message.contains("write pp512"), "{message}");
        }
    }

    #[test]
    fn speeds_are_shown_as_speeds() {
        let tg: Quantity = "tg16".parse().unwrap();
        assert!((tg.shown(0.02) - 50.0).abs() < 1e-12);
        assert!((Quantity::Load.shown(0.02) - 0.02).abs() < 1e-12);
    }
}
