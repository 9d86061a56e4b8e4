//! What a model is used for: the user tunes for a way of working, not for tokens per second.

use std::fmt;

use autotune_engine::api::Bytes;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Figure;

/// One way of working: a mix of requests, what is to be small, and what must not be exceeded.
///
/// The plain counts are the weighted mean of the mix; all of `plan.json` reads them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name on the command line.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// New prompt tokens per turn: what of the prompt is not in the KV cache already.
    pub prompt_tokens: u32,
    /// Generated tokens per turn.
    pub generate_tokens: u32,
    /// Tokens already in the KV cache when a turn begins, the cached part of its prompt included.
    #[serde(default)]
    pub depth: u32,
    /// Tokens of context of each sequence.
    pub context: u32,
    /// The mix; empty where every turn is the plain counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<Request>,
    /// Sequences at once; 0 (as in older documents) is one.
    #[serde(default)]
    pub parallel: u32,
    /// What is to be small.
    #[serde(default)]
    pub objective: Objective,
    /// What must not be exceeded.
    #[serde(default, skip_serializing_if = "Bounds::is_empty")]
    pub limits: Bounds,
    /// Numbers told beside the objective.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report: Vec<Figure>,
}

/// One kind of request in a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Prompt tokens, the cached ones too.
    pub prompt_tokens: u32,
    /// Generated tokens.
    pub generate_tokens: u32,
    /// Tokens in the KV cache before the prompt.
    #[serde(default)]
    pub depth: u32,
    /// Share of the prompt that is in the KV cache already, 0 to 1.
    #[serde(default)]
    pub prefix_reuse: f64,
    /// How often it comes, beside the other weights.
    #[serde(default = "one")]
    pub weight: f64,
}

/// What a sweep makes as small as it can.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Seconds of a turn.
    #[default]
    TurnTime,
    /// Seconds of the machine per generated token of all sequences, prompts included.
    Throughput,
    /// Energy per turn; turn time stands for it where no energy is measured.
    Energy,
    /// Seconds until the first token.
    Ttft,
}

/// What must not be exceeded; `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Milliseconds until the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_ms: Option<f64>,
    /// Main memory of the model with all it needs; in files a count or `"32GB"`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "amount")]
    pub memory: Option<Bytes>,
    /// Tokens of context at least, of each sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_context: Option<u32>,
    /// Mean Kullback-Leibler divergence from the unchanged model's answers, in nats per token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_kl_divergence: Option<f64>,
}

fn one() -> f64 {
    1.0
}

/// Bytes as a count, or as people write them.
fn amount<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Bytes>, D::Error> {
    struct Amount;
    impl Visitor<'_> for Amount {
        type Value = Option<Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an amount of memory like \"32GB\", or a count of bytes")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(Some).map_err(E::custom)
        }

        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Self::Value, E> {
            Ok(Some(Bytes(bytes)))
        }

        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Self::Value, E> {
            let wrong = || E::invalid_value(de::Unexpected::Signed(bytes), &self);
            u64::try_from(bytes).map(|bytes| Some(Bytes(bytes))).map_err(|_| wrong())
        }
    }
    source.deserialize_any(Amount)
}

impl Request {
    /// Prompt tokens that are in the KV cache already.
    #[must_use]
    pub fn cached_tokens(&self) -> u32 {
        let share = self.prefix_reuse.clamp(0.0, 1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of it"
        )]
        let cached = (f64::from(self.prompt_tokens) * share).floor() as u32;
        cached
    }

    /// Prompt tokens that have to be processed.
    #[must_use]
    pub fn new_tokens(&self) -> u32 {
        self.prompt_tokens - self.cached_tokens()
    }
}

impl Objective {
    /// Its word in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TurnTime => "turn-time",
            Self::Throughput => "throughput",
            Self::Energy => "energy",
            Self::Ttft => "ttft",
        }
    }
}

impl Bounds {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Workload {
    /// Sets the plain counts to the weighted mean of the mix, if there is one. A part that only
    /// some requests have is at least one token.
    #[must_use]
    pub fn with_means(mut self) -> Self {
        if self.requests.is_empty() {
            return self;
        }
        let whole = |of: fn(&Request) -> u32| {
            let mean = self.mean(|request| f64::from(of(request)));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a mean")]
            let rounded = mean.round() as u32;
            if mean > 0.0 { rounded.max(1) } else { 0 }
        };
        let prompt_tokens = whole(Request::new_tokens);
        let generate_tokens = whole(|request| request.generate_tokens);
        let depth = whole(|request| request.depth.saturating_add(request.cached_tokens()));
        (self.prompt_tokens, self.generate_tokens) = (prompt_tokens, generate_tokens);
        self.depth = depth;
        self
    }

    /// Weighted mean over the mix.
    fn mean(&self, of: impl Fn(&Request) -> f64) -> f64 {
        let weights: f64 = self.requests.iter().map(|request| request.weight).sum();
        let sum: f64 = self.requests.iter().map(|request| of(request) * request.weight).sum();
        sum / weights
    }

