//! `profile.json`: where the time of a model or of any command goes.

use autotune_engine::api::{Bytes, Count, KernelUse, MemoryUse, Part, Setting, Stretch, Work};
use serde::{Deserialize, Serialize};

use super::activity::CommandProfile;
use super::{CardUse, Interval};
use crate::stats::Estimate;

/// One profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// [`Profile::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that profiled.
    pub tool_version: String,
    /// When it began, RFC 3339 in UTC.
    pub captured_at: String,
    /// What a machine it was, in words; `None` where nobody knows.
    pub machine: Option<String>,
    /// What was profiled.
    pub subject: Subject,
    /// Doubts about the whole, each one sentence.
    #[serde(default)]
    pub caveats: Vec<String>,
}

impl Profile {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.profile/1";
}

/// What was profiled, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "one per document")]
pub enum Subject {
    /// A model under a setting.
    Model(ModelProfile),
    /// Any command, or a process that was running.
    Command(CommandProfile),
    /// Counters that another tool recorded.
    Counters(CounterProfile),
}

/// Counters that were read elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CounterProfile {
    /// The file they come from.
    pub source: String,
    /// Seconds that were counted, where the file says so or a clock was among the counters.
    pub elapsed_s: Option<f64>,
    /// The counters.
    pub counts: Vec<Count>,
    /// What follows from them.
    pub metrics: Vec<Metric>,
    /// Events that we have no name for, with what was counted.
    pub others: Vec<OtherCount>,
}

/// An event that we have no name for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherCount {
    /// Its name as it stands in the file.
    pub event: String,
    /// What was counted; `None` where it was not.
    pub value: Option<f64>,
    /// The unit that stands beside it, where there is one.
    pub unit: Option<String>,
}

/// Where the time of a model goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelProfile {
    /// The model file.
    pub model: String,
    /// The engine's one-line description, for example `llama 1B Q4_K - Medium`.
    pub description: String,
    /// Bytes of all weights.
    pub weight_bytes: Bytes,
    /// Whether the weights are random.
    pub synthetic: bool,
    /// The setting as it ran.
    pub setting: Setting,
    /// The work that was observed.
    pub work: Work,
    /// What bounds each stretch, the longest first.
    pub bottlenecks: Vec<Bottleneck>,
    /// Times as a user meets them.
    pub latency: LatencyProfile,
    /// Load, prefill and decode.
    pub phases: Vec<PhaseProfile>,
    /// The parts of the model, per stretch.
    pub components: Vec<ComponentTable>,
    /// Achieved rates beside what the machine can do.
    pub rooflines: Vec<Roofline>,
    /// Functions that ran, the most frequent first.
    pub functions: Vec<FunctionShare>,
    /// Functions whose loads missed the last cache, the most frequent first; empty where the
    /// processor does not count that.
    #[serde(default)]
    pub cache_misses: Vec<FunctionShare>,
    /// How the functions were seen; `None` where they were not.
    pub sampling: Option<Sampling>,
    /// Memory at the end.
    pub memory: MemoryUse,
    /// Graphics cards meanwhile, by their driver.
    pub cards: Vec<CardUse>,
    /// What could not be seen, and why: one sentence each.
    pub unseen: Vec<String>,
}

/// What bounds a stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bottleneck {
    /// Which.
    pub stretch: Stretch,
    /// Its share of a request's time, 0 to 1.
    pub share: f64,
    /// What bounds it.
    pub bound: Bound,
    /// Probability of that answer under the errors of what was measured, 0 to 1.
    pub confidence: f64,
    /// The numbers that decide it, each one sentence.
    pub evidence: Vec<String>,
    /// What would help, each one sentence.
    pub remedies: Vec<String>,
}

/// What bounds a computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Memory delivers as fast as it can.
    Memory,
    /// The units multiply as fast as they can.
    Compute,
    /// The weights stay in caches, faster than memory delivers.
    Cache,
    /// Neither: threads start, wait for each other and stop.
    Latency,
    /// Weights are read from a disk again and again.
    Paging,
    /// A disk delivers as fast as it can.
    Io,
    /// Weights travel to a graphics card for each use.
    GpuTransfer,
    /// A graphics card computes; what bounds it there cannot be told.
    Gpu,
    /// There is no measured peak to compare with.
    Unknown,
}

impl Bound {
    /// The words for it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Memory => "memory-bound",
            Self::Compute => "compute-bound",
            Self::Cache => "cache-bound",
            Self::Latency => "latency- or synchronisation-bound",
            Self::Paging => "paging",
            Self::Io => "I/O-bound",
            Self::GpuTransfer => "GPU-transfer-bound",
            Self::Gpu => "GPU-bound",
            Self::Unknown => "not separable",
        }
    }
}

/// Times as a user meets them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyProfile {
    /// Seconds to load the model and make a context.
    pub load_s: Option<f64>,
    /// Seconds until the first token: the whole prompt, whose last logits give it.
    pub ttft_s: Option<Estimate>,
    /// Median seconds between two tokens.
    pub token_p50_s: Option<f64>,
    /// 90th percentile of the seconds between two tokens; `None` below the samples it takes.
    pub token_p90_s: Option<f64>,
    /// 99th percentile of the seconds between two tokens; `None` below the samples it takes (299).
    pub token_p99_s: Option<f64>,
    /// Longest time between two tokens, in seconds.
    pub token_max_s: Option<f64>,
    /// Seconds between tokens, in the order of generation, repetition after repetition.
    pub tokens_s: Vec<f64>,
    /// Generated tokens of each repetition.
    pub tokens_per_repetition: u32,
    /// Places in `tokens_s` that took far longer than the others.
    pub stalls: Vec<Stall>,
}

