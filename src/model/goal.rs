//! Numbers by name, and what they are wished to be.

use std::fmt;
use std::str::FromStr;

use autotune_engine::api::{Bytes, TokenRate};
use serde::{Deserialize, Serialize};

use super::{Bounds, Candidate};
use crate::stats::Estimate;

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

/// A number that a setting should reach, or stay below.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "figure", content = "value", rename_all = "kebab-case")]
pub enum Goal {
    /// Generated tokens per second at least.
    Decode(f64),
    /// Prompt tokens per second at least.
    Prefill(f64),
    /// Seconds until the first token at most.
    Ttft(f64),
    /// Resident set at most.
    Memory(Bytes),
}

/// How a measured number stands to a goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Reached, by the whole interval.
    Met,
    /// Not reached, by the whole interval.
    Missed,
    /// The interval holds the goal; whether its middle reaches it.
    Open(bool),
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

impl Goal {
    /// The limits of a workload that a measurement can meet or miss.
    #[must_use]
    pub fn of(bounds: &Bounds) -> Vec<Self> {
        let ttft = bounds.ttft_ms.map(|limit| Self::Ttft(limit / 1000.0));
        ttft.into_iter().chain(bounds.memory.map(Self::Memory)).collect()
    }

    /// The number that it speaks of.
    #[must_use]
    pub fn figure(&self) -> Figure {
        match self {
            Self::Decode(_) => Figure::Decode,
            Self::Prefill(_) => Figure::Prefill,
            Self::Ttft(_) => Figure::Ttft,
            Self::Memory(_) => Figure::Memory,
        }
    }

    /// How a setting's measured numbers stand to it; `None` where they are unknown. A number
    /// without an interval stands by itself.
    #[must_use]
    pub fn standing(&self, candidate: &Candidate) -> Option<Standing> {
        let judged = |it: Option<Estimate>, reaches: &dyn Fn(f64) -> bool| {
            let it = it?;
            let [low, high] = [it.low, it.high].map(|end| reaches(end.unwrap_or(it.value)));
            Some(match (low, high) {
                (true, true) => Standing::Met,
                (false, false) => Standing::Missed,
                _ => Standing::Open(reaches(it.value)),
            })
        };
        match *self {
            Self::Decode(rate) => judged(candidate.decode_tok_per_s, &|it| it >= rate),
            Self::Prefill(rate) => judged(candidate.prefill_tok_per_s, &|it| it >= rate),
            Self::Ttft(limit) => judged(candidate.ttft_s, &|it| it <= limit),
            Self::Memory(limit) => candidate
                .peak_resident_bytes
                .map(|it| if it <= limit { Standing::Met } else { Standing::Missed }),
        }
    }
}

impl Standing {
    /// The words for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Open(true) => "met, but not beyond its interval",
            Self::Open(false) => "missed, but not beyond its interval",
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(rate) => write!(f, "decode at least {} tok/s", TokenRate(*rate)),
            Self::Prefill(rate) => write!(f, "prefill at least {} tok/s", TokenRate(*rate)),
            Self::Ttft(seconds) => {
                write!(f, "first token within {} ms", (seconds * 1e6).round() / 1e3)
            }
            Self::Memory(limit) => write!(f, "memory at most {limit}"),
        }
    }
}

