//! The verb `detect`: what this machine is.

use std::path::{Path, PathBuf};

use autotune_engine::api::{Engine, Failure};
use clap::{Args, ValueEnum};
use etcetera::BaseStrategy;

use super::engine::{self, Devices, EngineChoice};
use super::peaks::{self, Ceilings};
use super::{Exit, Printer, Stop, Verbosity};
use crate::detect::{self, Host, Tree};
use crate::model::{EngineReport, Machine, Provenance};
use crate::plan;
use crate::render::machine::{self as render, Peaks, Unseen};

/// Weight types that a self-test of the engine's variants multiplies: those of the models that
/// people run most.
const TESTED_TYPES: [&str; 4] = ["F16", "Q4_K", "Q6_K", "Q8_0"];

/// Show what this machine is: processors, caches, memory, graphics cards, limits
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  autotune detect                           one screen for people
  autotune detect --format json -o m.json   every fact, for programs
  autotune detect --variants                which CPU code works here
  autotune detect --ceilings                what its memory and units reach
  autotune detect --ceilings=fresh          the same, measured anew
  autotune detect --backends                which cards the engine can drive
  autotune detect --unseen                  why facts are missing
  autotune detect --capture my.tar.zst      what was read, to give away
  autotune detect --sysroot my.tar.zst      another machine

Exit codes: 0 done, 2 wrong usage or unreadable input, 5 other failure,
130 interrupted.")]
pub struct Arguments {
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to a file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Look at another machine: a capture of it, or a folder with its proc and sys
    #[arg(long, value_name = "PATH", conflicts_with = "variants")]
    sysroot: Option<PathBuf>,
    /// Also write what was read to a file (.tar.zst) that --sysroot reads, without serial numbers,
    /// addresses and names of hosts and people, and print what that file tells
    #[arg(long, value_name = "FILE", conflicts_with_all = ["variants", "ceilings", "backends"])]
    capture: Option<PathBuf>,
    /// Try each build variant of the engine's CPU code in a process of its own
    #[arg(long)]
    variants: bool,
    /// Measure what memory, caches, units and disk reach, in at most 20 s; kept for later
    #[arg(long, value_name = "WHEN", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "cached")]
    ceilings: Option<Ceilings>,
    /// Load the engine's backends and list the devices that they drive
    #[arg(long, conflicts_with = "sysroot")]
    backends: bool,
    /// Say of every missing fact why it is missing, as -v does
    #[arg(long)]
    unseen: bool,
}

/// How to print a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One screen for people
    Text,
    /// Every fact, for programs
    Json,
    /// Tables for an issue or a wiki
    Md,
}

/// Runs the verb.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let host = host();
    let mut machine = match (&arguments.sysroot, &arguments.capture) {
        (Some(root), Some(file)) => capture(&tree(root)?, file, printer)?,
        (Some(root), None) => detect::machine(&tree(root)?),
        (None, Some(file)) => capture(&host, file, printer)?,
        (None, None) => detect::machine(&host),
    };
    peaks::complete(&mut machine, &host, printer);
    if let Some(asked) = arguments.ceilings {
        peaks::ceilings(asked, &mut machine, &host, printer)?;
    }
    if arguments.variants {
        add_variants(&mut machine, printer);
    } else {
        let why = "the engine was not asked; --variants asks it";
        machine.unseen.insert("engine".to_owned(), why.to_owned());
    }
    if arguments.backends {
        add_devices(&mut machine, &Devices::default(), printer);
    }
    let listed = arguments.unseen || printer.verbosity >= Verbosity::Verbose;
    let unseen = if listed { Unseen::Listed } else { Unseen::Counted };
    let peaks = if arguments.ceilings.is_some() { Peaks::Every } else { Peaks::Best };
    let text = match arguments.format {
        Format::Text => render::text(&machine, unseen, peaks),
        Format::Md => render::markdown(&machine),
        Format::Json => {
            let json = serde_json::to_string_pretty(&machine);
            json.expect("documents have string keys only") + "\n"
        }
    };
    match &arguments.output {
        None => printer.data(&text).map(|()| Exit::Done),
        Some(path) => super::report::write(path, &uncoloured(text, arguments.format), printer),
    }
}

/// The engine's CPU variants, each after its self-test.
pub(super) fn add_variants(machine: &mut Machine, printer: Printer) {
    match engine_report() {
        Ok(report) => {
            machine.engine = Some(report);
            machine.unseen.remove("engine");
        }
        Err(stop) => {
            printer.say(format!("warning: {}", super::global::one_line(&stop.message)));
            machine.unseen.insert("engine".to_owned(), stop.message);
        }
    }
}

