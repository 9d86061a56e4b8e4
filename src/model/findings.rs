//! `findings.json`: what the trials show. Every number cites the trials it comes from.

use autotune_engine::api::{BufferUse, Bytes, Setting};
use serde::{Deserialize, Serialize};

use super::Level;
use crate::stats::{Change, Estimate};

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// [`Findings::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that judged.
    pub tool_version: String,
    /// What llama-server would run.
    pub baseline: Candidate,
    /// The recommended setting; equals the baseline where nothing better was proven.
    pub best: Candidate,
    /// Finalists that could not be told apart from the best.
    pub tied_with: Vec<Setting>,
    /// What may be said about best against baseline.
    pub verdict: Verdict,
    /// Speed over the levels of one knob, the others at the baseline.
    pub curves: Vec<Curve>,
    /// The way from baseline to best, one knob at a time, largest step first.
    pub effects: Vec<Effect>,
    /// Settings that did not run.
    pub failures: Vec<FailedSetting>,
    /// Trials by outcome: measured, failed, taken from the cache.
    pub trials_measured: u32,
    /// Trials that failed.
    pub trials_failed: u32,
    /// Trials taken from an earlier sweep.
    pub trials_cached: u32,
    /// Relative standard deviation of one paired comparison of the baseline with itself in time
    /// (0.02 = 2 %): what this machine resolves. `None` with fewer than 3 baseline trials.
    pub noise: Option<f64>,
    /// Median distance of the foreseen memory from the measured peak, as a share of the peak
    /// (0.02 = 2 %); `None` where nothing was foreseen.
    #[serde(default)]
    pub memory_error: Option<f64>,
    /// Why the sweep ended, one sentence.
    pub stopped_because: String,
    /// Doubts about the whole, each one sentence.
    pub caveats: Vec<String>,
}

impl Findings {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.findings/1";
}

/// One setting with its absolute speeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The setting asked for.
    pub setting: Setting,
    /// The setting as it ran, where it ran.
    pub effective: Option<Setting>,
    /// Prompt tokens per second.
    pub prefill_tok_per_s: Option<Estimate>,
    /// Generated tokens per second.
    pub decode_tok_per_s: Option<Estimate>,
    /// Seconds one turn of the workload takes.
    pub turn_s: Option<Estimate>,
    /// Seconds until the first token: the workload's whole prompt, whose last logits give it.
    pub ttft_s: Option<Estimate>,
    /// Median time between two generated tokens, in seconds.
    pub itl_p50_s: Option<f64>,
    /// 99th percentile of the time between two generated tokens, in seconds; `None` below the 299
    /// tokens that bound it.
    pub itl_p99_s: Option<f64>,
    /// Largest resident set seen.
    pub peak_resident_bytes: Option<Bytes>,
    /// Memory by buffer, at the last trial.
    pub buffers: Vec<BufferUse>,
    /// Trials behind these numbers.
    pub evidence: Vec<u32>,
}

/// What may be said about the best setting against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Verdict {
    /// Run, confirmed, and faster (or proven not to be worth a change).
    Confirmed {
        /// Speed of whole turns.
        turn: Change,
        /// Speed of prompts.
        prefill: Option<Change>,
        /// Speed of generation.
        decode: Option<Change>,
        /// The pairs.
        evidence: Vec<u32>,
    },
    /// The search itself ended at the baseline.
    KeepBaseline,
    /// Something looked better, but there was no time to prove it, or it fell away when tried.
    Unconfirmed {
        /// One sentence.
        reason: String,
    },
}

/// A part of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Processing the prompt.
    Prefill,
    /// Generating.
    Decode,
}

/// Speed over the levels of one knob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Name of the knob.
    pub knob: String,
    /// Part of the turn.
    pub phase: Phase,
    /// In the order of the levels.
    pub points: Vec<CurvePoint>,
}

/// Speed at one level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The level.
    pub level: Level,
    /// Tokens per second; `None` where it did not run.
    pub tok_per_s: Option<Estimate>,
    /// Speed over the first level's.
    pub speedup: Option<f64>,
    /// Speed-up over the ratio of levels: 1 is ideal scaling. Only for thread counts.
    pub efficiency: Option<f64>,
    /// Trials behind it.
    pub evidence: Vec<u32>,
}

/// One step of the optimization log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Name of the knob.
    pub knob: String,
    /// Its level in the baseline.
    pub from: Level,
    /// Its level in the best setting.
    pub to: Level,
    /// What the step alone does to whole turns, from trials that differ in this knob only;
    /// `None` where there are none.
    pub alone: Option<Change>,
    /// Trials behind it.
    pub evidence: Vec<u32>,
}

/// A setting that did not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailedSetting {
    /// The setting.
    pub setting: Setting,
    /// The contract's word for what happened.
    pub kind: String,
    /// One line.
    pub reason: String,
    /// Trials in which it happened.
    pub evidence: Vec<u32>,
}
