//! Which tensors a shape has, in the order they are written.

use super::shape::{Architecture, Output, RopeScaling, Shape};

/// What a tensor is filled with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fill {
    /// Random weights of variance one over the row's width; the quantizer chooses the type.
    Weights,
    /// The same, always in full precision (the router of a mixture).
    PlainWeights,
    /// Ones, in full precision.
    Ones,
    /// Small random numbers, in full precision.
    Bias,
    /// Zeros, in full precision.
    Zeros,
    /// Llama 3.1's factor for each rotary frequency.
    RopeFactors,
}

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) name: String,
    /// The contiguous axis first.
    pub(super) axes: Vec<u64>,
    pub(super) fill: Fill,
}

/// All tensors of a shape.
pub(super) fn tensors(shape: &Shape) -> Vec<Wanted> {
    let embedding = u64::from(shape.embedding);
    let vocabulary = u64::from(shape.vocabulary);
    let mut list = vec![wanted("token_embd.weight", &[embedding, vocabulary], Fill::Weights)];
    if matches!(shape.rope_scaling, RopeScaling::Llama3 { .. }) {
        let half = u64::from(shape.head_length / 2);
        list.push(wanted("rope_freqs.weight", &[half], Fill::RopeFactors));
    }
    for layer in 0..shape.layers {
        let mut block = Vec::new();
        attention(shape, &mut block);
        feed_forward(shape, &mut block);
        list.extend(block.into_iter().map(|(name, axes, fill)| Wanted {
            name: format!("blk.{layer}.{name}"),
            axes,
            fill,
        }));
    }
    list.push(wanted("output_norm.weight", &[embedding], Fill::Ones));
    if shape.output == Output::Own {
        list.push(wanted("output.weight", &[embedding, vocabulary], Fill::Weights));
    }
    list
}

fn wanted(name: &str, axes: &[u64], fill: Fill) -> Wanted {
    Wanted { name: name.into(), axes: axes.into(), fill }
}

type Block = Vec<(&'static str, Vec<u64>, Fill)>;

fn attention(shape: &Shape, block: &mut Block) {
    let embedding = u64::from(shape.embedding);
    let query = u64::from(shape.query_width());
    let kv = u64::from(shape.kv_width());
    let head = u64::from(shape.head_length);
    block.push(("attn_norm.weight", vec![embedding], Fill::Ones));
    block.push(("attn_q.weight", vec![embedding, query], Fill::Weights));
    block.push(("attn_k.weight", vec![embedding, kv], Fill::Weights));
    block.push(("attn_v.weight", vec![embedding, kv], Fill::Weights));
    block.push(("attn_output.weight", vec![query, embedding], Fill::Weights));
    if matches!(shape.architecture, Architecture::Qwen2 | Architecture::GptOss) {
        block.push(("attn_q.bias", vec![query], Fill::Bias));
        block.push(("attn_k.bias", vec![kv], Fill::Bias));
        block.push(("attn_v.bias", vec![kv], Fill::Bias));
    }
    if matches!(shape.architecture, Architecture::Qwen3 | Architecture::Qwen3Moe) {
        block.push(("attn_q_norm.weight", vec![head], Fill::Ones));
        block.push(("attn_k_norm.weight", vec![head], Fill::Ones));
    }
    if shape.architecture == Architecture::GptOss {
        block.push(("attn_output.bias", vec![embedding], Fill::Bias));
        block.push(("attn_sinks.weight", vec![u64::from(shape.heads)], Fill::Zeros));
    }
}

fn feed_forward(shape: &Shape, block: &mut Block) {
    let embedding = u64::from(shape.embedding);
    let norm = match shape.architecture {
        Architecture::GptOss => "post_attention_norm.weight",
        _ => "ffn_norm.weight",
    };
    block.push((norm, vec![embedding], Fill::Ones));
    if !shape.architecture.has_experts() {
        let width = u64::from(shape.feed_forward);
        block.push(("ffn_gate.weight", vec![embedding, width], Fill::Weights));
        block.push(("ffn_up.weight", vec![embedding, width], Fill::Weights));
        block.push(("ffn_down.weight", vec![width, embedding], Fill::Weights));
        return;
    }
    let experts = u64::from(shape.experts);
    let width = u64::from(shape.expert_feed_forward);
    block.push(("ffn_gate_inp.weight", vec![embedding, experts], Fill::PlainWeights));
    block.push(("ffn_gate_exps.weight", vec![embedding, width, experts], Fill::Weights));
    block.push(("ffn_up_exps.weight", vec![embedding, width, experts], Fill::Weights));
    block.push(("ffn_down_exps.weight", vec![width, embedding, experts], Fill::Weights));
    if shape.architecture == Architecture::GptOss {
        block.push(("ffn_gate_inp.bias", vec![experts], Fill::Bias));
        block.push(("ffn_gate_exps.bias", vec![width, experts], Fill::Bias));
        block.push(("ffn_up_exps.bias", vec![width, experts], Fill::Bias));
        block.push(("ffn_down_exps.bias", vec![embedding, experts], Fill::Bias));
    }
}