/// What the engine's backends list, in a process that a broken driver may kill.
///
/// RPC servers are asked too; one that does not answer is said, and is not among the facts.
pub(super) fn add_devices(machine: &mut Machine, named: &Devices, printer: Printer) {
    let opened = engine::open_with(&EngineChoice::LlamaCpp, named);
    let devices = opened.and_then(|mut opened| {
        if !named.rpc.is_empty() {
            reach(opened.engine.as_mut(), &named.rpc, printer);
        }
        opened.engine.devices().map_err(|failure| no_answer(&failure))
    });
    match devices {
        Ok(devices) => detect::add_devices(machine, devices),
        Err(stop) => {
            printer.say(format!("warning: {}", super::global::one_line(&stop.message)));
            let cards = (0..machine.gpus.len())
                .flat_map(|index| ["backend", "device"].map(|fact| format!("gpus.{index}.{fact}")));
            for path in cards.chain(["devices".to_owned()]) {
                machine.unseen.insert(path, stop.message.clone());
            }
        }
    }
}

/// Says what RPC servers offer.
fn reach(engine: &mut dyn Engine, servers: &[String], printer: Printer) {
    match engine.devices_with(servers) {
        Ok(devices) => {
            for device in devices.into_iter().filter(plan::is_remote) {
                let free = device.free_bytes.map(|free| format!(", {free} free"));
                let line = format!("{} at {}", device.name, device.description);
                let line = format!("{line}{}", free.unwrap_or_default());
                printer.say(super::global::one_line(&line));
            }
        }
        Err(failure) => {
            let line = super::global::one_line(&failure.to_string());
            printer.say(format!("warning: {line}"));
        }
    }
}

fn no_answer(failure: &Failure) -> Stop {
    Stop {
        exit: Exit::NothingMeasured,
        message: format!("the engine does not answer: {failure}"),
        hint: None,
    }
}

/// Text as a file has it: without what makes headlines bold.
fn uncoloured(text: String, format: Format) -> String {
    match format {
        Format::Text => anstream::adapter::strip_str(&text).to_string(),
        Format::Md | Format::Json => text,
    }
}

/// Refuses to measure a machine that is not the one this program runs on: hwloc's environment can
/// describe any.
pub(super) fn measurable(machine: &Machine) -> Result<(), Stop> {
    if machine.provenance == Provenance::Live {
        return Ok(());
    }
    Err(Stop::usage("hwloc describes another machine, and only this one can be measured")
        .hint("unset HWLOC_XMLFILE, HWLOC_SYNTHETIC and HWLOC_FSROOT"))
}

/// This machine, with the folder of models that `synth:` names are written to.
pub(super) fn host() -> detect::Live {
    let folder = etcetera::choose_base_strategy().ok().map(|base| base.cache_dir());
    // The folder may not be there yet; what its nearest parent lies on is what it will lie on.
    let there = folder.and_then(|folder| {
        let real = folder.ancestors().find_map(|path| std::fs::canonicalize(path).ok());
        real.filter(|path| path.is_absolute())
    });
    match there {
        Some(folder) => detect::live().with_model_folder(folder),
        None => detect::live(),
    }
}

pub(super) fn tree(root: &Path) -> Result<Tree, Stop> {
    Tree::open(root).map_err(|error| {
        Stop::usage(format!("cannot read a machine from {}: {error}", root.display())).hint(
            "it is a file that --capture wrote, or a folder with copies of /proc and /sys in it",
        )
    })
}

/// Writes a capture and reads it again, so that what is printed is what others will see.
fn capture(host: &dyn Host, file: &Path, printer: Printer) -> Result<Machine, Stop> {
    let failed = |message| Stop { exit: Exit::Failure, message, hint: None };
    let written = detect::capture::write(host, file).map_err(|error| failed(error.to_string()))?;
    let (files, bytes) = (written.files, written.bytes);
    printer.say(format!("wrote {}: {files} files, {bytes} bytes", file.display()));
    let left = written.left_out;
    printer.say(format!(
        "left out: serial numbers, addresses, names of hosts, people and groups; {left} whole files"
    ));
    let read = Tree::open(file)
        .map_err(|error| failed(format!("cannot read {} again: {error}", file.display())))?;
    Ok(detect::machine(&read))
}

fn engine_report() -> Result<EngineReport, Stop> {
    let mut opened = engine::open(&EngineChoice::LlamaCpp)?;
    let identity = opened.engine.identity().map_err(|failure| no_answer(&failure))?;
    let types = TESTED_TYPES.map(str::to_owned);
    let variants = opened.engine.variants(&types).map_err(|failure| no_answer(&failure))?;
    Ok(EngineReport { identity, variants })
}
