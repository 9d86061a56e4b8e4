//! The verb `verify`: whether the gain of a run holds on the user's own llama-server.

mod display;
mod subject;
mod summary;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::SystemClock;
use autotune_engine::worker::{PASSED, STRIPPED};
use clap::{Args, ValueEnum};

use super::global::one_line;
use super::{Exit, Printer, Stop, interrupt};
use crate::model::{Proof, Served, ServedVisit, Side, Verification};
use crate::store;
use crate::verify::{self, Address, Programs, Running, ServeError, Servers, Shape, Verify};
use display::Display;
use subject::Subject;

/// Prove on your own llama-server that the gain of a run holds there
#[derive(Debug, Args)]
#[command(after_help = "\
What happens: your llama-server is started with the default setting and with
the tuned one in turn, never both at once, and stopped again. Each time it is
sent the requests of the run's workload, and the times are compared in pairs.
The answer is printed and kept in the run directory as verification.json.

A server that runs already keeps its settings. One address is compared with
the speeds of the run, which proves no gain; two are compared in turn.

Examples:
  autotune verify RUN --server ~/llama.cpp/build/bin/llama-server
  autotune verify RUN --server llama-server --pairs 12 --budget 30m
  autotune verify RUN --server llama-server --model-path /models/m.gguf
  autotune verify RUN --server http://127.0.0.1:8080
  autotune verify RUN --server http://tuned:8080 --against http://default:8080
  autotune verify RUN --server llama-server --format json | jq .result

Exit codes: 0 done, whatever the answer; 2 wrong usage, unreadable run or not a
server; 4 the server crashed or never became ready; 5 other failure, 130
interrupted.")]
pub struct Arguments {
    /// The run directory that `sweep` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The llama-server: a program to start, or the address of one that runs with the tuned
    /// setting
    #[arg(short, long, value_name = "PATH|URL")]
    server: String,
    /// The address of one that runs with the default setting
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// The model file, where it is not where the run had it
    #[arg(long, value_name = "FILE")]
    model_path: Option<PathBuf>,
    /// Pairs to measure
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(4..=200))]
    pairs: u32,
    /// Time it may take; requests are shortened to fit
    #[arg(long, value_name = "TIME", default_value = "10m")]
    budget: String,
    /// Compare the best setting found even where the run recommends the default
    #[arg(long)]
    anyway: bool,
    /// Format of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
}

/// What is asked, as typed.
#[derive(Debug)]
enum Target {
    /// A program, started with both settings.
    Program(PathBuf),
    /// Servers that run: the tuned one, and the default one where there are two.
    Running(Address, Option<Address>),
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let budget = humantime::parse_duration(&arguments.budget).map_err(|error| {
        Stop::usage(format!("`{}` is not a budget: {error}", arguments.budget))
            .hint("write it like 10m or 1h30m")
    })?;
    let target = target(&arguments.server, arguments.against.as_deref())?;
    let subject = Subject::read(&arguments.run, arguments.anyway, printer)?;
    if !subject.has_something_to_prove() {
        let text = written(&subject.document(), arguments.format);
        return printer.data(&text).map(|()| Exit::Done);
    }
    let wanted = Wanted { pairs: arguments.pairs, budget, printer };
    let verification = match target {
        Target::Program(program) => {
            wanted.started(&subject, &program, arguments.model_path.as_deref())?
        }
        Target::Running(tuned, Some(default)) => wanted.both(&subject, tuned, default)?,
        Target::Running(server, None) => wanted.alone(&subject, server)?,
    };
    let kept = store::write_verification(&arguments.run.join(store::VERIFICATION), &verification);
    printer.data(&written(&verification, arguments.format))?;
    // The answer is told even where it cannot be kept.
    kept.map_err(|error| Stop::from_store(&error))?;
    // The report's checklist tells it too.
    super::report::refresh(&arguments.run)?;
    Ok(Exit::Done)
}

/// Names of variables that llama.cpp and its threads read: what stands in the shell
/// (`LLAMA_ARG_…` above all) is kept from both servers, as a sweep keeps it from its engine.
fn kept_out(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let read = |name: &str| STRIPPED.iter().any(|prefix| name.starts_with(prefix));
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            read(&name) && !PASSED.contains(&&*name)
        })
        .collect()
}

/// What the two flags mean.
fn target(server: &str, against: Option<&str>) -> Result<Target, Stop> {
    let address = |typed: &str| {
        Address::parse(typed).map_err(|error| {
            Stop::from_error(Exit::Usage, &error)
                .hint("a server behind https is reached through a local one, or without it")
        })
    };
    match (Address::is_meant(server), against) {
        (true, against) => Ok(Target::Running(address(server)?, against.map(address).transpose()?)),
        (false, None) => program(server).map(Target::Program),
        (false, Some(_)) => {
            Err(Stop::usage("--against names a second running server, so --server must be one too")
                .hint("a program is started with both settings: leave out --against"))
        }
    }
}

