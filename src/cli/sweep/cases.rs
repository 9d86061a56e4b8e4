//! `--check-cases`: the winner on test cases, as a table and a document.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use autotune_engine::api::TokenRate;

use super::place::Place;
use super::{Stop, json};
use crate::cli::Printer;
use crate::cli::global::{now, one_line};
use crate::model::{Case, Cases, Findings, Plan, Spread};
use crate::store::RunDirectory;
use crate::sweep::{CASE_ROUNDS, check_cases};

/// Runs the best setting on the cases and keeps what came of it; false where it was interrupted.
pub(super) fn check(
    place: &mut Place,
    plan: &Plan,
    findings: &Findings,
    run: &RunDirectory,
    as_text: bool,
    printer: Printer,
) -> Result<bool, Stop> {
    let interrupted = Arc::clone(&place.interrupted);
    let checked = check_cases(
        &mut place.bench(),
        plan,
        &findings.best,
        &now,
        &|| interrupted.load(Ordering::Relaxed),
        &mut |name, round| {
            printer.say(format!("test case {name}, round {} of {CASE_ROUNDS}", round + 1));
        },
    );
    let Some(cases) = checked else {
        printer.say("interrupted; the sweep itself is saved, the test cases are not");
        return Ok(false);
    };
    let kept = run.write_cases(&cases).map_err(|error| Stop::from_store(&error));
    printer.data(&if as_text { table(&cases) } else { json(&cases) })?;
    kept.map(|()| true)
}

/// The cases within 80 columns.
fn table(cases: &Cases) -> String {
    let mut text = format!(
        "\nTest cases, {CASE_ROUNDS} repetitions each: min / median / max, and how they vary\n\
         {:12} {:>10}  {:24} {:18} {:>6}\n",
        "case", "tokens", "seconds", "decode tok/s", "vary"
    );
    for case in &cases.cases {
        let tokens = format!("{} + {}", case.prompt_tokens, case.generate_tokens);
        let variation = case.seconds.and_then(|it| it.variation);
        let vary = variation.map_or("-".to_owned(), |it| format!("{:.1} %", 100.0 * it));
        let seconds = spread(case.seconds, |it| format!("{it:.2}"));
        let decode = spread(case.decode_tok_per_s, |it| TokenRate(it).to_string());
        let _ = writeln!(text, "{:12} {tokens:>10}  {seconds:24} {decode:18} {vary:>6}", case.name);
        for line in remarks(case) {
            let _ = writeln!(text, "{:12} {line}", "");
        }
    }
    text
}

fn spread(spread: Option<Spread>, word: impl Fn(f64) -> String) -> String {
    spread.map_or("-".to_owned(), |it| [it.min, it.median, it.max].map(word).join(" / "))
}

fn remarks(case: &Case) -> Vec<String> {
    let failed = case.failures.iter().map(|reason| format!("failed: {reason}"));
    let doubts = case.caveats.iter().map(|caveat| format!("caveat: {caveat}"));
    failed.chain(doubts).map(|line| one_line(&line)).collect()
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{
        ContextSetting, LoadSetting, ProcessSetting, Sample, Setting, ThreadSetting,
    };

    use super::*;

    #[test]
    fn the_table_has_spread_and_failures_within_80_columns() {
        let mut slow = Case::new("translation", 256, 256);
        let sample = |decode_ns| Sample { prefill_ns: 9_000_000_000, decode_ns, token_ns: vec![] };
        slow.add(&[90_000_000_000, 99_000_000_000, 95_000_000_000].map(sample));
        let mut failed = Case::new("essay", 64, 1000);
        failed.failures.push("the engine refused: a context of 512 cannot hold 1064".into());
        let cases = Cases {
            schema: Cases::SCHEMA.into(),
            tool_version: "0".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            setting: Setting {
                process: ProcessSetting::default(),
                load: LoadSetting::default(),
                context: ContextSetting::default(),
                threads: ThreadSetting::of(1),
            },
            cases: vec![slow, failed],
        };
        let text = table(&cases);
        assert!(text.contains("99.00 / 104.00 / 108.00") && text.contains("4.3 %"), "{text}");
        assert!(text.contains("failed: the engine refused"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
