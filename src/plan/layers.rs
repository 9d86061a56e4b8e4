//! Weights layer by layer, from the table of tensors: what moves to a graphics card with each.

use autotune_engine::api::Bytes;

use crate::gguf::{ModelFile, Tensor};
use crate::model::{LayerWeights, ModelCard};

/// Bits per weight below which ggml's processors multiply as 8-bit integers.
const FLOAT_BITS: u64 = 16;

/// The weights of a model by layer.
#[must_use]
pub fn layers(file: &ModelFile, card: &ModelCard) -> LayerWeights {
    let count = usize::try_from(card.layers).unwrap_or(0).min(1 << 16);
    let mut found = LayerWeights {
        layer_bytes: vec![Bytes(0); count],
        expert_bytes: vec![Bytes(0); count],
        embedding_bytes: Bytes(0),
        output_bytes: Bytes(0),
        active_parameters: 0,
        quantized: false,
    };
    let tensors = || file.headers.iter().flat_map(|header| &header.tensors);
    let tied = !tensors().any(|tensor| tensor.name == "output.weight");
    let (mut small, mut all) = (Bytes(0), Bytes(0));
    for tensor in tensors() {
        let bytes = Bytes(tensor.bytes);
        all = all + bytes;
        if u128::from(tensor.bytes) * 8 < u128::from(tensor.weights()) * u128::from(FLOAT_BITS) {
            small = small + bytes;
        }
        let active = add(&mut found, tensor, card, tied);
        found.active_parameters = found.active_parameters.saturating_add(active);
    }
    found.quantized = small.0 > all.0 / 2;
    found
}

/// Puts a tensor where it belongs; gives how many of its weights take part in one token.
fn add(found: &mut LayerWeights, tensor: &Tensor, card: &ModelCard, tied: bool) -> u64 {
    let (bytes, weights) = (Bytes(tensor.bytes), tensor.weights());
    if tensor.name == "token_embd.weight" {
        found.embedding_bytes = bytes;
        if tied {
            found.output_bytes = found.output_bytes + bytes;
        }
        return if tied { weights } else { 0 };
    }
    let layer = tensor.name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
    let layer = layer.and_then(|number| number.parse::<usize>().ok());
    let Some(own) = layer.and_then(|layer| found.layer_bytes.get_mut(layer)) else {
        found.output_bytes = found.output_bytes + bytes;
        return weights;
    };
    *own = *own + bytes;
    if card.experts == 0 || !tensor.name.contains("_exps.") {
        return weights;
    }
    let layer = layer.expect("a layer was found");
    found.expert_bytes[layer] = found.expert_bytes[layer] + bytes;
    let used = u128::from(weights) * u128::from(card.experts_used) / u128::from(card.experts);
    u64::try_from(used).unwrap_or(u64::MAX)
}
