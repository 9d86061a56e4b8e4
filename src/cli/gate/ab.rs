//! `gate ab`: two sides in turn, here and now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{Clock, SystemClock};

use super::arguments::{Confirm, Judged, Length, Measured, Outputs};
use super::asked::Asked;
use super::display::Display;
use super::outputs::{draft, emit, judged};
use super::place::{Place, suite_digest};
use super::sides::{Common, Opened, Prepared, Way};
use crate::cli::sweep::place::Counters;
use crate::cli::{Exit, Printer, Stop, interrupt};
use crate::gate::{
    self, Arithmetic, Canary, Circumstances, Evidence, Finish, Race, RaceError, Silent, Suite,
};
use crate::judge::Rule;
use crate::measure::{NoSensors, Sensors};
use crate::model::{GateCell, GateMode, GateReport, GateSide, Waiver};

/// Compare two sides in turn, here and now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A side is a program (an autotune or a llama-bench), a build folder that holds
one, a .gguf file, synth:SHAPE:QUANT, knobs like threads=4,flash_attn=on, or
sim:FILE. Both get the same tokens, in fresh processes, in the order ABBA BAAB.

Examples:
  autotune gate ab --base old/autotune --head new/autotune --model m.gguf
  autotune gate ab --base main/build --head pr/build -m m.gguf --delta 2%
  autotune gate ab --base a.gguf --head b.gguf --tests pp256,tg64
  autotune gate ab --base threads=4 --head threads=8 --model m.gguf

Exit codes: 0 pass, 1 regression or missing cell, 2 wrong usage, 3 not
comparable, or undecided under --on-inconclusive fail, 4 a side crashed.")]
pub(super) struct Arguments {
    /// What is judged against
    #[arg(long, value_name = "SIDE")]
    base: Option<String>,
    /// What is judged [default: this program]
    #[arg(long, value_name = "SIDE")]
    head: Option<String>,
    /// A report of an earlier job: with --confirm fresh only what failed there too can fail
    #[arg(long, value_name = "FILE", requires = "confirm")]
    earlier: Option<std::path::PathBuf>,
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    outputs: Outputs,
}

/// What a comparison needs, from whichever command.
pub(super) struct Wish<'a> {
    pub(super) base: Option<&'a str>,
    pub(super) head: Option<&'a str>,
    pub(super) earlier: Option<&'a std::path::Path>,
    pub(super) measured: &'a Measured,
    pub(super) judged: &'a Judged,
    pub(super) length: &'a Length,
}

