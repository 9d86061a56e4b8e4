//! Runs the tests of a grid one after the other. A test that fails is a record like any other.

use std::time::Duration;

use autotune_engine::api::{Engine, Failure, Identity, Run};

use super::{Record, Surroundings, Test};

/// Who runs the tests, where and under which limits.
pub struct Session<'a> {
    /// Runs them.
    pub engine: &'a mut dyn Engine,
    /// What the records say of the place.
    pub surroundings: Surroundings,
    /// The time of day, RFC 3339 in UTC.
    pub now: &'a dyn Fn() -> String,
    /// Whether the user wants to stop; asked before each test and after one that failed.
    pub stopped: &'a dyn Fn() -> bool,
    /// Time one test may take, loading included.
    pub deadline: Duration,
}

/// What happens while tests run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A test begins.
    Started {
        /// Counts from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// The test.
        test: &'a Test,
    },
    /// A test has ended, well or not.
    Finished(&'a Record),
}

/// Runs the tests in order and reports each through `observe`, whose error ends the series.
/// Gives the number of tests that were measured.
pub fn run<E>(
    session: &mut Session<'_>,
    identity: &Identity,
    tests: &[Test],
    mut observe: impl FnMut(Event<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut measured = 0;
    for (index, test) in tests.iter().enumerate() {
        if (session.stopped)() {
            break;
        }
        observe(Event::Started { number: index + 1, of: tests.len(), test })?;
        let started_at = (session.now)();
        let job = test.job();
        let outcome = session.engine.run(&job, session.deadline).and_then(|run| valid(test, run));
        if outcome.is_err() && (session.stopped)() {
            // Cut short by the user, which says nothing about the test.
            break;
        }
        measured += usize::from(outcome.is_ok());
        observe(Event::Finished(&Record {
            test: test.clone(),
            identity: identity.clone(),
            surroundings: session.surroundings.clone(),
            started_at,
            outcome,
        }))?;
    }
    Ok(measured)
}

/// A run is a result only if every repetition is there and took time.
fn valid(test: &Test, run: Run) -> Result<Run, Failure> {
    let (asked, got) = (test.work.repetitions as usize, run.samples.len());
    if asked != got {
        return Err(Failure::Invalid { reason: format!("{got} of {asked} repetitions came back") });
    }
    match run.samples.iter().position(|sample| sample.total().is_zero()) {
        Some(index) => {
            Err(Failure::Invalid { reason: format!("repetition {} took no time", index + 1) })
        }
        None => Ok(run),
    }
}

/// An engine that answers from a list.
#[cfg(test)]
pub(super) mod fake {
    use autotune_engine::api::{
        Bytes, ContextSetting, Job, LoadSetting, MemoryUse, ModelFacts, ProcessSetting, Sample,
        Setting, ThreadSetting, Threading, Transition, VariantReport,
    };

    use super::*;

    /// Answers in order; what was asked is kept.
    pub(in crate::bench) struct Fake {
        pub(in crate::bench) answers: Vec<Result<Run, Failure>>,
        pub(in crate::bench) asked: Vec<Job>,
    }

    impl Fake {
        pub(in crate::bench) fn new(mut answers: Vec<Result<Run, Failure>>) -> Self {
            answers.reverse();
            Self { answers, asked: Vec::new() }
        }
    }

    impl Engine for Fake {
        fn identity(&mut self) -> Result<Identity, Failure> {
            Ok(identity())
        }

        fn variants(&mut self, _: &[String]) -> Result<Vec<VariantReport>, Failure> {
            Ok(Vec::new())
        }

        fn run(&mut self, job: &Job, _: Duration) -> Result<Run, Failure> {
            self.asked.push(job.clone());
            let mut run = self.answers.pop().expect("an answer for every test")?;
            run.effective = job.setting.clone();
            run.effective.process.isa_variant = Some("haswell".to_owned());
            Ok(run)
        }
    }

    pub(in crate::bench) fn identity() -> Identity {
        Identity {
            name: "llama.cpp".to_owned(),
            version: "0.6.0-dev".to_owned(),
            ggml_version: "0.26.0".to_owned(),
            binding_version: "0.1.161".to_owned(),
            threading: Threading::Ggml,
            synthetic: false,
        }
    }

    /// A run whose repetitions took these (prompt, generation) nanoseconds.
    pub(in crate::bench) fn run(samples: &[(u64, u64)]) -> Run {
        Run {
            effective: Setting {
                process: ProcessSetting::default(),
                load: LoadSetting::default(),
                context: ContextSetting::default(),
                threads: ThreadSetting::of(1),
            },
            samples: samples
                .iter()
                .map(|(prefill_ns, decode_ns)| Sample {
                    prefill_ns: *prefill_ns,
                    decode_ns: *decode_ns,
                    token_ns: Vec::new(),
                })
                .collect(),
            memory: MemoryUse {
                peak_resident_bytes: Some(Bytes(1 << 30)),
                resident: None,
                buffers: Vec::new(),
            },
            model: ModelFacts {
                description: "llama 1B Q4_K - Medium".to_owned(),
                size_bytes: Bytes(807_690_240),
                parameters: 1_235_814_400,
                layers: 16,
            },
            transition: Transition::default(),
            caveats: Vec::new(),
            answers: Vec::new(),
            graph: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;
    use crate::bench::Grid;

    fn outcomes(answers: Vec<Result<Run, Failure>>, stop_after: usize) -> (Vec<String>, usize) {
        let grid = Grid { repetitions: 2, pairs: vec![(4, 2)], ..Grid::defaults("m".into(), 1) };
        let mut engine = Fake::new(answers);
        let seen = std::cell::RefCell::new(Vec::new());
        let asked = std::cell::Cell::new(0);
        let mut session = Session {
            engine: &mut engine,
            surroundings: Surroundings::default(),
            now: &|| "2026-01-02T03:04:05Z".to_owned(),
            stopped: &|| asked.get() >= stop_after,
            deadline: Duration::from_secs(1),
        };
        let measured = run(&mut session, &fake::identity(), &grid.tests().unwrap(), |event| {
            if let Event::Started { number, .. } = event {
                asked.set(number);
            } else if let Event::Finished(record) = event {
                seen.borrow_mut().push(record.outcome_word().to_owned());
            }
            Ok::<_, std::convert::Infallible>(())
        });
        (seen.take(), measured.unwrap())
    }

    #[test]
    fn a_failed_test_does_not_end_the_series() {
        let crash = Failure::Crashed {
            signal: Some(4),
            exit_code: None,
            reason: "SIGILL".to_owned(),
            log: Vec::new(),
        };
        let fine = fake::run(&[(5, 0), (6, 0)]);
        let (seen, measured) = outcomes(vec![Ok(fine.clone()), Err(crash), Ok(fine)], 9);
        assert_eq!(
            (seen, measured),
            (["measured", "crashed", "measured"].map(String::from).to_vec(), 2)
        );
    }

    #[test]
    fn a_test_that_the_user_cut_short_is_no_record() {
        let fine = || Ok(fake::run(&[(5, 0), (6, 0)]));
        let cut = Err(Failure::refused("the job was cancelled"));
        let (seen, measured) = outcomes(vec![fine(), cut, fine()], 2);
        assert_eq!((seen, measured), (vec!["measured".to_owned()], 1));
        // One that ended well before it heard of the wish is kept.
        let (seen, measured) = outcomes(vec![fine(), fine(), fine()], 2);
        assert_eq!((seen.len(), measured), (2, 2));
    }

    #[test]
    fn batches_are_cut_to_the_context_in_the_job_and_not_in_the_record() {
        let test = |prompts| Grid { prompts, ..Grid::defaults("m".into(), 1) }.tests().unwrap();
        for (prompt, batch, ubatch) in [(16, 16, 16), (1000, 1000, 512), (4096, 2048, 512)] {
            let test = &test(vec![prompt])[0];
            let context = test.job().setting.context;
            assert_eq!((context.batch, context.ubatch), (batch, ubatch), "{prompt}");
            assert_eq!((test.setting.context.batch, test.setting.context.ubatch), (2048, 512));
        }
    }

    #[test]
    fn missing_and_empty_repetitions_are_no_result() {
        let answers = vec![
            Ok(fake::run(&[(5, 0)])),
            Ok(fake::run(&[(5, 0), (0, 0)])),
            Ok(fake::run(&[(5, 1), (0, 3)])),
        ];
        let (seen, measured) = outcomes(answers, 9);
        assert_eq!(
            (seen, measured),
            (["invalid", "invalid", "measured"].map(String::from).to_vec(), 1)
        );
    }

    #[test]
    fn a_wish_to_stop_is_heard_between_tests() {
        let (seen, _) = outcomes(vec![Ok(fake::run(&[(5, 0), (6, 0)]))], 1);
        assert_eq!(seen.len(), 1);
    }
}
