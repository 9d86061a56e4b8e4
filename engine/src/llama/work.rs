//! The timed work, exactly as llama-bench does it, so that its numbers can be compared with ours.

use std::time::{Duration, Instant};

use llama_cpp_sys_2 as sys;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::context::Context;
use super::stage::{self, Stage};
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
        depth.fill(context, &mut tokens)?;
        let sample = Sample {
            prefill_ns: prompt(context, &mut tokens, work.prompt_tokens)?,
            ..generate(context, &mut tokens, work.generate_tokens)?
        };
        answers.push(check_logits(context)?);
        samples.push(sample);
    }
    Ok((samples, answers))
}

/// The whole prompt where there is one, and one token where some are to be generated.
fn warm_up(context: &mut Context, work: &Work) -> Result<(), Failure> {
    let mut tokens = Tokens::new(context, work.seed, u32::MAX);
    context.clear();
    prompt(context, &mut tokens, work.prompt_tokens)?;
    if work.generate_tokens > 0 {
        generate(context, &mut tokens, 1)?;
    }
    Ok(())
}

/// Random tokens, the same ones for every setting.
struct Tokens {
    chance: Xoshiro256PlusPlus,
    vocabulary: sys::llama_token,
    beginning: Option<sys::llama_token>,
}

impl Tokens {
    fn new(context: &Context, seed: u64, repetition: u32) -> Self {
        let model = context.model();
        Self {
            // The generator spreads neighbouring seeds over its whole state.
            chance: Xoshiro256PlusPlus::seed_from_u64(seed.wrapping_add(u64::from(repetition))),
            vocabulary: sys::llama_token::try_from(model.vocabulary()).unwrap_or(1).max(1),
            beginning: model.beginning(),
        }
    }

    /// The token that begins a text, once, where the vocabulary has one; chance otherwise.
    fn first(&mut self) -> sys::llama_token {
        self.beginning.unwrap_or_else(|| self.next())
    }

    fn next(&mut self) -> sys::llama_token {
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
    Ok(nanoseconds(started))
}

/// Generates tokens one by one, each synchronised, the next one by chance instead of sampling.
fn generate(context: &mut Context, tokens: &mut Tokens, count: u32) -> Result<Sample, Failure> {
    let mut token_ns = Vec::with_capacity(count as usize);
    let started = Instant::now();
    let mut token = tokens.first();
    let mut before = 0;
    for _ in 0..count {
        context.decode(&mut [token])?;
        context.synchronize()?;
        token = tokens.next();
        let now = nanoseconds(started);
        token_ns.push(now - before);
        before = now;
    }
    Ok(Sample { prefill_ns: 0, decode_ns: before, token_ns })
}

/// Tokens that are there before the clock starts: computed once, then put back.
struct Depth {
    tokens: u32,
    saved: Option<Vec<u8>>,
}

impl Depth {
    fn fill(&mut self, context: &mut Context, tokens: &mut Tokens) -> Result<(), Failure> {
        match &self.saved {
            _ if self.tokens == 0 => {}
            Some(state) => context.restore(state)?,
            None => {
                prompt(context, tokens, self.tokens)?;
                self.saved = Some(context.save()?);
            }
        }
        Ok(())
    }
}

/// Speed of a wrong result is no speed.
fn check_logits(context: &mut Context) -> Result<Answer, Failure> {
    let invalid = |reason: &str| Err(Failure::Invalid { reason: reason.to_owned() });
    match context.logits() {
        None => invalid("the last token has no logits"),
        Some(logits) if logits.iter().any(|logit| logit.is_nan()) => {
            invalid("there is a NaN among the logits")
        }
        Some(logits) => Ok(answer(logits)),
    }
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

fn nanoseconds(since: Instant) -> u64 {
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
