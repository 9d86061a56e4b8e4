//! `gate check` and `gate record`: one side now, against stored sessions of this machine or to
//! become one.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ab::{self, Wish};
use super::arguments::{Judged, Length, Measured, Outputs};
use super::asked::Asked;
use super::display::Display;
use super::outputs::{draft, emit, judged};
use super::place::{Place, suite_digest};
use super::sides::{Prepared, Way};
use crate::cli::global::now;
use crate::cli::{Exit, Printer, Stop, interrupt};
use crate::gate::{self, Solo, Suite};
use crate::judge::Rule;
use crate::model::{
    FactDifference, GateMachine, GateMode, GateReason, GateReport, GateSide, GateVerdict,
    StoredSession,
};
use crate::store::{self, History};

/// Fresh processes of a session.
const PROCESSES: u32 = 6;

/// Hold this build against stored sessions of this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first session on a machine is recorded and exits 0. A baseline of another
machine is never compared: with --base both sides are measured here instead,
without it the result is not comparable and exits 3.

Examples:
  autotune gate check --model m.gguf
  autotune gate check -m m.gguf --record               and keep this one too
  autotune gate check -m m.gguf --baseline main.jsonl
  autotune gate check -m m.gguf --base old/autotune    if the runner changed

Exit codes: 0 pass, 1 regression or missing cell, 2 wrong usage, 3 not
comparable, or undecided under --on-inconclusive fail, 4 it crashed.")]
pub(super) struct Check {
    /// A file of stored sessions in place of those in --store
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// What to compare with where the baseline is another machine's
    #[arg(long, value_name = "SIDE")]
    base: Option<String>,
    /// What is judged [default: this program]
    #[arg(long, value_name = "SIDE")]
    head: Option<String>,
    /// Keep this session too, unless it failed
    #[arg(long)]
    record: bool,
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    outputs: Outputs,
}

/// Measure a session and keep it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sessions are lines of JSON in one file per machine, which two jobs may write
at once. Keep the folder in a cache or on a branch of its own.

Examples:
  autotune gate record --model m.gguf
  autotune gate record -m m.gguf --tag v1.4          a level to hold on to
  autotune gate record -m m.gguf --epoch \"new driver\"  levels begin anew

Exit codes: 0 done, 2 wrong usage, 4 it crashed, 5 it cannot be kept.")]
pub(super) struct Record {
    /// What is measured [default: this program]
    #[arg(long, value_name = "SIDE")]
    head: Option<String>,
    /// The release that this is
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Levels begin anew with this session, for this reason
    #[arg(long, value_name = "REASON")]
    epoch: Option<String>,
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    outputs: Outputs,
}

impl<'a> Wanted<'a> {
    fn asked(&self, place: &'a Place) -> Asked<'a> {
        Asked { file: &place.file, judged: self.judged, length: self.length }
    }
}

/// What is measured, from whichever command.
pub(super) struct Wanted<'a> {
    pub(super) head: Option<&'a str>,
    pub(super) measured: &'a Measured,
    pub(super) judged: &'a Judged,
    pub(super) length: &'a Length,
}

/// Runs `gate record`.
pub(super) fn record(arguments: &Record, printer: Printer) -> Result<Exit, Stop> {
    let place = Place::open(&arguments.measured, &[arguments.head.as_deref()], printer)?;
    let wanted = Wanted {
        head: arguments.head.as_deref(),
        measured: &arguments.measured,
        judged: &Judged::default(),
        length: &arguments.length,
    };
    let report = recorded(
        &place,
        &wanted,
        "a session was asked to be kept",
        arguments.tag.clone(),
        arguments.epoch.clone(),
    )?;
    emit(&report, &arguments.outputs, printer)
}

/// Runs `gate check`.
pub(super) fn run(arguments: &Check, printer: Printer) -> Result<Exit, Stop> {
    let place = Place::open(&arguments.measured, &[arguments.head.as_deref()], printer)?;
    let wanted = Wanted {
        head: arguments.head.as_deref(),
        measured: &arguments.measured,
        judged: &arguments.judged,
        length: &arguments.length,
    };
    let history = match &arguments.baseline {
        Some(path) => baseline(path)?,
        None => own_history(&place)?,
    };
    let report = checked(&place, &wanted, history, arguments.base.as_deref(), arguments.record)?;
    emit(&report, &arguments.outputs, printer)
}

/// The sessions of this machine; where it has none, those of others, which are told apart later.
pub(super) fn own_history(place: &Place) -> Result<History, Stop> {
    let stop = |error| Stop::from_store(&error);
    let own = place.store.read(key(place)).map_err(stop)?;
    if !own.sessions.is_empty() {
        return Ok(own);
    }
    let mut others = History::default();
    for key in place.store.keys().map_err(stop)? {
        let mut more = place.store.read(&key).map_err(stop)?;
        others.sessions.append(&mut more.sessions);
        others.notes.append(&mut more.notes);
    }
    Ok(others)
}

