//! Which part of a model a node of its computation graph belongs to.
//!
//! A weight says it by its name, which the file format fixes; nodes without one belong to what
//! stands before them in the order of the computation, with a few exceptions by name.

use crate::api::Part;

/// What a node looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name, for example `Qcur-3`.
    pub(super) name: String,
    /// ggml's operation, for example `MUL_MAT`.
    pub(super) operation: String,
    /// Names of the weights that it reads.
    pub(super) weights: Vec<String>,
    /// Whether it touches the KV cache.
    pub(super) cache: bool,
    /// Whether it touches the state of a recurrent layer.
    pub(super) state: bool,
    /// Whether it computes anything; a view of another does not.
    pub(super) computes: bool,
}

/// Part and layer of each node, in the order of the computation.
pub(super) fn parts(nodes: &[Node]) -> Vec<(Part, Option<u32>)> {
    let mut current = (Part::Embedding, None);
    let mut found: Vec<(Part, Option<u32>)> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let (name, suffix) = divided(&node.name);
        let by_weight = node.weights.iter().find_map(|weight| of_weight(weight, &node.operation));
        if let Some((part, layer)) = by_weight {
            current = (part, layer);
        } else {
            let part = of_name(name, node).unwrap_or(current.0);
            // Behind the last layer there is no going back into one.
            let layer = if part == Part::OutputHead { None } else { suffix.or(current.1) };
            current = (part, layer);
        }
        found.push(current);
    }
    norms_go_with_their_weights(nodes, &mut found);
    experts_have_the_norm(nodes, &mut found);
    found
}

/// Where a layer has experts and no other feed-forward, its norm prepares the routing.
fn experts_have_the_norm(nodes: &[Node], found: &mut [(Part, Option<u32>)]) {
    let dense = |node: &Node| {
        node.operation.starts_with("MUL_MAT")
            && node.weights.iter().any(|weight| {
                let kind = weight.split('.').nth(2).unwrap_or_default();
                matches!(kind, "ffn_up" | "ffn_gate" | "ffn_down") || kind.ends_with("_shexp")
            })
    };
    let mut layers: Vec<u32> = found.iter().filter_map(|(_, layer)| *layer).collect();
    layers.sort_unstable();
    layers.dedup();
    for layer in layers {
        let of_layer = |at: &usize| found[*at].1 == Some(layer);
        let places: Vec<usize> = (0..found.len()).filter(of_layer).collect();
        let experts = places.iter().any(|at| found[*at].0 == Part::Experts);
        if experts && !places.iter().any(|at| dense(&nodes[*at])) {
            for at in places {
                if found[at].0 == Part::FeedForwardUp {
                    found[at].0 = Part::ExpertRouting;
                }
            }
        }
    }
}

/// A name without the layer behind its last dash.
fn divided(name: &str) -> (&str, Option<u32>) {
    match name.rsplit_once('-') {
        Some((start, layer)) => match layer.parse() {
            Ok(layer) => (start, Some(layer)),
            Err(_) => (name, None),
        },
        None => (name, None),
    }
}

/// `blk.3.ffn_up.weight`, also as a copy on a device: `CUDA0#blk.3.ffn_up.weight#0`.
fn of_weight(weight: &str, operation: &str) -> Option<(Part, Option<u32>)> {
    let plain = weight.split('#').find(|part| part.contains('.')).unwrap_or(weight);
    let mut words = plain.split('.');
    let first = words.next()?;
    if first != "blk" {
        return Some(match first {
            "token_embd" | "per_layer_token_embd" if operation == "GET_ROWS" => {
                (Part::Embedding, None)
            }
            "token_embd" | "output" | "output_norm" | "cls" => (Part::OutputHead, None),
            "token_embd_norm" | "token_types" | "position_embd" => (Part::Embedding, None),
            _ => return None,
        });
    }
    let layer = words.next()?.parse().ok();
    let kind = words.next()?;
    let part = if kind.contains("_exps") || kind.contains("_chexps") {
        Part::Experts
    } else if kind.ends_with("_shexp") {
        match kind {
            "ffn_down_shexp" => Part::FeedForwardDown,
            "ffn_gate_inp_shexp" => Part::ExpertRouting,
            _ => Part::FeedForwardUp,
        }
    } else {
        match kind {
            "ffn_gate_inp" | "exp_probs_b" => Part::ExpertRouting,
            "ffn_down" | "post_ffw_norm" | "layer_output_norm" => Part::FeedForwardDown,
            "attn_output" | "attn_post_norm" | "post_attention_norm" | "attn_sub_norm" => {
                Part::AttentionOutput
            }
            "attn_sinks" => Part::AttentionScores,
            _ if kind.starts_with("attn") => Part::AttentionQkv,
            _ if kind.starts_with("ffn") => Part::FeedForwardUp,
            _ if ["ssm", "time_mix", "channel_mix", "shortconv"]
                .iter()
                .any(|start| kind.starts_with(start)) =>
            {
                Part::Recurrent
            }
            _ => return None,
        }
    };
    Some((part, layer))
}

