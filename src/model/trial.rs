//! One line of `trials.jsonl`: what was tried and what happened.

use autotune_engine::api::{
    Failure, GraphUse, MemoryUse, Resident, Run, Sample, Setting, Transition, Work,
};
use serde::{Deserialize, Serialize};

use super::{CardUse, DeviceMemory};

/// One visit to one setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// [`Trial::SCHEMA`].
    pub schema: String,
    /// Counts from 1 in the order of the journal; findings cite it.
    pub id: u32,
    /// Why it was run.
    pub purpose: Purpose,
    /// Round of interleaving within its purpose, from 0: trials that share purpose, block and
    /// session were run close together in time and may be compared as pairs.
    pub block: u32,
    /// How often the sweep had been started before, from 0. Pairs never span two sessions.
    pub session: u32,
    /// Whether it was run now or taken from an earlier sweep.
    pub source: Source,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// How long the visit took, loading and warm-up included, in milliseconds.
    pub elapsed_ms: u64,
    /// The setting asked for.
    pub asked: Setting,
    /// The setting as it was run; `None` where nothing ran.
    pub effective: Option<Setting>,
    /// The work asked for.
    pub work: Work,
    /// What happened.
    pub outcome: Outcome,
    /// Doubts about this trial, each one sentence.
    pub caveats: Vec<String>,
}

impl Trial {
    /// Version of the line.
    pub const SCHEMA: &'static str = "autotune.trial/1";

    /// How a doubt begins that other programs are the cause of.
    pub const OTHERS_BUSY: &'static str = "other programs kept";
    /// How a doubt begins that the hypervisor is the cause of.
    pub const STOLEN: &'static str = "the hypervisor gave";
    /// How a doubt begins that power, heat or the driver is the cause of.
    pub const CLOCKS_HELD: &'static str = "clocks of";

    /// Whether a doubt is about the machine: others ran, the hypervisor took time, clocks were held.
    #[must_use]
    pub fn is_of_the_machine(doubt: &str) -> bool {
        [Self::OTHERS_BUSY, Self::STOLEN, Self::CLOCKS_HELD].iter().any(|it| doubt.starts_with(it))
    }

    /// Whether something else than the setting may have moved its speed.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.caveats.iter().any(|doubt| Self::is_of_the_machine(doubt))
    }

    /// Seconds per prompt token of all sequences, over all repetitions; `None` where no prompt was timed.
    #[must_use]
    pub fn prefill_seconds_per_token(&self) -> Option<f64> {
        self.seconds_per_token(self.work.all_prompt_tokens(), |sample| sample.prefill_ns)
    }

    /// Seconds per generated token of all sequences, over all repetitions; `None` where none was timed.
    #[must_use]
    pub fn decode_seconds_per_token(&self) -> Option<f64> {
        self.seconds_per_token(self.work.all_generated_tokens(), |sample| sample.decode_ns)
    }

    /// Total time over all repetitions by total tokens.
    fn seconds_per_token(&self, tokens: u64, elapsed_ns: impl Fn(&Sample) -> u64) -> Option<f64> {
        let samples = self.outcome.samples();
        let total_ns: f64 = samples.iter().map(|sample| elapsed_ns(sample) as f64).sum();
        let tokens = tokens as f64 * samples.len() as f64;
        (tokens > 0.0 && total_ns > 0.0).then(|| total_ns / 1e9 / tokens)
    }
}

/// Why a trial was run, in the order of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The baseline against itself: what this machine resolves.
    Fitness,
    /// One look at a setting that the strategy proposes, or at the baseline beside it.
    Search,
    /// The best few against each other, in rounds that halve them.
    Finalist,
    /// The last few against each other, until none can be much better than the best.
    Certify,
    /// The frozen winner against the baseline: the only trials a speed-up is quoted from.
    Confirm,
    /// The winner for minutes on end.
    Soak,
    /// Single changes on the way from the baseline to the winner.
    Ablation,
    /// The levels of one knob around the winner.
    Curve,
    /// Settings by chance, to judge the search.
    Audit,
}

impl Purpose {
    /// The word for it in documents and tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fitness => "fitness",
            Self::Search => "search",
            Self::Finalist => "finalist",
            Self::Certify => "certify",
            Self::Confirm => "confirm",
            Self::Soak => "soak",
            Self::Ablation => "ablation",
            Self::Curve => "curve",
            Self::Audit => "audit",
        }
    }
}

/// Where the samples of a trial come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Run in this sweep.
    Measured,
    /// Taken from an earlier sweep of the same machine, engine, model and setting.
    Cache,
}

/// What happened. `kind` is one of `measured`, `refused`, `out-of-memory`, `crashed`,
/// `timed-out`, `invalid`, `not-run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    /// It ran.
    Measured(Measured),
    /// It was skipped for a reason known beforehand.
    NotRun(NotRun),
    /// It failed.
    Failed(Failure),
}

/// Samples of a trial that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    kind: MeasuredWord,
    /// Raw times, one entry per repetition.
    pub samples: Vec<Sample>,
    /// Memory in use.
    pub memory: MemoryUse,
    /// The resident set that was foreseen; `None` where the engine foresees none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreseen: Option<Resident>,
    /// Memory of each device that something lies on, foreseen and allocated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceMemory>,
    /// Graphics cards while it ran, by their driver.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<CardUse>,
    /// Where the last token was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphUse>,
    /// What loading took.
    pub transition: Transition,
}

