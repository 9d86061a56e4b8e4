//! `gate calibrate`, `gate selftest` and `gate plan`: what this machine lets the gate see.

use std::fmt::Write as _;

use super::ab::{Pair, Session, Wish};
use super::arguments::{Judged, Length, Measured, Outputs};
use super::outputs::{draft, emit};
use super::percent::Percent;
use super::place::Place;
use crate::cli::global::now;
use crate::cli::{Exit, Printer, Stop};
use crate::gate::{self, Finish, Suite};
use crate::judge::{self, Raced, Rule, Stage};
use crate::model::{GateClass, GateMode, GateNoise, GateReport, GateTrials, GateVerdict, Weight};
use crate::stats;
use crate::store::LearnedNoise;

/// Blocks of each session that noise is learned from.
const BLOCKS: u32 = 6;

/// Learn this machine's noise from the same thing measured twice
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Learned are the spread between repetitions, blocks and sessions of each cell,
and how often identical code would have failed. Limits that nobody asked for
then stay above the noise.

Examples:
  autotune gate calibrate --model m.gguf
  autotune gate calibrate -m m.gguf --sessions 10

Exit codes: 0 done, 1 identical code failed, 2 wrong usage, 4 it crashed, 5 it
cannot be kept.")]
pub(super) struct Calibrate {
    /// Sessions of six blocks each
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=1000))]
    sessions: u32,
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    outputs: Outputs,
}

/// Show that identical code passes and slowed code does not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The same thing is measured twice. Judged as it is, nothing may fail; judged
with the head's times made longer by --inject, it has to fail, or end
undecided with what it could have seen. It must never pass.

Examples:
  autotune gate selftest --model m.gguf --inject 10%
  autotune gate selftest -m m.gguf --delta 2% --inject 5% --aa 20

Exit codes: 0 the gate works here, 1 identical code failed or slowed code
passed, 2 wrong usage, 4 it crashed.")]
pub(super) struct Selftest {
    /// The slowdown to plant
    #[arg(long, value_name = "PERCENT", default_value = "10%")]
    inject: Percent,
    /// Runs of the same thing twice
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    aa: u32,
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    outputs: Outputs,
}

/// Show the cells, their limits and what could be seen; runs nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  autotune gate plan --model m.gguf
  autotune gate plan -m m.gguf --delta 2% --max-blocks 12")]
pub(super) struct Plan {
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    length: Length,
}

/// Runs `gate calibrate`.
pub(super) fn calibrate(arguments: &Calibrate, printer: Printer) -> Result<Exit, Stop> {
    let place = Place::open(&arguments.measured, &[None], printer)?;
    let length = Length { max_blocks: Some(BLOCKS), ..Length::default() };
    let wish = same_twice(&arguments.measured, &arguments.judged, &length);
    let mut pair = Pair::open(&place, &wish)?;
    let finishes = sessions(&mut pair, &place, &wish, arguments.sessions)?;
    let noise = gate::noise(&pair.suite, &finishes);
    let mut report = trials(&pair, &finishes, None, noise.clone(), GateMode::Calibrate);
    report.machine.clone_from(&place.machine);
    if let Some(machine) = &place.machine {
        let learned = LearnedNoise {
            schema: LearnedNoise::SCHEMA.to_owned(),
            learned_at: now(),
            cells: merged(&place.noise, noise),
        };
        let path = place.store.write_noise(&machine.key, &learned);
        let path = path.map_err(|error| Stop::from_store(&error))?;
        report.notes.push(format!("kept in {}", path.display()));
    }
    emit(&report, &arguments.outputs, printer)
}

/// What was learned before of other cells stays.
fn merged(old: &[GateNoise], new: Vec<GateNoise>) -> Vec<GateNoise> {
    let mut all = new;
    let others: Vec<GateNoise> =
        old.iter().filter(|it| all.iter().all(|new| new.cell != it.cell)).cloned().collect();
    all.extend(others);
    all
}

/// Runs `gate selftest`.
pub(super) fn selftest(arguments: &Selftest, printer: Printer) -> Result<Exit, Stop> {
    let place = Place::open(&arguments.measured, &[None], printer)?;
    let wish = same_twice(&arguments.measured, &arguments.judged, &arguments.length);
    let mut pair = Pair::open(&place, &wish)?;
    above_limits(arguments.inject.share(), &pair.suite)?;
    let finishes = sessions(&mut pair, &place, &wish, arguments.aa)?;
    let noise = gate::noise(&pair.suite, &finishes);
    let inject = Some(arguments.inject.share());
    let mut report = trials(&pair, &finishes, inject, noise, GateMode::Selftest);
    report.machine.clone_from(&place.machine);
    emit(&report, &arguments.outputs, printer)
}

