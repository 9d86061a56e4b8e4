//! How long a visit may take before it counts as hung.

use std::time::Duration;

use autotune_engine::api::{Bytes, Setting};

use crate::model::{Calibration, Outcome, Plan, Trial};

/// No deadline is shorter.
const LEAST: Duration = Duration::from_secs(10);
/// A visit may take so many times what is expected.
const PATIENCE: f64 = 6.0;
/// Bytes per second at which even a slow disk delivers a model.
const SLOWEST_LOAD: f64 = 20e6;
/// What a first look may take besides loading.
const FIRST_LOOK: Duration = Duration::from_secs(120);

/// The deadline of the very first visit, when nothing is known but the size of the file.
#[must_use]
pub fn first_deadline(file: Bytes) -> Duration {
    FIRST_LOOK + Duration::from_secs_f64(file.0 as f64 / SLOWEST_LOAD)
}

/// What the baseline takes, from which every deadline follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expectation {
    /// One visit without loading.
    pub visit: Duration,
    /// Process, load and context.
    pub transition: Duration,
}

impl Expectation {
    /// As the trials so far and the calibration show it; `None` before anything ran.
    #[must_use]
    pub fn of(plan: &Plan, trials: &[Trial]) -> Option<Self> {
        let calibration = plan.protocol.calibration;
        let mut transition =
            calibration.map_or(Duration::ZERO, |it| Duration::from_millis(it.transition_ms));
        let mut visit = calibration.map(|it| scaled_visit(plan, &it));
        for trial in trials.iter().filter(|trial| trial.asked == plan.baseline) {
            let Outcome::Measured(measured) = &trial.outcome else { continue };
            let parts = &measured.transition;
            let parts = [parts.process_ns, parts.load_ns, parts.context_ns];
            let loading = Duration::from_nanos(parts.into_iter().flatten().sum());
            transition = transition.max(loading);
            let own = Duration::from_millis(trial.elapsed_ms).saturating_sub(loading);
            visit = Some(visit.map_or(own, |longest| longest.max(own)));
        }
        Some(Self { visit: visit?, transition })
    }

    /// How long a visit to this setting may take: fewer threads may take longer in proportion, and
    /// nothing takes much longer than what is `left` of the budget, if there is one.
    #[must_use]
    pub fn deadline(
        &self,
        setting: &Setting,
        baseline: &Setting,
        left: Option<Duration>,
    ) -> Duration {
        let ratio = |own: u32, base: u32| f64::from(base) / f64::from(own.max(1));
        let (own, base) = (&setting.threads, &baseline.threads);
        let slower = ratio(own.threads, base.threads)
            .max(ratio(own.threads_batch, base.threads_batch))
            .max(1.0);
        // More sequences are more tokens, which at worst take as long one after the other.
        let sequences = |setting: &Setting| setting.context.sequences;
        let more = ratio(sequences(baseline), sequences(setting)).max(1.0);
        let expected = self.visit.mul_f64(slower * more) + self.transition;
        let patient = LEAST.max(expected.mul_f64(PATIENCE));
        // Whoever was let in is not thrown out before the time that was expected.
        left.map_or(patient, |left| patient.min(left.saturating_add(LEAST.max(expected))))
    }
}

/// A visit of the plan's slice at the calibration's rates: the prompt twice, generation once.
fn scaled_visit(plan: &Plan, calibration: &Calibration) -> Duration {
    let slice = &plan.protocol.slice;
    let seconds = |tokens: u32, rate: Option<f64>| {
        let tokens = f64::from(tokens) * f64::from(slice.sequences());
        rate.filter(|rate| *rate > 0.0).map_or(0.0, |rate| tokens / rate)
    };
    let prompt = 2 * slice.prompt_tokens + slice.depth;
    let total = seconds(prompt, calibration.prefill_tok_per_s)
        + seconds(slice.generate_tokens + 1, calibration.decode_tok_per_s);
    Duration::from_secs_f64(total.min(1e6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use autotune_engine::api::{ContextSetting, LoadSetting, ProcessSetting, ThreadSetting};

    fn threads(count: u32) -> Setting {
        Setting {
            process: ProcessSetting::default(),
            load: LoadSetting::default(),
            context: ContextSetting::default(),
            threads: ThreadSetting::of(count),
        }
    }

    #[test]
    fn one_thread_gets_the_time_of_sixteen() {
        let expectation =
            Expectation { visit: Duration::from_secs(3), transition: Duration::from_secs(1) };
        let deadline = |count| expectation.deadline(&threads(count), &threads(16), None);
        assert_eq!(deadline(16), Duration::from_secs(24));
        assert_eq!(deadline(32), Duration::from_secs(24));
        assert_eq!(deadline(1), Duration::from_secs(6 * (16 * 3 + 1)));
        let mut crowded = threads(16);
        crowded.context.sequences = 4;
        let deadline = expectation.deadline(&crowded, &threads(16), None);
        assert_eq!(deadline, Duration::from_secs(6 * (4 * 3 + 1)));
        let quick =
            Expectation { visit: Duration::from_millis(5), transition: Duration::from_millis(1) };
        assert_eq!(quick.deadline(&threads(16), &threads(16), None), LEAST);
    }

    #[test]
    fn the_end_of_the_budget_ends_a_visit() {
        let expectation =
            Expectation { visit: Duration::from_secs(3), transition: Duration::from_secs(1) };
        let deadline = |count, left| {
            let left = Some(Duration::from_secs(left));
            expectation.deadline(&threads(count), &threads(16), left).as_secs()
        };
        assert_eq!([deadline(16, 900), deadline(16, 5), deadline(16, 0)], [24, 15, 10]);
        assert_eq!(deadline(1, 60), 60 + 16 * 3 + 1);
    }
}
