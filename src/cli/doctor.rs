//! The verb `doctor`: what costs inference speed here today.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use autotune_engine::api::Sum;
use clap::{Args, ValueEnum};

use super::engine::{self, Devices, EngineChoice};
use super::sweep::place;
use super::{Exit, Printer, Stop, Verbosity, detect as machines, interrupt, model, peaks};
use crate::detect::{self, GpuProcess, Host};
use crate::doctor::{self, Bench, Subject, TrialResult};
use crate::model::{Condition, Diagnosis, Machine, ModelCard, Provenance};
use crate::plan;
use crate::render::doctor as render;

/// Between two looks at what the processors do.
const PAUSE: Duration = Duration::from_millis(500);
/// Time for one trial, loading the model aside.
const TRIAL: Duration = Duration::from_secs(10);
/// Generates where the user named no model: the smallest one that keeps a core busy, 100 MB.
const STAND_IN: &str = "synth:smollm2-135m:q4_k_m";

/// Show what costs inference speed here today, worst first
#[derive(Debug, Args)]
#[command(after_help = "\
It changes nothing. Each finding has its evidence, what it costs (tried here
where that takes seconds, else the public figure) and what to do.

Examples:
  autotune doctor                        this machine
  autotune doctor --model m.gguf         and whether this model suits it
  autotune doctor --no-trials            files alone, in a second
  autotune doctor --sysroot my.tar.zst   a machine that was captured
  autotune doctor -v                     also what was checked and not seen

Exit codes: 0 done, whatever was found; 2 wrong usage or unreadable input;
5 other failure, 130 interrupted.")]
pub struct Arguments {
    /// The model that shall run: a GGUF file, or synth:SHAPE:QUANT
    #[arg(short, long, value_name = "MODEL")]
    model: Option<String>,
    /// Try no remedy and ask no engine; from files alone
    #[arg(long, conflicts_with_all = ["rpc", "backend_dir"])]
    no_trials: bool,
    /// Load the engine's backends, to see which cards they drive
    #[arg(long, conflicts_with_all = ["sysroot", "no_trials"])]
    backends: bool,
    /// Judge another machine: a file of `detect --capture`, or a folder with its proc and sys
    #[arg(long, value_name = "PATH", conflicts_with_all = ["rpc", "backend_dir"])]
    sysroot: Option<PathBuf>,
    #[command(flatten)]
    devices: Devices,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to a file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// How to print a diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For an issue or a wiki
    Md,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let card = arguments.model.as_ref().map(|typed| model::card(typed, printer)).transpose()?;
    let diagnosis = match &arguments.sysroot {
        Some(root) => {
            let tree = machines::tree(root)?;
            let machine = detect::machine(&tree);
            let condition = detect::condition(&tree, &mut || {});
            let (card, need, holders) = (card.as_ref(), None, Vec::new());
            Patient { machine, condition, card, need, holders }.judge(&[])
        }
        None => match here(arguments, card.as_ref(), printer)? {
            Some(diagnosis) => diagnosis,
            None => return Ok(Exit::Interrupted),
        },
    };
    let verbose = printer.verbosity >= Verbosity::Verbose;
    let text = match arguments.format {
        Format::Text => render::text(&diagnosis, verbose),
        Format::Md => render::markdown(&diagnosis),
        Format::Json => {
            let json = serde_json::to_string_pretty(&diagnosis);
            json.expect("documents have string keys only") + "\n"
        }
    };
    match &arguments.output {
        None => printer.data(&text).map(|()| Exit::Done),
        Some(path) => {
            super::report::write(path, &anstream::adapter::strip_str(&text).to_string(), printer)
        }
    }
}

/// Whom the checks look at.
struct Patient<'a> {
    machine: Machine,
    condition: Condition,
    card: Option<&'a ModelCard>,
    need: Option<Sum>,
    holders: Vec<GpuProcess>,
}

