//! The verb `profile`: where the time goes, of a model or of any command.

mod command;
mod compare;
mod counters;
mod model;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::engine::Devices;
use super::global::json;
use super::{Exit, Printer, Stop};
use crate::model::Profile;
use crate::render::profile as render;

/// Show where the time goes: of a model, or of any command
#[derive(Debug, Args)]
#[command(after_help = "\
Of a model: what bounds prompt and generation, how sure that is, the share of
each part of the model, the functions that ran, counters where there are some.
Of a command: whether it waits for disk, network or others, or computes, on
one processor or many, and what would help by how much.

Examples:
  autotune profile --model m.gguf              what bounds this model here
  autotune profile --model m.gguf --fix threads=4 -d 4096
  autotune profile --run autotune-runs/DIR     the setting a sweep recommends
  autotune profile -- python train.py          any command, to its end
  autotune profile --pid 4711 --for 30s        a process that runs already
  autotune profile --perf-stat stat.csv        counters of `perf stat -x,`
  autotune profile --compare a.json b.json     before and after

  autotune profile --format json -o p.json -- make

A command keeps stdin, stdout and stderr; its profile comes on stderr when it
has ended, or in the file of -o. --for ends a command that was started here
(SIGTERM, after 2 s SIGKILL); one that ran already is left alone.

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 nothing could be
measured, 5 other failure, 130 interrupted. Of a command its own: 128 + signal
if it was killed, 127 if it cannot be started.")]
pub struct Arguments {
    /// GGUF file, or synth:SHAPE:QUANT
    #[arg(short, long, value_name = "MODEL", conflicts_with_all = ["command", "pid"])]
    model: Option<String>,
    /// The setting that a sweep recommends; the profile is kept in its folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["command", "pid"])]
    run: Option<PathBuf>,
    /// A knob that is not at its default (see `sweep --knobs help`)
    #[arg(long, value_name = "KNOB=LEVEL")]
    fix: Vec<String>,
    /// Prompt tokens [default: 256, or the sweep's]
    #[arg(short = 'p', long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..1 << 24))]
    n_prompt: Option<u32>,
    /// Generated tokens [default: 64, or the sweep's]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..1 << 24))]
    n_gen: Option<u32>,
    /// Tokens already in the KV cache [default: 0, or the sweep's]
    #[arg(short = 'd', long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..1 << 24))]
    n_depth: Option<u32>,
    /// Repetitions, half of them sampled
    #[arg(short, long, value_name = "N", default_value = "12",
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: u32,
    /// Samples per second and thread, 0 for none
    #[arg(long, value_name = "HZ", default_value = "299",
          value_parser = clap::value_parser!(u32).range(0..=10_000))]
    hz: u32,
    /// Time every operation of every layer for itself
    #[arg(long)]
    detail: bool,
    /// Compare with peaks measured before only, and measure none now
    #[arg(long)]
    no_peaks: bool,
    #[command(flatten)]
    devices: Devices,
    /// Time after which the engine is given up, loading included
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Read what `perf stat -x,` or `perf stat -j` wrote, here or elsewhere
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "pid", "model", "run"])]
    perf_stat: Option<PathBuf>,
    /// Put two profiles beside each other
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"],
          conflicts_with_all = ["command", "pid", "model", "run", "perf_stat"])]
    compare: Vec<PathBuf>,
    /// Watch a process that runs already, and its children
    #[arg(long, value_name = "PID", conflicts_with = "command")]
    pid: Option<u32>,
    /// How long to watch: no further repetitions of a model begin after it [default: 45s]
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    period: Option<Duration>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to a file instead of the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write JSON, Markdown and pictures (roofline, flame graph, tokens) into a folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The command and its arguments, behind --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How to print a profile.
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
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    if arguments.pid.is_some() || !arguments.command.is_empty() {
        return command::run(arguments, printer);
    }
    if let [before, after] = arguments.compare.as_slice() {
        return compare::run(before, after, arguments, printer);
    }
    if let Some(file) = &arguments.perf_stat {
        return counters::run(file, arguments, printer);
    }
    if arguments.model.is_some() || arguments.run.is_some() {
        return model::run(arguments, printer);
    }
    Err(Stop::usage("nothing to profile was named")
        .hint("--model m.gguf, --run DIR, --pid N, or a command behind `--`"))
}

/// A profile as it is wanted.
fn printed(profile: &Profile, arguments: &Arguments) -> String {
    match arguments.format {
        Format::Text => render::text(profile),
        Format::Md => render::markdown(profile),
        Format::Json => json(profile),
    }
}

/// Prints a profile, or writes it to the file and the folder that were named.
fn deliver(profile: &Profile, arguments: &Arguments, printer: Printer) -> Result<(), Stop> {
    if let Some(folder) = &arguments.out {
        keep(profile, folder, printer)?;
    }
    let text = printed(profile, arguments);
    match &arguments.output {
        None => printer.data(&text),
        Some(path) => write(path, &text, printer),
    }
}

/// Everything that a profile has, as files of a folder.
fn keep(profile: &Profile, folder: &std::path::Path, printer: Printer) -> Result<(), Stop> {
    std::fs::create_dir_all(folder).map_err(|error| Stop {
        exit: Exit::Failure,
        message: format!("cannot make {}: {error}", folder.display()),
        hint: None,
    })?;
    write(&folder.join("profile.json"), &json(profile), printer)?;
    write(&folder.join("profile.md"), &render::markdown(profile), printer)?;
    for picture in render::pictures(profile) {
        write(&folder.join(&picture.name), &picture.svg, printer)?;
    }
    printer.say(format!("Profile: {}", folder.join("profile.md").display()));
    Ok(())
}

fn write(path: &std::path::Path, text: &str, printer: Printer) -> Result<(), Stop> {
    let plain = anstream::adapter::strip_str(text).to_string();
    super::report::write(path, &plain, printer).map(drop)
}