/// Why a trial was skipped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotRun {
    kind: NotRunWord,
    /// One line.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MeasuredWord {
    Measured,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NotRunWord {
    NotRun,
}

/// Signals that no program gives itself: hangup, interrupt, kill, terminate.
const FROM_OUTSIDE: [i32; 4] = [1, 2, 9, 15];

impl Outcome {
    /// Failures of a setting that may be accidents, from which on they are taken for its own.
    pub const ACCIDENTS: usize = 2;

    /// A trial that ran.
    #[must_use]
    pub fn measured(run: &Run) -> Self {
        Self::Measured(Measured {
            kind: MeasuredWord::Measured,
            samples: run.samples.clone(),
            memory: run.memory.clone(),
            foreseen: None,
            devices: Vec::new(),
            cards: Vec::new(),
            graph: run.graph,
            transition: run.transition.clone(),
        })
    }

    /// The same beside what was foreseen of its memory.
    #[must_use]
    pub fn beside(mut self, foreseen: Option<Resident>) -> Self {
        if let Self::Measured(measured) = &mut self {
            measured.foreseen = foreseen;
        }
        self
    }

    /// The same with what devices held and did.
    #[must_use]
    pub fn with_devices(mut self, devices: Vec<DeviceMemory>, cards: Vec<CardUse>) -> Self {
        if let Self::Measured(measured) = &mut self {
            (measured.devices, measured.cards) = (devices, cards);
        }
        self
    }

    /// How far the foreseen resident set is from the measured peak (0.02 = 2 % of the peak).
    #[must_use]
    pub fn memory_error(&self) -> Option<f64> {
        let Self::Measured(measured) = self else { return None };
        let peak = measured.memory.peak_resident_bytes.filter(|peak| peak.0 > 0)?.0 as f64;
        Some((measured.foreseen?.total().0 as f64 - peak) / peak)
    }

    /// A trial that was skipped.
    #[must_use]
    pub fn not_run(reason: impl Into<String>) -> Self {
        Self::NotRun(NotRun { kind: NotRunWord::NotRun, reason: reason.into() })
    }

    /// The samples, where there are any.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        match self {
            Self::Measured(measured) => &measured.samples,
            Self::NotRun(_) | Self::Failed(_) => &[],
        }
    }

    /// Whether it may have nothing to do with the setting: it ran out of time, or somebody outside
    /// ended the worker. A neighbour on the machine does both, and does not do it again.
    #[must_use]
    pub fn may_be_accident(&self) -> bool {
        match self {
            Self::Failed(Failure::TimedOut { .. }) => true,
            Self::Failed(Failure::Crashed { signal: Some(signal), .. }) => {
                FROM_OUTSIDE.contains(signal)
            }
            _ => false,
        }
    }

    /// The contract's word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Measured(_) => "measured",
            Self::NotRun(_) => "not-run",
            Self::Failed(Failure::Refused { .. }) => "refused",
            Self::Failed(Failure::OutOfMemory { .. }) => "out-of-memory",
            Self::Failed(Failure::Crashed { .. }) => "crashed",
            Self::Failed(Failure::TimedOut { .. }) => "timed-out",
            Self::Failed(Failure::Invalid { .. }) => "invalid",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_json_under_its_contract_word() {
        let log = || vec!["last words".to_owned()];
        let run = Run {
            effective: Setting {
                process: autotune_engine::api::ProcessSetting::default(),
                load: autotune_engine::api::LoadSetting::default(),
                context: autotune_engine::api::ContextSetting::default(),
                threads: autotune_engine::api::ThreadSetting::of(2),
            },
            samples: vec![Sample { prefill_ns: 5, decode_ns: 7, token_ns: vec![3, 4] }],
            memory: MemoryUse::default(),
            model: autotune_engine::api::ModelFacts::default(),
            transition: Transition::default(),
            caveats: Vec::new(),
            answers: Vec::new(),
            graph: None,
        };
        let outcomes = [
            Outcome::measured(&run),
            Outcome::not_run("needs 40 GiB"),
            Outcome::Failed(Failure::Refused { reason: "no".into(), log: log() }),
            Outcome::Failed(Failure::OutOfMemory { reason: "no".into(), log: log() }),
            Outcome::Failed(Failure::Crashed {
                signal: Some(11),
                exit_code: None,
                reason: "SIGSEGV".into(),
                log: log(),
            }),
            Outcome::Failed(Failure::TimedOut { deadline_ms: 1, log: log() }),
            Outcome::Failed(Failure::Invalid { reason: "NaN".into() }),
        ];
        for outcome in outcomes {
            let json = serde_json::to_value(&outcome).unwrap();
            assert_eq!(json["kind"], outcome.kind());
            assert_eq!(serde_json::from_value::<Outcome>(json).unwrap(), outcome);
            assert_eq!(outcome.may_be_accident(), outcome.kind() == "timed-out", "{outcome:?}");
        }
        let killed = Failure::Crashed {
            signal: Some(9),
            exit_code: None,
            reason: String::new(),
            log: log(),
        };
        assert!(Outcome::Failed(killed).may_be_accident());
    }
}
