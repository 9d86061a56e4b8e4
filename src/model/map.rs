//! `autotune plan --format json`: what of a model fits on a machine, and how fast it can be at most.

use autotune_engine::api::{Bytes, KvType, Rest, Setting, Sum};
use serde::{Deserialize, Serialize};

use super::{Axis, ModelCard, Offload, Rejected, SizeClass};

/// What fits, what does not and by how much. Nothing was run for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanMap {
    /// [`PlanMap::SCHEMA`].
    pub schema: String,
    /// Version of `autotune`.
    pub tool_version: String,
    /// When it was made, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it, as typed.
    pub command: String,
    /// The model.
    pub model: ModelCard,
    /// Layer by layer.
    pub layers: LayerWeights,
    /// What can be had.
    pub room: Room,
    /// What llama-server would run, with everything on the processor; each cell differs from it
    /// in what the cell names.
    pub baseline: Setting,
    /// What the baseline needs beside llama.cpp's own account.
    pub rest: Vec<Rest>,
    /// Contexts × KV types × physical batches × places of the layers.
    pub cells: Vec<Cell>,
    /// What 32768 more tokens of context add, by KV type.
    pub more_context: Vec<MoreContext>,
    /// The branch of the decision tree beside the exact answer.
    pub advice: Advice,
    /// Why rates are missing and what measures them; `None` where they are there.
    pub rates_missing: Option<String>,
    /// The search space of a sweep.
    pub axes: Vec<Axis>,
    /// What a sweep leaves out.
    pub rejected: Vec<Rejected>,
}

impl PlanMap {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.plan-map/1";
}

/// Weights by layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerWeights {
    /// Bytes of each layer, experts included.
    pub layer_bytes: Vec<Bytes>,
    /// Bytes of the experts of each layer; zero for a dense one.
    pub expert_bytes: Vec<Bytes>,
    /// Bytes of the embedding, which stays with the processor.
    pub embedding_bytes: Bytes,
    /// Bytes that go with the output layer; a tied embedding is copied to it.
    pub output_bytes: Bytes,
    /// Parameters that take part in one token.
    pub active_parameters: u64,
    /// Whether most weights are smaller than 16 bits and are multiplied as 8-bit integers.
    pub quantized: bool,
}

/// Memory that can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Main memory, under the control group's limit; `None` where it is unknown.
    pub memory_bytes: Option<Bytes>,
    /// What of it is left to others.
    pub memory_reserve_bytes: Bytes,
    /// Graphics cards that the engine can drive.
    pub devices: Vec<DeviceRoom>,
}

/// Memory of a graphics card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRoom {
    /// The card.
    pub name: String,
    /// What is free of it.
    pub free_bytes: Bytes,
    /// What of that is left free: drivers keep some for each process.
    pub reserve_bytes: Bytes,
    /// Whether it is part of main memory, as that of integrated graphics is.
    #[serde(default)]
    pub shared: bool,
}

/// One setting of the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Tokens of context.
    pub context: u32,
    /// Type of both halves of the KV cache.
    pub kv_type: KvType,
    /// Physical batch.
    pub ubatch: u32,
    /// Layers on the graphics cards, the output layer counted as one.
    pub gpu_layers: u32,
    /// Layers whose experts stay with the processor.
    pub cpu_experts: u32,
    /// Need of main memory.
    pub memory: Sum,
    /// Need of each graphics card, in the order of the room.
    pub devices: Vec<Sum>,
    /// Whether the engine counted it, or it is composed layer by layer.
    pub source: CellSource,
    /// Whether it fits; `None` where the memory is unknown.
    pub fits: Option<bool>,
    /// The sum that does not fit, one line; `None` where it fits.
    pub reason: Option<String>,
    /// Generated tokens per second at most, with an empty KV cache.
    pub decode_tok_per_s: Option<f64>,
    /// The same with a full one.
    pub full_decode_tok_per_s: Option<f64>,
    /// Prompt tokens per second at most.
    pub prefill_tok_per_s: Option<f64>,
}

/// Where the numbers of a cell come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellSource {
    /// llama.cpp counted it without allocating.
    Engine,
    /// Put together from that count and the table of tensors.
    Layers,
}

/// What more context costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoreContext {
    /// Type of both halves of the KV cache.
    pub kv_type: KvType,
    /// From this many tokens …
    pub from: u32,
    /// … to this many,
    pub to: u32,
    /// this much more memory.
    pub bytes: Bytes,
}

/// The decision tree and the rule of thumb, beside what is exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// Size class of the model by its parameters.
    pub class: SizeClass,
    /// What the tree says of that class.
    pub class_says: String,
    /// What the tree says of the graphics memory.
    pub memory_says: String,
    /// Layers on the graphics cards by the rule of thumb.
    pub rule_gpu_layers: u32,
    /// The most that fits with the baseline's context, cache and batch; `None` where nothing does.
    pub exact_gpu_layers: Option<u32>,
    /// What that makes of the model.
    pub offload: Option<Offload>,
    /// KV cache per token by the rule of thumb.
    pub rule_kv_bytes_per_token: Bytes,
    /// KV cache per token in fact, with the baseline's types.
    pub exact_kv_bytes_per_token: Bytes,
}