/// Nodes without a weight that do not belong to what stands before them.
fn of_name(name: &str, node: &Node) -> Option<Part> {
    let starts = |with: &[&str]| with.iter().any(|start| name.starts_with(start));
    Some(match node.operation.as_str() {
        "FLASH_ATTN_EXT" | "SOFT_MAX" => {
            if starts(&["ffn_moe"]) {
                Part::ExpertRouting
            } else {
                Part::AttentionScores
            }
        }
        "SSM_SCAN" | "SSM_CONV" | "RWKV_WKV6" | "RWKV_WKV7" | "GATED_LINEAR_ATTN"
        | "GATED_DELTA_NET" => Part::Recurrent,
        _ if node.state => Part::Recurrent,
        _ if node.cache => Part::AttentionScores,
        _ if starts(&["Qcur", "Kcur", "Vcur", "qkv", "attn_norm", "q_", "k_"]) => {
            Part::AttentionQkv
        }
        _ if starts(&["kq", "cache_"]) => Part::AttentionScores,
        _ if starts(&["attn_out", "ffn_inp"]) => Part::AttentionOutput,
        _ if starts(&["ffn_moe_gate", "ffn_moe_up", "ffn_moe_down", "ffn_moe_swiglu"]) => {
            Part::Experts
        }
        _ if starts(&["ffn_moe"]) => Part::ExpertRouting,
        _ if starts(&["ffn_norm", "attn_post_norm"]) => Part::FeedForwardUp,
        _ if starts(&["result_"]) => Part::OutputHead,
        _ => return None,
    })
}

