//! The verb `sweep`: search, confirm, explain; writes a run directory.

mod calibration;
mod cases;
pub(super) mod place;
pub(super) mod study;
mod summary;
pub(super) mod wanted;
mod workloads;

use std::cell::Cell;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use autotune_engine::api::{Engine, GpuLayers, Setting, Work};
use autotune_engine::llama::FOLDERS_VARIABLE;
use autotune_engine::worker::{PASSED, STRIPPED};
use clap::{Args, ValueEnum};

use super::engine::{self, Devices, EngineChoice};
use super::global::{self, json, now};
use super::progress::{Display, Events};
use super::variants::variants;
use super::{Exit, Printer, Stop, model, report};
use crate::analysis::findings;
use crate::measure::{calibrate, first_deadline};
use crate::model::{Findings, Goal, Machine, Plan, Strategy, Trial, Workload};
use crate::plan::{self, Here, Limits, Wish};
use crate::render;
use crate::search::Reason;
use crate::store::{self, CacheKey, ResultCache, RunDirectory, StoreError, default_folder};
use crate::sweep::{Cache, Ending, Event, Journal, Sweep, next_session};
use calibration::calibrated;
use place::Place;
use wanted::Wanted;

/// Find the settings that run a model best here, and prove it
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
What happens: the default setting (what llama-server would run here) is
compared with itself to learn what this machine resolves. Settings are looked
at once each, a model of their time proposing the next one; the best few are
compared in rounds, and the winner is confirmed against the default in pairs.
Then it is taken apart: what each change does, and curves around it. Every
visit is in trials.jsonl before the next one begins, so a sweep can be stopped
at any time and continued with --resume.

