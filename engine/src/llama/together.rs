//! Several sequences at once, as llama-batched-bench has them: the prompts in shared batches, then
//! one token of each per step.

use std::time::Instant;

use super::context::{Context, Entry};
use super::work::{Tokens, nanoseconds};
use crate::api::{Failure, Sample};

/// Processes a prompt of each sequence after `from` tokens, synchronised once at the end.
/// Nanoseconds.
pub(super) fn prompts(
    context: &mut Context,
    tokens: &mut Tokens,
    sequences: u32,
    from: u32,
    count: u32,
) -> Result<u64, Failure> {
    if count == 0 {
        return Ok(0);
    }
    let batch = context.batch();
    let started = Instant::now();
    let mut chunk = Vec::with_capacity(batch);
    for sequence in 0..sequences {
        for index in 0..count {
            let token = if index == 0 { tokens.first() } else { tokens.next() };
            let position = from.saturating_add(index);
            chunk.push(Entry { token, position, sequence, answer: index + 1 == count });
            if chunk.len() == batch {
                context.decode_entries(&chunk)?;
                chunk.clear();
            }
        }
    }
    if !chunk.is_empty() {
        context.decode_entries(&chunk)?;
    }
    context.synchronize()?;
    Ok(nanoseconds(started))
}

/// Generates so many tokens of each sequence, a token of all per step, each step synchronised.
pub(super) fn generate(
    context: &mut Context,
    tokens: &mut Tokens,
    sequences: u32,
    from: u32,
    count: u32,
) -> Result<Sample, Failure> {
    let mut token_ns = Vec::with_capacity(count as usize);
    let started = Instant::now();
    let mut next: Vec<_> = (0..sequences).map(|_| tokens.first()).collect();
    let mut before = 0;
    for index in 0..count {
        let position = from.saturating_add(index);
        let entry = |(sequence, token): (u32, &_)| Entry {
            token: *token,
            position,
            sequence,
            answer: true,
        };
        let step: Vec<Entry> = (0..sequences).zip(&next).map(entry).collect();
        context.decode_entries(&step)?;
        context.synchronize()?;
        next.fill_with(|| tokens.next());
        let now = nanoseconds(started);
        token_ns.push(now - before);
        before = now;
    }
    Ok(Sample { prefill_ns: 0, decode_ns: before, token_ns })
}
