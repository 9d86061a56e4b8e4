//! How much work one visit does: enough for a time that means something, little enough that two
//! visits are still close together.

use std::time::Duration;

use autotune_engine::api::Work;

use crate::model::{Calibration, ModelCard, Objective, Workload};

/// Prompt tokens of a visit at most: beyond the largest physical batch more tokens teach nothing.
const MOST_PROMPT: u32 = 2048;
/// A workload's own prompt is kept as long as it takes at most so many times what a phase should
/// take: a shorter one would never fill the physical batches that are to be compared.
const WHOLE_PROMPT: f64 = 1.5;
/// Generated tokens of a visit at most.
const MOST_GENERATED: u32 = 256;
/// Generated tokens of a visit at least: fewer are a time of one token.
const LEAST_GENERATED: u32 = 8;
/// Prompt tokens of a visit at least.
const LEAST_PROMPT: u32 = 32;
/// Filling the KV cache may take so many times what the prompt takes.
const FILL_SHARE: f64 = 2.0;
/// Where the number of sequences is turned, a visit is sized for so many: between the one that
/// takes least and the many that take most.
const SEQUENCES_IN_MIND: u32 = 8;
/// Seed of the random tokens: always the same, so that an earlier sweep's trials can be reused.
const TOKEN_SEED: u64 = 1;

/// Speeds that a plan is sized with, in tokens per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Of the prompts of all sequences.
    pub prefill: f64,
    /// Of generation, of all sequences.
    pub decode: f64,
}

impl Rates {
    /// As measured by the calibration, with a guess for a part that the workload does not have.
    #[must_use]
    pub fn measured(calibration: &Calibration, guess: Self) -> Self {
        Self {
            prefill: calibration.prefill_tok_per_s.unwrap_or(guess.prefill),
            decode: calibration.decode_tok_per_s.unwrap_or(guess.decode),
        }
    }

    /// A guess from the header alone: 10 GB/s of weights for generation, and prompts ten times as
    /// fast. It sizes the first look at a model and dry runs, nothing else.
    #[must_use]
    pub fn guess(model: &ModelCard) -> Self {
        let decode = 1e10 / (model.bytes_per_token.0.max(1) as f64);
        Self { prefill: decode * 10.0, decode }
    }
}

/// How long each part of a visit should take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Targets {
    /// The prompt, in seconds; twice as long, because it should fill a physical batch.
    pub prefill_s: f64,
    /// Generation, in seconds.
    pub decode_s: f64,
}

impl Targets {
    /// Under this budget: a quarter of a second each for one minute, growing to two seconds and
    /// one second.
    #[must_use]
    pub fn under(budget: Option<Duration>) -> Self {
        let seconds = budget.map_or(f64::INFINITY, |budget| budget.as_secs_f64());
        Self {
            prefill_s: (seconds / 300.0).clamp(0.25, 2.0),
            decode_s: (seconds / 240.0).clamp(0.25, 1.0),
        }
    }
}

/// The work of one visit, each part about as long as its target at these rates; lengths are
/// powers of two unless the workload itself is shorter.
#[must_use]
pub(super) fn slice(workload: &Workload, rates: Rates, targets: Targets) -> Work {
    let sequences = workload.sequences();
    let sized_for = match workload.objective {
        Objective::Throughput => f64::from(sequences.max(SEQUENCES_IN_MIND)),
        _ => f64::from(sequences),
    };
    let fitting = |rate: f64, seconds: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let tokens = (rate * seconds / sized_for).clamp(1.0, 1e9) as u32;
        1_u32 << tokens.ilog2()
    };
    let whole_s = f64::from(workload.prompt_tokens) * sized_for / rates.prefill.max(1e-9);
    let prompt_tokens = match workload.prompt_tokens.min(MOST_PROMPT) {
        wanted if whole_s <= targets.prefill_s * WHOLE_PROMPT => wanted,
        wanted => {
            fitting(rates.prefill, targets.prefill_s).clamp(LEAST_PROMPT, MOST_PROMPT).min(wanted)
        }
    };
    let generate_tokens = match workload.generate_tokens {
        0 => 0,
        wanted => {
            let most = wanted.clamp(LEAST_GENERATED, MOST_GENERATED);
            fitting(rates.decode, targets.decode_s).clamp(LEAST_GENERATED, most)
        }
    };
    let fill_s = targets.prefill_s * FILL_SHARE;
    Work {
        prompt_tokens,
        generate_tokens,
        depth: workload.depth.min(fitting(rates.prefill, fill_s)),
        repetitions: 1,
        warmup: true,
        delay_ms: 0,
        seed: TOKEN_SEED,
        parallel: sequences,
    }
}

