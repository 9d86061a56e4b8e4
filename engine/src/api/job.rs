//! What an engine is asked to do once, and what comes back.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Bytes, Resident, Setting};

/// One model, one setting, one piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The GGUF file.
    pub model: PathBuf,
    /// The setting asked for.
    pub setting: Setting,
    /// The work to be timed.
    pub work: Work,
}

/// Tokens to process and how: the terms are llama-bench's, and so is the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Work {
    /// Prompt tokens per repetition and sequence, processed in chunks of the batch size.
    pub prompt_tokens: u32,
    /// Generated tokens per repetition and sequence, one of each sequence per step.
    pub generate_tokens: u32,
    /// Tokens of each sequence already in the KV cache when the clock starts.
    pub depth: u32,
    /// Timed repetitions.
    pub repetitions: u32,
    /// Whether an untimed run precedes them (the whole prompt, or one generated token).
    pub warmup: bool,
    /// Pause before each setting's work, in milliseconds.
    pub delay_ms: u64,
    /// Seed of the random tokens.
    pub seed: u64,
    /// Sequences at once, which the context must have room for.
    #[serde(default = "one")]
    pub parallel: u32,
}

fn one() -> u32 {
    1
}

impl Work {
    /// Sequences at once, at least one.
    #[must_use]
    pub fn sequences(&self) -> u32 {
        self.parallel.max(1)
    }

    /// Prompt tokens per repetition, of all sequences.
    #[must_use]
    pub fn all_prompt_tokens(&self) -> u64 {
        u64::from(self.prompt_tokens) * u64::from(self.sequences())
    }

    /// Generated tokens per repetition, of all sequences.
    #[must_use]
    pub fn all_generated_tokens(&self) -> u64 {
        u64::from(self.generate_tokens) * u64::from(self.sequences())
    }
}

/// What a finished job reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The setting as the engine really ran it (clamped, resolved, read back).
    pub effective: Setting,
    /// One entry per repetition, in order.
    pub samples: Vec<Sample>,
    /// Memory in use at the end.
    pub memory: MemoryUse,
    /// What the model is, by the engine's own account.
    pub model: ModelFacts,
    /// What had to be changed before the work could start, and what that took.
    pub transition: Transition,
    /// Doubts that belong to these samples, each one sentence.
    pub caveats: Vec<String>,
    /// What the model would have said at the end of each repetition; empty where nothing is
    /// computed for real. Equal work under settings that only change speed gives equal answers.
    #[serde(default)]
    pub answers: Vec<Answer>,
    /// Where the last token was computed; `None` where nothing is computed for real.
    #[serde(default)]
    pub graph: Option<GraphUse>,
}

/// Where a graph was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphUse {
    /// Pieces that went to one backend each: one without devices.
    pub splits: u32,
    /// Layers most of whose products were computed on a device.
    pub layers_on_devices: u32,
    /// Of those, layers whose attention was computed by the processor.
    pub attention_left_behind: u32,
    /// Whether the logits were computed on a device.
    pub output_on_device: bool,
}

/// The likeliest token and how clearly it leads.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Its number in the vocabulary.
    pub token: u32,
    /// Its logit.
    pub logit: f32,
    /// Logit of the next likeliest.
    pub runner_up: f32,
    /// Root of the mean square of all logits: the scale of the two above.
    pub scale: f32,
}

/// Times of one repetition, on the worker's monotonic clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The prompts of all sequences, synchronised once at its end; 0 without a prompt.
    pub prefill_ns: u64,
    /// All steps of generation; 0 without generation.
    pub decode_ns: u64,
    /// Each step, a token of every sequence, synchronised after each: inter-token latencies.
    pub token_ns: Vec<u64>,
}

impl Sample {
    /// Prompt and generation together.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.prefill_ns + self.decode_ns)
    }
}

/// Memory by what holds it. `None` where this system does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// Largest resident set of the worker process so far.
    pub peak_resident_bytes: Option<Bytes>,
    /// The resident set at the end, by kind.
    #[serde(default)]
    pub resident: Option<Resident>,
    /// One entry per buffer type of the engine (`CPU_Mapped`, `CPU_REPACK`, `CUDA0`, …).
    pub buffers: Vec<BufferUse>,
}

/// What one kind of buffer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BufferUse {
    /// ggml's name of the buffer type.
    pub name: String,
    /// Weights.
    pub model_bytes: Bytes,
    /// KV cache and recurrent state.
    pub context_bytes: Bytes,
    /// Scratch space of the computation.
    pub compute_bytes: Bytes,
}

/// What the engine knows of the loaded model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// llama.cpp's one-line description, for example `llama 1B Q4_K - Medium`.
    pub description: String,
    /// Bytes of all tensors.
    pub size_bytes: Bytes,
    /// Number of parameters.
    pub parameters: u64,
    /// Number of layers, without the output layer.
    pub layers: u32,
}

/// What a change of setting took, outermost first; `None` where nothing had to change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// A new worker process.
    pub process_ns: Option<u64>,
    /// Loading the model.
    pub load_ns: Option<u64>,
    /// Making a context.
    pub context_ns: Option<u64>,
}

/// Why there are no samples. Every kind is an ordinary, recordable answer.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Failure {
    /// The engine declined: an invalid combination, a file it cannot load.
    #[error("the engine refused: {reason}")]
    Refused {
        /// One line, the engine's own words where it had any.
        reason: String,
        /// Last lines of the engine's log.
        log: Vec<String>,
    },
    /// Memory could not be had, or the kernel killed the worker for it.
    #[error("out of memory: {reason}")]
    OutOfMemory {
        /// One line: which allocation, or who killed whom.
        reason: String,
        /// Last lines of the engine's log.
        log: Vec<String>,
    },
    /// The worker died.
    #[error("the engine crashed: {reason}")]
    Crashed {
        /// The signal, where it was one (11 = SIGSEGV).
        signal: Option<i32>,
        /// The exit code, where it was one.
        exit_code: Option<i32>,
        /// One line.
        reason: String,
        /// Last lines of the engine's log.
        log: Vec<String>,
    },
    /// No answer in time; the worker was killed.
    #[error("no answer within {deadline_ms} ms")]
    TimedOut {
        /// The deadline that passed.
        deadline_ms: u64,
        /// Last lines of the engine's log.
        log: Vec<String>,
    },
    /// Something was computed, but not what was asked: wrong token counts, a NaN in the logits.
    #[error("the result is invalid: {reason}")]
    Invalid {
        /// One line.
        reason: String,
    },
}

impl Failure {
    /// A refusal without a log.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into(), log: Vec::new() }
    }
}