Examples:
  autotune sweep --model m.gguf                          chat, 15 minutes
  autotune sweep --model m.gguf --workload rag --budget 5m
  autotune sweep --model synth:llama-3.2-1b:q4_k_m       before any download
  autotune sweep --model m.gguf --knobs threads,ubatch   these knobs only
  autotune sweep --model m.gguf --fix type_k=q8_0        in every setting
  autotune sweep --knobs help                            all knobs
  autotune sweep --model m-f16.gguf --quant auto         which quantization
  autotune sweep --model m.gguf --goal tg=30,ttft=500ms  told beside the answer
  autotune sweep --model m.gguf --dry-run                the plan; runs nothing
  autotune sweep --resume autotune-runs/2026-01-31-m-1a2b3c
  autotune sweep --workload help                         its workloads

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 nothing could be
measured, 5 other failure, 130 interrupted with state saved.")]
pub struct Arguments {
    /// GGUF file, or synth:SHAPE:QUANT
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// What to tune for: a name, a TOML file, or `help` for the list; a replay has its own
    #[arg(short, long, value_name = "NAME|FILE", default_value = USUAL_WORKLOAD)]
    workload: String,
    /// Tokens of context [default: what the workload needs]
    #[arg(short, long, value_name = "TOKENS")]
    context: Option<u32>,
    /// Time the sweep may take, from 1m up
    #[arg(short, long, value_name = "TIME", default_value = "15m")]
    budget: String,
    /// Who proposes the settings to look at
    #[arg(long, value_enum, default_value_t = Typed::Auto)]
    strategy: Typed,
    /// With --strategy grid: visit every setting of the space five times, in random order and
    /// with nothing left out; a recording, to be played back by --engine replay:DIR
    #[arg(long)]
    full: bool,
    /// Measure no curves around the winner
    #[arg(long)]
    no_curves: bool,
    /// Look at so many settings by chance afterwards, to judge the search
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    audit: u32,
    /// Trials the sweep may run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_trials: Option<u32>,
    /// Numbers to reach: tg and pp in tokens per second, ttft as a time, memory as an amount
    #[arg(long, value_name = "tg=30,ttft=500ms,...", value_delimiter = ',', value_parser = goal)]
    goal: Vec<Goal>,
    /// A speed-up over the default that is enough, for example 30%
    #[arg(long, value_name = "PERCENT", value_parser = speed_up)]
    target: Option<f64>,
    /// Turn only these knobs; `all` for every one that keeps answers as they are, `help` for the
    /// list
    #[arg(short, long, visible_alias = "only", value_name = "KNOB", value_delimiter = ',')]
    knobs: Vec<String>,
    /// Keep a knob at a level in every setting, the default included
    #[arg(long, value_name = "KNOB=LEVEL")]
    fix: Vec<String>,
    /// Try these levels of a knob instead of those that it would offer
    #[arg(long, value_name = "KNOB=LEVEL,...")]
    grid: Vec<String>,
    /// Run directory to write [default: autotune-runs/DATE-MODEL-ID]
    #[arg(short, long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continue a stopped sweep with the plan that it has
    #[arg(long, value_name = "DIR", conflicts_with_all = ["workload", "budget", "max_trials", "strategy", "full", "target", "no_curves", "audit", "knobs", "fix", "grid", "context", "seed", "dry_run", "goal"])]
    resume: Option<PathBuf>,
    /// Seed of every random order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Measure everything anew, even what an earlier sweep has measured
    #[arg(long)]
    no_cache: bool,
    /// Forget what earlier sweeps have measured
    #[arg(long)]
    clear_cache: bool,
    /// Run the winner on five test cases afterwards, 3 times each (question, explanation, essay,
    /// code, translation); this takes time on top of the budget
    #[arg(long)]
    check_cases: bool,
    /// Print the plan and run nothing but the self-test of the CPU variants
    #[arg(long)]
    dry_run: bool,
    /// Run even a model that does not fit into memory
    #[arg(long)]
    force: bool,
    /// Write what happens as JSON lines into a file, as it happens; --resume goes on in it
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    events: Option<PathBuf>,
    /// Format of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Who measures: llama.cpp, sim:FILE for a simulated machine, or replay:DIR for what another
    /// sweep measured
    #[arg(long, value_name = "ENGINE", default_value = "llama.cpp")]
    engine: EngineChoice,
    #[command(flatten)]
    devices: Devices,
    /// Quantize an F16, BF16 or F32 model to these types (`auto` for the usual ones), tune each,
    /// measure its answers, recommend one. Of a model that is quantized already, twins with random
    /// weights: speed and memory only
    #[arg(long, value_name = "TYPES|auto", value_delimiter = ',', help_heading = "Quantization")]
    #[arg(conflicts_with_all = ["resume", "dry_run", "check_cases", "events", "full"])]
    quant: Vec<String>,
    /// What the answers of several models (--model a.gguf,b.gguf) are compared with
    #[arg(long, value_name = "MODEL", help_heading = "Quantization")]
    reference: Option<String>,
    /// The worst class of answers that may be recommended [default: good]
    #[arg(long, value_enum, value_name = "CLASS", help_heading = "Quantization")]
    quality_floor: Option<super::quality::Class>,
    /// What is read to compare answers: a file, or the text within
    #[arg(long, value_name = "FILE", default_value = "builtin", help_heading = "Quantization")]
    text: String,
    /// Whether another verb prints the answer.
    #[arg(skip)]
    silent: bool,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
}

/// `--strategy`, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Typed {
    /// A Gaussian process, by expected improvement per second
    Auto,
    /// Every setting of the space
    Grid,
    /// Settings by chance
    Random,
    /// One knob after the other, from the best so far
    Coordinate,
    /// A tree-structured Parzen estimator
    Tpe,
}

impl From<Typed> for Strategy {
    fn from(typed: Typed) -> Self {
        match typed {
            Typed::Auto => Self::Auto,
            Typed::Grid => Self::Grid,
            Typed::Random => Self::Random,
            Typed::Coordinate => Self::Coordinate,
            Typed::Tpe => Self::Tpe,
        }
    }
}

/// The workload where none is named.
const USUAL_WORKLOAD: &str = "chat";

/// Visits to each setting of a recorded grid.
const RECORDED: u32 = 5;

/// Arguments with their meaning.
struct Resolved {
    workload: Workload,
    knobs: Wanted,
    limits: Limits,
}