/// Runs `gate plan`.
pub(super) fn plan(arguments: &Plan, printer: Printer) -> Result<Exit, Stop> {
    let place = Place::open(&arguments.measured, &[None], printer)?;
    let models = place.models(&arguments.measured);
    let common = place.common(&arguments.measured, &models);
    let head = super::sides::Prepared::new(None, &common)?;
    let asked = same_twice(&arguments.measured, &arguments.judged, &arguments.length).asked(&place);
    let (rule, budget) = (asked.rule()?, asked.budget()?);
    let suite = place.suite(&arguments.measured, &asked.limits(), &rule, &head, &[])?;
    let mut text = String::new();
    let _ = writeln!(text, "{:<40} {:>7}  {:>9}  noise", "cell", "limit", "would see");
    for (_, wanted) in suite.cells() {
        let noise = place.noise.iter().find(|noise| noise.cell == wanted.name);
        let sees = noise.map_or_else(
            || "?".to_owned(),
            |noise| format!("{:.1} %", 100.0 * sees(noise, wanted.delta, &rule, &suite)),
        );
        let known = match noise {
            Some(it) => format!("learned: block {:.2} %", 100.0 * it.block),
            None => format!("assumed: session {:.1} %", 100.0 * wanted.session_noise),
        };
        let limit = format!("{:.1} %", 100.0 * wanted.delta);
        let _ = writeln!(text, "{:<40} {limit:>7}  {sees:>9}  {known}", wanted.name);
    }
    let looks = std::iter::successors(rule.next_look(0), |blocks| rule.next_look(*blocks));
    let looks: Vec<String> = looks.map(|blocks| blocks.to_string()).collect();
    let _ = writeln!(
        text,
        "\nAt most {} blocks of 4 processes and {}; verdicts after {}.",
        rule.most_blocks,
        humantime::format_duration(budget),
        looks.join(", ")
    );
    let unknown = suite.cells().any(|(_, it)| place.noise.iter().all(|n| n.cell != it.name));
    if unknown && place.machine.is_some() {
        text.push_str("What could be seen is known after `autotune gate calibrate`.\n");
    }
    printer.data(&text).map(|()| Exit::Done)
}

/// The smallest slowdown that all blocks together would see.
fn sees(noise: &GateNoise, delta: f64, rule: &Rule, suite: &Suite) -> f64 {
    let blocks = f64::from(rule.most_blocks.max(2));
    let error = (noise.block.powi(2) / blocks + noise.session.powi(2)).sqrt();
    let blocking = suite.cells().filter(|(_, it)| it.weight == Weight::Blocking).count().max(1);
    let t = |level: f64| stats::student_quantile(level, blocks - 1.0).unwrap_or(0.0);
    let level = 0.4 * rule.alpha / blocking as f64;
    (delta.ln_1p() + (t(level) + t(1.0 - rule.power)) * error).exp_m1()
}

fn same_twice<'a>(measured: &'a Measured, judged: &'a Judged, length: &'a Length) -> Wish<'a> {
    Wish { base: None, head: None, earlier: None, measured, judged, length }
}

fn sessions(
    pair: &mut Pair,
    place: &Place,
    wish: &Wish<'_>,
    count: u32,
) -> Result<Vec<Finish>, Stop> {
    let budget = wish.asked(place).budget()?;
    (0..count)
        .map(|number| {
            let title = format!("session {} of {count}", number + 1);
            let session = Session {
                number: u64::from(number),
                title: &title,
                budget,
                only: &[],
                // Identical code is decided early, and noise is learned from all blocks.
                exhaustive: true,
            };
            pair.race(&session, place.printer)
        })
        .collect()
}

/// A slowdown that is allowed may pass, and proves nothing.
fn above_limits(inject: f64, suite: &Suite) -> Result<(), Stop> {
    let allowed = suite
        .cells()
        .find(|(_, it)| it.quantity.class() == GateClass::Timing && it.delta >= inject);
    match allowed {
        None => Ok(()),
        Some((_, it)) => Err(Stop::usage(format!(
            "{:.1} % planted is within the limit of {:.1} % of `{}`",
            100.0 * inject,
            100.0 * it.delta,
            it.name
        ))
        .hint("plant more with --inject, or set a limit with --delta")),
    }
}

