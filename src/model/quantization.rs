//! `autotune.quantization/1`: the quantizations of one model side by side, and which one to take.

use autotune_engine::api::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quality::{CandidateQuality, QualityClass, QualityReport};
use crate::stats::Estimate;

/// What `autotune sweep --quant` found over all candidates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizationStudy {
    /// [`QuantizationStudy::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that measured.
    pub tool_version: String,
    /// When it ended, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it, as typed.
    pub command: String,
    /// The model that the others are quantizations of, as named.
    pub source: String,
    /// Whether speeds come from weights that are noise, so that nothing is known of quality.
    pub speed_only: bool,
    /// The class that the choice had to reach.
    pub floor: QualityClass,
    /// Memory that the choice had to fit into; `None` where nothing limits it.
    pub memory_limit_bytes: Option<Bytes>,
    /// The candidates, the largest first.
    pub candidates: Vec<StudyCandidate>,
    /// Names of those that no other is better than in everything.
    pub front: Vec<String>,
    /// The one to take; `None` where none qualifies.
    pub choice: Option<StudyChoice>,
    /// How quality was measured; `None` where it was not.
    pub quality: Option<QualityReport>,
    /// What each model says.
    pub answers: Vec<PromptAnswers>,
    /// Things to know, each one sentence.
    pub notes: Vec<String>,
}

impl QuantizationStudy {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.quantization/1";

    /// The schema that such documents keep, for readers in other languages.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// One quantization: its file, its speed with settings of its own, its quality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StudyCandidate {
    /// Its name in this study: the file type, or the file's name.
    pub name: String,
    /// The file.
    pub model: String,
    /// Bytes of the file, of all its parts.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// What the tensors became where that is not what was asked for, one sentence each.
    pub fallbacks: Vec<String>,
    /// The candidate with the very same contents that was measured in its place.
    pub same_as: Option<String>,
    /// Its run directory, relative to this document; `None` where its speed was not measured.
    pub run: Option<String>,
    /// Flags of llama-server for the setting that was found for it.
    pub flags: Vec<String>,
    /// Generated tokens per second, all candidates in turn.
    pub decode_tok_per_s: Option<Estimate>,
    /// Prompt tokens per second, all candidates in turn.
    pub prefill_tok_per_s: Option<Estimate>,
    /// Largest resident set and device memory together while it ran.
    pub peak_memory_bytes: Option<Bytes>,
    /// How far its answers are from the source's; `None` where not measured.
    pub quality: Option<CandidateQuality>,
    /// Why it was left out of the choice, one sentence; `None` where it was not.
    pub left_out: Option<String>,
}

/// The one to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StudyChoice {
    /// Its name.
    pub name: String,
    /// Why, one sentence.
    pub sentence: String,
    /// Names of those that are as fast as far as can be told.
    pub tied: Vec<String>,
}

/// What the candidates say to one prompt, the likeliest token each time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PromptAnswers {
    /// The prompt.
    pub prompt: String,
    /// Each candidate's name and its words.
    pub answers: Vec<SpokenAnswer>,
}

/// One candidate's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpokenAnswer {
    /// Its name; the source's for the reference.
    pub name: String,
    /// What it said.
    pub text: String,
    /// Tokens until it first differs from the reference; `None` where it does not, or is it.
    pub same_tokens: Option<u32>,
}