/// A token that took far longer than the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// Its place in the list, from 0.
    pub token: u32,
    /// What it took, in seconds.
    pub took_s: f64,
    /// How many times the median that is.
    pub times_median: f64,
}

/// What process and machine did in a stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseProfile {
    /// Which.
    pub stretch: Stretch,
    /// Seconds of one repetition.
    pub elapsed_s: Estimate,
    /// Tokens of all sequences in one repetition.
    pub tokens: u64,
    /// Tokens per second; `None` in the load.
    pub tok_per_s: Option<Estimate>,
    /// Processors that were busy with it on average.
    pub cores_busy: f64,
    /// Kernel's accounts, over all repetitions.
    pub kernel: KernelUse,
    /// Counted events, over all repetitions.
    pub counts: Vec<Count>,
    /// What follows from them.
    pub metrics: Vec<Metric>,
    /// Joules for one token, of processor packages and memory or of graphics cards.
    pub joules_per_token: Option<f64>,
}

/// A value that follows from counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The counting unit, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_of_cores: Option<String>,
    /// The value.
    pub value: f64,
    /// Its unit; empty for a plain ratio.
    pub unit: String,
    /// How it is computed, in the names of the events.
    pub formula: String,
    /// Smallest share of the time that one of its events was counted in, 0 to 1: below 1 it is
    /// scaled up.
    pub counted_share: f64,
}

impl Metric {
    /// Its name, with the kind of cores where there are several.
    #[must_use]
    pub fn title(&self) -> String {
        match &self.unit_of_cores {
            Some(unit) => format!("{} ({unit})", self.name),
            None => self.name.clone(),
        }
    }
}

/// The parts of a model in one stretch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentTable {
    /// Which.
    pub stretch: Stretch,
    /// Tokens of one pass.
    pub tokens: u32,
    /// Milliseconds of one undisturbed pass, to which the parts are scaled.
    pub pass_ms: f64,
    /// How much longer a pass takes that is taken to pieces (0.1 = 10 %).
    pub disturbance: f64,
    /// Passes that were taken to pieces.
    pub passes: u32,
    /// The parts, the largest first; their shares sum to 1.
    pub parts: Vec<ComponentShare>,
    /// The same by layer and operation, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detail: Vec<DetailShare>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentShare {
    /// Its name.
    pub name: String,
    /// Which part of the model; `None` for work around the graph.
    pub part: Option<Part>,
    /// Milliseconds of one pass.
    pub ms: f64,
    /// Share of the pass, 0 to 1.
    pub share: f64,
    /// Bytes of weights and cache that it reads in one pass.
    pub bytes: u64,
    /// Multiplications and additions of one pass.
    pub arithmetic: u64,
}

/// One operation of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetailShare {
    /// Part of the model.
    pub part: Part,
    /// Layer; `None` outside of layers.
    pub layer: Option<u32>,
    /// ggml's operation.
    pub operation: String,
    /// Milliseconds of one pass.
    pub ms: f64,
}

/// Achieved rates of a stretch beside the machine's peaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// Which.
    pub stretch: Stretch,
    /// Bytes of weights and KV cache per token.
    pub bytes_per_token: f64,
    /// Multiplications and additions per token.
    pub operations_per_token: f64,
    /// Operations for each byte.
    pub intensity: f64,
    /// Bytes per second that were read.
    pub bytes_per_s: Estimate,
    /// Operations per second that were done.
    pub operations_per_s: Estimate,
    /// Peak of reading memory, bytes per second.
    pub bandwidth_peak: Option<Interval>,
    /// Peak of arithmetic, operations per second.
    pub arithmetic_peak: Option<Interval>,
    /// What that peak is of: 8-bit integers or 32-bit floats.
    pub arithmetic_kind: Option<String>,
    /// Share of the bandwidth that is used: model bandwidth utilization (MBU).
    pub bandwidth_share: Option<f64>,
    /// Share of the arithmetic that is used: model FLOP utilization (MFU).
    pub arithmetic_share: Option<f64>,
}

/// A function that samples fell into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FunctionShare {
    /// In which stretch.
    pub stretch: Stretch,
    /// Its name.
    pub function: String,
    /// The file it is in.
    pub module: String,
    /// Samples.
    pub samples: u64,
    /// Share of the stretch's samples, 0 to 1.
    pub share: f64,
}

/// How functions were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// What lies between two samples: `cycles`, or `cpu-clock` where the machine counts none.
    pub event: String,
    /// Samples per second and thread that were asked for.
    pub hz: u32,
    /// Samples that were taken.
    pub samples: u64,
    /// Samples that were lost.
    pub lost: u64,
    /// Processor time per token with sampling over that without; `None` with too few pairs.
    pub overhead: Option<Estimate>,
}
