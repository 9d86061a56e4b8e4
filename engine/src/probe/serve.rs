//! The life of a probe: one request, lines until it is answered, the end.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::thread;

use rustix::process::{Signal, getpid, kill_process};

use super::message::{Ask, Instructions, Line, Measure, Outcome};
use super::{rounds, storage};
use crate::kernels::instructions::{self, Found};

/// Longest request: thousands of CPUs in thousands of cells.
const LONGEST: u64 = 64 << 20;

/// Answers the request on stdin, on stdout; ends at once when stdin does.
#[must_use]
pub fn serve() -> ExitCode {
    let mut input = BufReader::new(io::stdin());
    let mut line = String::new();
    let read = input.by_ref().take(LONGEST).read_line(&mut line);
    let Ok(Ok(ask)) = read.map(|_| serde_json::from_str::<Ask>(&line)) else {
        let _ = writeln!(io::stderr(), "the probe was asked nothing");
        return ExitCode::FAILURE;
    };
    thread::spawn(move || {
        // Whoever asked holds the other end for as long as the answer is wanted.
        let _ = io::copy(&mut input, &mut io::sink());
        let _ = kill_process(getpid(), Signal::KILL);
    });
    let mut output = io::stdout();
    let mut say = |line: &Line| -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        output.write_all(&text)?;
        output.flush()
    };
    let done = match &ask {
        Ask::Instructions(asked) => execute(asked, &mut say),
        Ask::Measure(asked) => measure(asked, &mut say),
    };
    match done.and_then(|()| say(&Line::End)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "the probe cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(ask: &Instructions, say: &mut dyn FnMut(&Line) -> io::Result<()>) -> io::Result<()> {
    for name in &ask.names {
        say(&Line::Begins(name.clone()))?;
        let outcome = match instructions::execute(name) {
            Some(Found::Right) => Outcome::Right,
            Some(Found::Wrong) => Outcome::Wrong,
            Some(Found::Forbidden) => Outcome::Forbidden,
            None => Outcome::Unknown,
        };
        say(&Line::Executed { name: name.clone(), outcome })?;
    }
    Ok(())
}

fn measure(ask: &Measure, say: &mut dyn FnMut(&Line) -> io::Result<()>) -> io::Result<()> {
    let sets = rounds::sets(&ask.excluded)
        .ok_or_else(|| io::Error::other("every instruction set is excluded"))?;
    say(&Line::Sets {
        stream: sets.stream.isa().to_owned(),
        float32: sets.float32.isa().to_owned(),
        int8: sets.int8.isa().to_owned(),
    })?;
    if !ask.cells.is_empty() {
        rounds::run(ask, sets, say)?;
    }
    if let Some(asked) = &ask.storage
        && let Err(error) = storage::run(asked, say)
    {
        say(&Line::Caveat(format!("{} cannot be measured: {error}", asked.folder.display())))?;
    }
    Ok(())
}