/// A goal, or why it is none.
fn goal(typed: &str) -> Result<Goal, String> {
    typed.parse()
}

/// A speed-up in percent as a share: 30% is 0.3.
fn speed_up(typed: &str) -> Result<f64, String> {
    let number = typed.trim().strip_suffix('%').map(|number| number.trim().parse::<f64>());
    match number {
        Some(Ok(percent)) if percent > 0.0 && percent <= 10_000.0 => Ok(percent / 100.0),
        _ => Err("write a speed-up in percent, like 30%".to_owned()),
    }
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    if arguments.workload == "help" {
        printer.data(&workloads::table())?;
        return Ok(Exit::Done);
    }
    if arguments.knobs.iter().any(|name| name == "help" || name == "list") {
        printer.data(&wanted::table())?;
        return Ok(Exit::Done);
    }
    // Slips in flags first: nothing is loaded or written for a sweep that cannot begin.
    let resolved = resolve(arguments)?;
    if let Some(done) = arguments.resume.as_deref().and_then(|it| study::resume(it, printer)) {
        return done;
    }
    if study::asked(arguments) {
        return study::run(arguments, printer);
    }
    if arguments.clear_cache {
        let count = open_cache()?.clear().map_err(|error| Stop::from_store(&error))?;
        printer.say(format!("forgot {count} earlier results"));
        if arguments.model.is_none() && arguments.resume.is_none() {
            return Ok(Exit::Done);
        }
    }
    match (&arguments.resume, &arguments.model) {
        (Some(folder), _) => resume(arguments, folder, printer),
        (None, Some(model)) => begin(arguments, resolved, model, printer),
        // A record knows which model it is of.
        (None, None) if matches!(arguments.engine, EngineChoice::Replayed(_)) => {
            begin(arguments, resolved, "", printer)
        }
        (None, None) => Err(Stop::usage("there is no model to tune")
            .hint("name one: --model m.gguf, or --model synth:llama-3.2-1b:q4_k_m")),
    }
}

/// What was typed, as what it means.
fn resolve(arguments: &Arguments) -> Result<Resolved, Stop> {
    let budget = humantime::parse_duration(&arguments.budget).map_err(|error| {
        Stop::usage(format!("`{}` is not a budget: {error}", arguments.budget))
            .hint("write it like 10m or 1h30m")
    })?;
    if budget < Duration::from_secs(60) {
        return Err(Stop::usage(format!("a budget of {} is too short", arguments.budget))
            .hint("one minute is the least that can be searched and confirmed: --budget 1m"));
    }
    let mut workload = workload(&arguments.workload)?;
    if let Some(context) = arguments.context {
        let least = workload.limits.min_context.unwrap_or_default();
        let turn = workload.longest_turn().max(least.into());
        if u64::from(context) < turn || context > 1 << 24 {
            return Err(Stop::usage(format!(
                "a context of {context} tokens is less than `{}` needs, which is {turn}",
                workload.name
            ))
            .hint("name a larger one, at most 16777216, or another --workload"));
        }
        workload.context = context;
    }
    let mut knobs = wanted::wanted(&arguments.knobs, &arguments.fix, &arguments.grid)?;
    if arguments.knobs.is_empty() {
        knobs.turn(wanted::needed(&workload));
    }
    if arguments.full && arguments.strategy != Typed::Grid {
        return Err(Stop::usage("--full records a grid, so it needs --strategy grid"));
    }
    let limits = Limits {
        strategy: arguments.strategy.into(),
        record_grid: if arguments.full { RECORDED } else { 0 },
        curves: !arguments.no_curves && !arguments.full,
        audit: arguments.audit,
        target: arguments.target,
        ..Limits::of(Some(budget), arguments.max_trials)
    };
    Ok(Resolved { workload, knobs, limits })
}

