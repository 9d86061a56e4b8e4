//! `findings.json`: what the trials show. Every number cites the trials it comes from.

use autotune_engine::api::{BufferUse, Bytes, Setting};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};

use super::Level;
use crate::stats::{Change, Estimate, Separation};

/// What a sweep found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Speed over the levels of one knob, the others as in the best setting.
    pub curves: Vec<Curve>,
    /// The way from baseline to best, one knob at a time, largest step first.
    pub effects: Vec<Effect>,
    /// Every setting that ran, fastest first: what a search saw, looks included, so that the best of
    /// them looks better than it is. Nothing is quoted from here.
    #[serde(default)]
    pub tried: Vec<TriedSetting>,
    /// Those of `tried` that no other one beats in both speed and memory.
    #[serde(default)]
    pub frontier: Vec<TriedSetting>,
    /// Speed over the levels of the two knobs that move it most; `None` where fewer were turned.
    #[serde(default)]
    pub surface: Option<Surface>,
    /// Settings that did not run.
    pub failures: Vec<FailedSetting>,
    /// Trials by outcome: measured, failed, taken from the cache.
    pub trials_measured: u32,
    /// Trials that failed.
    pub trials_failed: u32,
    /// Trials taken from an earlier sweep.
    pub trials_cached: u32,
    /// Different settings that the search looked at, and those of its space.
    #[serde(default)]
    pub looked_at: u32,
    /// Different settings of the space.
    #[serde(default)]
    pub space: u64,
    /// What this machine resolves; `None` where the baseline was hardly ever run.
    #[serde(default)]
    pub fitness: Option<Fitness>,
    /// What may be claimed besides the gain.
    #[serde(default)]
    pub claims: Claims,
    /// The winner for minutes on end; `None`: no soak.
    #[serde(default)]
    pub soak: Option<SoakFinding>,
    /// Relative standard deviation of one paired comparison of the baseline with itself in time
    /// (0.02 = 2 %): what this machine resolves. `None` with fewer than 3 baseline trials.
    pub noise: Option<f64>,
    /// Share of the measured trials beside which others used the processors (0.5 = half of them).
    #[serde(default)]
    pub disturbed: f64,
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
    /// Share of disturbed trials from which on a result is one of a machine with neighbours.
    pub const CROWDED: f64 = 0.25;

    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.findings/1";

    /// The JSON Schema (2020-12) of the document as this version writes it.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        let settings = SchemaSettings::draft2020_12().for_serialize();
        settings.into_generator().into_root_schema_for::<Self>().to_value()
    }

    /// Whether something else than the default is shown beside it.
    #[must_use]
    pub fn has_tuned(&self) -> bool {
        self.best.setting != self.baseline.setting
    }

    /// Whether the shown best may be recommended: proven to be faster.
    #[must_use]
    pub fn recommends_tuned(&self) -> bool {
        let faster = |turn: &Change| turn.separation == Separation::Faster;
        self.has_tuned() && matches!(&self.verdict, Verdict::Confirmed { turn, .. } if faster(turn))
    }
}

/// One setting with its absolute speeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Share of the time that the busiest card computed (0 to 1), the mean over trials; `None`
    /// without a card or a driver that tells.
    #[serde(default)]
    pub gpu_utilization: Option<f64>,
    /// The most memory of cards that was in use, all cards together; `None` without one.
    #[serde(default)]
    pub peak_card_bytes: Option<Bytes>,
    /// Memory by buffer, at the last trial.
    pub buffers: Vec<BufferUse>,
    /// Trials behind these numbers.
    pub evidence: Vec<u32>,
}

/// What may be said about the best setting against the baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Processing the prompt.
    Prefill,
    /// Generating.
    Decode,
}

/// Speed over the levels of one knob.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Curve {
    /// Name of the knob.
    pub knob: String,
    /// Part of the turn.
    pub phase: Phase,
    /// In the order of the levels.
    pub points: Vec<CurvePoint>,
}

/// Speed at one level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A setting as a search saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TriedSetting {
    /// The setting asked for.
    pub setting: Setting,
    /// Speed of what the workload wants little of over that of the default nearest in time (1.2 =
    /// 20 % faster).
    pub speed: Estimate,
    /// Memory of the process and of the devices that it used, at the end of its last visit.
    pub memory_bytes: Option<Bytes>,
    /// Trials behind it.
    pub evidence: Vec<u32>,
}

/// Speed over the levels of two knobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Surface {
    /// The knob that explains most of what the search saw, and its levels.
    pub first: SurfaceAxis,
    /// The one that explains most after it.
    pub second: SurfaceAxis,
    /// Pairs of levels that ran.
    pub cells: Vec<SurfaceCell>,
}

