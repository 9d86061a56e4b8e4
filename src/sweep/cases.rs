//! The winner on test cases of several kinds: whether it does as well on what it was not tuned for.

use std::time::Duration;

use autotune_engine::api::{Setting, Work};

use crate::measure::{Bench, Visit, first_deadline, visit};
use crate::model::{Candidate, Case, Cases, Outcome, Plan, Purpose};

/// Name, prompt tokens and generated tokens of the cases: a simple question, a technical
/// explanation, a long essay, code and a translation.
const CASES: [(&str, u32, u32); 5] = [
    ("question", 64, 10),
    ("explain", 128, 300),
    ("essay", 64, 1000),
    ("code", 512, 256),
    ("translation", 256, 256),
];
/// Rounds over all cases: repetitions of one are apart in time, so that a drift is seen.
pub const CASE_ROUNDS: u32 = 3;
/// A case may take so many times what the setting's measured rates foresee.
const PATIENCE: f64 = 6.0;
/// What a case may take where a rate is unknown.
const UNKNOWN: Duration = Duration::from_secs(1800);

/// Runs the cases under the best setting, a fresh conversation each. `observe` is told the name and
/// round of what comes next; `None` where somebody asked to stop.
pub fn check_cases(
    bench: &mut Bench<'_>,
    plan: &Plan,
    best: &Candidate,
    date: &dyn Fn() -> String,
    interrupted: &dyn Fn() -> bool,
    observe: &mut dyn FnMut(&str, u32),
) -> Option<Cases> {
    let started_at = date();
    let new = |(name, prompt, generated)| Case::new(name, prompt, generated);
    let mut cases: Vec<Case> = CASES.into_iter().map(new).collect();
    for round in 0..CASE_ROUNDS {
        for case in &mut cases {
            if interrupted() {
                return None;
            }
            observe(&case.name, round);
            let planned = Visit {
                id: 0,
                purpose: Purpose::Confirm,
                block: round,
                session: 0,
                setting: best.setting.clone(),
                work: work(case, plan.protocol.slice.seed.wrapping_add(u64::from(round))),
                started_at: date(),
            };
            let deadline = first_deadline(plan.model.file_bytes) + patience(case, best);
            let trial = visit(bench, planned, deadline);
            match &trial.outcome {
                Outcome::Measured(measured) => case.add(&measured.samples),
                // Whoever stopped it is no failure of the case.
                _ if interrupted() => return None,
                Outcome::NotRun(not_run) => once(&mut case.failures, not_run.reason.clone()),
                Outcome::Failed(failure) => once(&mut case.failures, failure.to_string()),
            }
            for caveat in trial.caveats {
                once(&mut case.caveats, caveat);
            }
        }
    }
    Some(Cases {
        schema: Cases::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        setting: best.setting.clone(),
        cases,
    })
}

/// Adds a line that is not there yet.
fn once(lines: &mut Vec<String>, line: String) {
    if !lines.contains(&line) {
        lines.push(line);
    }
}

fn work(case: &Case, seed: u64) -> Work {
    Work {
        prompt_tokens: case.prompt_tokens,
        generate_tokens: case.generate_tokens,
        depth: 0,
        repetitions: 1,
        warmup: true,
        delay_ms: 0,
        seed,
        parallel: 1,
    }
}

/// The prompt twice and the answer at the setting's rates, which count all its sequences.
fn patience(case: &Case, best: &Candidate) -> Duration {
    let rates = best.prefill_tok_per_s.zip(best.decode_tok_per_s);
    let Some((prefill, decode)) = rates else { return UNKNOWN };
    let seconds = f64::from(2 * case.prompt_tokens) / prefill.value.max(1e-3)
        + f64::from(case.generate_tokens) / decode.value.max(1e-3);
    let alone = seconds * f64::from(sequences(&best.setting));
    Duration::from_secs_f64((alone * PATIENCE).min(1e6))
}

fn sequences(setting: &Setting) -> u32 {
    setting.context.sequences.max(1)
}
