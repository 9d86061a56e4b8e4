//! What a model is used for: the user tunes for a way of working, not for tokens per second.

use serde::{Deserialize, Serialize};

/// One way of working. Files of `profiles/` and the user's own have exactly these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Its name on the command line.
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// New prompt tokens per turn.
    pub prompt_tokens: u32,
    /// Generated tokens per turn.
    pub generate_tokens: u32,
    /// Tokens already in the KV cache when a turn begins.
    #[serde(default)]
    pub depth: u32,
    /// Context the server is started with, in tokens.
    pub context: u32,
}

impl Workload {
    /// Seconds one turn takes, from seconds per prompt token and seconds per generated token.
    #[must_use]
    pub fn turn_seconds(&self, prefill_s_per_tok: f64, decode_s_per_tok: f64) -> f64 {
        f64::from(self.prompt_tokens) * prefill_s_per_tok
            + f64::from(self.generate_tokens) * decode_s_per_tok
    }
}
