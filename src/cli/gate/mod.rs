//! The verb `gate`: fails a build on a true slowdown, and on nothing else.

mod ab;
mod arguments;
mod asked;
mod check;
mod display;
mod file;
mod history;
mod imported;
mod learn;
mod outputs;
mod papers;
mod percent;
mod place;
mod sides;

use clap::{Args, Subcommand};

use super::{Exit, Printer, Stop};
use arguments::{Judged, Length, Measured, Outputs};
use asked::Asked;
use place::Place;

/// Fail a build on a true slowdown, and on nothing else
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_help_heading = "Commands")]
#[command(after_help = "\
A cell fails if all of the interval of its slowdown is above the limit, passes
if all of it is below, and is inconclusive else: then it is said what could
have been seen and what would help. Without a command the gate takes what it
can: two sides if --base is named, stored sessions of this machine, the series
of them if there is no model, or else it records the first session.

Examples:
  autotune gate ab --base old/autotune --model m.gguf   two builds in turn
  autotune gate --model m.gguf                          what can be had
  autotune gate import main.json pr.json                other tools' numbers
  autotune gate history --from csv nightly.csv          change points
  autotune gate selftest --model m.gguf --inject 10%    does it work here?

In a shell, `set -o pipefail` keeps the exit code of `autotune gate … | tee`.

Exit codes: 0 pass, 1 regression or missing cell, 2 wrong usage or unreadable
input, 3 not comparable, or undecided under --on-inconclusive fail, 4 the
measured program crashed, 5 other failure, 130 interrupted.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// What is judged against, measured here in turn with the head
    #[arg(long, value_name = "SIDE")]
    base: Option<String>,
    /// What is judged [default: this program]
    #[arg(long, value_name = "SIDE")]
    head: Option<String>,
    #[command(flatten)]
    measured: Measured,
    #[command(flatten)]
    judged: Judged,
    #[command(flatten)]
    length: Length,
    #[command(flatten)]
    outputs: Outputs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Ab(Box<ab::Arguments>),
    Check(Box<check::Check>),
    History(Box<history::Arguments>),
    Record(Box<check::Record>),
    Import(Box<imported::Arguments>),
    Plan(Box<learn::Plan>),
    Calibrate(Box<learn::Calibrate>),
    Selftest(Box<learn::Selftest>),
    Accept(papers::Accept),
    Explain(papers::Explain),
    Export(papers::Exported),
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    match &arguments.command {
        None => whatever_can_be_had(arguments, printer),
        Some(Command::Ab(it)) => ab::run(it, printer),
        Some(Command::Check(it)) => check::run(it, printer),
        Some(Command::History(it)) => history::run(it, printer),
        Some(Command::Record(it)) => check::record(it, printer),
        Some(Command::Import(it)) => imported::run(it, printer),
        Some(Command::Plan(it)) => learn::plan(it, printer),
        Some(Command::Calibrate(it)) => learn::calibrate(it, printer),
        Some(Command::Selftest(it)) => learn::selftest(it, printer),
        Some(Command::Accept(it)) => papers::accept(it, printer),
        Some(Command::Explain(it)) => papers::explain(it, printer),
        Some(Command::Export(it)) => papers::export(it, printer),
    }
}

/// Two sides before stored sessions, those before their series, and else a first session.
fn whatever_can_be_had(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let (base, head) = (arguments.base.as_deref(), arguments.head.as_deref());
    let measured = &arguments.measured;
    let sides: Vec<Option<&str>> = if base.is_some() { vec![base, head] } else { vec![head] };
    let place = Place::open(measured, &sides, printer)?;
    let report = if base.is_some() {
        let wish = ab::Wish {
            base,
            head,
            earlier: None,
            measured,
            judged: &arguments.judged,
            length: &arguments.length,
        };
        ab::compared(&place, &wish, "--base was named, so both sides are measured here")?
    } else {
        let history = check::own_history(&place)?;
        let has_model = !place.models(measured).is_empty() || head.is_some();
        if !has_model && !history.sessions.is_empty() {
            let why = "no model was named, and sessions are stored";
            let asked =
                Asked { file: &place.file, judged: &arguments.judged, length: &arguments.length };
            history::stored(&place, &history, asked, history::Held::default(), why)?
        } else {
            let wanted = check::Wanted {
                head,
                measured,
                judged: &arguments.judged,
                length: &arguments.length,
            };
            check::checked(&place, &wanted, history, None, false)?
        }
    };
    printer.say(format!("gate: {}: {}", report.mode.word(), report.mode_reason));
    outputs::emit(&report, &arguments.outputs, printer)
}