/// A workload by its name, or from a file.
pub(super) fn workload(typed: &str) -> Result<Workload, Stop> {
    if let Some(known) = plan::built_in().into_iter().find(|known| known.name == typed) {
        return Ok(known);
    }
    let looks_like_a_file = typed.contains(['/', '.']);
    if !looks_like_a_file {
        return Err(Stop::usage(format!("there is no workload `{typed}`"))
            .hint("`autotune sweep --workload help` lists them; a file is named with its path"));
    }
    let text = std::fs::read_to_string(typed)
        .map_err(|error| Stop::usage(format!("cannot read the workload {typed}: {error}")))?;
    plan::workload(&text, typed).map_err(|error| {
        Stop::from_error(Exit::Usage, &error).hint("profiles/chat.toml shows every key")
    })
}

/// Plans a new sweep and runs it.
fn begin(
    arguments: &Arguments,
    resolved: Resolved,
    model: &str,
    printer: Printer,
) -> Result<Exit, Stop> {
    if let Some(folder) = arguments.out.as_ref().filter(|folder| occupied(folder)) {
        return Err(Stop::from_store(&StoreError::NotEmpty { path: folder.clone() }));
    }
    let opened = engine::open_with(&arguments.engine, &arguments.devices)?;
    let mut place = Place::open(opened, model, &arguments.devices.rpc, printer)?;
    let mut resolved = resolved;
    if let Some(space) = &place.recorded {
        resolved.knobs.keep_to(&space.axes, !arguments.knobs.is_empty());
        if arguments.workload == USUAL_WORKLOAD && arguments.context.is_none() {
            resolved.workload = space.workload.clone();
        }
    }
    let plan = planned(arguments, resolved, &mut place, printer)?;
    if arguments.dry_run {
        let text = match arguments.format {
            Format::Text => summary::plan(&plan),
            Format::Json => json(&plan),
        };
        printer.data(&text)?;
        return Ok(Exit::Done);
    }
    let events = events(arguments)?;
    let folder = arguments.out.clone().unwrap_or_else(|| default_folder(&plan));
    let run =
        RunDirectory::create(&folder, &place.machine, &plan).map_err(|it| Stop::from_store(&it))?;
    sweep(arguments, &mut place, &plan, (run, Vec::new()), events, printer)
}

/// The file of events, before anything is written for which it would be missing.
fn events(arguments: &Arguments) -> Result<Option<Events>, Stop> {
    let resumed = arguments.resume.is_some();
    arguments.events.as_deref().map(|path| Events::open(path, resumed)).transpose()
}

/// Continues a sweep with the plan that it has.
fn resume(arguments: &Arguments, folder: &Path, printer: Printer) -> Result<Exit, Stop> {
    let (run, earlier) = RunDirectory::open(folder).map_err(|error| Stop::from_store(&error))?;
    if let Some(torn) = &earlier.torn {
        let aside = torn.saved_to.as_ref().map(|path| format!(", kept in {}", path.display()));
        printer.say(format!(
            "line {} of the journal was half written: its trial did not finish{}",
            torn.line,
            aside.unwrap_or_default()
        ));
    }
    let plan = earlier.plan;
    let typed = plan.model.path.display().to_string();
    let model = arguments.model.as_deref().unwrap_or(&typed);
    let opened = engine::open_with(&arguments.engine, &arguments.devices)?;
    let mut place = Place::open(opened, model, &arguments.devices.rpc, printer)?;
    let identity = place.engine.identity().map_err(|failure| {
        if place.interrupted() {
            return Stop::interrupted("interrupted before the sweep went on");
        }
        nothing_measured(&failure)
    })?;
    let changed = if identity != plan.engine {
        Some("the engine is another one")
    } else if place.card.digest != plan.model.digest {
        Some("the model is another one")
    } else {
        (place.fingerprint != earlier.machine.fingerprint()).then_some("the machine is another one")
    };
    if let Some(changed) = changed {
        return Err(Stop::usage(format!("cannot continue {}: {changed}", folder.display()))
            .hint("begin a new sweep: its results could not be compared with these"));
    }
    place.here = plan::within(place.here, &plan.workload.limits);
    let events = events(arguments)?;
    sweep(arguments, &mut place, &plan, (run, earlier.trials), events, printer)
}

