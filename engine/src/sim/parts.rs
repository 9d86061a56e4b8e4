//! The tables that only some simulated machines have: what makes one hybrid, large, shared or
//! strange. A machine without a table is as if it had never heard of the thing.

use serde::Deserialize;

use crate::api::LoadMode;

/// Slow cores beside the fast ones, one hardware thread each; their CPUs come after all others.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridSpec {
    /// How many.
    pub slow_cores: u32,
    /// Compute rate and bandwidth of one over those of a fast core.
    pub slow_speed: f64,
    /// How far the slowest thread of a team holds the others up: 0 = the work is shared by speed,
    /// 1 = everybody gets the same share.
    pub drag: f64,
}

/// Memory nodes, each with its share of the cores and of the machine's bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumaSpec {
    /// How many.
    pub nodes: u32,
    /// Bandwidth of the link that leads to a node, over the bandwidth of the node.
    pub link_speed: f64,
    /// Seconds that a pass over the model takes longer where its threads are on several nodes.
    pub crossing_s: f64,
    /// Share of pages that their reader touches first under `--numa distribute`.
    pub touched_local: f64,
}

/// What waiting threads do to others and themselves.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PollingSpec {
    /// Seconds per pass that waking threads takes where they never spin.
    pub wake_s: f64,
    /// Share of the speed that is lost to spinning where they always spin.
    pub spin_loss: f64,
}

/// Something else that always runs on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackgroundSpec {
    /// Share of every core that it takes of threads with normal priority; twice as much of those
    /// with low priority, nothing of real-time ones.
    pub share: f64,
    /// Whether a process may have real-time threads.
    pub realtime: bool,
}

/// What rearranging the weights for the processor's kernels does.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepackSpec {
    /// Speed of prompts with it over speed without.
    pub prefill_speed: f64,
    /// Compute speed of generation with it over speed without.
    pub decode_speed: f64,
    /// Seconds that it adds to a load.
    pub load_s: f64,
}

/// What a way of loading does, compared with `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadModeSpec {
    /// The way.
    pub mode: LoadMode,
    /// Seconds that it adds to a load.
    pub load_s: f64,
    /// Bandwidth with it over bandwidth without, as huge pages change it.
    pub bandwidth: f64,
}

/// What attention takes beside reading the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSpec {
    /// Operations per token and token before it.
    pub operations: f64,
    /// Speed of attention over a quantized KV cache over the speed with 16 bits.
    pub quantized_speed: f64,
}

/// A graphics card.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuSpec {
    /// The engine's name for it, for example `CUDA0`.
    pub name: String,
    /// The driver's, for example `GeForce RTX 4070`.
    pub description: String,
    /// Name of the backend, for example `CUDA`.
    pub backend: String,
    /// What may be filled of its memory.
    pub memory_bytes: u64,
    /// Whether that is part of the system's memory.
    #[serde(default)]
    pub shares_memory: bool,
    /// What the driver keeps for a process.
    #[serde(default)]
    pub context_bytes: u64,
    /// Operations per second on prompts, with the best ubatch.
    pub flops: f64,
    /// Bytes per second that it reads of its memory.
    pub bandwidth_bytes_per_s: f64,
    /// Seconds to start the work of one layer.
    pub launch_s: f64,
    /// Bytes per second between the processor's memory and its own.
    pub link_bytes_per_s: f64,
    /// Seconds that it takes to hand a pass over from one side to the other, bytes not counted.
    pub crossing_s: f64,
    /// Bytes per token that are handed over.
    pub activation_bytes: u64,
    /// The physical batch that prompts are fastest with.
    pub best_ubatch: u32,
    /// Share of prefill speed lost one doubling away from it, as for the processor.
    pub ubatch_loss: f64,
    /// Tokens of a physical batch times tokens before them beyond which attention slows down in
    /// proportion, as its matrix falls out of a cache; `None`: never.
    pub attention_knee: Option<f64>,
}

/// The experts of a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpertSpec {
    /// Experts of a layer.
    pub count: u32,
    /// Of those, used for one token.
    pub used: u32,
    /// Bytes of all experts, of `model.size_bytes`.
    pub size_bytes: u64,
    /// Bytes of experts that one token reads, of `model.bytes_per_token`.
    pub bytes_per_token: u64,
}

/// What a comparison of searches does on this machine. The simulator does not look at it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudySpec {
    /// Names of the knobs to turn; empty: the usual ones.
    pub knobs: Vec<String>,
    /// Prompt tokens of a turn.
    pub prompt_tokens: u32,
    /// Generated tokens of a turn.
    pub generate_tokens: u32,
    /// Tokens already in the KV cache.
    pub depth: u32,
    /// Tokens of context.
    pub context: u32,
}

impl Default for StudySpec {
    /// A turn of a chat.
    fn default() -> Self {
        Self {
            knobs: Vec::new(),
            prompt_tokens: 512,
            generate_tokens: 256,
            depth: 0,
            context: 4096,
        }
    }
}