/// A normalisation belongs to the weight that scales it, which comes next: kernels do both at once.
fn norms_go_with_their_weights(nodes: &[Node], found: &mut [(Part, Option<u32>)]) {
    for at in (0..nodes.len().saturating_sub(1)).rev() {
        let node = &nodes[at];
        let bare = node.operation.ends_with("NORM") && node.weights.is_empty();
        if bare && !nodes[at + 1].weights.is_empty() {
            found[at] = found[at + 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node as llama.cpp names it, with the weight it reads, if any.
    fn node(name: &str, operation: &str, weight: &str) -> Node {
        Node {
            name: name.to_owned(),
            operation: operation.to_owned(),
            weights: if weight.is_empty() { Vec::new() } else { vec![weight.to_owned()] },
            cache: name.starts_with("cache_"),
            state: name.starts_with("cache_r") || name.starts_with("cache_s"),
            computes: !matches!(operation, "VIEW" | "RESHAPE" | "PERMUTE"),
        }
    }

    fn words(nodes: &[Node]) -> Vec<String> {
        let short = |(part, layer): &(Part, Option<u32>)| match layer {
            Some(layer) => format!("{part:?} {layer}"),
            None => format!("{part:?}"),
        };
        let mut words: Vec<String> = parts(nodes).iter().map(short).collect();
        words.dedup();
        words
    }

    #[test]
    fn a_dense_layer_with_flash_attention_falls_into_its_parts() {
        let nodes = [
            node("embd", "GET_ROWS", "token_embd.weight"),
            node("norm-0", "RMS_NORM", ""),
            node("attn_norm-0", "MUL", "blk.0.attn_norm.weight"),
            node("Qcur-0", "MUL_MAT", "blk.0.attn_q.weight"),
            node("Qcur-0", "ROPE", ""),
            node("Kcur-0", "MUL_MAT", "blk.0.attn_k.weight"),
            node("Kcur-0", "ROPE", ""),
            node("Vcur-0", "MUL_MAT", "blk.0.attn_v.weight"),
            node("cache_k_l0 (view)", "SET_ROWS", ""),
            node("cache_v_l0 (view)", "SET_ROWS", ""),
            node("node_21", "FLASH_ATTN_EXT", ""),
            node("kqv_out-0", "RESHAPE", ""),
            node("attn_out-0", "MUL_MAT", "blk.0.attn_output.weight"),
            node("ffn_inp-0", "ADD", ""),
            node("norm-0", "RMS_NORM", ""),
            node("ffn_norm-0", "MUL", "blk.0.ffn_norm.weight"),
            node("ffn_gate-0", "MUL_MAT", "blk.0.ffn_gate.weight"),
            node("ffn_up-0", "MUL_MAT", "blk.0.ffn_up.weight"),
            node("ffn_swiglu-0", "GLU", ""),
            node("ffn_out-0", "MUL_MAT", "blk.0.ffn_down.weight"),
            node("l_out-0", "ADD", ""),
            node("norm", "RMS_NORM", ""),
            node("result_norm", "MUL", "output_norm.weight"),
            node("result_output", "MUL_MAT", "token_embd.weight"),
        ];
        assert_eq!(
            words(&nodes),
            [
                "Embedding",
                "AttentionQkv 0",
                "AttentionScores 0",
                "AttentionOutput 0",
                "FeedForwardUp 0",
                "FeedForwardDown 0",
                "OutputHead",
            ]
        );
    }

    #[test]
    fn attention_without_flash_and_a_layer_of_experts_fall_into_theirs() {
        let nodes = [
            node("attn_norm-7", "MUL", "blk.7.attn_norm.weight"),
            node("Qcur-7", "MUL_MAT", "blk.7.attn_q.weight"),
            node("kq-7", "MUL_MAT", ""),
            node("kq_soft_max-7", "SOFT_MAX", "blk.7.attn_sinks.weight"),
            node("kqv-7", "MUL_MAT", ""),
            node("node_9", "CONT", ""),
            node("attn_out-7", "MUL_MAT", "blk.7.attn_output.weight"),
            node("ffn_inp-7", "ADD", ""),
            node("norm-7", "RMS_NORM", ""),
            node("ffn_norm-7", "MUL", "blk.7.ffn_norm.weight"),
            node("ffn_moe_logits-7", "MUL_MAT", "blk.7.ffn_gate_inp.weight"),
            node("ffn_moe_probs-7", "SOFT_MAX", ""),
            node("ffn_moe_topk-7", "ARGSORT", ""),
            node("ffn_moe_gate-7", "MUL_MAT_ID", "CUDA0#blk.7.ffn_gate_exps.weight#0"),
            node("ffn_moe_up-7", "MUL_MAT_ID", "blk.7.ffn_up_exps.weight"),
            node("ffn_moe_swiglu-7", "GLU", ""),
            node("ffn_moe_down-7", "MUL_MAT_ID", "blk.7.ffn_down_exps.weight"),
            node("ffn_moe_weighted-7", "MUL", ""),
            node("ffn_moe_out-7", "ADD", ""),
        ];
        assert_eq!(
            words(&nodes),
            [
                "AttentionQkv 7",
                "AttentionScores 7",
                "AttentionOutput 7",
                "ExpertRouting 7",
                "Experts 7",
                "ExpertRouting 7",
            ]
        );
    }

    #[test]
    fn recurrent_layers_and_shared_experts_have_their_place() {
        let nodes = [
            node("attn_norm-1", "MUL", "blk.1.attn_norm.weight"),
            node("linear_attn-1", "MUL_MAT", "blk.1.ssm_in.weight"),
            node("cache_r_l1 (view)", "CPY", ""),
            node("node_4", "SSM_CONV", "blk.1.ssm_conv1d.weight"),
            node("node_5", "GATED_DELTA_NET", ""),
            node("out-1", "MUL_MAT", "blk.1.ssm_out.weight"),
            node("ffn_norm-1", "MUL", "blk.1.ffn_norm.weight"),
            node("ffn_moe_gate-1", "MUL_MAT_ID", "blk.1.ffn_gate_exps.weight"),
            node("ffn_shexp_gate-1", "MUL_MAT", "blk.1.ffn_gate_shexp.weight"),
            node("ffn_shexp-1", "MUL_MAT", "blk.1.ffn_down_shexp.weight"),
        ];
        assert_eq!(
            words(&nodes),
            [
                "AttentionQkv 1",
                "Recurrent 1",
                "FeedForwardUp 1",
                "Experts 1",
                "FeedForwardUp 1",
                "FeedForwardDown 1",
            ]
        );
    }

    #[test]
    fn strange_names_belong_to_what_stands_before_them() {
        let nodes = [
            node("attn_norm-2", "MUL", "blk.2.attn_norm.weight"),
            node("whatever-x", "ADD", "blk.two.new_thing.weight"),
            node("", "ADD", "blk"),
        ];
        assert_eq!(words(&nodes), ["AttentionQkv 2"]);
        assert!(parts(&[]).is_empty());
    }
}