/// One goal as it is typed: `tg=30`, `pp=500`, `ttft=500ms`, `memory=32GB`.
impl FromStr for Goal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |reason: &str| format!("`{text}` is no goal: {reason}");
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| wrong("write it like tg=30, pp=500, ttft=500ms or memory=32GB"))?;
        let rate = || match value.trim().parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
            _ => Err(wrong("a rate is a number of tokens per second above 0")),
        };
        match name.trim() {
            "tg" | "decode" => rate().map(Self::Decode),
            "pp" | "prefill" => rate().map(Self::Prefill),
            "ttft" => match humantime::parse_duration(value.trim()) {
                Ok(limit) if !limit.is_zero() => Ok(Self::Ttft(limit.as_secs_f64())),
                _ => Err(wrong("a time is written like 500ms or 2s")),
            },
            "memory" => value.parse().map(Self::Memory).map_err(|reason: String| wrong(&reason)),
            other => Err(wrong(&format!("`{other}` is none of tg, pp, ttft, memory"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{
        ContextSetting, LoadSetting, ProcessSetting, Setting, ThreadSetting,
    };

    use super::*;

    #[test]
    fn goals_are_read_told_and_kept() {
        for (text, goal, told) in [
            ("tg=30", Goal::Decode(30.0), "decode at least 30.0 tok/s"),
            ("prefill=500", Goal::Prefill(500.0), "prefill at least 500 tok/s"),
            ("ttft=500ms", Goal::Ttft(0.5), "first token within 500 ms"),
            ("memory=1GiB", Goal::Memory(Bytes(1 << 30)), "memory at most 1.00 GiB"),
        ] {
            assert_eq!(text.parse(), Ok(goal));
            assert_eq!(goal.to_string(), told);
            let json = serde_json::to_string(&goal).unwrap();
            assert_eq!(serde_json::from_str::<Goal>(&json).unwrap(), goal);
        }
        for (wrong, word) in [
            ("30", "write it like"),
            ("tg=0", "above 0"),
            ("tg=nan", "above 0"),
            ("tg=-1", "above 0"),
            ("ttft=500", "500ms"),
            ("ttft=0ms", "500ms"),
            ("memory=lots", "no amount"),
            ("watts=5", "none of tg"),
        ] {
            let error = wrong.parse::<Goal>().unwrap_err();
            assert!(error.contains(wrong) && error.contains(word), "{error}");
        }
    }

    fn nothing_measured() -> Candidate {
        Candidate {
            setting: Setting {
                process: ProcessSetting::default(),
                load: LoadSetting::default(),
                context: ContextSetting::default(),
                threads: ThreadSetting::of(1),
            },
            effective: None,
            prefill_tok_per_s: None,
            decode_tok_per_s: None,
            turn_s: None,
            ttft_s: None,
            itl_p50_s: None,
            itl_p99_s: None,
            peak_resident_bytes: None,
            gpu_utilization: None,
            peak_card_bytes: None,
            buffers: Vec::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn a_goal_inside_the_interval_is_neither_met_nor_missed_beyond_doubt() {
        let rate = |value, low, high| Candidate {
            decode_tok_per_s: Some(Estimate {
                value,
                low: Some(low),
                high: Some(high),
                confidence: 0.95,
                n: 8,
            }),
            ttft_s: Some(Estimate { value: 1.0, low: None, high: None, confidence: 0.95, n: 1 }),
            peak_resident_bytes: Some(Bytes(7)),
            ..nothing_measured()
        };
        let goal = Goal::Decode(30.0);
        for (candidate, standing) in [
            (rate(33.0, 31.0, 35.0), Standing::Met),
            (rate(31.0, 29.0, 33.0), Standing::Open(true)),
            (rate(29.0, 27.0, 31.0), Standing::Open(false)),
            (rate(25.0, 24.0, 26.0), Standing::Missed),
        ] {
            assert_eq!(goal.standing(&candidate), Some(standing));
        }
        let candidate = rate(1.0, 1.0, 1.0);
        assert_eq!(Goal::Ttft(1.5).standing(&candidate), Some(Standing::Met));
        assert_eq!(Goal::Memory(Bytes(6)).standing(&candidate), Some(Standing::Missed));
        assert_eq!(Goal::Prefill(1.0).standing(&candidate), None);
    }

    #[test]
    fn limits_that_can_be_measured_are_goals() {
        let bounds = Bounds {
            ttft_ms: Some(250.0),
            memory: Some(Bytes(5)),
            min_context: Some(9),
            max_kl_divergence: Some(0.1),
        };
        assert_eq!(Goal::of(&bounds), [Goal::Ttft(0.25), Goal::Memory(Bytes(5))]);
    }
}