/// One side of a surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SurfaceAxis {
    /// Name of the knob.
    pub knob: String,
    /// Its levels, in order.
    pub levels: Vec<Level>,
    /// Share of the variance of logarithmic speed between its levels (0 to 1), less what chance puts
    /// there (epsilon-squared). Knobs that were turned together share it.
    pub explains: f64,
}

/// One pair of levels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SurfaceCell {
    /// Level of the first knob.
    pub first: Level,
    /// Level of the second knob.
    pub second: Level,
    /// The highest speed over the default's that was seen with the two, whatever the others were.
    pub speed: f64,
    /// Settings that had the two.
    pub settings: u32,
    /// Trials behind the fastest of them.
    pub evidence: Vec<u32>,
}

/// One step of the optimization log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// Name of the knob.
    pub knob: String,
    /// Its level in the baseline.
    pub from: Level,
    /// Its level in the best setting.
    pub to: Level,
    /// What the step alone does to whole turns, seen from the baseline; `None` where it was not
    /// measured.
    pub alone: Option<Change>,
    /// How much faster the best setting is than the same without this step.
    #[serde(default)]
    pub withdrawn: Option<Change>,
    /// What this step and those before it do together, seen from the baseline.
    #[serde(default)]
    pub cumulative: Option<Change>,
    /// Trials behind it.
    pub evidence: Vec<u32>,
}

/// Claims about the recommended setting, each only where it was earned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claims {
    /// By statistics, among the last few settings of the search.
    pub among_finalists: Option<AmongFinalists>,
    /// By physics, over all settings of these knobs.
    pub ceiling: Option<CeilingClaim>,
    /// By chance, over the declared space.
    pub space: Option<AuditClaim>,
}

/// None of the finalists is much faster than the one that leads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AmongFinalists {
    /// The one that leads.
    pub setting: Setting,
    /// No other one is faster by more than this (0.02 = 2 %).
    pub within: f64,
    /// With this confidence, all looks and finalists together.
    pub confidence: f64,
    /// Those compared.
    pub finalists: u32,
    /// Complete interleaved blocks.
    pub blocks: u32,
    /// Their trials.
    pub evidence: Vec<u32>,
}

/// How near generation is to the bandwidth of the memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CeilingClaim {
    /// Tokens per second at the upper end of the measured bandwidth.
    pub roof_tok_per_s: f64,
    /// Share of it that the best setting reaches: no setting gains more than the rest.
    pub share: f64,
    /// Trials of the best setting.
    pub evidence: Vec<u32>,
}

/// What settings by chance say about the space.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditClaim {
    /// Settings compared with the best.
    pub looked: u32,
    /// Those that were better by more than `by_more_than`.
    pub better: u32,
    /// At most this share of the space is better by more than that; `None` where one was.
    pub share: Option<f64>,
    /// The zone (0.02 = 2 %).
    pub by_more_than: f64,
    /// Confidence.
    pub confidence: f64,
    /// Trials.
    pub evidence: Vec<u32>,
}

/// What a machine resolves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fitness {
    /// Relative standard deviation of one paired comparison of the baseline with itself.
    pub spread: f64,
    /// A word for it.
    pub grade: Grade,
    /// The least relative difference that `pairs` pairs show in four of five cases.
    pub resolves: f64,
    /// Pairs.
    pub pairs: u32,
    /// Trials of the comparison of the baseline with itself.
    pub evidence: Vec<u32>,
}

/// How quiet a machine is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Grade {
    /// A pair scatters by at most 1 %.
    A,
    /// By at most 3 %.
    B,
    /// By at most 10 %.
    C,
    /// By more.
    D,
}

impl Grade {
    /// The grade of a spread of pairs (0.01 = 1 %).
    #[must_use]
    pub fn of(spread: f64) -> Self {
        match spread {
            spread if spread <= 0.01 => Self::A,
            spread if spread <= 0.03 => Self::B,
            spread if spread <= 0.1 => Self::C,
            _ => Self::D,
        }
    }

    /// What it means.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::A => "quiet: differences of 1 % are real",
            Self::B => "fine for tuning: differences below 2 % count as ties",
            Self::C => {
                "noisy: only gains above 6 % can be shown; close other programs or use longer"
            }
            Self::D => {
                "too noisy to prove small gains; close other programs, or measure on a quieter machine"
            }
        }
    }
}

/// What became of the winner's speed over minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SoakFinding {
    /// How long it ran.
    pub seconds: f64,
    /// How much longer a turn took in the last third than in the first (0.05 = 5 % slower).
    pub slower_at_end: f64,
    /// Trials.
    pub evidence: Vec<u32>,
}

/// A setting that did not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
