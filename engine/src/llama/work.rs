//! The timed work, exactly as llama-bench does it, so that its numbers can be compared with ours.

use std::time::{Duration, Instant};

use llama_cpp_sys_2 as sys;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::context::Context;
#[cfg(feature = "planted-slowdown")]
use super::planted;
use super::stage::{self, Stage};
use super::together;
use crate::api::{Answer, Failure, Sample, Work};

/// Runs all repetitions. The context's threads must be attached on this very thread.
pub(super) fn run(
    context: &mut Context,
    work: &Work,
) -> Result<(Vec<Sample>, Vec<Answer>), Failure> {
    if work.delay_ms > 0 {
        std::thread::sleep(Duration::from_millis(work.delay_ms));
    }
    stage::reached(Stage::Compute);
    if work.warmup {
        warm_up(context, work)?;
    }
    let mut depth = Depth { tokens: work.depth, saved: None };
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    for repetition in 0..work.repetitions {
        let mut tokens = Tokens::new(context, work.seed, repetition);
        context.clear();
        depth.fill(context, &mut tokens, work.sequences())?;
        samples.push(repeat(context, &mut tokens, work)?);
        answers.push(check_logits(context, work)?);
    }
    Ok((samples, answers))
}

/// One timed repetition.
fn repeat(context: &mut Context, tokens: &mut Tokens, work: &Work) -> Result<Sample, Failure> {
    let prefill_ns = prefill(context, tokens, work)?;
    Ok(Sample { prefill_ns, ..decode(context, tokens, work)? })
}

/// The prompts of all sequences behind what is there already. One sequence takes llama-bench's own
/// way.
pub(super) fn prefill(
    context: &mut Context,
    tokens: &mut Tokens,
    work: &Work,
) -> Result<u64, Failure> {
    match work.sequences() {
        1 => prompt(context, tokens, work.prompt_tokens),
        many => together::prompts(context, tokens, many, work.depth, work.prompt_tokens),
    }
}

/// The generation behind the prompts.
pub(super) fn decode(
    context: &mut Context,
    tokens: &mut Tokens,
    work: &Work,
) -> Result<Sample, Failure> {
    match work.sequences() {
        1 => generate(context, tokens, work.generate_tokens),
        many => {
            let from = work.depth.saturating_add(work.prompt_tokens);
            together::generate(context, tokens, many, from, work.generate_tokens)
        }
    }
}

/// The whole prompt of one sequence where there is one, and one token of each where some are to be
/// generated.
pub(super) fn warm_up(context: &mut Context, work: &Work) -> Result<(), Failure> {
    let mut tokens = Tokens::new(context, work.seed, u32::MAX);
    context.clear();
    prompt(context, &mut tokens, work.prompt_tokens)?;
    match work.sequences() {
        _ if work.generate_tokens == 0 => {}
        1 => drop(generate(context, &mut tokens, 1)?),
        many => {
            context.clear();
            together::generate(context, &mut tokens, many, 0, 1)?;
        }
    }
    Ok(())
}

/// Random tokens, the same ones for every setting.
pub(super) struct Tokens {
    chance: Xoshiro256PlusPlus,
    vocabulary: sys::llama_token,
    beginning: Option<sys::llama_token>,
}

impl Tokens {
    pub(super) fn new(context: &Context, seed: u64, repetition: u32) -> Self {
        let model = context.model();
        Self {
            // The generator spreads neighbouring seeds over its whole state.
            chance: Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(u64::from(repetition))),
            vocabulary: sys::llama_token::try_from(model.vocabulary()).unwrap_or(1).max(1),
            beginning: model.beginning(),
        }
    }

    /// The token that begins a text, once, where the vocabulary has one; chance otherwise.
    pub(super) fn first(&mut self) -> sys::llama_token {
        self.beginning.unwrap_or_else(|| self.next())
    }

    pub(super) fn next(&mut self) -> sys::llama_token {
        self.chance.random_range(0..self.vocabulary)
    }
}

