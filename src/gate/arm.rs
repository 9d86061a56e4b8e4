//! One side of a comparison: something that measures a model in a fresh process.

use std::time::Duration;

use autotune_engine::api::{Engine, Failure, Run};

use super::{Quantity, Subject};
use crate::bench::Test;

/// What one fresh process showed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Visit {
    /// One per quantity of the subject: the cost (seconds per token, seconds, bytes) of each
    /// repetition; empty for what was not asked or cannot be seen.
    pub costs: Vec<Vec<f64>>,
    /// What the model would have said after each test: token numbers in order; empty where
    /// nothing is computed for real or nobody tells.
    pub answers: Vec<u32>,
    /// Doubts, each one sentence.
    pub doubts: Vec<String>,
}

/// A side that can be measured.
pub trait Arm {
    /// Measures the subject at this place in a fresh process; of its quantities those that are
    /// still open.
    fn visit(&mut self, place: usize, open: &[bool]) -> Result<Visit, Failure>;
}

/// A side behind an engine: a worker process of this or another program, or a simulator.
pub struct EngineArm {
    /// Runs the work.
    pub engine: Box<dyn Engine>,
    /// Of each subject, the test that shows each quantity; every work shows loading and memory.
    pub tests: Vec<Vec<(Quantity, Option<Test>)>>,
    /// Of each subject, the work that shows loading and memory where nothing else is wanted.
    least: Vec<Test>,
    /// Time one test may take, loading included.
    pub deadline: Duration,
}

impl std::fmt::Debug for EngineArm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineArm").field("tests", &self.tests.len()).finish_non_exhaustive()
    }
}

impl EngineArm {
    /// A side that measures each subject with the test that `test` makes of a quantity's lengths
    /// (prompt, generated, depth) for the subject at a place.
    pub fn new(
        engine: Box<dyn Engine>,
        subjects: &[Subject],
        deadline: Duration,
        mut test: impl FnMut(usize, (u32, u32, u32)) -> Test,
    ) -> Self {
        let tests = subjects
            .iter()
            .enumerate()
            .map(|(place, subject)| {
                let wanted = subject.wanted.iter().map(|wanted| wanted.quantity);
                wanted
                    .map(|quantity| (quantity, quantity.work().map(|work| test(place, work))))
                    .collect()
            })
            .collect();
        let least = (0..subjects.len()).map(|place| test(place, LEAST)).collect();
        Self { engine, tests, least, deadline }
    }

    fn run(&mut self, test: &Test) -> Result<Run, Failure> {
        let run = self.engine.run(&test.job(), self.deadline)?;
        let (asked, got) = (test.work.repetitions as usize, run.samples.len());
        if asked != got {
            let reason = format!("{got} of {asked} repetitions came back");
            return Err(Failure::Invalid { reason });
        }
        Ok(run)
    }
}

/// Prompt tokens, generated tokens and depth of the work for who wants to know of loading and
/// memory alone.
const LEAST: (u32, u32, u32) = (64, 8, 0);

impl Arm for EngineArm {
    fn visit(&mut self, place: usize, open: &[bool]) -> Result<Visit, Failure> {
        self.engine.renew();
        let tests = self.tests[place].clone();
        let mut visit = Visit { costs: vec![Vec::new(); tests.len()], ..Visit::default() };
        let mut runs: Vec<Run> = Vec::new();
        for (at, (quantity, test)) in tests.iter().enumerate() {
            let Some(test) = test.as_ref().filter(|_| open[at]) else { continue };
            let run = self.run(test)?;
            visit.costs[at] = costs(*quantity, test, &run)?;
            runs.push(run);
        }
        if runs.is_empty() {
            // Loading and memory alone: beside the same work as ever.
            let own: Vec<Test> = tests.iter().filter_map(|(_, test)| test.clone()).collect();
            let own = if own.is_empty() { vec![self.least[place].clone()] } else { own };
            for test in &own {
                runs.push(self.run(test)?);
            }
        }
        for (at, (quantity, _)) in tests.iter().enumerate().filter(|(at, _)| open[*at]) {
            match quantity {
                Quantity::Load => visit.costs[at].extend(
                    runs.first().and_then(|run| run.transition.load_ns).map(|ns| ns as f64 / 1e9),
                ),
                Quantity::Memory => visit.costs[at].extend(
                    runs.last()
                        .and_then(|run| run.memory.peak_resident_bytes)
                        .map(|bytes| bytes.0 as f64),
                ),
                _ => {}
            }
        }
        visit.answers = runs.iter().flat_map(|run| &run.answers).map(|it| it.token).collect();
        visit.doubts = runs.into_iter().flat_map(|run| run.caveats).collect();
        Ok(visit)
    }
}

/// The cost of each repetition.
fn costs(quantity: Quantity, test: &Test, run: &Run) -> Result<Vec<f64>, Failure> {
    let per = |nanoseconds: u64, tokens: u64| nanoseconds as f64 / 1e9 / tokens.max(1) as f64;
    let costs: Vec<f64> = run
        .samples
        .iter()
        .map(|sample| match quantity {
            Quantity::Decode { .. } => per(sample.decode_ns, test.work.all_generated_tokens()),
            Quantity::FirstToken { .. } => per(sample.prefill_ns + sample.decode_ns, 1),
            _ => per(sample.prefill_ns, test.work.all_prompt_tokens()),
        })
        .collect();
    if costs.iter().any(|cost| *cost <= 0.0) {
        return Err(Failure::Invalid { reason: "a repetition took no time".to_owned() });
    }
    Ok(costs)
}
