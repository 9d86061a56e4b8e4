//! What a visit is expected to cost, from those that were made.

use autotune_engine::api::{LoadSetting, ProcessSetting, Setting};

use crate::model::{Outcome, Plan, Source, Trial};
use crate::stats::median;

/// What visits have cost so far, in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Cost {
    /// A visit to the baseline, besides changing what is loaded.
    pub(super) visit_ms: f64,
    /// Loading something for the first time.
    pub(super) load_ms: f64,
    /// Returning to what was loaded before: nothing where the engine kept it.
    return_ms: f64,
    /// What was loaded so far, the last one at the end.
    loaded: Vec<(ProcessSetting, LoadSetting)>,
}

impl Cost {
    pub(super) fn of(plan: &Plan, trials: &[Trial]) -> Self {
        let (mut visits, mut loads, mut returns) = (Vec::new(), Vec::new(), Vec::new());
        let mut loaded: Vec<(ProcessSetting, LoadSetting)> = Vec::new();
        for trial in trials.iter().filter(|trial| trial.source == Source::Measured) {
            let Outcome::Measured(run) = &trial.outcome else { continue };
            let parts = [run.transition.process_ns, run.transition.load_ns];
            let changing = parts.into_iter().flatten().sum::<u64>() as f64 / 1e6;
            let own = (trial.asked.process.clone(), trial.asked.load.clone());
            match loaded.iter().position(|known| *known == own) {
                Some(place) if place + 1 < loaded.len() => {
                    returns.push(changing);
                    loaded.remove(place);
                    loaded.push(own);
                }
                Some(_) => {}
                None => {
                    loads.push(changing);
                    loaded.push(own);
                }
            }
            // Soaks and curves over depth do other work.
            if trial.asked == plan.baseline && trial.work == plan.work(&trial.asked) {
                visits.push((trial.elapsed_ms as f64 - changing).max(0.0));
            }
        }
        let [first, transition] = plan
            .protocol
            .calibration
            .map_or([0.0; 2], |it| [it.elapsed_ms as f64, it.transition_ms as f64]);
        let load_ms = median(&loads).unwrap_or(transition);
        Self {
            visit_ms: median(&visits).unwrap_or(first),
            load_ms,
            return_ms: median(&returns).unwrap_or(load_ms),
            loaded,
        }
    }

    /// What it takes to have a setting's process and load, from what is loaded now.
    fn change_ms(&self, setting: &Setting) -> f64 {
        let own = |known: &(ProcessSetting, LoadSetting)| {
            (&known.0, &known.1) == (&setting.process, &setting.load)
        };
        if self.is_loaded(setting) {
            0.0
        } else if self.loaded.iter().any(own) {
            self.return_ms
        } else {
            self.load_ms
        }
    }

    /// One visit to a setting that is about as fast as the baseline.
    pub(super) fn visit_to_ms(&self, setting: &Setting) -> f64 {
        self.visit_ms + self.change_ms(setting)
    }

    /// One look at a setting that is so many times as slow as the baseline; what has to be changed
    /// for it is shared with the looks that will follow.
    pub(super) fn look_ms(&self, setting: &Setting, slower: f64, shared_by: f64) -> f64 {
        self.visit_ms * slower.clamp(0.1, 20.0) + self.change_ms(setting) / shared_by
    }

    /// Whether nothing has to be loaded for a setting.
    pub(super) fn is_loaded(&self, setting: &Setting) -> bool {
        let last = self.loaded.last();
        last.is_some_and(|last| (&last.0, &last.1) == (&setting.process, &setting.load))
    }

    /// Whether it takes much longer than a visit to have a setting's process and load.
    pub(super) fn is_far(&self, setting: &Setting) -> bool {
        self.change_ms(setting) > self.visit_ms
    }
}