/// Processes a prompt in chunks of the batch size, synchronised once at the end. Nanoseconds.
fn prompt(context: &mut Context, tokens: &mut Tokens, count: u32) -> Result<u64, Failure> {
    if count == 0 {
        return Ok(0);
    }
    let batch = context.batch();
    let started = Instant::now();
    let mut left = count as usize;
    let mut chunk = Vec::with_capacity(batch.min(left));
    let mut first = true;
    while left > 0 {
        chunk.clear();
        for _ in 0..left.min(batch) {
            chunk.push(if first { tokens.first() } else { tokens.next() });
            first = false;
        }
        context.decode(&mut chunk)?;
        left -= chunk.len();
    }
    context.synchronize()?;
    #[cfg(feature = "planted-slowdown")]
    planted::linger(started);
    Ok(nanoseconds(started))
}

/// Generates tokens one by one, each synchronised, the next one by chance instead of sampling.
fn generate(context: &mut Context, tokens: &mut Tokens, count: u32) -> Result<Sample, Failure> {
    let mut token_ns = Vec::with_capacity(count as usize);
    let started = Instant::now();
    let mut token = tokens.first();
    let mut before = 0;
    for _ in 0..count {
        #[cfg(feature = "planted-slowdown")]
        let step = Instant::now();
        context.decode(&mut [token])?;
        context.synchronize()?;
        #[cfg(feature = "planted-slowdown")]
        planted::linger(step);
        token = tokens.next();
        let now = nanoseconds(started);
        token_ns.push(now - before);
        before = now;
    }
    Ok(Sample { prefill_ns: 0, decode_ns: before, token_ns })
}

/// Tokens of each sequence that are there before the clock starts: computed once, then put back.
pub(super) struct Depth {
    pub(super) tokens: u32,
    pub(super) saved: Option<Vec<Vec<u8>>>,
}

impl Depth {
    pub(super) fn fill(
        &mut self,
        context: &mut Context,
        tokens: &mut Tokens,
        sequences: u32,
    ) -> Result<(), Failure> {
        if self.tokens == 0 {
            return Ok(());
        }
        if let Some(states) = &self.saved {
            let mut numbered = (0..).zip(states);
            return numbered.try_for_each(|(sequence, state)| context.restore(sequence, state));
        }
        if sequences == 1 {
            prompt(context, tokens, self.tokens)?;
        } else {
            together::prompts(context, tokens, sequences, 0, self.tokens)?;
        }
        let numbers = 0..i32::try_from(sequences).unwrap_or(i32::MAX);
        self.saved =
            Some(numbers.map(|sequence| context.save(sequence)).collect::<Result<_, _>>()?);
        Ok(())
    }
}

/// Speed of a wrong result is no speed. After generation every sequence has logits.
pub(super) fn check_logits(context: &mut Context, work: &Work) -> Result<Answer, Failure> {
    let invalid = |reason: &str| Err(Failure::Invalid { reason: reason.to_owned() });
    let others = match work.sequences() {
        many if work.generate_tokens > 0 => i32::try_from(many).unwrap_or(i32::MAX) - 1,
        _ => 0,
    };
    for place in (0..others).chain([-1]) {
        match context.logits(place) {
            None => return invalid("the last token has no logits"),
            Some(logits) if logits.iter().any(|logit| logit.is_nan()) => {
                return invalid("there is a NaN among the logits");
            }
            Some(logits) if place == -1 => return Ok(answer(logits)),
            Some(_) => {}
        }
    }
    invalid("the last token has no logits")
}

/// The likeliest token of logits among which there is no NaN.
fn answer(logits: &[f32]) -> Answer {
    let mut best = Answer { token: 0, logit: f32::MIN, runner_up: f32::MIN, scale: 0.0 };
    for (token, logit) in (0..).zip(logits.iter().copied()) {
        if logit > best.logit {
            best = Answer { token, logit, runner_up: best.logit, ..best };
        } else {
            best.runner_up = best.runner_up.max(logit);
        }
        best.scale += logit * logit;
    }
    let count = logits.len().max(1) as f32;
    best.scale = (best.scale / count).sqrt();
    best
}

pub(super) fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_token_is_found_with_its_lead() {
        let best = answer(&[1.0, -2.0, 3.0, 2.0]);
        assert_eq!((best.token, best.logit, best.runner_up), (2, 3.0, 2.0));
        assert!((best.scale - 4.5_f32.sqrt()).abs() < 1e-6);
    }
}
