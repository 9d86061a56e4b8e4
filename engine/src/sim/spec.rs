//! The tables that every simulated machine has, as they are written in TOML.

use serde::Deserialize;

use crate::api::{FlashAttention, Setting};

/// Cores and memory.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// Physical cores.
    pub cores: u32,
    /// Hardware threads per core.
    pub smt: u32,
    /// Hardware threads that may be used, where a quota allows fewer than there are.
    pub usable_threads: Option<u32>,
    /// Share of a core's compute rate that its further hardware threads add together.
    pub smt_gain: f64,
    /// Floating-point operations per second of one core, with the best variant and ubatch.
    pub core_flops: f64,
    /// Bytes per second that one core can read.
    pub core_bandwidth_bytes_per_s: f64,
    /// Bytes per second that all cores together can read.
    pub bandwidth_bytes_per_s: f64,
    /// Memory that a worker may fill.
    pub memory_bytes: u64,
    /// Seconds that each thread adds to a pass over the model by waiting for the others.
    pub barrier_s: f64,
    /// Seconds that each thread beyond the usable ones adds to a pass over the model.
    pub contention_s: f64,
    /// Processor time per time that a quota allows, in cores: more threads run for less of it.
    pub quota_cores: Option<f64>,
    /// What everything takes longer by as soon as there is one thread too many.
    #[serde(default = "one")]
    pub collapse: f64,
}

fn one() -> f64 {
    1.0
}

/// The model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// One line, as llama.cpp would describe it.
    pub description: String,
    /// Bytes of all tensors.
    pub size_bytes: u64,
    /// Bytes of weights that one generated token reads.
    pub bytes_per_token: u64,
    /// Parameters that take part in one token.
    pub parameters: u64,
    /// Layers.
    pub layers: u32,
    /// Bytes of KV cache per token at 16 bits per element.
    pub kv_bytes_per_token: u64,
    /// Scratch bytes per token of the physical batch.
    pub compute_bytes_per_token: u64,
    /// The physical batch that prompts are fastest with.
    pub best_ubatch: u32,
    /// Share of prefill speed lost one doubling away from it; it grows with the square of the
    /// doublings.
    pub ubatch_loss: f64,
    /// Seconds that each logical batch adds.
    #[serde(default)]
    pub batch_s: f64,
}

/// What the steps between settings take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepCosts {
    /// Starting a worker process.
    pub process_s: f64,
    /// Loading the model.
    pub load_s: f64,
    /// Making a context.
    pub context_s: f64,
}

/// What flash attention does to the speed of the two phases (1 = nothing).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlashAttentionSpec {
    /// What `auto` turns out to be.
    pub auto: FlashAttention,
    /// Speed of prompts with it over speed without.
    pub prefill_speed: f64,
    /// Speed of generation with it over speed without.
    pub decode_speed: f64,
}

/// Relative noise of times; each `sd` is that of the logarithm (0.01 = about 1 %).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseSpec {
    /// One repetition against the next.
    pub sample_sd: f64,
    /// One generated token against the next.
    pub token_sd: f64,
    /// A slow wander that everything shares.
    pub drift_sd: f64,
    /// Seconds until the wander has forgotten where it was.
    pub drift_time_s: f64,
    /// A steady slowing down: relative increase of every time per hour.
    pub trend_per_hour: f64,
    /// Neighbours that come for some seconds.
    pub bursts: Option<BurstSpec>,
    /// Heat.
    pub throttling: Option<ThrottleSpec>,
    /// A record of a real machine, beside the world's own file.
    pub trace: Option<String>,
    /// Exponent of the record's values: 1 = as recorded, 0.1 = a tenth of its spread.
    pub trace_scale: f64,
}

impl Default for NoiseSpec {
    /// None at all.
    fn default() -> Self {
        Self {
            sample_sd: 0.0,
            token_sd: 0.0,
            drift_sd: 0.0,
            drift_time_s: 30.0,
            trend_per_hour: 0.0,
            bursts: None,
            throttling: None,
            trace: None,
            trace_scale: 1.0,
        }
    }
}

/// Neighbours that come and go; both times are means of exponential ones.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurstSpec {
    /// Seconds from the end of one visit to the next.
    pub every_s: f64,
    /// Seconds that one stays.
    pub length_s: f64,
    /// Share of the processor that it takes.
    pub share: f64,
}

/// A machine that gets hot of work and cools down without.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrottleSpec {
    /// Seconds after which heating and cooling have come 63 % of their way.
    pub time_s: f64,
    /// Heat from which on the machine slows down; 1 is as hot as it gets.
    pub threshold: f64,
    /// Relative increase of every time at the hottest.
    pub slowdown: f64,
}

/// One build variant of the CPU code.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    /// ggml's name for it.
    pub name: String,
    /// ggml's own preference.
    pub score: i32,
    /// Speed of prompts with it over speed with the best.
    pub prefill_speed: f64,
    /// Compute speed of generation with it over speed with the best; bandwidth stays.
    pub decode_speed: f64,
    /// What its self-test shows.
    #[serde(default)]
    pub self_test: SelfTest,
    /// The signal it dies of, where the self-test fails.
    #[serde(default = "illegal_instruction")]
    pub signal: i32,
}

fn illegal_instruction() -> i32 {
    4
}

/// What the self-test of a variant shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfTest {
    /// It computes rightly.
    #[default]
    Usable,
    /// The processor does not announce what it needs.
    Unsupported,
    /// It dies.
    Failed,
}

/// Settings that go wrong, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Which settings; all given conditions must hold.
    pub when: CrashWhen,
    /// What happens then.
    pub kind: CrashKind,
    /// The signal, for [`CrashKind::Crashed`].
    #[serde(default = "segmentation_fault")]
    pub signal: i32,
}

fn segmentation_fault() -> i32 {
    11
}

/// Conditions on a setting.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrashWhen {
    /// This CPU variant.
    pub isa_variant: Option<String>,
    /// At least so many threads in either phase.
    pub threads_at_least: Option<u32>,
    /// At least this physical batch.
    pub ubatch_at_least: Option<u32>,
    /// At least this context.
    pub context_at_least: Option<u32>,
    /// Flash attention, after `auto` was resolved.
    pub flash_attention: Option<FlashAttention>,
}

/// How a setting goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// The worker dies of a signal.
    Crashed,
    /// No answer comes.
    TimedOut,
    /// Memory runs out.
    OutOfMemory,
    /// The engine declines.
    Refused,
    /// Something else than asked is computed.
    Invalid,
}

impl CrashWhen {
    /// Whether all conditions hold for a setting whose `auto`s are resolved.
    pub(super) fn holds(&self, effective: &Setting) -> bool {
        let threads = effective.threads.threads.max(effective.threads.threads_batch);
        let at_least = |limit: Option<u32>, value| limit.is_none_or(|limit| value >= limit);
        self.isa_variant
            .as_ref()
            .is_none_or(|name| effective.process.isa_variant.as_ref() == Some(name))
            && at_least(self.threads_at_least, threads)
            && at_least(self.ubatch_at_least, effective.context.ubatch)
            && at_least(self.context_at_least, effective.context.context)
            && self.flash_attention.is_none_or(|word| effective.context.flash_attention == word)
    }
}