/// The plan, sized by one visit to the baseline unless this is a dry run.
fn planned(
    arguments: &Arguments,
    mut resolved: Resolved,
    place: &mut Place,
    printer: Printer,
) -> Result<Plan, Stop> {
    let types: Vec<String> = place.card.types.iter().map(|share| share.name.clone()).collect();
    let interrupted = Arc::clone(&place.interrupted);
    let stopped = || interrupted.load(Ordering::Relaxed);
    let engine_failed = |failure| {
        if stopped() {
            return Stop::interrupted("interrupted before the first trial: nothing to resume");
        }
        nothing_measured(&failure)
    };
    let identity = place.engine.identity().map_err(engine_failed)?;
    let mut variants =
        variants(place.engine.as_mut(), &place.machine, &types, printer).map_err(engine_failed)?;
    plan::check_variants(&variants)
        .map_err(|error| Stop::from_error(Exit::NothingMeasured, &error))?;
    place.here = plan::within(place.here, &resolved.workload.limits);
    let (card, room) = (place.card.clone(), place.room.clone());
    let servers = place.terrain.servers.clone();
    let fixed = resolved.knobs.settled(&place.terrain, place.here.physical_cores)?;
    let baseline_on = |here: &Here, variants: &[_]| {
        let mut own = plan::baseline(&card, here, &resolved.workload, variants).0;
        own.process.rpc.clone_from(&servers);
        plan::fixed(own, &fixed)
    };
    let mut here = place.here;
    here.gpu_layers = place.layers_that_fit(&baseline_on(&here, &variants));
    if !servers.is_empty() && here.gpu_memory.is_none() {
        // Servers that do not tell their memory are there to be used all the same.
        here.gpu_layers = Some(GpuLayers::All);
    }
    let baseline = |variants: &[_]| baseline_on(&here, variants);
    // What other machines have room for is theirs to know.
    if !arguments.force && servers.is_empty() {
        plan::check_memory(&card, &baseline(&variants), &here).map_err(|error| {
            Stop::from_error(Exit::Usage, &error)
                .hint("a smaller quantization or --context; --force tries all the same")
        })?;
    }
    let too_large = |engine: &mut dyn Engine, setting: &Setting| {
        let forecast = engine.forecast(&card.path, setting).ok().filter(|_| !arguments.force)?;
        plan::does_not_fit(&forecast, &room)
    };
    let own = baseline(&variants);
    if let Some(sum) = too_large(place.engine.as_mut(), &own) {
        return Err(Stop::usage(format!("the default setting does not fit: {sum}"))
            .hint("a smaller quantization or --context; --force tries all the same"));
    }
    let calibration = if arguments.dry_run {
        None
    } else {
        printer.say("loading the model and looking how fast it is");
        let work = plan::first_look(&resolved.workload);
        let deadline = first_deadline(card.file_bytes);
        let attempt = |setting: &Setting| calibrate(&mut place.bench(), setting, &work, deadline);
        Some(calibrated(&mut variants, baseline, attempt, stopped).map_err(engine_failed)?)
    };
    let mut plan = plan::plan(Wish {
        model: &card,
        here,
        workload: resolved.workload,
        engine: identity,
        variants,
        knobs: resolved.knobs.turned,
        terrain: place.terrain.clone(),
        levels: resolved.knobs.levels,
        fixed: fixed.clone(),
        calibration,
        limits: resolved.limits,
        prior: plan::prior(&card, &place.machine),
        seed: arguments.seed,
        created_at: now(),
        command: global::command(),
    });
    plan.goals.clone_from(&arguments.goal);
    plan.baseline_notes.extend(place.device_notes.iter().cloned());
    let available = here.available_memory.filter(|_| !arguments.force);
    let forecast = place.engine.forecast(&card.path, &plan.baseline).ok();
    let tight = forecast.is_some_and(|forecast| plan::tight(&forecast, available));
    plan::rule_out(&mut plan, tight, &mut |setting| too_large(place.engine.as_mut(), setting));
    plan.baseline_notes.extend(environment_notes(std::env::vars_os()));
    plan.context_memory = plan::contexts(&card, &plan.baseline)
        .into_iter()
        .filter_map(|context| {
            let mut setting = plan.baseline.clone();
            setting.context.context = context;
            let forecast = place.engine.forecast(&card.path, &setting).ok()?;
            Some(plan::context_memory(context, &forecast))
        })
        .collect();
    Ok(plan)
}