/// A program that can be started, as a shell would find it.
fn program(typed: &str) -> Result<PathBuf, Stop> {
    let runs = |path: &Path| {
        path.metadata()
            .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
    };
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = if typed.contains('/') {
        Some(PathBuf::from(typed)).filter(|path| runs(path))
    } else {
        std::env::split_paths(&folders).map(|folder| folder.join(typed)).find(|path| runs(path))
    };
    found.ok_or_else(|| {
        Stop::usage(format!("there is no program `{typed}`"))
            .hint("name your llama-server with its path, or the address of one that runs")
    })
}

/// How much is measured.
struct Wanted {
    pairs: u32,
    budget: Duration,
    printer: Printer,
}

impl Wanted {
    /// Starts the user's own server with both settings in turn.
    fn started(
        &self,
        subject: &Subject,
        program: &Path,
        model: Option<&Path>,
    ) -> Result<Verification, Stop> {
        let (model, mut notes) = subject.model(model)?;
        notes.extend(subject.other_machine());
        let guard =
            std::env::current_exe().map_err(|error| Stop::from_error(Exit::Failure, &error))?;
        let shape = subject.shape(2 * self.pairs, self.budget);
        let sides = [Side::Default, Side::Tuned];
        let [default, tuned] = sides.map(|side| subject.launch(side, program, &model));
        let mut servers = Programs {
            guard,
            default,
            tuned,
            kept_out: kept_out(std::env::vars_os().map(|(name, _)| name)),
            patience: shape.patience,
            interrupted: interrupt::flag(None)?,
        };
        let started = sides.map(|side| subject.started(side, program, &model));
        self.compared(subject, &shape, &mut servers, started, notes)
    }

    /// Asks two running servers in turn.
    fn both(
        &self,
        subject: &Subject,
        tuned: Address,
        default: Address,
    ) -> Result<Verification, Stop> {
        let shape = subject.shape(2 * self.pairs, self.budget);
        let known = [
            subject.running(Some(Side::Default), &default),
            subject.running(Some(Side::Tuned), &tuned),
        ];
        let interrupted = interrupt::flag(None)?;
        let answer = shape.patience.answer;
        let mut servers = Running { tuned, default: Some(default), answer, interrupted };
        self.compared(subject, &shape, &mut servers, known, Vec::new())
    }

    fn compared(
        &self,
        subject: &Subject,
        shape: &Shape,
        servers: &mut dyn Servers,
        known: [Served; 2],
        mut notes: Vec<String>,
    ) -> Result<Verification, Stop> {
        let mut display = Display::new(self.printer, self.pairs, 2);
        let ending = self.verify(subject, shape, servers).run(&mut |event| display.show(event));
        display.close();
        let ending = ending.map_err(|error| stop(&error, self.printer))?;
        notes.extend(notes_of(&ending, self.pairs, "pairs"));
        notes.extend(builds_differ(&ending.about));
        let protocol = &subject.plan.protocol;
        let (promised, pairs) = (subject.promised.as_ref(), ending.measured);
        let judged = verify::judge(&pairs, protocol.confidence, protocol.indifference, promised);
        let of: [fn(&_) -> ServedVisit; 2] =
            [|pair: &crate::model::ServedPair| pair.default, |pair| pair.tuned];
        let servers = known.into_iter().zip(of).zip(ending.about).map(|((server, of), about)| {
            let visits: Vec<ServedVisit> = pairs.iter().map(of).collect();
            let server = Served { build: about.build, ..server };
            verify::served(server, &visits, protocol.confidence)
        });
        Ok(Verification {
            servers: servers.collect(),
            sentence: verify::sentence(&judged, promised),
            result: Proof::Compared {
                transfer: judged.transfer,
                turn: judged.turn,
                wall: judged.wall,
                prefill: judged.prefill,
                decode: judged.decode,
                pairs,
            },
            ..subject.sent(shape, notes)
        })
    }

