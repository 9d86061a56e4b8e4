//! What a model file is, read from its header alone.

use std::path::PathBuf;

use autotune_engine::api::Bytes;
use serde::{Deserialize, Serialize};

use crate::gguf::{GgufError, Header, HeaderError, ModelFile, Tensor, Value};

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

/// The GGUF keys that a card needs, under the prefix of its architecture.
struct Keys<'a> {
    header: &'a Header,
    architecture: &'a str,
}

impl Keys<'_> {
    /// A count; of a list with one entry per layer, the largest.
    fn count(&self, name: &str) -> Result<Option<u64>, HeaderError> {
        let key = format!("{}.{name}", self.architecture);
        let Some(value) = self.header.values.get(&key) else { return Ok(None) };
        let largest = match value {
            Value::Numbers(list) => list.iter().copied().reduce(f64::max).and_then(whole),
            value => value.count(),
        };
        largest
            .map(Some)
            .ok_or_else(|| HeaderError::BadValue { key, value: "no whole number".into() })
    }

    fn small(&self, name: &str) -> Result<Option<u32>, HeaderError> {
        let Some(count) = self.count(name)? else { return Ok(None) };
        u32::try_from(count).map(Some).map_err(|_| HeaderError::BadValue {
            key: format!("{}.{name}", self.architecture),
            value: count.to_string(),
        })
    }

    fn needed(&self, name: &str) -> Result<u32, HeaderError> {
        match self.small(name)? {
            Some(0) => Err(HeaderError::BadValue {
                key: format!("{}.{name}", self.architecture),
                value: "0".into(),
            }),
            Some(count) => Ok(count),
            None => Err(HeaderError::MissingKey(format!(
                "{}.{name}, which every model that generates text has",
                self.architecture
            ))),
        }
    }
}

/// A float that is a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
fn whole(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number))
        .then_some(number as u64)
}

impl ModelCard {
    /// The card of a model whose headers were read.
    pub fn of(file: &ModelFile) -> Result<Self, GgufError> {
        Self::of_checked(file).map_err(|cause| GgufError { path: file.path.clone(), cause })
    }

    fn of_checked(file: &ModelFile) -> Result<Self, HeaderError> {
        let first =
            file.headers.first().ok_or_else(|| HeaderError::Malformed("it has no parts".into()))?;
        let architecture = first
            .text("general.architecture")
            .ok_or_else(|| HeaderError::MissingKey("general.architecture".into()))?;
        let keys = Keys { header: first, architecture };
        let tensors = || file.headers.iter().flat_map(|header| &header.tensors);
        if tensors().next().is_none() {
            return Err(HeaderError::Malformed("it holds no tensors".into()));
        }
        let embedding = keys.needed("embedding_length")?;
        let heads = keys.needed("attention.head_count")?;
        let head_length = embedding.checked_div(heads).unwrap_or(0);
        let key_length = keys.small("attention.key_length")?.unwrap_or(head_length);
        let experts = keys.small("expert_count")?.unwrap_or(0);
        let experts_used = keys.small("expert_used_count")?.unwrap_or(0).min(experts);
        let feed_forward = match keys.small("expert_feed_forward_length")? {
            Some(width) if experts > 0 => width,
            _ => keys.small("feed_forward_length")?.unwrap_or(0),
        };
        Ok(Self {
            path: file.path.clone(),
            name: first.text("general.name").map(Into::into),
            architecture: architecture.into(),
            file_bytes: Bytes(file.bytes),
            digest: file.digest.clone(),
            synthetic: first.values.get("autotune.synthetic") == Some(&Value::Bool(true)),
            parameters: tensors().map(Tensor::weights).fold(0, u64::saturating_add),
            layers: keys.needed("block_count")?,
            embedding,
            heads,
            kv_heads: keys.small("attention.head_count_kv")?.unwrap_or(heads),
            key_length,
            value_length: keys.small("attention.value_length")?.unwrap_or(head_length),
            feed_forward,
            experts,
            experts_used,
            vocabulary: vocabulary(first, &keys, tensors())?,
            trained_context: keys.needed("context_length")?,
            sliding_window: keys.small("attention.sliding_window")?.filter(|tokens| *tokens > 0),
            types: types(tensors()),
            bytes_per_token: bytes_per_token(tensors(), experts, experts_used),
        })
    }
}

/// Entries of the vocabulary: the token list's, or the key's, or the embedding's rows.
fn vocabulary<'a>(
    first: &Header,
    keys: &Keys<'_>,
    mut tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<u32, HeaderError> {
    if let Some(length) = first.values.get("tokenizer.ggml.tokens").and_then(Value::length) {
        return u32::try_from(length).map_err(|_| HeaderError::BadValue {
            key: "tokenizer.ggml.tokens".into(),
            value: format!("{length} long"),
        });
    }
    if let Some(size) = keys.small("vocab_size")? {
        return Ok(size);
    }
    let rows = tensors
        .find(|tensor| tensor.name == EMBEDDING)
        .and_then(|tensor| tensor.dimensions.get(1))
        .and_then(|rows| u32::try_from(*rows).ok());
    rows.ok_or_else(|| HeaderError::MissingKey("vocabulary".into()))
}

const EMBEDDING: &str = "token_embd.weight";
const OUTPUT: &str = "output.weight";

/// Shares of the tensor types, the largest first.
fn types<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Vec<TypeShare> {
    let mut shares: Vec<TypeShare> = Vec::new();
    for tensor in tensors {
        let bytes = Bytes(tensor.bytes);
        match shares.iter_mut().find(|share| share.name == tensor.kind.name) {
            Some(share) => {
                share.tensors += 1;
                share.bytes = share.bytes + bytes;
            }
            None => shares.push(TypeShare { name: tensor.kind.name.into(), tensors: 1, bytes }),
        }
    }
    shares.sort_by(|one, other| other.bytes.cmp(&one.bytes).then(one.name.cmp(&other.name)));
    shares
}

/// Bytes of weights that one token reads. Tensors of experts are known by their name (`_exps`)
/// and hold all experts side by side.
fn bytes_per_token<'a>(
    tensors: impl Iterator<Item = &'a Tensor> + Clone,
    experts: u32,
    experts_used: u32,
) -> Bytes {
    let tied = !tensors.clone().any(|tensor| tensor.name == OUTPUT);
    tensors
        .map(|tensor| {
            if tensor.name == EMBEDDING && !tied {
                let rows = tensor.dimensions.get(1).copied().unwrap_or(1);
                return Bytes(tensor.bytes / rows.max(1));
            }
            if experts > 0 && tensor.name.contains("_exps.") {
                let used =
                    u128::from(tensor.bytes) * u128::from(experts_used) / u128::from(experts);
                return Bytes(u64::try_from(used).expect("a share of a 64-bit count"));
            }
            Bytes(tensor.bytes)
        })
        .sum()
}
