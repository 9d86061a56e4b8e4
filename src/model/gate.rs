//! `autotune.gate/1`: what a regression gate found, and why.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one run of the gate found. Every other output is made from it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateReport {
    /// [`GateReport::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that judged.
    pub tool_version: String,
    /// When it ended, RFC 3339 in UTC.
    pub created_at: String,
    /// The command that made it, as typed.
    pub command: String,
    /// What was compared with what.
    pub mode: GateMode,
    /// Why this mode, one sentence.
    pub mode_reason: String,
    /// The verdict of the build.
    pub verdict: GateVerdict,
    /// Why it is inconclusive or not comparable; `None` for the others.
    pub reason: Option<GateReason>,
    /// The verdict as one line.
    pub line: String,
    /// The exit code that goes with it.
    pub exit_code: u8,
    /// Whether times come from a simulated machine.
    pub synthetic: bool,
    /// Chance that this build fails although nothing is slower than allowed, over all cells.
    pub alpha: f64,
    /// Chance that a cell passes although it is slower than allowed.
    pub beta: f64,
    /// Blocking cells, which share `alpha`.
    pub m: u32,
    /// What is judged against; `None` where nothing is.
    pub base: Option<GateSide>,
    /// What is judged.
    pub head: Option<GateSide>,
    /// What was measured, worst first.
    pub cells: Vec<GateCell>,
    /// This machine; `None` where the measurements come from elsewhere.
    pub machine: Option<GateMachine>,
    /// Facts in which the baseline's machine differs.
    pub machine_differences: Vec<FactDifference>,
    /// A fixed piece of work beside the measurements.
    pub canary: Option<Canary>,
    /// Seed of all chance in it.
    pub seed: u64,
    /// Digest of what is measured: cells, tests, models; `None` for imported data.
    pub suite_digest: Option<String>,
    /// Sessions that judged: the confirmation of a failure is one of its own.
    pub sessions: Vec<GateSession>,
    /// Change points and levels over time (mode history).
    pub series: Vec<GateSeries>,
    /// All of the series' change points, for readers who need no more.
    pub change_points: Vec<ChangePoint>,
    /// Whether identical code passes, and slowed code does not (modes calibrate and selftest).
    pub trials: Option<GateTrials>,
    /// Waivers that no cell needed any more, and other things to know, each one sentence.
    pub notes: Vec<String>,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
}

impl GateReport {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.gate/1";

    /// The schema that such documents keep, for readers in other languages.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

/// What was compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateMode {
    /// Two sides in turn, here and now.
    Ab,
    /// Now against stored sessions of this machine.
    Check,
    /// A series of sessions.
    History,
    /// Measured and stored; nothing to compare with.
    Record,
    /// What other tools measured.
    Import,
    /// The same side twice, to learn the noise.
    Calibrate,
    /// The same side twice, one of them slowed on purpose.
    Selftest,
}

impl GateMode {
    /// Its name, as typed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ab => "ab",
            Self::Check => "check",
            Self::History => "history",
            Self::Record => "record",
            Self::Import => "import",
            Self::Calibrate => "calibrate",
            Self::Selftest => "selftest",
        }
    }
}

/// What may be said of a cell, or of a build.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GateVerdict {
    /// Slower than allowed, beyond doubt.
    Fail,
    /// Was there before, and was not measured now.
    Missing,
    /// Was not compared, or what was compared is not the same work.
    NotComparable,
    /// Neither is shown: nor that it is slower than allowed, nor that it is not.
    Inconclusive,
    /// Has nothing to be compared with yet.
    New,
    /// Not slower than allowed, beyond doubt.
    Pass,
}

impl GateVerdict {
    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Missing => "missing",
            Self::NotComparable => "not-comparable",
            Self::Inconclusive => "inconclusive",
            Self::New => "new",
            Self::Pass => "pass",
        }
    }
}

impl fmt::Display for GateVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why nothing could be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateReason {
    /// The interval holds the limit: more blocks would narrow it.
    Noise,
    /// Too few blocks for any verdict.
    TooFewBlocks,
    /// Too few stored sessions, or points of a series.
    ThinBaseline,
    /// The baseline is another machine's.
    FingerprintMismatch,
    /// The machine was not the same all the time: load, throttling, a canary that moved.
    Environment,
    /// Two speeds take turns, or neighbours in time depend on each other.
    Unstable,
    /// A slowdown worth knowing could not have been seen.
    Blind,
    /// Both sides are the same thing, so that a slowdown is the gate's own false alarm.
    Identical,
    /// A failure that no second session has confirmed.
    Unconfirmed,
    /// The two sides did different work.
    OutputChanged,
    /// Units or directions do not agree.
    UnitsDiffer,
    /// The samples say nothing: too few, zeros, or nothing finite.
    BadSamples,
    /// There is nothing to compare with.
    NoBaseline,
}

