//! Whether what came back is what was asked for.

use autotune_engine::api::{Failure, Run, Sample, Work};

/// The sum of the token times may exceed the time of all tokens by this share: they are read on
/// the same clock, inside of it.
const SLACK: f64 = 1.01;

/// The run, or why it does not count.
pub(super) fn run(work: &Work, run: Run) -> Result<Run, Failure> {
    let wrong = if run.samples.len() == work.repetitions as usize {
        run.samples.iter().find_map(|it| sample(work, it))
    } else {
        Some(format!("{} samples instead of {}", run.samples.len(), work.repetitions))
    };
    match wrong {
        Some(reason) => Err(Failure::Invalid { reason }),
        None => Ok(run),
    }
}

fn sample(work: &Work, sample: &Sample) -> Option<String> {
    if (work.prompt_tokens > 0) != (sample.prefill_ns > 0) {
        return Some(format!(
            "a prompt of {} tokens took {} ns",
            work.prompt_tokens, sample.prefill_ns
        ));
    }
    if (work.generate_tokens > 0) != (sample.decode_ns > 0) {
        return Some(format!(
            "{} generated tokens took {} ns",
            work.generate_tokens, sample.decode_ns
        ));
    }
    if sample.token_ns.len() != work.generate_tokens as usize {
        return Some(format!(
            "{} generated tokens instead of {}",
            sample.token_ns.len(),
            work.generate_tokens
        ));
    }
    let tokens: f64 = sample.token_ns.iter().map(|token| *token as f64).sum();
    (tokens > sample.decode_ns as f64 * SLACK).then(|| {
        format!("the tokens took {tokens} ns, but all of them together {} ns", sample.decode_ns)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> Work {
        Work {
            prompt_tokens: 64,
            generate_tokens: 2,
            depth: 0,
            repetitions: 1,
            warmup: true,
            delay_ms: 0,
            seed: 1,
            parallel: 1,
        }
    }

    #[test]
    fn a_sample_has_the_tokens_that_were_asked_for() {
        let good = Sample { prefill_ns: 9, decode_ns: 10, token_ns: vec![4, 5] };
        assert_eq!(sample(&work(), &good), None);
        for (wrong, word) in [
            (Sample { prefill_ns: 0, ..good.clone() }, "prompt of 64"),
            (Sample { decode_ns: 0, ..good.clone() }, "took 0 ns"),
            (Sample { token_ns: vec![4], ..good.clone() }, "1 generated tokens instead of 2"),
            (Sample { token_ns: vec![400, 5], ..good.clone() }, "together 10 ns"),
        ] {
            let reason = sample(&work(), &wrong).unwrap();
            assert!(reason.contains(word), "{reason}");
        }
    }
}