fn key(place: &Place) -> &str {
    place.machine.as_ref().map_or("simulated", |machine| machine.key.as_str())
}

fn baseline(path: &Path) -> Result<History, Stop> {
    let history = store::read_history(path).map_err(|error| Stop::from_store(&error))?;
    if history.sessions.is_empty() {
        return Err(Stop::usage(format!("{} holds no session", path.display()))
            .hint("a baseline is a file that `autotune gate record` wrote"));
    }
    Ok(history)
}

/// Holds the head against sessions, or measures both sides where they are another machine's.
pub(super) fn checked(
    place: &Place,
    wanted: &Wanted<'_>,
    history: History,
    base: Option<&str>,
    keep: bool,
) -> Result<GateReport, Stop> {
    if history.sessions.is_empty() {
        let why = "no session of any machine is stored yet, so this one is recorded";
        return recorded(place, wanted, why, None, None);
    }
    let here = place.machine.clone().unwrap_or_else(simulated);
    let (own, others): (Vec<StoredSession>, Vec<StoredSession>) =
        history.sessions.into_iter().partition(|session| session.machine.key == here.key);
    if let (true, Some(other)) = (own.is_empty(), others.last()) {
        let differences = gate::differences(&other.machine, &here);
        return other_machine(place, wanted, base, differences);
    }
    let measured = measure(place, wanted)?;
    let digest = &measured.session.suite_digest;
    if own.iter().all(|session| session.suite_digest != *digest) {
        return Ok(other_suite(place, &measured));
    }
    let allow = wanted.judged.allow_output_change;
    let mut cells = gate::checked(&measured.suite, &measured.rule, &own, &measured.session, allow);
    let (waivers, mut notes) = place.waivers()?;
    for cell in cells.iter_mut().filter(|cell| cell.fails()) {
        let waiver = waivers.iter().find(|waiver| waiver.cell == cell.name);
        // Beyond doubt above the ceiling: then the waiver does not cover it.
        let above = |ceiling: f64| cell.interval.is_some_and(|(low, _)| low > ceiling);
        cell.waiver = waiver.filter(|waiver| !above(waiver.ceiling)).cloned();
    }
    notes.extend(history.notes);
    let differences =
        own.last().map(|session| gate::differences(&session.machine, &here)).unwrap_or_default();
    let commit = own.last().and_then(|session| session.commit.clone());
    let base = GateSide {
        name: format!("{} stored sessions", own.len()),
        kind: "baseline".to_owned(),
        digest: None,
        engine: own.last().and_then(|session| session.engine.clone()),
        commit,
    };
    let report = GateReport {
        synthetic: measured.session.synthetic,
        alpha: measured.rule.alpha,
        beta: measured.rule.beta,
        base: Some(base),
        head: Some(measured.side.clone()),
        machine: place.machine.clone(),
        machine_differences: differences,
        seed: measured.rule.seed,
        suite_digest: Some(measured.session.suite_digest.clone()),
        notes,
        elapsed_ms: measured.session.elapsed_ms,
        ..draft(GateMode::Check, "this machine has stored sessions")
    };
    let mut report = judged(report, cells, wanted.asked(place).policy(false)?);
    if keep && report.verdict != GateVerdict::Fail {
        place.store.append(&measured.session).map_err(|error| Stop::from_store(&error))?;
        report.notes.push("this session was kept".to_owned());
    }
    Ok(report)
}

/// Sessions of this machine that measured something else.
fn other_suite(place: &Place, measured: &MeasuredNow) -> GateReport {
    GateReport {
        head: Some(measured.side.clone()),
        machine: place.machine.clone(),
        suite_digest: Some(measured.session.suite_digest.clone()),
        verdict: GateVerdict::NotComparable,
        reason: Some(GateReason::NoBaseline),
        line: "gate: NOT-COMPARABLE (no-baseline) the stored sessions of this machine measured \
               other files, under another setting, or in another number of processes"
            .to_owned(),
        exit_code: 3,
        notes: vec!["begin their history with `autotune gate record`".to_owned()],
        elapsed_ms: measured.session.elapsed_ms,
        ..draft(GateMode::Check, "this machine has stored sessions")
    }
}

