//! Settings that did not run, each with what happened.

use crate::model::{FailedSetting, Outcome, Trial};

/// One entry per setting and kind of failure, in the order of their first trial.
pub(super) fn failures(trials: &[Trial]) -> Vec<FailedSetting> {
    let mut failures: Vec<FailedSetting> = Vec::new();
    for trial in trials {
        let reason = match &trial.outcome {
            Outcome::Measured(_) => continue,
            Outcome::NotRun(skipped) => skipped.reason.clone(),
            Outcome::Failed(failure) => failure.to_string(),
        };
        let kind = trial.outcome.kind();
        let same =
            |failure: &&mut FailedSetting| failure.setting == trial.asked && failure.kind == kind;
        match failures.iter_mut().find(same) {
            Some(failure) => failure.evidence.push(trial.id),
            None => failures.push(FailedSetting {
                setting: trial.asked.clone(),
                kind: kind.to_owned(),
                reason,
                evidence: vec![trial.id],
            }),
        }
    }
    failures
}