impl GateReason {
    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::TooFewBlocks => "too-few-blocks",
            Self::ThinBaseline => "thin-baseline",
            Self::FingerprintMismatch => "fingerprint-mismatch",
            Self::Environment => "environment",
            Self::Unstable => "unstable",
            Self::Blind => "blind",
            Self::Identical => "identical",
            Self::Unconfirmed => "unconfirmed",
            Self::OutputChanged => "output-changed",
            Self::UnitsDiffer => "units-differ",
            Self::BadSamples => "bad-samples",
            Self::NoBaseline => "no-baseline",
        }
    }
}

/// One of two sides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateSide {
    /// As it was named.
    pub name: String,
    /// What it is: `program`, `model`, `setting`, `baseline`, `file` …
    pub kind: String,
    /// Digest of everything that makes it what it is; equal for identical sides.
    pub digest: Option<String>,
    /// The engine's own words: name and versions.
    pub engine: Option<String>,
    /// The commit it was built from, where that is known.
    pub commit: Option<String>,
}

/// What kind of quantity is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateClass {
    /// A time or a speed.
    Timing,
    /// Bytes: nearly the same every time.
    Memory,
}

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Speeds.
    Higher,
    /// Times and bytes.
    Lower,
}

/// Whether a cell can fail a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// It can.
    Blocking,
    /// It is only reported.
    Advisory,
}

/// One quantity that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateCell {
    /// Its name, unique in the report: `llama-3.2-1b-q4_k_m/tg128`.
    pub name: String,
    /// Which part of the suite, mostly a model: test reports are grouped by it.
    pub group: String,
    /// The quantity, the key of `--delta`: `tg`, `pp`, `load`, `memory`, or a foreign tool's name.
    pub metric: String,
    /// Unit of `base` and `head`: `tok/s`, `s`, `bytes`, …
    pub unit: String,
    /// Whether more is better.
    pub better: Better,
    /// What kind of quantity.
    pub class: GateClass,
    /// Whether it can fail the build.
    pub weight: Weight,
    /// What may be said.
    pub verdict: GateVerdict,
    /// Why nothing could be decided.
    pub reason: Option<GateReason>,
    /// The reason with its figures, one sentence.
    pub why: Option<String>,
    /// What to do about it, one sentence.
    pub next_action: Option<String>,
    /// Middle of the base, in `unit`.
    pub base: Option<f64>,
    /// Middle of the head, in `unit`.
    pub head: Option<f64>,
    /// How much worse the head is: 0.05 is 5 % more time, or 5 % more bytes. Negative is better.
    pub slowdown: Option<f64>,
    /// The interval of `slowdown`. A cell fails only if all of it is above `delta`, and passes
    /// only if all of it is below.
    pub interval: Option<(f64, f64)>,
    /// The slowdown that is allowed.
    pub delta: f64,
    /// Blocks, or samples of the smaller side.
    pub n: u32,
    /// One-sided probability of so large a slowdown if the true one were `delta`, by Student's t.
    pub p_t: Option<f64>,
    /// The same by a test that knows no distribution: sign flips, or ranks.
    pub p_guard: Option<f64>,
    /// What both must not exceed for a failure.
    pub p_required: Option<f64>,
    /// The smallest `p_guard` that so many samples can have.
    pub p_floor: Option<f64>,
    /// The smallest true slowdown that fails with the power asked for: what this run could see.
    pub minimum_detectable: Option<f64>,
    /// Blocks after which a verdict is expected, for an inconclusive cell.
    pub blocks_needed: Option<u32>,
    /// Minutes of those.
    pub minutes_needed: Option<f64>,
    /// Logarithms of time of head over base, one per block; empty where samples are not paired.
    pub blocks: Vec<f64>,
    /// Blocks that were thrown away whole.
    pub dropped: u32,
    /// The waiver that keeps a failure of this cell from failing the build.
    pub waiver: Option<Waiver>,
}

impl GateCell {
    /// Whether it fails the build.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.weight == Weight::Blocking
            && self.verdict == GateVerdict::Fail
            && self.waiver.is_none()
    }

    /// Whether more than zero is worse: how much slower or larger, in words.
    #[must_use]
    pub fn worse_word(&self) -> &'static str {
        if self.class == GateClass::Memory { "larger" } else { "slower" }
    }
}

/// A slowdown that is accepted for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Name of the cell, exactly.
    pub cell: String,
    /// Most slowdown that is accepted, as a share: 0.06 is 6 %.
    pub ceiling: f64,
    /// Why.
    pub reason: String,
    /// Where it is dealt with.
    pub issue: String,
    /// The last day it holds, `YYYY-MM-DD`.
    pub expires: String,
}