/// The small piece of work that measures the rates in the first place.
#[must_use]
pub fn first_look(workload: &Workload) -> Work {
    Work {
        prompt_tokens: workload.prompt_tokens.min(64),
        generate_tokens: workload.generate_tokens.min(LEAST_GENERATED),
        depth: 0,
        repetitions: 1,
        warmup: true,
        delay_ms: 0,
        seed: TOKEN_SEED,
        parallel: workload.sequences(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chat;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slices_follow_speed_and_budget() {
        let whole = Targets::under(None);
        let work = |prefill, decode| slice(&chat(), Rates { prefill, decode }, whole);
        let tokens = |work: Work| (work.prompt_tokens, work.generate_tokens);
        assert_eq!(tokens(work(200.0, 40.0)), (512, 32));
        assert_eq!(tokens(work(150.0, 40.0)), (256, 32));
        assert_eq!(tokens(work(100.0, 40.0)), (128, 32));
        assert_eq!(tokens(work(9000.0, 900.0)), (512, 256));
        assert_eq!(tokens(work(1.0, 0.1)), (32, 8));
        let minutes = |count: u64| Targets::under(Some(Duration::from_secs(60 * count)));
        assert_eq!(minutes(1), Targets { prefill_s: 0.25, decode_s: 0.25 });
        assert_eq!((minutes(5).prefill_s, minutes(15)), (1.0, whole));
    }

    #[test]
    fn a_short_answer_is_still_measured_over_eight_tokens() {
        let mut question = chat();
        question.generate_tokens = 1;
        let work = slice(&question, Rates { prefill: 99.0, decode: 99.0 }, Targets::under(None));
        assert_eq!(work.generate_tokens, 8);
    }

    #[test]
    fn visits_of_many_sequences_are_as_long_as_those_of_one() {
        let mut batch = chat();
        (batch.parallel, batch.objective) = (4, Objective::Throughput);
        let work = slice(&batch, Rates { prefill: 400.0, decode: 160.0 }, Targets::under(None));
        assert_eq!((work.prompt_tokens, work.generate_tokens, work.parallel), (64, 16, 4));
        batch.objective = Objective::TurnTime;
        let work = slice(&batch, Rates { prefill: 400.0, decode: 160.0 }, Targets::under(None));
        assert_eq!((work.prompt_tokens, work.generate_tokens, work.parallel), (128, 32, 4));
    }

    proptest! {
        #[test]
        fn a_slice_never_exceeds_the_workload_by_more_than_a_few_tokens(
            prompt in 0_u32..100_000,
            generate in 0_u32..100_000,
            depth in 0_u32..100_000,
            prefill in 0.0_f64..1e6,
            decode in 0.0_f64..1e6,
        ) {
            let mut workload = chat();
            (workload.prompt_tokens, workload.generate_tokens) = (prompt, generate);
            workload.depth = depth;
            let work = slice(&workload, Rates { prefill, decode }, Targets::under(None));
            prop_assert!(work.prompt_tokens <= prompt.min(MOST_PROMPT));
            prop_assert!(work.generate_tokens <= generate.max(LEAST_GENERATED));
            prop_assert!(work.depth <= depth);
            prop_assert_eq!(work.generate_tokens == 0, generate == 0);
        }
    }
}
