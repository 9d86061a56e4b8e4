//! `autotune.quality/1`: how far the answers of models are from a reference's.

use std::fmt;

use autotune_engine::api::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one run of `autotune quality` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QualityReport {
    /// [`QualityReport::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that measured.
    pub tool_version: String,
    /// When it ended, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it, as typed.
    pub command: String,
    /// llama.cpp's version.
    pub engine: String,
    /// The CPU variant that all of them ran with; `None` where the engine chose.
    pub isa_variant: Option<String>,
    /// What the candidates are compared with; `None` where only perplexity was asked for.
    pub reference: Option<QualitySubject>,
    /// What was read.
    pub text: QualityText,
    /// The candidates, in the order asked.
    pub candidates: Vec<CandidateQuality>,
    /// The reference against itself under the candidates' setting; `None` without a reference.
    pub noise_floor: Option<NoiseFloor>,
    /// Why no more was read.
    pub stopped: QualityStop,
    /// The class that a candidate must reach to be recommended; `None` where none was asked for.
    pub floor: Option<QualityClass>,
    /// Things to know, each one sentence.
    pub notes: Vec<String>,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
}

impl QualityReport {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.quality/1";

    /// The schema that such documents keep, for readers in other languages.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// A model file, or one under a setting of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QualitySubject {
    /// The file as named.
    pub model: String,
    /// Bytes of the file, of all its parts.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// The file type, for example `q4_k_m`; `None` where the file does not say or it is a mix.
    pub file_type: Option<String>,
}

/// The text that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QualityText {
    /// The file, or where else it comes from.
    pub source: TextSource,
    /// BLAKE3 of its bytes, or of its tokens where the reference wrote it.
    pub digest: String,
    /// Tokens that it has.
    pub tokens: u64,
    /// Tokens of a chunk.
    pub chunk_tokens: u32,
    /// Chunks that were read.
    pub chunks: u32,
    /// Chunks that it has.
    pub chunks_available: u32,
    /// Tokens that were scored, in all chunks.
    pub scored_tokens: u64,
}

/// Where a text comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TextSource {
    /// A file.
    File {
        /// As named.
        path: String,
    },
    /// Drawn from the reference's own distribution.
    Reference {
        /// Where the drawing began.
        seed: u64,
    },
    /// The small corpus within the program.
    Builtin,
}

/// A candidate beside its reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateQuality {
    /// The file as named.
    pub model: String,
    /// What is varied, as flags (`-ctk q8_0`); empty for a model of its own.
    pub variation: String,
    /// Bytes of the file, of all its parts.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// The file type, for example `q4_k_m`; `None` where the file does not say or it is a mix.
    pub file_type: Option<String>,
    /// Perplexity, as llama-perplexity has it.
    pub perplexity: f64,
    /// Its standard error.
    pub perplexity_se: Option<f64>,
    /// What it has against the reference; `None` without one.
    #[serde(flatten)]
    pub against: Option<AgainstReference>,
}

/// What stands between a candidate and its reference. Standard errors are clustered by chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgainstReference {
    /// Logarithm of the ratio of perplexities, candidate over reference, paired by token.
    pub ln_perplexity_ratio: f64,
    /// Its standard error.
    pub ln_perplexity_ratio_se: Option<f64>,
    /// Kullback-Leibler divergence from the reference.
    pub kl_divergence: Divergence,
    /// Share of tokens where both have the same likeliest next token.
    pub top1_agreement: f64,
    /// Its standard error.
    pub top1_agreement_se: Option<f64>,
    /// Root of the mean square of the change of the true token's probability.
    pub rms_delta_p: f64,
    /// Its standard error.
    pub rms_delta_p_se: Option<f64>,
    /// Mean change of the true token's probability: below zero is damage.
    pub mean_delta_p: f64,
    /// Its standard error.
    pub mean_delta_p_se: Option<f64>,
    /// The class of the mean divergence. The limits are autotune's own.
    pub class: QualityClass,
    /// Whether the class is that of the whole interval of the mean: two standard errors to both
    /// sides, by Student's t more where chunks are few.
    pub class_is_certain: bool,
}

/// The distribution of the divergence over tokens, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Divergence {
    /// Mean.
    pub mean: f64,
    /// Its standard error; `None` with fewer than two chunks.
    pub se: Option<f64>,
    /// Median.
    pub median: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// The reference against itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NoiseFloor {
    /// Mean divergence, in nats.
    pub kl_divergence: f64,
    /// Share of tokens with the same likeliest next token.
    pub top1_agreement: f64,
    /// Tokens behind it.
    pub tokens: u64,
}

/// How much of the reference is left. Limits of the mean divergence are autotune's own, read from
/// public tables of 7B and 8B models; they say nothing about scores of tasks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum QualityClass {
    /// Above 0.35 nats.
    Broken,
    /// At most 0.35 nats.
    Poor,
    /// At most 0.12 nats.
    VisibleLoss,
    /// At most 0.05 nats.
    Good,
    /// At most 0.012 nats.
    NearLossless,
    /// At most 0.002 nats.
    Indistinguishable,
}

impl QualityClass {
    /// From the best to the worst, each with the largest mean divergence it holds.
    pub const LIMITS: [(Self, f64); 6] = [
        (Self::Indistinguishable, 0.002),
        (Self::NearLossless, 0.012),
        (Self::Good, 0.05),
        (Self::VisibleLoss, 0.12),
        (Self::Poor, 0.35),
        (Self::Broken, f64::INFINITY),
    ];

    /// The class of a mean divergence in nats.
    #[must_use]
    pub fn of(divergence: f64) -> Self {
        let found = Self::LIMITS.into_iter().find(|(_, limit)| divergence <= *limit);
        found.map_or(Self::Broken, |(class, _)| class)
    }

    /// The largest mean divergence it holds, in nats.
    #[must_use]
    pub fn limit(self) -> f64 {
        let found = Self::LIMITS.into_iter().find(|(class, _)| *class == self);
        found.map_or(f64::INFINITY, |(_, limit)| limit)
    }
}

impl fmt::Display for QualityClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "broken",
            Self::Poor => "poor",
            Self::VisibleLoss => "visible loss",
            Self::Good => "good",
            Self::NearLossless => "near-lossless",
            Self::Indistinguishable => "indistinguishable",
        })
    }
}

/// Why no more of the text was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QualityStop {
    /// As many chunks as asked for.
    Asked,
    /// Neighbours are apart and every class is certain.
    Separated,
    /// The time is over.
    Budget,
    /// The text is.
    TextEnded,
    /// The user ended it.
    Interrupted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divergence_on_a_limit_is_in_the_better_class() {
        for (divergence, class) in [
            (0.0, QualityClass::Indistinguishable),
            (0.002, QualityClass::Indistinguishable),
            (0.0021, QualityClass::NearLossless),
            (0.03127, QualityClass::Good),
            (0.0719, QualityClass::VisibleLoss),
            (0.35, QualityClass::Poor),
            (9.0, QualityClass::Broken),
            (f64::NAN, QualityClass::Broken),
        ] {
            assert_eq!(QualityClass::of(divergence), class, "{divergence}");
        }
    }

    #[test]
    fn a_better_class_is_the_greater_one() {
        let classes = QualityClass::LIMITS.map(|(class, _)| class);
        assert!(classes.is_sorted_by(|better, worse| better > worse));
        assert!(QualityClass::LIMITS.is_sorted_by(|a, b| a.1 < b.1));
        assert!(classes.iter().all(|class| QualityClass::of(class.limit()) == *class));
    }
}