    /// New prompt and generated tokens of the mean turn, not rounded.
    fn mean_tokens(&self) -> (f64, f64) {
        if self.requests.is_empty() {
            return (f64::from(self.prompt_tokens), f64::from(self.generate_tokens));
        }
        (
            self.mean(|request| f64::from(request.new_tokens())),
            self.mean(|request| f64::from(request.generate_tokens)),
        )
    }

    /// Tokens that the longest turn leaves in the KV cache of its sequence.
    #[must_use]
    pub fn longest_turn(&self) -> u64 {
        let sum = |counts: [u32; 3]| counts.into_iter().map(u64::from).sum::<u64>();
        let turns = self
            .requests
            .iter()
            .map(|request| sum([request.depth, request.prompt_tokens, request.generate_tokens]));
        let plain = sum([self.depth, self.prompt_tokens, self.generate_tokens]);
        turns.max().unwrap_or(plain)
    }

    /// Sequences at once, at least one.
    #[must_use]
    pub fn sequences(&self) -> u32 {
        self.parallel.max(1)
    }

    /// Seconds one turn takes, from seconds per prompt token and seconds per generated token: only
    /// new prompt tokens are processed, and both rates are those measured after [`Self::depth`]
    /// tokens. With several sequences the rates count the tokens of all, and this is the machine's
    /// time for one of their turns.
    #[must_use]
    pub fn turn_seconds(&self, prefill_s_per_tok: f64, decode_s_per_tok: f64) -> f64 {
        let (prompt, generated) = self.mean_tokens();
        prompt * prefill_s_per_tok + generated * decode_s_per_tok
    }

    /// Seconds from a request to its first token, in the mean.
    #[must_use]
    pub fn first_token_seconds(&self, prefill_s_per_tok: f64) -> f64 {
        self.mean_tokens().0 * prefill_s_per_tok
    }

    /// What a sweep minimises, in seconds: of a turn, per generated token, or until the first one.
    /// Energy has no rate of its own here: turn time stands for it.
    #[must_use]
    pub fn cost(&self, prefill_s_per_tok: f64, decode_s_per_tok: f64) -> f64 {
        let turn_s = self.turn_seconds(prefill_s_per_tok, decode_s_per_tok);
        let (prompt, generated) = self.mean_tokens();
        match self.objective {
            Objective::TurnTime | Objective::Energy => turn_s,
            Objective::Throughput if generated > 0.0 => turn_s / generated,
            Objective::Throughput => turn_s / prompt,
            Objective::Ttft => self.first_token_seconds(prefill_s_per_tok),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed() -> Workload {
        let first = Request {
            prompt_tokens: 1000,
            generate_tokens: 10,
            depth: 0,
            prefix_reuse: 0.0,
            weight: 1.0,
        };
        let later = Request {
            prefix_reuse: 0.9,
            depth: 200,
            weight: 3.0,
            generate_tokens: 50,
            ..first.clone()
        };
        Workload { requests: vec![first, later], context: 4096, ..Workload::default() }.with_means()
    }

    #[test]
    fn the_counts_are_the_weighted_mean_and_cached_tokens_are_no_prompt() {
        let mixed = mixed();
        // New prompt: (1000 + 3 · 100) / 4; generated: (10 + 3 · 50) / 4; depth: 3 · 1100 / 4.
        assert_eq!((mixed.prompt_tokens, mixed.generate_tokens, mixed.depth), (325, 40, 825));
        assert_eq!(mixed.longest_turn(), 1250);
        assert!((mixed.turn_seconds(0.01, 0.1) - 7.25).abs() < 1e-12);
    }

    #[test]
    fn each_objective_has_its_own_cost() {
        let cost = |objective| Workload { objective, ..mixed() }.cost(0.01, 0.1);
        assert!((cost(Objective::TurnTime) - 7.25).abs() < 1e-12);
        assert!((cost(Objective::Energy) - 7.25).abs() < 1e-12);
        assert!((cost(Objective::Throughput) - 7.25 / 40.0).abs() < 1e-12);
        assert!((cost(Objective::Ttft) - 3.25).abs() < 1e-12);
        let prompts = Workload { prompt_tokens: 8, ..Workload::default() };
        let silent = Workload { objective: Objective::Throughput, ..prompts };
        assert!((silent.cost(0.5, 9.0) - 0.5).abs() < 1e-12, "prompt tokens where none follow");
    }

    #[test]
    fn a_rare_answer_is_not_rounded_away() {
        let silent = Request {
            prompt_tokens: 8,
            generate_tokens: 0,
            depth: 0,
            prefix_reuse: 1.0,
            weight: 1e6,
        };
        let spoken = Request { generate_tokens: 1, weight: 1.0, ..silent.clone() };
        let rare = Workload { requests: vec![silent, spoken], ..Workload::default() }.with_means();
        assert_eq!((rare.prompt_tokens, rare.generate_tokens, rare.depth), (0, 1, 8));
    }
}
