//! `autotune.quantize/1`: files of other quantizations, made or foretold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use autotune_engine::api::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one run of `autotune quantize` made, or would make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizedFiles {
    /// [`QuantizedFiles::SCHEMA`].
    pub schema: String,
    /// The source as named.
    pub source: String,
    /// The importance matrix; `None` where none was used.
    pub importance: Option<PathBuf>,
    /// The files, in the order asked.
    pub files: Vec<QuantizedFile>,
}

impl QuantizedFiles {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.quantize/1";

    /// The schema that such documents keep, for readers in other languages.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// A file that was made, or would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuantizedFile {
    /// The file type, or the mix.
    pub name: String,
    /// Where it is, the first file of a split one; `None` in a dry run.
    pub file: Option<PathBuf>,
    /// Bytes of the file, of all its parts; a prediction in a dry run.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// Tensors by ggml's name of their type.
    pub types: BTreeMap<String, u32>,
    /// Types that tensors have instead of those that the file type has for them, a sentence each.
    pub fallbacks: Vec<String>,
    /// What llama.cpp warned of.
    pub warnings: Vec<String>,
    /// Another of the files that has the very same weights.
    pub same_as: Option<String>,
    /// Whether it was there already.
    pub kept: bool,
    /// How its types were chosen; `None` for a file type.
    pub mix: Option<MixReport>,
}

/// What types chosen tensor by tensor were measured at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MixReport {
    /// KL divergence from the source that the groups' probes foretell, nats per token.
    pub predicted_kl_divergence: f64,
    /// KL divergence from the source, nats per token; `None` where it was not measured.
    pub kl_divergence: Option<f64>,
    /// Its standard error over chunks.
    pub kl_divergence_se: Option<f64>,
    /// The file type that this is, where no mix did better.
    pub uniform_instead: Option<String>,
    /// The best file type that is no larger.
    pub beside: Option<MixBeside>,
    /// Its speed; `None` where none was asked for.
    pub speed: Option<MixSpeed>,
    /// Tensors that were probed together.
    pub groups: Vec<MixGroup>,
}

/// A file type of no more bytes than a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MixBeside {
    /// The file type.
    pub name: String,
    /// Bytes of its file.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// KL divergence from the source, nats per token; `None` where it was not measured.
    pub kl_divergence: Option<f64>,
    /// Its standard error over chunks.
    pub kl_divergence_se: Option<f64>,
}

/// How fast a mix decodes beside the file type that it must not be slower than.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MixSpeed {
    /// Tokens per second.
    pub decode_tok_per_s: f64,
    /// The file type.
    pub no_slower_than: String,
    /// Its tokens per second, timed in turn.
    pub its_decode_tok_per_s: f64,
}

/// Tensors of one role and depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MixGroup {
    /// What they are.
    pub name: String,
    /// KL divergence of a file in which they alone are coarse, nats per token; `None` where it was
    /// not measured.
    pub probe_kl_divergence: Option<f64>,
    /// Tensors by the type that was chosen.
    pub types: BTreeMap<String, usize>,
}