impl Patient<'_> {
    fn judge(&self, trials: &[TrialResult]) -> Diagnosis {
        doctor::examine(&Subject {
            machine: &self.machine,
            condition: &self.condition,
            model: self.card,
            need: self.need,
            model_storage: self.card.and(self.machine.storage.kind),
            gpu_memory: &self.holders,
            trials,
        })
    }
}

/// This machine; `None` where the user ended it.
fn here(
    arguments: &Arguments,
    card: Option<&ModelCard>,
    printer: Printer,
) -> Result<Option<Diagnosis>, Stop> {
    let host = match card.and_then(|card| folder_of(&card.path)) {
        Some(folder) => detect::live().with_model_folder(folder),
        None => machines::host(),
    };
    let mut machine = detect::machine(&host);
    peaks::complete(&mut machine, &host, printer);
    let tries = !arguments.no_trials && machine.provenance == Provenance::Live;
    if arguments.backends || arguments.devices.named() {
        machines::add_devices(&mut machine, &arguments.devices, printer);
    }
    if tries {
        machines::add_variants(&mut machine, printer);
    }
    // The engine's own work must not be taken for somebody else's.
    let condition = detect::condition(&host as &dyn Host, &mut || thread::sleep(PAUSE));
    // A driver that does not answer has its reason among the machine's unseen facts.
    let holders = detect::gpu_processes().unwrap_or_default();
    let need = card.filter(|_| tries).and_then(|card| need(card, &machine));
    let patient = Patient { machine, condition, card, need, holders };
    let found = patient.judge(&[]);
    if !tries {
        return Ok(Some(found));
    }
    let Some(trials) = tried(&patient, &found, arguments, printer)? else { return Ok(None) };
    Ok(Some(if trials.is_empty() { found } else { patient.judge(&trials) }))
}

/// What the model needs as llama-server would run it, everything on the processor; `None` where
/// the engine does not say.
fn need(card: &ModelCard, machine: &Machine) -> Option<Sum> {
    let variants = &machine.engine.as_ref()?.variants;
    let workload = plan::built_in().into_iter().next()?;
    let (own, _) = plan::baseline(
        card,
        &place::here(machine, machine.devices.as_deref().unwrap_or_default()),
        &workload,
        variants,
    );
    let context = &own.context;
    let point = plan::point(&own, context.context, context.type_k, context.ubatch);
    let mut opened = engine::open(&EngineChoice::LlamaCpp).ok()?;
    opened.engine.forecast(&card.path, &point.setting).ok().map(|found| found.memory())
}

fn folder_of(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok()?.parent().map(Path::to_owned)
}

/// The remedies of findings that can be tried in seconds; `None` where the user ended it.
fn tried(
    patient: &Patient<'_>,
    found: &Diagnosis,
    arguments: &Arguments,
    printer: Printer,
) -> Result<Option<Vec<TrialResult>>, Stop> {
    let is_found = |check: &str| found.findings.iter().any(|finding| finding.check == check);
    let mut wanted = doctor::trials(&patient.machine, &patient.condition);
    wanted.retain(|trial| is_found(trial.check));
    if wanted.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let typed = arguments.model.as_deref().unwrap_or(STAND_IN);
    let model = super::synth::model_file(typed, printer)?;
    let mut opened = engine::open(&EngineChoice::LlamaCpp)?;
    let interrupted = interrupt::flag(opened.canceller.clone())?;
    let mut bench =
        Bench { engine: opened.engine.as_mut(), clock: opened.clock.as_ref(), model, limit: TRIAL };
    let mut results = Vec::new();
    for trial in wanted {
        let (check, before, after) = (trial.check, trial.before, trial.after);
        printer.say(format!("{check}: trying {before} threads against {after}"));
        match bench.run(trial, &mut || !interrupted.load(Ordering::Relaxed)) {
            Ok(result) => results.extend(result),
            Err(failure) => printer.say(format!(
                "warning: {check} could not be tried: {}",
                super::global::one_line(&failure.to_string())
            )),
        }
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    Ok(Some(results))
}
