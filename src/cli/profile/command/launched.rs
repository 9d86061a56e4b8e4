//! A command that is started to be watched: held before its first instruction, looked at to the
//! end of everything it started, and followed by its own exit code.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::Command;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use autotune_engine::counters::{Counters, Whom};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, getpid, kill_process,
    set_child_subreaper, waitid, waitpid,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::super::Arguments;
use super::watching::{self, Event, Pace};
use crate::activity;
use crate::cli::{Exit, Printer, Stop, global};
use crate::model::activity::{Begin, End};
use crate::observe::{self, LAUNCHER, Live, Root, Watch};

/// What a command has to end itself in when its time is up.
const GRACE: Duration = Duration::from_secs(2);
/// The exit code for a command that cannot be started.
const CANNOT_START: i32 = 127;

/// Runs the command to its end and exits with its exit code.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let captured_at = global::now();
    watching::writable(arguments)?;
    let failed = |error: rustix::io::Errno| Stop::from_error(Exit::Failure, &error);
    let door = Live::open();
    // Before the command runs: loading the driver's library takes a while.
    let cards = watching::cards(&door);
    // What loses its parent becomes our child, and stays in sight.
    set_child_subreaper(Some(getpid())).map_err(failed)?;
    let command = hold(&arguments.command)?;
    // After it was started: the command must ignore what we were started to ignore, and a handler
    // of ours would undo that.
    let (sender, events) = watching::events(&door)?;
    let number = command.as_raw_nonzero().get().unsigned_abs();
    let own = std::process::id();
    let processors = watching::processors(&door, number);
    let watch = Watch::start(&door, Root::ChildrenOf(own), own, processors, cards.is_some());
    // Stopped, and not yet running: whatever it starts is counted with it.
    let counters = Counters::open(Whom::Process(number));
    kill_process(command, Signal::CONT).map_err(failed)?;
    let waiter = tell_the_end(command, sender);
    let mut run = Run {
        door: &door,
        watch,
        command,
        number,
        status: None,
        started: true,
        end: arguments.period.map(|period| Instant::now() + period),
        ending: None,
    };
    run.follow(&events, printer);
    drop(waiter);
    let (status, started) = (run.status, run.started);
    let series = watching::finish(run.watch, cards);
    if !started {
        // The one that stood in for it has said why.
        std::process::exit(CANNOT_START);
    }
    let end = ending(status);
    let words = arguments.command.iter().map(|word| word.to_string_lossy().into_owned());
    let profile = activity::judge(words.collect(), Begin::Launched, end, &series);
    if let Err(stop) = watching::deliver(profile, counters, captured_at, arguments, printer) {
        // The command's own code is worth more than ours.
        let _ = printer.stop(&stop);
    }
    // The command's code is any number, and our own are an enumeration of few.
    std::process::exit(match end {
        End::Exited { code } => code,
        End::Killed { signal } => 128 + signal,
        End::Gone | End::Running => Exit::Interrupted as i32,
    })
}

/// Starts what stands in for the command, and waits until it has stopped itself.
fn hold(words: &[OsString]) -> Result<Pid, Stop> {
    let failed = |why: String| Stop {
        exit: Exit::Failure,
        message: format!("cannot start this program anew: {why}"),
        hint: None,
    };
    let own = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let child = Command::new(own).arg("launch").arg("--").args(words).spawn();
    let child = child.map_err(|error| failed(error.to_string()))?;
    let command = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let command = command.ok_or_else(|| failed("it has no number".to_owned()))?;
    loop {
        match waitpid(Some(command), WaitOptions::UNTRACED) {
            Ok(Some((_, status))) if status.stopped() => return Ok(command),
            Ok(Some(_)) => return Err(failed("it ended before the command began".to_owned())),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}

/// Tells when the command has ended, without waiting for it: its last numbers are still to be read.
fn tell_the_end(command: Pid, sender: Sender<Event>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(command), options) {}
        // Nobody listens any more where the watch was ended before.
        let _ = sender.send(Event::Ended);
    })
}

/// A command under way.
struct Run<'a> {
    door: &'a Live,
    watch: Watch<'a>,
    command: Pid,
    number: u32,
    /// How it ended, once it has.
    status: Option<WaitStatus>,
    /// Whether it was executed at all.
    started: bool,
    /// When its time is up.
    end: Option<Instant>,
    /// When it was told to end, and when it is killed.
    ending: Option<Instant>,
}

impl Run<'_> {
    /// Looks until the command and all that it started have ended, or until the watch is ended.
    fn follow(&mut self, events: &std::sync::mpsc::Receiver<Event>, printer: Printer) {
        let mut pace = Pace::new();
        let mut said = false;
        loop {
            let event = pace.wait(events, self.ending.or(self.end));
            pace.look(self.door);
            let alive = self.watch.look();
            let ended: BTreeSet<u32> = alive.ended.into_iter().collect();
            self.wait_for(&ended, event == Some(Event::Ended));
            if self.status.is_some() && alive.running.is_empty() {
                break;
            }
            match event {
                Some(Event::Signal(signal)) if self.status.is_none() => {
                    self.pass_on(signal, &alive.running);
                }
                // The command is gone, and what it left behind can be left alone.
                Some(Event::Signal(SIGTERM | SIGHUP | SIGINT)) => break,
                _ => {}
            }
            if self.status.is_some() && !said {
                said = true;
                printer.say(format!(
                    "the command has ended, and {} of its processes still run; Ctrl-C ends the \
                     watch",
                    alive.running.len()
                ));
            }
            self.time_is_up(&alive.running);
        }
    }

    /// Waits for the ended ones that nobody else can wait for.
    fn wait_for(&mut self, ended: &BTreeSet<u32>, command_ended: bool) {
        if command_ended || (ended.contains(&self.number) && self.status.is_none()) {
            self.started = observe::name(self.door, self.number).as_deref() != Some(LAUNCHER);
            if let Ok(Some((_, status))) = waitpid(Some(self.command), WaitOptions::NOHANG) {
                self.status = Some(status);
            }
            self.watch.waited_for(self.number);
        }
        for number in ended.iter().filter(|number| **number != self.number) {
            let pid = i32::try_from(*number).ok().and_then(Pid::from_raw);
            if pid.is_some_and(|pid| waitpid(Some(pid), WaitOptions::NOHANG).is_ok()) {
                self.watch.waited_for(*number);
            }
        }
    }

    /// A terminal sends Ctrl-C to the command itself; what is sent to us alone is passed on.
    fn pass_on(&self, signal: i32, running: &[u32]) {
        if matches!(signal, SIGTERM | SIGHUP)
            && let Some(signal) = Signal::from_named_raw(signal)
            && running.contains(&self.number)
        {
            // It may have ended a moment ago.
            let _ = kill_process(self.command, signal);
        }
    }

    fn time_is_up(&mut self, running: &[u32]) {
        let now = Instant::now();
        let signal = match (self.end, self.ending) {
            (_, Some(kill_at)) if now >= kill_at => Signal::KILL,
            (Some(end), None) if now >= end => Signal::TERM,
            _ => return,
        };
        self.ending = Some(now + GRACE);
        for number in running {
            if let Some(pid) = i32::try_from(*number).ok().and_then(Pid::from_raw) {
                // It may have ended a moment ago.
                let _ = kill_process(pid, signal);
            }
        }
    }
}

fn ending(status: Option<WaitStatus>) -> End {
    let Some(status) = status else { return End::Running };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => End::Exited { code },
        (None, Some(signal)) => End::Killed { signal },
        (None, None) => End::Gone,
    }
}
