//! What a model file is, read from its header alone.

use std::path::PathBuf;

use autotune_engine::api::Bytes;
use serde::{Deserialize, Serialize};

/// A GGUF file in the terms that speed and memory depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelCard {
    /// The file (the first one, where the model is split).
    pub path: PathBuf,
    /// `general.name`, where the file has one.
    pub name: Option<String>,
    /// `general.architecture`, for example `llama`.
    pub architecture: String,
    /// Size of the file or of all its parts.
    pub file_bytes: Bytes,
    /// Hash over the header and samples of the data: tells two files apart without reading all.
    pub digest: String,
    /// Whether the weights are random (written by `autotune synth`).
    pub synthetic: bool,
    /// Parameters in all tensors.
    pub parameters: u64,
    /// Layers, without embedding and output.
    pub layers: u32,
    /// Width of the residual stream.
    pub embedding: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of K and V.
    pub kv_heads: u32,
    /// Width of a K head.
    pub key_length: u32,
    /// Width of a V head.
    pub value_length: u32,
    /// Width of the feed-forward block (of one expert, in a mixture).
    pub feed_forward: u32,
    /// Experts in all, 0 for a dense model.
    pub experts: u32,
    /// Experts used per token, 0 for a dense model.
    pub experts_used: u32,
    /// Entries of the vocabulary.
    pub vocabulary: u32,
    /// Context the model was trained for, in tokens.
    pub trained_context: u32,
    /// Tokens of the sliding attention window, where some layers have one.
    pub sliding_window: Option<u32>,
    /// Weights by type, largest share first.
    pub types: Vec<TypeShare>,
    /// Bytes of weights that one generated token reads: of a mixture only the experts used, of the
    /// embedding only one row unless it is the output matrix too.
    pub bytes_per_token: Bytes,
}

/// How much of a model is stored in one tensor type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeShare {
    /// ggml's name, for example `Q4_K`.
    pub name: String,
    /// Tensors of this type.
    pub tensors: u32,
    /// Their bytes.
    pub bytes: Bytes,
}