/// A baseline that says nothing here.
fn other_machine(
    place: &Place,
    wanted: &Wanted<'_>,
    base: Option<&str>,
    differences: Vec<FactDifference>,
) -> Result<GateReport, Stop> {
    if base.is_some() {
        let wish = Wish {
            base,
            head: wanted.head,
            earlier: None,
            measured: wanted.measured,
            judged: wanted.judged,
            length: wanted.length,
        };
        let why = "the stored sessions are another machine's, and both sides can be had here";
        let report = ab::compared(place, &wish, why)?;
        return Ok(GateReport { machine_differences: differences, ..report });
    }
    let facts: Vec<&str> =
        differences.iter().filter(|it| it.strict).map(|it| it.fact.as_str()).collect();
    Ok(GateReport {
        machine: place.machine.clone(),
        verdict: GateVerdict::NotComparable,
        reason: Some(GateReason::FingerprintMismatch),
        line: format!(
            "gate: NOT-COMPARABLE (fingerprint-mismatch) the stored sessions are another \
             machine's: {} differ",
            facts.join(", ")
        ),
        exit_code: 3,
        machine_differences: differences,
        notes: vec![
            "name --base to measure both sides here, or begin a baseline of this machine with \
             `autotune gate record`"
                .to_owned(),
        ],
        ..draft(GateMode::Check, "sessions are stored")
    })
}

/// Measures a session and keeps it.
pub(super) fn recorded(
    place: &Place,
    wanted: &Wanted<'_>,
    why: &str,
    tag: Option<String>,
    epoch: Option<String>,
) -> Result<GateReport, Stop> {
    let mut measured = measure(place, wanted)?;
    (measured.session.tag, measured.session.epoch) = (tag, epoch);
    place.store.append(&measured.session).map_err(|error| Stop::from_store(&error))?;
    let cells = gate::checked(&measured.suite, &measured.rule, &[], &measured.session, true);
    let kept = place.store.path(&measured.session.machine.key);
    let report = GateReport {
        synthetic: measured.session.synthetic,
        head: Some(measured.side),
        machine: place.machine.clone(),
        suite_digest: Some(measured.session.suite_digest.clone()),
        notes: vec![format!("kept in {}", kept.display())],
        elapsed_ms: measured.session.elapsed_ms,
        ..draft(GateMode::Record, why)
    };
    // Nothing was to be compared.
    Ok(GateReport { exit_code: 0, ..judged(report, cells, wanted.asked(place).policy(false)?) })
}

struct MeasuredNow {
    suite: Suite,
    rule: Rule,
    side: GateSide,
    session: StoredSession,
}

fn simulated() -> GateMachine {
    GateMachine { key: "simulated".to_owned(), ..GateMachine::default() }
}

/// One session of the head.
fn measure(place: &Place, wanted: &Wanted<'_>) -> Result<MeasuredNow, Stop> {
    let models = place.models(wanted.measured);
    let common = place.common(wanted.measured, &models);
    let head = Prepared::new(wanted.head, &common)?;
    let asked = wanted.asked(place);
    let rule = asked.rule()?;
    // A waiver is held against what was stored, not while it is measured.
    let suite = place.suite(wanted.measured, &asked.limits(), &rule, &head, &[])?;
    let processes = wanted.length.max_blocks.unwrap_or(PROCESSES);
    let suite_digest = suite_digest(&head, &common, processes);
    let synthetic = head.is_synthetic();
    let mut opened = head.open(&suite.subjects, &common, place.commit.clone(), Way::Best)?;
    let stopped = interrupt::flag(opened.canceller.take())?;
    let budget: Duration = asked.budget()?;
    let solo = Solo {
        arm: opened.arm.as_mut(),
        suite: &suite,
        processes,
        budget,
        clock: opened.clock.as_ref(),
        stopped: &|| stopped.load(Ordering::Relaxed),
    };
    let mut display = Display::start(place.printer, "session");
    let finish = solo.run(&mut |progress| display.show(progress));
    display.end();
    let finish = finish.map_err(|error| ab::failed(&error))?;
    if finish.interrupted {
        return Err(Stop::interrupted("interrupted: this session was not kept"));
    }
    if finish.blocks < processes {
        // Fewer processes are another spread: such a session is comparable with no other.
        return Err(Stop {
            exit: Exit::NothingMeasured,
            message: format!("the budget ended after {} of {processes} processes", finish.blocks),
            hint: Some("give it more with --budget".to_owned()),
        });
    }
    let session = StoredSession {
        schema: StoredSession::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        recorded_at: now(),
        commit: place.commit.clone(),
        tag: None,
        epoch: None,
        machine: place.machine.clone().unwrap_or_else(simulated),
        suite_digest,
        engine: opened.side.engine.clone(),
        synthetic,
        cells: gate::session_of(&suite, &finish),
        answers: gate::answers_of(&suite, &finish),
        elapsed_ms: u64::try_from(finish.elapsed.as_millis()).unwrap_or(u64::MAX),
    };
    Ok(MeasuredNow { suite, rule, side: opened.side, session })
}
