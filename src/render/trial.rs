//! One trial as a row: its setting in the words that differ from the default, its speeds, its fate.

use autotune_engine::api::{Failure, Sample, Setting, Tokens};
use jiff::Timestamp;
use std::time::Duration;

use crate::knob;
use crate::model::{Outcome, Phase, Plan, Source, Trial};

use super::format;
use super::view::TrialView;

/// The row of a trial.
pub(super) fn row(trial: &Trial, plan: &Plan) -> TrialView {
    let speed = |phase| rate(trial, phase).map_or_else(|| "–".to_owned(), format::three);
    TrialView {
        id: trial.id,
        purpose: trial.purpose.word(),
        block: trial.block,
        setting: difference(&plan.baseline, &trial.asked),
        prefill: speed(Phase::Prefill),
        decode: speed(Phase::Decode),
        outcome: trial.outcome.kind(),
        remarks: remarks(trial),
    }
}

/// Tokens per second over all repetitions of a trial.
pub(super) fn rate(trial: &Trial, phase: Phase) -> Option<f64> {
    let samples = trial.outcome.samples();
    let (tokens, time): (u64, fn(&Sample) -> u64) = match phase {
        Phase::Prefill => (trial.work.all_prompt_tokens(), |sample| sample.prefill_ns),
        Phase::Decode => (trial.work.all_generated_tokens(), |sample| sample.decode_ns),
    };
    let elapsed = samples.iter().map(time).fold(0_u64, u64::saturating_add);
    let tokens = tokens.saturating_mul(samples.len() as u64);
    (tokens > 0 && elapsed > 0).then(|| Tokens(tokens).per(Duration::from_nanos(elapsed)).0)
}

/// When a trial began; `None` where the document was edited into something else.
pub(super) fn started(trial: &Trial) -> Option<Timestamp> {
    trial.started_at.parse().ok()
}

/// What a setting has that the default has not.
pub(super) fn difference(default: &Setting, setting: &Setting) -> String {
    let changed: Vec<_> = knob::changed(default, setting)
        .into_iter()
        .map(|(knob, _, level)| format!("{} {level}", knob.name()))
        .collect();
    match (changed.is_empty(), default == setting) {
        (false, _) => changed.join(", "),
        (true, true) => "default".into(),
        (true, false) => "default knobs, other context or placement".into(),
    }
}

fn remarks(trial: &Trial) -> Vec<String> {
    let mut remarks = Vec::new();
    if trial.source == Source::Cache {
        remarks.push("from an earlier sweep".to_owned());
    }
    match &trial.outcome {
        Outcome::Measured(_) => {}
        Outcome::NotRun(skipped) => remarks.push(skipped.reason.clone()),
        Outcome::Failed(failure) => remarks.push(reason(failure)),
    }
    remarks.extend(trial.caveats.iter().cloned());
    remarks
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Refused { reason, .. }
        | Failure::OutOfMemory { reason, .. }
        | Failure::Crashed { reason, .. }
        | Failure::Invalid { reason } => reason.clone(),
        Failure::TimedOut { deadline_ms, .. } => {
            format!("no answer within {}", format::seconds(*deadline_ms as f64 / 1e3))
        }
    }
}
