//! What a failure teaches about settings that were not tried.

use std::collections::BTreeSet;

use autotune_engine::api::{Failure, Setting};

use crate::knob;
use crate::model::{Level, Outcome, Trial};

/// Settings that failed, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Closure {
    baseline: Option<Setting>,
    failed: BTreeSet<Setting>,
    levels: BTreeSet<(&'static str, Level)>,
    out_of_memory: Vec<Setting>,
}

impl Closure {
    /// What these trials teach. A failure of the baseline teaches nothing about other settings.
    pub(super) fn new(baseline: &Setting, trials: &[Trial]) -> Self {
        let mut closure = Self { baseline: Some(baseline.clone()), ..Self::default() };
        for trial in trials.iter().filter(|trial| trial.asked != *baseline) {
            let Outcome::Failed(failure) = &trial.outcome else { continue };
            closure.failed.insert(trial.asked.clone());
            if let Failure::OutOfMemory { .. } = failure {
                closure.out_of_memory.push(trial.asked.clone());
            }
            if let [(knob, _, level)] = knob::changed(baseline, &trial.asked).as_slice() {
                closure.levels.insert((knob.name(), level.clone()));
            }
        }
        closure
    }

    /// Whether a setting is not to be run: it failed, it has a level that failed alone, or it is
    /// at least as large as one that ran out of memory.
    pub(super) fn forbids(&self, setting: &Setting) -> bool {
        let Some(baseline) = &self.baseline else { return false };
        self.failed.contains(setting)
            || knob::changed(baseline, setting)
                .into_iter()
                .any(|(knob, _, level)| self.levels.contains(&(knob.name(), level)))
            || self.out_of_memory.iter().any(|small| at_least_as_large(setting, small))
    }
}

/// Whether a setting needs at least the memory of another one: the same process and load, the
/// same KV types, and nothing smaller.
fn at_least_as_large(setting: &Setting, small: &Setting) -> bool {
    let (own, other) = (&setting.context, &small.context);
    (&setting.process, &setting.load) == (&small.process, &small.load)
        && (own.type_k, own.type_v, own.flash_attention)
            == (other.type_k, other.type_v, other.flash_attention)
        && own.context >= other.context
        && own.batch >= other.batch
        && own.ubatch >= other.ubatch
}