/// What of the environment was kept from the engine, and what of it was in force: either changes
/// results without a word.
fn environment_notes(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<String> {
    const IN_FORCE: [&str; 4] = ["CUDA_", "HIP_", "ROCR_", "MALLOC_"];
    let starts = |name: &str, with: &[&str]| with.iter().any(|prefix| name.starts_with(prefix));
    let variables = variables.map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    let mut notes: Vec<String> = variables
        .filter_map(|(name, value)| {
            if starts(&name, &STRIPPED) && !PASSED.contains(&name.as_str()) {
                Some(format!("the variable `{name}` was kept from the engine"))
            } else if starts(&name, &IN_FORCE) || PASSED.contains(&name.as_str()) {
                Some(format!("the variable `{name}={value}` was in force"))
            } else {
                None
            }
        })
        .collect();
    notes.sort_unstable();
    notes
}

/// Runs a planned sweep from the trials it has to its end, and tells what was found.
fn sweep(
    arguments: &Arguments,
    place: &mut Place,
    plan: &Plan,
    (mut run, trials): (RunDirectory, Vec<Trial>),
    events: Option<Events>,
    printer: Printer,
) -> Result<Exit, Stop> {
    let folder = run.path().to_owned();
    let interrupted = Arc::clone(&place.interrupted);
    let mut cache = if arguments.no_cache { None } else { KeyedCache::open(place, plan) };
    for note in &plan.baseline_notes {
        printer.say(format!("note: {note}"));
    }
    let mut display = Display::new(printer, plan, &trials, events);
    let warned = Cell::new(false);
    let room = place.room.clone();
    let ending = Sweep {
        plan,
        session: next_session(&trials),
        bench: place.bench(),
        journal: &mut run,
        cache: cache.as_mut().map(|cache| cache as &mut dyn Cache),
        room: (!arguments.force).then_some(&room),
        date: &now,
        interrupted: &|| interrupted.load(Ordering::Relaxed),
    }
    .run(trials, &mut |event| match event {
        Event::NotCached { error } if !warned.replace(true) => {
            printer.say(format!("cannot keep results for later sweeps: {error}"));
        }
        event => display.show(event),
    });
    display.close(&match &ending {
        Ok(ending) => ending.reason.map_or("interrupted", Reason::sentence).to_owned(),
        Err(error) => error.to_string(),
    });
    let ending = ending.map_err(|error| {
        Stop::from_error(Exit::Failure, &error)
            .hint(format!("finished trials are safe: --resume {}", folder.display()))
    })?;
    drop(cache);
    conclude(arguments, place, plan, &run, &ending, printer)
}

/// Writes what was found and tells it.
fn conclude(
    arguments: &Arguments,
    place: &mut Place,
    plan: &Plan,
    run: &RunDirectory,
    ending: &Ending,
    printer: Printer,
) -> Result<Exit, Stop> {
    let folder = run.path();
    run.write_table(&ending.trials).map_err(|error| Stop::from_store(&error))?;
    let Some(reason) = ending.reason else {
        printer.say(format!(
            "interrupted; {} trials are saved, continue with: autotune sweep --resume {}",
            ending.trials.len(),
            folder.display()
        ));
        return Ok(Exit::Interrupted);
    };
    if reason == Reason::BaselineFailed {
        let message = summary::why_nothing_ran(plan, &ending.trials);
        return Err(Stop { exit: Exit::NothingMeasured, message, hint: None });
    }
    let findings = findings(plan, &ending.trials, reason.sentence());
    let kept = run.write_findings(&findings).map_err(|error| Stop::from_store(&error));
    let kept =
        kept.and_then(|()| write_reports(run, &place.machine, plan, &ending.trials, &findings));
    let cache = ending.cache;
    if cache.asked > 0 {
        printer.say(format!("{} of {} first looks came from the cache", cache.hits, cache.asked));
    }
    if !arguments.silent {
        printer.data(&match arguments.format {
            Format::Text => summary::findings(plan, &findings, folder),
            Format::Json => json(&findings),
        })?;
    }
    // The answer is told even where it cannot be kept.
    kept?;
    if !arguments.check_cases {
        return Ok(Exit::Done);
    }
    let as_text = arguments.format == Format::Text;
    let whole = cases::check(place, plan, &findings, run, as_text, printer)?;
    Ok(if whole { Exit::Done } else { Exit::Interrupted })
}

/// Renders report.md, report.html and plots/*.svg into the run directory.
fn write_reports(
    run: &RunDirectory,
    machine: &Machine,
    plan: &Plan,
    trials: &[Trial],
    findings: &Findings,
) -> Result<(), Stop> {
    // A sweep that goes on may have been profiled before.
    let profile = store::read_profile(&run.path().join(store::PROFILE)).ok();
    let profile = profile.as_ref();
    let shown = render::Run {
        machine,
        plan,
        trials,
        findings,
        profile,
        verification: None,
        quantization: None,
        unsound: &[],
    };
    report::write_pages(run.path(), &shown)
}

impl Journal for RunDirectory {
    fn append(&mut self, trial: &Trial) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(Self::append(self, trial)?)
    }
}

