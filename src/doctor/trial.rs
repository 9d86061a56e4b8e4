//! Tries the remedy of a finding: the threads as they are by default and as the remedy has them,
//! in blocks of four visits (as it is, remedy, remedy, as it is).

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{
    Clock, ContextSetting, Devices, Engine, Failure, GpuLayers, Job, LoadSetting, ProcessSetting,
    Setting, ThreadSetting, Work,
};

use super::TrialResult;
use super::check::default_and_wanted;
use crate::model::{Condition, Cost, Machine};
use crate::stats::{median, paired_change};

/// Coverage of the intervals.
const CONFIDENCE: f64 = 0.95;
/// Ratios nearer to 1 than this are no finding.
const INDIFFERENCE: f64 = 0.02;
/// Blocks of one trial at most.
const MOST_BLOCKS: usize = 12;
/// Fewer say nothing.
const FEWEST_BLOCKS: usize = 3;
/// A trial that has not that many after this many times its limit is given up.
const PATIENCE: u32 = 3;
/// What one visit should take: several periods of a quota, which last 100 ms.
const VISIT: Duration = Duration::from_millis(300);
/// Generated tokens of a visit.
const FEWEST_TOKENS: u32 = 4;
const MOST_TOKENS: u32 = 512;
/// A visit that takes longer is given up.
const DEADLINE: Duration = Duration::from_secs(60);

/// Thread counts to compare for one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadTrial {
    /// The check whose remedy this is.
    pub check: &'static str,
    /// Threads that llama.cpp takes.
    pub before: u32,
    /// Threads that the remedy gives it.
    pub after: u32,
}

/// What of the findings can be tried in seconds.
#[must_use]
pub fn trials(machine: &Machine, condition: &Condition) -> Vec<ThreadTrial> {
    default_and_wanted(machine, condition)
        .into_iter()
        .filter(|(_, before, after)| before != after && *before > 0 && *after > 0)
        .map(|(check, before, after)| ThreadTrial { check, before, after })
        .collect()
}

/// Where and with what a trial is run.
pub struct Bench<'a> {
    /// Runs the visits.
    pub engine: &'a mut dyn Engine,
    /// Counts the time that a trial has.
    pub clock: &'a dyn Clock,
    /// The model that generates.
    pub model: PathBuf,
    /// Time for one trial, the first load aside.
    pub limit: Duration,
}

