//! `cases.json`: how a setting does on test cases of several kinds, and how alike its runs are.

use autotune_engine::api::{Sample, Setting};
use serde::{Deserialize, Serialize};

use crate::stats::median;

/// A setting on all test cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cases {
    /// [`Cases::SCHEMA`].
    pub schema: String,
    /// Version of `autotune`.
    pub tool_version: String,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// The setting.
    pub setting: Setting,
    /// The cases, in order.
    pub cases: Vec<Case>,
}

impl Cases {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.cases/1";
}

/// One test case: a fresh conversation of one prompt and one answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Generated tokens.
    pub generate_tokens: u32,
    /// One entry per repetition that ran.
    pub samples: Vec<Sample>,
    /// Why repetitions did not run, each reason once.
    pub failures: Vec<String>,
    /// Doubts about the repetitions, each one sentence and once.
    pub caveats: Vec<String>,
    /// Seconds of prompt and answer together.
    pub seconds: Option<Spread>,
    /// Prompt tokens per second.
    pub prefill_tok_per_s: Option<Spread>,
    /// Generated tokens per second.
    pub decode_tok_per_s: Option<Spread>,
}

/// A number over repetitions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The most.
    pub max: f64,
    /// Standard deviation over the mean (0.02 = 2 %); `None` with fewer than two repetitions.
    pub variation: Option<f64>,
}

impl Spread {
    /// Over these samples; `None` without any, or with one that is not finite.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let median = median(samples)?;
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
        let variation = || (squares / (count - 1.0)).sqrt() / mean;
        Some(Self {
            min: samples.iter().copied().fold(f64::INFINITY, f64::min),
            median,
            max: samples.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            variation: (samples.len() > 1 && mean > 0.0).then(variation),
        })
    }
}

impl Case {
    /// A case that nothing ran of yet.
    #[must_use]
    pub fn new(name: &str, prompt_tokens: u32, generate_tokens: u32) -> Self {
        Self {
            name: name.to_owned(),
            prompt_tokens,
            generate_tokens,
            samples: Vec::new(),
            failures: Vec::new(),
            caveats: Vec::new(),
            seconds: None,
            prefill_tok_per_s: None,
            decode_tok_per_s: None,
        }
    }

    /// Adds repetitions.
    pub fn add(&mut self, samples: &[Sample]) {
        self.samples.extend_from_slice(samples);
        let over = |of: &dyn Fn(&Sample) -> f64| {
            let values: Vec<f64> = self.samples.iter().map(of).collect();
            Spread::of(&values)
        };
        let rate = |tokens: u32, ns: u64| f64::from(tokens) / (ns as f64 / 1e9);
        self.seconds = over(&|sample| sample.total().as_secs_f64());
        self.prefill_tok_per_s = over(&|sample| rate(self.prompt_tokens, sample.prefill_ns));
        self.decode_tok_per_s = over(&|sample| rate(self.generate_tokens, sample.decode_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_summarises_its_repetitions() {
        let mut case = Case::new("question", 100, 10);
        let sample = |prefill_ns, decode_ns| Sample { prefill_ns, decode_ns, token_ns: Vec::new() };
        case.add(&[sample(500_000_000, 500_000_000)]);
        assert_eq!(case.seconds.unwrap().variation, None);
        case.add(&[sample(1_000_000_000, 1_000_000_000), sample(750_000_000, 750_000_000)]);
        let seconds = case.seconds.unwrap();
        assert_eq!((seconds.min, seconds.median, seconds.max), (1.0, 1.5, 2.0));
        assert!((seconds.variation.unwrap() - 0.5 / 1.5).abs() < 1e-12);
        assert!((case.prefill_tok_per_s.unwrap().max - 200.0).abs() < 1e-9);
        assert!((case.decode_tok_per_s.unwrap().min - 10.0).abs() < 1e-9);
        let json = serde_json::to_string(&case).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&json).unwrap(), case);
    }
}
