//! The command line: the only module that prints, reads arguments or the environment, and decides
//! the exit code. One file per verb; what a verb does is left to the modules below.

mod activity;
mod bench;
mod completions;
mod config;
mod detect;
mod doctor;
mod engine;
mod exit;
mod export;
mod gate;
mod global;
mod guard;
mod imatrix;
mod interrupt;
mod kept;
mod launch;
mod man;
mod model;
mod peaks;
mod plan;
mod probe;
mod profile;
mod progress;
mod quality;
mod quantize;
pub mod replay;
mod report;
mod rpc_server;
pub mod simulated;
mod speech;
mod spelling;
mod sweep;
mod synth;
mod variants;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub use exit::{Exit, Stop};
pub use global::{Color, Global, Printer, Verbosity};

/// Finds the settings that run a GGUF model best on this machine, and proves it.
#[derive(Debug, Parser)]
#[command(name = "autotune", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "\
Examples:
  autotune detect                                  what this machine is
  autotune doctor                                  what makes it slow today
  autotune plan --model m.gguf                     what fits, before any run
  autotune sweep --model m.gguf                    find the best settings
  autotune sweep --model synth:llama-3.2-1b:q4_k_m the same before any download
  autotune sweep --model m-f16.gguf --quant auto   which quantization to take
  autotune export RUN --to ollama -o Modelfile     and run them elsewhere
  autotune gate ab --base old/autotune -m m.gguf   is this build slower?

Exit codes: 0 done (gate: pass), 1 gate: regression, 2 wrong usage or unreadable
input, 3 gate: inconclusive or not comparable, 4 nothing could be measured, 5
other failure, 130 interrupted with state saved.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Detect(detect::Arguments),
    Doctor(doctor::Arguments),
    Plan(Box<plan::Arguments>),
    Sweep(Box<sweep::Arguments>),
    Profile(Box<profile::Arguments>),
    Report(report::Arguments),
    Export(export::Arguments),
    Gate(Box<gate::Arguments>),
    Verify(Box<verify::Arguments>),
    Quantize(Box<quantize::Arguments>),
    Imatrix(imatrix::Arguments),
    Quality(Box<quality::Arguments>),
    Bench(Box<bench::Arguments>),
    RpcServer(rpc_server::Arguments),
    Synth(synth::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    #[command(hide = true)]
    Worker(worker::Arguments),
    #[command(hide = true)]
    Probe(probe::Arguments),
    #[command(hide = true)]
    Launch(launch::Arguments),
    #[command(hide = true)]
    Guard(guard::Arguments),
}

/// Parses the arguments, runs the verb, prints what stopped it.
#[must_use]
pub fn main() -> ExitCode {
    let command = match config::with_defaults(Cli::command()) {
        Ok(command) => command,
        Err(stop) => return Printer::default().stop(&stop).into(),
    };
    let words = spelling::respell(std::env::args_os());
    let matches = command.try_get_matches_from(words);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help to stdout and mistakes to stderr by itself.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage as u8 } else { 0 });
        }
    };
    let printer = cli.global.printer();
    match run(&cli.verb, printer) {
        Ok(exit) => exit.into(),
        Err(stop) => printer.stop(&stop).into(),
    }
}

fn run(verb: &Verb, printer: Printer) -> Result<Exit, Stop> {
    match verb {
        Verb::Detect(arguments) => detect::run(arguments, printer),
        Verb::Doctor(arguments) => doctor::run(arguments, printer),
        Verb::Bench(arguments) => bench::run(arguments, printer),
        Verb::Completions(arguments) => completions::run(arguments, Cli::command(), printer),
        Verb::Man(arguments) => man::run(arguments, Cli::command(), printer),
        Verb::Worker(arguments) => worker::run(arguments),
        Verb::Probe(arguments) => probe::run(arguments),
        Verb::Launch(arguments) => launch::run(arguments),
        Verb::Guard(arguments) => guard::run(arguments),
        Verb::Plan(arguments) => plan::run(arguments, printer),
        Verb::Sweep(arguments) => sweep::run(arguments, printer),
        Verb::Profile(arguments) => profile::run(arguments, printer),
        Verb::RpcServer(arguments) => rpc_server::run(arguments, printer),
        Verb::Synth(arguments) => synth::run(arguments, printer),
        Verb::Report(arguments) => report::run(arguments, printer),
        Verb::Export(arguments) => export::run(arguments, printer),
        Verb::Gate(arguments) => gate::run(arguments, printer),
        Verb::Verify(arguments) => verify::run(arguments, printer),
        Verb::Quantize(arguments) => quantize::run(arguments, printer),
        Verb::Imatrix(arguments) => imatrix::run(arguments, printer),
        Verb::Quality(arguments) => quality::run(arguments, printer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_flags_share_a_name() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_shows_examples() {
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has none", verb.get_name());
            let widest = help.lines().map(|line| line.chars().count()).max();
            assert!(widest < Some(80), "a terminal of 80 columns breaks: {help}");
        }
    }
}