impl<'a> Wish<'a> {
    pub(super) fn asked(&self, place: &'a Place) -> Asked<'a> {
        Asked { file: &place.file, judged: self.judged, length: self.length }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    if arguments.base.is_none() && arguments.head.is_none() {
        return Err(Stop::usage("two sides are needed: --base, and --head or this program")
            .hint("for example --base old/autotune, or --base threads=4 --head threads=8"));
    }
    let wish = Wish {
        base: arguments.base.as_deref(),
        head: arguments.head.as_deref(),
        earlier: arguments.earlier.as_deref(),
        measured: &arguments.measured,
        judged: &arguments.judged,
        length: &arguments.length,
    };
    let place = Place::open(wish.measured, &[wish.base, wish.head], printer)?;
    let report = compared(&place, &wish, "two sides were named")?;
    emit(&report, &arguments.outputs, printer)
}

/// Two sides that are ready, and what is measured of them.
pub(super) struct Pair {
    base: Opened,
    head: Opened,
    pub(super) suite: Suite,
    pub(super) rule: Rule,
    pub(super) same_work: bool,
    pub(super) synthetic: bool,
    pub(super) suite_digest: String,
    clock: Box<dyn Clock>,
    sensors: Box<dyn Sensors>,
    stopped: Arc<AtomicBool>,
    /// What became of the sides, one sentence each.
    notes: Vec<String>,
}

/// Doubts of engines that are told at most.
const MOST_DOUBTS: usize = 5;

/// Both sides, started. Where only one of them can be measured by its worker, both are measured
/// as llama-bench would be: the two ways set up different things.
fn opened(
    base: &Prepared,
    head: &Prepared,
    suite: &Suite,
    common: &Common<'_>,
    commit: Option<&str>,
) -> Result<(Opened, Opened), Stop> {
    let commit = || commit.map(str::to_owned);
    let subjects = &suite.subjects;
    let first = base.open(subjects, common, None, Way::Best)?;
    let second = head.open(subjects, common, commit(), Way::Best)?;
    if first.is_bench == second.is_bench {
        return Ok((first, second));
    }
    let again = base.open(subjects, common, None, Way::Bench)?;
    Ok((again, head.open(subjects, common, commit(), Way::Bench)?))
}

/// A report of an earlier job, which has to be of the same comparison.
fn earlier(path: &std::path::Path, pair: &Pair) -> Result<GateReport, Stop> {
    let report = super::papers::read(path)?;
    let digest = |side: &Option<GateSide>| side.as_ref().and_then(|side| side.digest.clone());
    let own = [Some(&pair.base.side), Some(&pair.head.side)].map(|side| digest(&side.cloned()));
    let same = report.suite_digest.as_deref() == Some(pair.suite_digest.as_str())
        && [digest(&report.base), digest(&report.head)] == own;
    if same {
        return Ok(report);
    }
    Err(Stop::usage(format!("{} is a report of another comparison", path.display()))
        .hint("--earlier takes what a job with the same two sides and models wrote"))
}

/// Time on both of two clocks: each simulated machine has its own.
#[derive(Debug)]
struct Sum(Box<dyn Clock>, Box<dyn Clock>);

impl Clock for Sum {
    fn now(&self) -> Duration {
        self.0.now() + self.1.now()
    }
}

impl Pair {
    /// Finds both sides and starts them.
    pub(super) fn open(place: &Place, wish: &Wish<'_>) -> Result<Self, Stop> {
        let models = place.models(wish.measured);
        let common = place.common(wish.measured, &models);
        let base = Prepared::new(wish.base, &common)?;
        let head = Prepared::new(wish.head, &common)?;
        if base.models.len() != head.models.len() {
            return Err(Stop::usage("the two sides have different numbers of models"));
        }
        let asked = wish.asked(place);
        let rule = asked.rule()?;
        let waivers = place.waivers()?.0;
        let suite = place.suite(wish.measured, &asked.limits(), &rule, &head, &waivers)?;
        let same_work = base.same_work(&head);
        let synthetic = base.is_synthetic() || head.is_synthetic();
        let suite_digest = suite_digest(&head, &common, 0);
        Self::start(place, &common, [&base, &head], suite, rule).map(|pair| Self {
            same_work,
            synthetic,
            suite_digest,
            ..pair
        })
    }

    fn start(
        place: &Place,
        common: &Common<'_>,
        sides: [&Prepared; 2],
        suite: Suite,
        rule: Rule,
    ) -> Result<Self, Stop> {
        let (base, head) = opened(sides[0], sides[1], &suite, common, place.commit.as_deref())?;
        let mut head = head;
        let notes = [&base, &head].into_iter().filter_map(|side| side.note.clone()).collect();
        let live = place.machine.is_some();
        let sensors: Box<dyn Sensors> =
            if live { Box::new(Counters::of(&[])) } else { Box::new(NoSensors) };
        let mut base = base;
        let cancellers = [base.canceller.take(), head.canceller.take()];
        let stopped = interrupt::flag(cancellers.into_iter().flatten())?;
        let clock: Box<dyn Clock> = if live {
            Box::new(SystemClock::start())
        } else {
            let idle = || -> Box<dyn Clock> { Box::new(SystemClock::start()) };
            let first = std::mem::replace(&mut base.clock, idle());
            Box::new(Sum(first, std::mem::replace(&mut head.clock, idle())))
        };
        Ok(Self {
            base,
            head,
            suite,
            rule,
            same_work: false,
            synthetic: false,
            suite_digest: String::new(),
            clock,
            sensors,
            stopped,
            notes,
        })
    }

    pub(super) fn sides(&self) -> [GateSide; 2] {
        [self.base.side.clone(), self.head.side.clone()]
    }

    /// Whether both are the same thing.
    pub(super) fn identical(&self) -> bool {
        self.base.side.digest == self.head.side.digest
    }

    /// Runs one session.
    pub(super) fn race(&mut self, session: &Session<'_>, printer: Printer) -> Result<Finish, Stop> {
        let live = !self.synthetic;
        let mut arithmetic = Arithmetic(self.clock.as_ref());
        let mut silent = Silent;
        let canary: &mut dyn Canary = if live { &mut arithmetic } else { &mut silent };
        let stopped = Arc::clone(&self.stopped);
        let seed = self.rule.seed.wrapping_add(session.number);
        let race = Race {
            arms: [self.base.arm.as_mut(), self.head.arm.as_mut()],
            suite: &self.suite,
            rule: Rule { seed, ..self.rule },
            budget: session.budget,
            clock: self.clock.as_ref(),
            sensors: self.sensors.as_mut(),
            canary,
            stopped: &|| stopped.load(Ordering::Relaxed),
            only: session.only.to_vec(),
            exhaustive: session.exhaustive,
        };
        let mut display = Display::start(printer, session.title);
        let finish = race.run(&mut |progress| display.show(progress));
        display.end();
        let finish = finish.map_err(|error| failed(&error))?;
        if finish.interrupted {
            return Err(Stop::interrupted(format!(
                "interrupted after {} blocks: nothing was judged",
                finish.blocks
            )));
        }
        Ok(finish)
    }
}

/// One session of a pair.
pub(super) struct Session<'a> {
    /// From 0: each has its own seed.
    pub(super) number: u64,
    /// What it is called while it runs.
    pub(super) title: &'a str,
    pub(super) budget: Duration,
    /// Cells that take part; empty for all.
    pub(super) only: &'a [bool],
    pub(super) exhaustive: bool,
}

/// A side that could not be measured.
pub(super) fn failed(error: &RaceError) -> Stop {
    let log = match &error.failure {
        autotune_engine::api::Failure::Crashed { log, .. }
        | autotune_engine::api::Failure::Refused { log, .. } => log.last(),
        _ => None,
    };
    let stop = Stop::from_error(Exit::NothingMeasured, error);
    match log {
        Some(line) => stop.hint(format!("its last words: {line}")),
        None => stop,
    }
}

/// Compares two sides and judges.
pub(super) fn compared(place: &Place, wish: &Wish<'_>, why: &str) -> Result<GateReport, Stop> {
    let (waivers, mut notes) = place.waivers()?;
    let asked = wish.asked(place);
    let (confirm, budget) = (asked.confirm(place.virtualised)?, asked.budget()?);
    let mut pair = Pair::open(place, wish)?;
    let earlier = wish.earlier.map(|path| earlier(path, &pair)).transpose()?;
    let printer = place.printer;
    let [base, head] = pair.sides();
    let session =
        |number, title, only, budget| Session { number, title, budget, only, exhaustive: false };
    let finish = pair.race(&session(0, "gate", &[], budget), printer)?;
    let evidence = gate::evidence(&finish);
    let allow = wish.judged.allow_output_change;
    let mut cells = pair.cells(&finish, &evidence, &waivers, allow);
    let mut sessions = vec![gate::session("judge", &finish, &cells)];
    let mut elapsed = finish.elapsed;
    let fails: Vec<bool> = pair
        .suite
        .cells()
        .map(|(_, wanted)| cells.iter().any(|cell| cell.name == wanted.name && cell.fails()))
        .collect();
    if fails.contains(&true) {
        match confirm {
            Confirm::Same => {
                printer.say("gate: a failure has to repeat; a second session");
                let again = pair.race(&session(1, "confirm", &fails, budget), printer)?;
                let second = gate::evidence(&again);
                let of_second = pair.cells(&again, &second, &waivers, allow);
                sessions.push(gate::session("confirm", &again, &of_second));
                elapsed += again.elapsed;
                gate::confirmed(&mut cells, &of_second);
            }
            Confirm::Fresh => fresh(&mut cells, earlier.as_ref()),
            Confirm::None | Confirm::Auto => {}
        }
    }
    notes.extend(unused(&waivers, &cells));
    notes.extend(gate::hidden(&pair.suite, &finish));
    notes.extend(finish.retries.iter().cloned());
    notes.extend(finish.doubts.iter().take(MOST_DOUBTS).cloned());
    notes.extend(pair.notes.iter().cloned());
    if pair.identical() {
        notes.push("both sides are the same thing, so nothing can fail".to_owned());
    }
    notes.extend(place.below_noise(&pair.suite, &pair.rule));
    let report = GateReport {
        synthetic: pair.synthetic,
        alpha: pair.rule.alpha,
        beta: pair.rule.beta,
        base: Some(base),
        head: Some(head),
        machine: place.machine.clone(),
        canary: evidence.canary,
        seed: pair.rule.seed,
        suite_digest: Some(pair.suite_digest.clone()),
        sessions,
        notes,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        ..draft(GateMode::Ab, why)
    };
    let policy = asked.policy(pair.identical())?;
    Ok(judged(report, cells, policy))
}

impl Pair {
    fn cells(
        &self,
        finish: &Finish,
        evidence: &Evidence,
        waivers: &[Waiver],
        allow_output_change: bool,
    ) -> Vec<GateCell> {
        let about = Circumstances {
            identical: self.identical(),
            same_answers: self.same_work && !allow_output_change,
            evidence,
            waivers,
        };
        gate::raced(&self.suite, &self.rule, finish, about)
    }
}

/// Failures that only another job can confirm.
fn fresh(cells: &mut [GateCell], earlier: Option<&GateReport>) {
    let failed_before = |name: &String| {
        earlier.is_some_and(|report| report.sessions.iter().any(|it| it.failed.contains(name)))
    };
    for cell in cells.iter_mut().filter(|cell| cell.fails()) {
        if failed_before(&cell.name) {
            continue;
        }
        cell.verdict = crate::model::GateVerdict::Inconclusive;
        cell.reason = Some(crate::model::GateReason::Unconfirmed);
        cell.why = Some("it failed in this job, and no other job has confirmed it yet".to_owned());
        cell.next_action = Some(
            "run the job again with --confirm fresh --earlier and this report's JSON".to_owned(),
        );
    }
}

/// Waivers that nothing needed.
fn unused(waivers: &[Waiver], cells: &[GateCell]) -> Vec<String> {
    let needed = |waiver: &Waiver| {
        cells.iter().any(|cell| cell.waiver.as_ref().is_some_and(|it| it.cell == waiver.cell))
    };
    let known = |waiver: &Waiver| cells.iter().any(|cell| cell.name == waiver.cell);
    let all = waivers.iter().filter(|waiver| !needed(waiver));
    all.map(|waiver| {
        let name = &waiver.cell;
        if known(waiver) {
            format!("the waiver of `{name}` is no longer needed")
        } else {
            format!("the waiver of `{name}` names no cell of this run")
        }
    })
    .collect()
}