/// What sessions on identical sides came to, and would have come to with a slowdown planted.
fn trials(
    pair: &Pair,
    finishes: &[Finish],
    inject: Option<f64>,
    noise: Vec<GateNoise>,
    mode: GateMode,
) -> GateReport {
    let runs = u32::try_from(finishes.len()).unwrap_or(u32::MAX);
    let verdicts = |slowdown: f64| -> Vec<GateVerdict> {
        finishes.iter().map(|finish| verdict(pair, finish, slowdown)).collect()
    };
    let count = |verdicts: &[GateVerdict], wanted: GateVerdict| {
        u32::try_from(verdicts.iter().filter(|it| **it == wanted).count()).unwrap_or(u32::MAX)
    };
    let plain = verdicts(0.0);
    let slowed = inject.map(verdicts).unwrap_or_default();
    let false_failures = count(&plain, GateVerdict::Fail);
    let trials = GateTrials {
        identical_runs: runs,
        false_failures,
        false_failure_rate: stats::clopper_pearson(false_failures, runs, 0.95)
            .unwrap_or((0.0, 1.0)),
        injected: inject,
        injected_runs: u32::try_from(slowed.len()).unwrap_or(u32::MAX),
        caught: count(&slowed, GateVerdict::Fail),
        undecided: count(&slowed, GateVerdict::Inconclusive),
        noise,
    };
    let passed = count(&slowed, GateVerdict::Pass);
    let blind = slowed.contains(&GateVerdict::NotComparable);
    let works = false_failures == 0 && passed == 0 && !blind;
    let (base_rate, high) = (trials.false_failure_rate.0, trials.false_failure_rate.1);
    debug_assert!(base_rate <= high);
    let mut line = format!(
        "gate: {} {false_failures} of {runs} runs on identical code failed",
        match (works, blind) {
            (true, _) => "PASS",
            (false, true) => "FAIL (too few blocks to see anything)",
            (false, false) => "FAIL",
        }
    );
    if let Some(share) = inject {
        let _ = write!(
            line,
            "; of {} with {:.1} % planted {} failed, {} stayed undecided, {passed} passed",
            trials.injected_runs,
            100.0 * share,
            trials.caught,
            trials.undecided
        );
    }
    let [base, head] = pair.sides();
    let elapsed: std::time::Duration = finishes.iter().map(|finish| finish.elapsed).sum();
    GateReport {
        verdict: if works { GateVerdict::Pass } else { GateVerdict::Fail },
        line,
        exit_code: u8::from(!works),
        synthetic: pair.synthetic,
        alpha: pair.rule.alpha,
        beta: pair.rule.beta,
        base: Some(base),
        head: Some(head),
        seed: pair.rule.seed,
        suite_digest: Some(pair.suite_digest.clone()),
        sessions: finishes.iter().map(|finish| gate::session("calibrate", finish, &[])).collect(),
        trials: Some(trials),
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        ..draft(mode, "the same thing is measured twice")
    }
}

/// What the timed cells of a session come to with a slowdown planted into every block: for none,
/// the worst of them; for one, the best, as each was slowed. Not comparable where no cell has
/// enough blocks for any verdict.
fn verdict(pair: &Pair, finish: &Finish, slowdown: f64) -> GateVerdict {
    let planted = slowdown.ln_1p();
    let cells: Vec<(f64, f64, Vec<f64>)> = pair
        .suite
        .cells()
        .zip(&finish.differences)
        .filter(|((_, it), _)| {
            it.quantity.class() == GateClass::Timing && it.weight == Weight::Blocking
        })
        .map(|((_, it), differences)| {
            let moved = differences.iter().map(|difference| difference + planted).collect();
            (it.delta, it.session_noise, moved)
        })
        .collect();
    let raced: Vec<Raced<'_>> = cells
        .iter()
        .map(|(delta, session_noise, differences)| Raced {
            delta: *delta,
            weight: Weight::Blocking,
            session_noise: *session_noise,
            differences,
        })
        .collect();
    let judged = judge::judge_blocks(&pair.rule, &raced, Stage::Over);
    if judged.iter().all(|it| it.p_t.is_none()) {
        return GateVerdict::NotComparable;
    }
    let verdicts = judged.iter().map(|it| it.verdict);
    let told = if slowdown > 0.0 && verdicts.clone().any(|it| it == GateVerdict::Pass) {
        Some(GateVerdict::Pass)
    } else {
        verdicts.min()
    };
    told.unwrap_or(GateVerdict::Inconclusive)
}