/// The result cache with the part of the key that a sweep never changes.
struct KeyedCache<'a> {
    cache: ResultCache,
    fingerprint: String,
    plan: &'a Plan,
}

impl<'a> KeyedCache<'a> {
    /// `None` where the cache folder cannot be used: a sweep does without it.
    fn open(place: &Place, plan: &'a Plan) -> Option<Self> {
        let cache = open_cache().ok()?;
        let fingerprint = format!("{}{}", place.fingerprint, devices_named(std::env::vars_os()));
        Some(Self { cache, fingerprint, plan })
    }

    fn key(&self, setting: &Setting, work: &Work) -> CacheKey {
        let plan = self.plan;
        CacheKey::new(&self.fingerprint, &plan.engine, &plan.model.digest, setting, work)
    }
}

/// What the environment says of devices: two sweeps that see others have nothing to share.
fn devices_named(variables: impl Iterator<Item = (OsString, OsString)>) -> String {
    let names = |name: &str| name.ends_with("_VISIBLE_DEVICES") || name == FOLDERS_VARIABLE;
    let mut words: Vec<String> = variables
        .filter(|(name, _)| names(&name.to_string_lossy()))
        .map(|(name, value)| format!(" {}={}", name.display(), value.display()))
        .collect();
    words.sort_unstable();
    words.concat()
}

impl Cache for KeyedCache<'_> {
    fn get(&mut self, setting: &Setting, work: &Work) -> Option<Trial> {
        let key = self.key(setting, work);
        self.cache.get(&key)
    }

    fn put(&mut self, trial: &Trial) -> Result<(), Box<dyn Error + Send + Sync>> {
        let key = self.key(&trial.asked, &trial.work);
        Ok(self.cache.put(&key, trial)?)
    }
}

/// The user's cache of trials.
fn open_cache() -> Result<ResultCache, Stop> {
    ResultCache::open(&model::cache_folder()?.join("trials"))
        .map_err(|error| Stop::from_store(&error))
}

fn occupied(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    }
}

fn nothing_measured(failure: &autotune_engine::api::Failure) -> Stop {
    Stop::from_error(Exit::NothingMeasured, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_change_results_are_told() {
        let typed =
            [("GGML_CPU_TILED_MM", "0"), ("HOME", "/home/a"), ("CUDA_VISIBLE_DEVICES", "1")];
        let notes = environment_notes(typed.map(|(a, b)| (a.into(), b.into())).into_iter());
        assert_eq!(
            notes,
            [
                "the variable `CUDA_VISIBLE_DEVICES=1` was in force",
                "the variable `GGML_CPU_TILED_MM` was kept from the engine"
            ]
        );
    }
}