    /// Puts one running server beside the speeds of the run.
    fn alone(&self, subject: &Subject, address: Address) -> Result<Verification, Stop> {
        let shape = subject.shape(self.pairs, self.budget);
        let known = subject.running(None, &address);
        let interrupted = interrupt::flag(None)?;
        let answer = shape.patience.answer;
        let mut servers = Running { tuned: address, default: None, answer, interrupted };
        let mut display = Display::new(self.printer, self.pairs, 1);
        let own = self.verify(subject, &shape, &mut servers);
        let ending = own.observe(&mut |event| display.show(event));
        display.close();
        let ending = ending.map_err(|error| stop(&error, self.printer))?;
        let notes = notes_of(&ending, self.pairs, "visits").collect();
        let [_, about] = ending.about;
        let (protocol, visits) = (&subject.plan.protocol, ending.measured);
        let [default, tuned] = subject.measured();
        let fits =
            verify::fits(&visits, protocol.confidence, protocol.indifference, default, tuned);
        let server = Served { build: about.build, ..known };
        Ok(Verification {
            servers: vec![verify::served(server, &visits, protocol.confidence)],
            sentence: verify::fits_sentence(fits),
            result: Proof::Observed { fits, visits },
            ..subject.sent(&shape, notes)
        })
    }

    fn verify<'a>(
        &self,
        subject: &Subject,
        shape: &'a Shape,
        servers: &'a mut dyn Servers,
    ) -> Verify<'a> {
        Verify {
            servers,
            shape,
            parallel: subject.parallel(),
            pairs: self.pairs,
            budget: self.budget,
            clock: Box::new(SystemClock::start()),
        }
    }
}

/// Doubts that come from how it went.
fn notes_of<T>(
    ending: &verify::Ending<T>,
    wanted: u32,
    unit: &str,
) -> impl Iterator<Item = String> + use<T> {
    let measured = ending.measured.len();
    let short =
        ending.out_of_time.then(|| format!("the budget ended after {measured} of {wanted} {unit}"));
    let failed = (ending.failed > 0).then(|| {
        format!("{} visits with a failed request were left out and repeated", ending.failed)
    });
    short.into_iter().chain(failed)
}

/// Two settings are compared only where nothing else differs.
fn builds_differ(about: &[verify::About; 2]) -> Option<String> {
    let [default, tuned] = about;
    let other = default.build != tuned.build;
    other.then(|| "the two servers are of different builds: not the setting alone differs".into())
}

/// What stopped it, after the server's last lines.
fn stop(error: &ServeError, printer: Printer) -> Stop {
    let exit = match error {
        ServeError::Interrupted => return Stop::interrupted("interrupted; nothing was written"),
        ServeError::NotAServer { .. } => Exit::Usage,
        ServeError::CannotStart { .. } => Exit::Failure,
        ServeError::EndedEarly { .. }
        | ServeError::NotReady { .. }
        | ServeError::Died { .. }
        | ServeError::Silent { .. }
        | ServeError::Failing { .. } => Exit::NothingMeasured,
    };
    if !error.log().is_empty() {
        printer.say("the last lines of the server:");
        error.log().iter().for_each(|line| printer.say(format!("  {}", one_line(line))));
    }
    let stop = Stop::from_error(exit, error);
    match error.refused_flag() {
        Some(flag) => stop.hint(format!(
            "this llama-server does not take {flag}, which is part of the exported command: use a \
             newer one, or sweep without that knob (--knobs)"
        )),
        None => stop,
    }
}

fn written(verification: &Verification, format: Format) -> String {
    match format {
        Format::Text => summary::text(verification),
        Format::Json => {
            let json = serde_json::to_string_pretty(verification);
            json.expect("documents have string keys only") + "\n"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_shell_says_to_llama_cpp_is_kept_from_the_servers() {
        let names = ["LLAMA_ARG_THREADS", "GGML_VK_VISIBLE_DEVICES", "HOME", "OMP_NUM_THREADS"];
        let kept = kept_out(names.into_iter().map(OsString::from));
        assert_eq!(kept, ["LLAMA_ARG_THREADS", "OMP_NUM_THREADS"]);
    }

    #[test]
    fn what_the_flags_mean_is_told_before_anything_is_read() {
        let wrong = |server: &str, against: Option<&str>| target(server, against).unwrap_err();
        assert!(matches!(target("http://a:1", None), Ok(Target::Running(_, None))));
        assert!(matches!(
            target("http://a:1", Some("http://b:2")),
            Ok(Target::Running(_, Some(_)))
        ));
        assert!(matches!(target("sh", None), Ok(Target::Program(path)) if path.is_absolute()));
        for (server, against, words) in [
            ("https://a", None, "only http://"),
            ("http://a:1", Some("https://b"), "only http://"),
            ("http://a:1", Some("b"), "is no address"),
            ("sh", Some("http://b:2"), "--server must be one too"),
            ("/no/such/llama-server", None, "there is no program"),
            ("/tmp", None, "there is no program"),
        ] {
            let stop = wrong(server, against);
            assert_eq!(stop.exit, Exit::Usage);
            assert!(stop.message.contains(words), "{}", stop.message);
        }
    }
}