/// What a machine is known by. No live readings: those change without the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateMachine {
    /// Digest of `strict`: sessions are compared only under the same one.
    pub key: String,
    /// Facts that make it another machine.
    pub strict: BTreeMap<String, String>,
    /// Facts that may move a level: a new kernel, another governor.
    pub soft: BTreeMap<String, String>,
}

/// A fact in which two machines differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactDifference {
    /// Which fact.
    pub fact: String,
    /// The baseline's; `None` where it has none.
    pub base: Option<String>,
    /// This machine's; `None` where it has none.
    pub head: Option<String>,
    /// Whether it makes it another machine.
    pub strict: bool,
}

/// A fixed piece of work that was timed beside the measurements: what moves it is the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Canary {
    /// Seconds of arithmetic beside the base's measurements, median.
    pub base_s: f64,
    /// The same beside the head's.
    pub head_s: f64,
    /// How much slower it was beside the head: 0.01 is 1 %.
    pub slowdown: f64,
    /// Its interval; `None` with too few blocks.
    pub interval: Option<(f64, f64)>,
    /// Whether it moved, so that a slowdown may be the machine's.
    pub moved: bool,
}

/// One session of measurements in this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateSession {
    /// What it was for: `judge` or `confirm`.
    pub purpose: String,
    /// Blocks that count.
    pub blocks: u32,
    /// Blocks that were thrown away whole.
    pub dropped: u32,
    /// What disturbed them, each sentence once.
    pub disturbances: Vec<String>,
    /// What it came to.
    pub verdict: GateVerdict,
    /// Names of the cells that failed in it.
    pub failed: Vec<String>,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
}

/// A cell over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateSeries {
    /// Name of the cell.
    pub cell: String,
    /// Unit of the values.
    pub unit: String,
    /// Whether more is better.
    pub better: Better,
    /// One value per session, oldest first.
    pub values: Vec<f64>,
    /// What each session is called: its commit, its date, or its number.
    pub labels: Vec<String>,
    /// Where the level changed, in order.
    pub change_points: Vec<ChangePoint>,
    /// Places of single points far from their neighbours, which are no change.
    pub outliers: Vec<u32>,
    /// Why the series says nothing about changes.
    pub unstable: Option<String>,
    /// How much worse the level is than the best one that was held for five sessions.
    pub drift: Option<f64>,
}

/// Where a level changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePoint {
    /// First point after the change, from 0.
    pub index: u32,
    /// Name of the cell.
    pub cell: String,
    /// Name of that point.
    pub label: String,
    /// Level before, in the series' unit.
    pub before: f64,
    /// Level after.
    pub after: f64,
    /// `after / before - 1`.
    pub change: f64,
    /// Whether it got worse.
    pub worse: bool,
    /// Whether it is recent enough, and large enough, to fail a build.
    pub fails: bool,
    /// Places among which the change lies with 95 % confidence, first and last.
    pub range: (u32, u32),
    /// Probability of so much by chance: by ranks, and by the search for the place.
    pub p_value: f64,
}

/// What runs of the gate on identical code, or on code slowed on purpose, came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateTrials {
    /// Runs on identical code.
    pub identical_runs: u32,
    /// Of those, runs with a failed cell before the rule for identical code.
    pub false_failures: u32,
    /// The 95 % interval of the rate of false failures (Clopper-Pearson).
    pub false_failure_rate: (f64, f64),
    /// The slowdown that was planted; `None` where none was.
    pub injected: Option<f64>,
    /// Runs with it.
    pub injected_runs: u32,
    /// Of those, runs that failed.
    pub caught: u32,
    /// Of those, runs that ended inconclusive with a minimum detectable effect.
    pub undecided: u32,
    /// Noise per cell.
    pub noise: Vec<GateNoise>,
}

/// The noise of a cell on this machine. Shares of the time: 0.01 is 1 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateNoise {
    /// Name of the cell.
    pub cell: String,
    /// Standard deviation between repetitions in a process.
    pub repetition: Option<f64>,
    /// Standard deviation between blocks.
    pub block: f64,
    /// Standard deviation of what a session adds to one side and not to the other.
    pub session: f64,
    /// Share of the variance of repetitions that is common to those of a process.
    pub intraclass: Option<f64>,
    /// How far each block resembles the one before, -1 to 1.
    pub lag_one: Option<f64>,
    /// Sessions behind it.
    pub sessions: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_documents() {
        for verdict in [
            GateVerdict::Fail,
            GateVerdict::Missing,
            GateVerdict::NotComparable,
            GateVerdict::Inconclusive,
            GateVerdict::New,
            GateVerdict::Pass,
        ] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.word());
        }
        for reason in [GateReason::Noise, GateReason::FingerprintMismatch, GateReason::NoBaseline] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.word());
        }
        assert_eq!(serde_json::to_value(GateMode::Ab).unwrap(), GateMode::Ab.word());
    }
}
