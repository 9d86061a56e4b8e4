//! What a failure teaches about settings that were not tried.

use std::collections::{BTreeMap, BTreeSet};

use autotune_engine::api::{Failure, Setting};

use crate::knob;
use crate::model::{Level, Outcome, Source, Trial};

/// Settings that failed, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Closure {
    baseline: Option<Setting>,
    failed: BTreeSet<Setting>,
    levels: BTreeSet<(&'static str, Level)>,
    out_of_memory: Vec<Setting>,
}

impl Closure {
    /// What these trials teach. A failure of the baseline teaches nothing about other settings,
    /// and one that may be an accident teaches nothing before it happens again.
    pub(super) fn new(baseline: &Setting, trials: &[Trial]) -> Self {
        let mut closure = Self { baseline: Some(baseline.clone()), ..Self::default() };
        let mut failures: BTreeMap<&Setting, usize> = BTreeMap::new();
        for trial in trials.iter().filter(|trial| trial.asked != *baseline) {
            let Outcome::Failed(failure) = &trial.outcome else { continue };
            let large = matches!(failure, Failure::OutOfMemory { .. });
            let fits = large && has_run_as_large(&trial.asked, trials);
            if large && !fits {
                closure.out_of_memory.push(trial.asked.clone());
            }
            let accident = fits || trial.outcome.may_be_accident();
            let count = failures.entry(&trial.asked).or_default();
            *count += if accident { 1 } else { Outcome::ACCIDENTS };
            if *count >= Outcome::ACCIDENTS {
                closure.bar(baseline, &trial.asked);
            }
        }
        closure
    }

    /// Keeps a setting, and the level that it alone has, from being run again.
    fn bar(&mut self, baseline: &Setting, setting: &Setting) {
        self.failed.insert(setting.clone());
        if let [(knob, _, level)] = knob::changed(baseline, setting).as_slice() {
            self.levels.insert((knob.name(), level.clone()));
        }
    }

    /// Whether a setting is not to be run: it failed, it has a level that failed alone, or it is
    /// at least as large as one that ran out of memory.
    pub(super) fn forbids(&self, setting: &Setting) -> bool {
        let Some(baseline) = &self.baseline else { return false };
        self.failed.contains(setting)
            || knob::changed(baseline, setting)
                .into_iter()
                .any(|(knob, _, level)| self.levels.contains(&(knob.name(), level)))
            || self.out_of_memory.iter().any(|small| knob::at_least_as_large(setting, small))
    }
}

/// Whether something that needs at least this setting's memory has run here: then memory is not
/// what the setting lacks.
fn has_run_as_large(setting: &Setting, trials: &[Trial]) -> bool {
    trials.iter().any(|trial| {
        trial.source == Source::Measured
            && matches!(trial.outcome, Outcome::Measured(_))
            && knob::at_least_as_large(&trial.asked, setting)
    })
}