impl Bench<'_> {
    /// What the remedy changes about the speed of generation; `None` where the time did not
    /// suffice for a comparison. `go_on` is asked before each block.
    pub fn run(
        &mut self,
        trial: ThreadTrial,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<TrialResult>, Failure> {
        // Loads the model, and tells how much one visit of each side can do: they may differ by a
        // factor of fifty.
        let after_tokens = tokens(self.visit(trial.after, FEWEST_TOKENS)?);
        let start = self.clock.now();
        let before_tokens = tokens(self.visit(trial.before, FEWEST_TOKENS)?);
        let (slow, fast) = ((trial.before, before_tokens), (trial.after, after_tokens));
        let (mut ratios, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        while ratios.len() < MOST_BLOCKS {
            let spent = self.clock.now().saturating_sub(start);
            let enough = ratios.len() >= FEWEST_BLOCKS && spent > self.limit;
            if !go_on() || enough || spent > self.limit * PATIENCE {
                break;
            }
            let mut block = [0.0; 4];
            for (time, (threads, tokens)) in block.iter_mut().zip([slow, fast, fast, slow]) {
                *time = self.visit(threads, tokens)?;
            }
            let [first, second, third, last] = block;
            ratios.push((first.ln() + last.ln() - second.ln() - third.ln()) / 2.0);
            before.extend([first, last]);
            after.extend([second, third]);
        }
        if ratios.len() < FEWEST_BLOCKS {
            return Ok(None);
        }
        let cost = paired_change(&ratios, CONFIDENCE, INDIFFERENCE)
            .zip(median(&before).zip(median(&after)))
            .map(|(change, (before, after))| Cost::Measured {
                trial: format!(
                    "generation by {}, {} threads against {}, {} blocks",
                    name(&self.model),
                    trial.before,
                    trial.after,
                    ratios.len()
                ),
                before_tok_per_s: 1.0 / before,
                after_tok_per_s: 1.0 / after,
                change,
            });
        Ok(cost.map(|cost| TrialResult { check: trial.check, cost }))
    }

    /// Seconds per generated token.
    fn visit(&mut self, threads: u32, tokens: u32) -> Result<f64, Failure> {
        let job = Job {
            model: self.model.clone(),
            setting: Setting {
                process: ProcessSetting::default(),
                load: LoadSetting {
                    gpu_layers: GpuLayers::Count(0),
                    devices: Devices::None,
                    ..LoadSetting::default()
                },
                context: ContextSetting { context: 1024, ..ContextSetting::default() },
                threads: ThreadSetting::of(threads),
            },
            work: Work {
                prompt_tokens: 0,
                generate_tokens: tokens,
                depth: 0,
                repetitions: 1,
                warmup: false,
                delay_ms: 0,
                seed: 1,
                parallel: 1,
            },
        };
        let run = self.engine.run(&job, DEADLINE)?;
        let taken: u64 = run.samples.iter().map(|sample| sample.decode_ns).sum();
        if taken == 0 {
            return Err(Failure::Invalid { reason: "generation took no time".to_owned() });
        }
        Ok(taken as f64 / 1e9 / f64::from(tokens))
    }
}

/// How many tokens fill a visit at this pace.
fn tokens(seconds_per_token: f64) -> u32 {
    let wanted = (VISIT.as_secs_f64() / seconds_per_token)
        .clamp(f64::from(FEWEST_TOKENS), f64::from(MOST_TOKENS));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 4..=512")]
    let whole = wanted as u32;
    whole
}

fn name(model: &Path) -> String {
    model.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{Identity, MemoryUse, ModelFacts, Run, Sample, Transition};
    use autotune_engine::api::{SystemClock, VariantReport};

    use super::*;
    use crate::stats::Separation;

    /// An engine of which the time per token depends on the threads alone.
    struct Paced(fn(u32) -> u64);

    impl Engine for Paced {
        fn identity(&mut self) -> Result<Identity, Failure> {
            Err(Failure::refused("it is nobody"))
        }

        fn variants(&mut self, _types: &[String]) -> Result<Vec<VariantReport>, Failure> {
            Ok(Vec::new())
        }

        fn run(&mut self, job: &Job, _deadline: Duration) -> Result<Run, Failure> {
            let tokens = u64::from(job.work.generate_tokens);
            let sample = Sample {
                decode_ns: (self.0)(job.setting.threads.threads) * tokens,
                ..Sample::default()
            };
            Ok(Run {
                effective: job.setting.clone(),
                samples: vec![sample],
                memory: MemoryUse::default(),
                model: ModelFacts::default(),
                transition: Transition::default(),
                caveats: Vec::new(),
                answers: Vec::new(),
                graph: None,
            })
        }
    }

    fn measured(pace: fn(u32) -> u64) -> Cost {
        let mut engine = Paced(pace);
        let clock = SystemClock::start();
        let mut bench = Bench {
            engine: &mut engine,
            clock: &clock,
            model: "m.gguf".into(),
            limit: Duration::from_secs(3600),
        };
        let trial = ThreadTrial { check: "cpu-quota", before: 8, after: 2 };
        bench.run(trial, &mut || true).unwrap().unwrap().cost
    }

    #[test]
    fn a_remedy_that_helps_is_faster_by_its_factor() {
        let Cost::Measured { before_tok_per_s, after_tok_per_s, change, trial } =
            measured(|threads| if threads == 8 { 40_000_000 } else { 10_000_000 })
        else {
            panic!("not measured")
        };
        assert!((before_tok_per_s - 25.0).abs() < 1e-6 && (after_tok_per_s - 100.0).abs() < 1e-6);
        assert!((change.speed_ratio.value - 4.0).abs() < 1e-6);
        assert_eq!(change.separation, Separation::Faster);
        assert!(trial.contains("8 threads against 2"), "{trial}");
    }

    #[test]
    fn no_difference_is_no_gain() {
        let Cost::Measured { change, .. } = measured(|_| 10_000_000) else { panic!() };
        assert_eq!(change.separation, Separation::NotSeparated);
    }

    #[test]
    fn a_trial_that_is_stopped_claims_nothing() {
        let mut engine = Paced(|_| 10_000_000);
        let clock = SystemClock::start();
        let mut bench = Bench {
            engine: &mut engine,
            clock: &clock,
            model: "m.gguf".into(),
            limit: Duration::ZERO,
        };
        let trial = ThreadTrial { check: "cpu-quota", before: 8, after: 2 };
        assert_eq!(bench.run(trial, &mut || false), Ok(None));
    }
}
