//! The watch itself: when to look, when to stop, and the profile that comes of it.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use autotune_engine::counters::{Counters, Whom};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::super::{Arguments, printed};
use crate::activity;
use crate::bottleneck;
use crate::cli::{Exit, Printer, Stop, detect as machines, global, model as models};
use crate::detect::{self, CardRecorder};
use crate::model::activity::{Begin, CommandProfile, End};
use crate::model::observation::Series;
use crate::model::{CpuList, Machine, Profile, Subject};
use crate::observe::{self, Door, Live, Root, Watch};
use crate::store::PeakStore;

/// Looks follow each other this quickly, until so many seconds have passed.
const PACES: [(f64, Duration); 3] = [
    (5.0, Duration::from_millis(20)),
    (60.0, Duration::from_millis(50)),
    (f64::INFINITY, Duration::from_millis(100)),
];
/// A look may cost this part of one processor.
const COST: f64 = 0.015;
/// The longest pause, however large the tree.
const LONGEST: Duration = Duration::from_millis(500);
/// Looks of which it is remembered what they cost.
const REMEMBERED: usize = 15;

/// What happens beside the looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The command ended; it has not been waited for.
    Ended,
    /// We were sent a signal.
    Signal(i32),
}

/// A place where events arrive, signals from now on. Signals that we were started to ignore (by
/// `nohup`, by a shell in the background) stay ignored.
pub(super) fn events(door: &dyn Door) -> Result<(Sender<Event>, Receiver<Event>), Stop> {
    let (sender, receiver) = mpsc::channel();
    let text = door.read("/proc/self/status").unwrap_or_default();
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let heard = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];
    let heard = heard.into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals =
        Signals::new(heard).map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    let told = sender.clone();
    thread::spawn(move || {
        for signal in signals.forever() {
            if told.send(Event::Signal(signal)).is_err() {
                break;
            }
        }
    });
    Ok((sender, receiver))
}

/// Looks again and again at a pace that keeps its cost small.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// Our own processor time at the last look: on a busy machine the clock on the wall would tell
    /// how long others ran.
    own: Option<Duration>,
    /// What the last looks cost.
    cost: VecDeque<Duration>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), own: None, cost: VecDeque::new() }
    }

    /// A look is about to be taken: the ones before have cost so much.
    pub(super) fn look(&mut self, door: &dyn Door) {
        let now = observe::own_time(door);
        if let (Some(before), Some(now)) = (self.own, now) {
            self.cost.push_back(now.saturating_sub(before));
        }
        self.own = now;
        if self.cost.len() > REMEMBERED {
            self.cost.pop_front();
        }
    }

    fn pause(&self) -> Duration {
        let passed = self.began.elapsed().as_secs_f64();
        let (_, usual) = PACES.iter().find(|(until, _)| passed < *until).unwrap_or(&PACES[2]);
        let all: Duration = self.cost.iter().sum();
        let one = all.div_f64(self.cost.len().max(1) as f64);
        (*usual).max(one.div_f64(COST)).min(LONGEST)
    }

    /// Waits for an event until the next look is due, or until the end where that is nearer.
    pub(super) fn wait(&self, events: &Receiver<Event>, end: Option<Instant>) -> Option<Event> {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let pause = left.map_or(self.pause(), |left| left.min(self.pause()));
        match events.recv_timeout(pause) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            // Nobody is left to tell anything.
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(pause);
                None
            }
        }
    }
}

/// The cards, where there are any; their sampling begins now.
pub(super) fn cards(door: &Live) -> Option<CardRecorder> {
    CardRecorder::start(door.opened())
}

/// What was seen, with what the cards said.
pub(super) fn finish(watch: Watch<'_>, cards: Option<CardRecorder>) -> Series {
    let mut series = watch.finish();
    series.cards = cards.map(CardRecorder::finish).unwrap_or_default();
    series
}

/// Processors that a process may use: by its affinity, and where that is our own also by the quota
/// of the control group.
pub(super) fn processors(door: &dyn Door, pid: u32) -> u32 {
    let own = thread::available_parallelism().map_or(1, usize::from);
    let own = u32::try_from(own).unwrap_or(u32::MAX);
    match (allowed(door, &pid.to_string()), allowed(door, "self")) {
        (Some(theirs), ours) if Some(theirs) != ours => theirs.max(1),
        _ => own,
    }
}

fn allowed(door: &dyn Door, who: &str) -> Option<u32> {
    let text = door.read(&format!("/proc/{who}/status")).ok()?;
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().parse::<CpuList>().ok()?.len())
}

/// Adds what was counted meanwhile to a profile.
fn count(profile: &mut CommandProfile, counters: &mut Counters, machine: &Machine) {
    let counts = counters.read();
    let metrics = bottleneck::metrics(&counts, Some(profile.duration_s));
    // Peaks that were measured before; a command is no reason to measure them.
    let kept = models::cache_folder().ok().map(|folder| PeakStore::below(&folder));
    let peaks = kept.and_then(|kept| kept.ceilings(machine));
    let peak = peaks.and_then(|peaks| peaks.best_read_bandwidth());
    activity::add_counters(
        profile,
        activity::Counted {
            counts,
            metrics,
            unseen: counters.unseen().to_vec(),
            peak_bytes_per_s: peak.map(|peak| peak.value),
        },
    );
}

/// Refuses to start what may take hours where its profile could not be written in the end.
pub(super) fn writable(arguments: &Arguments) -> Result<(), Stop> {
    let Some(file) = &arguments.output else { return Ok(()) };
    if file.as_os_str() == "-" {
        return Err(Stop::usage("-o -: the standard output is the command's own")
            .hint("without -o the profile comes on stderr"));
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    tempfile::tempfile_in(folder)
        .map(drop)
        .map_err(|error| Stop::usage(format!("cannot write into {}: {error}", folder.display())))
}

/// The document, printed where it belongs: the command owns stdout, so it comes on stderr.
pub(super) fn deliver(
    mut command: CommandProfile,
    mut counters: Counters,
    captured_at: String,
    arguments: &Arguments,
    printer: Printer,
) -> Result<(), Stop> {
    let machine = detect::machine(&machines::host());
    count(&mut command, &mut counters, &machine);
    let profile = Profile {
        schema: Profile::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        captured_at,
        machine: words(&machine),
        subject: Subject::Command(command),
        caveats: Vec::new(),
    };
    if arguments.output.is_some() {
        return super::super::deliver(&profile, arguments, printer);
    }
    if let Some(folder) = &arguments.out {
        super::super::keep(&profile, folder, printer)?;
    }
    let text = printed(&profile, arguments);
    let mut err = anstream::stderr().lock();
    // Nobody is left to be told that nobody reads it.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    Ok(())
}

fn words(machine: &Machine) -> Option<String> {
    let model = machine.cpu.model.clone()?;
    let threads = machine.cpu.threads_online.or(machine.cpu.threads);
    Some(threads.map_or(model.clone(), |threads| format!("{model}, {threads} threads")))
}

/// `--pid`: looks on, and leaves it alone.
pub(super) fn join(pid: u32, arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let captured_at = global::now();
    let door = Live::open();
    let own = std::process::id();
    if !observe::runs(&door, pid) {
        return Err(Stop::usage(format!("no process with the number {pid} runs"))
            .hint("ps -e lists those that do"));
    }
    if pid == own {
        return Err(Stop::usage("it cannot watch itself"));
    }
    let (_sender, events) = events(&door)?;
    let cards = cards(&door);
    let command = observe::command_line(&door, pid);
    let processors = processors(&door, pid);
    let mut watch = Watch::start(&door, Root::Process(pid), own, processors, cards.is_some());
    if arguments.period.is_none() {
        printer.say(format!("watching process {pid} until it ends; Ctrl-C ends the watch"));
    }
    let counters = Counters::open(Whom::Process(pid));
    let end = arguments.period.map(|period| Instant::now() + period);
    let mut pace = Pace::new();
    let mut exit = Exit::Done;
    let outcome = loop {
        let event = pace.wait(&events, end);
        pace.look(&door);
        let alive = watch.look();
        if alive.running.is_empty() {
            break End::Gone;
        }
        if let Some(Event::Signal(_)) = event {
            exit = Exit::Interrupted;
            break End::Running;
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            break End::Running;
        }
    };
    let series = finish(watch, cards);
    let profile = activity::judge(command, Begin::Joined { pid }, outcome, &series);
    deliver(profile, counters, captured_at, arguments, printer)?;
    Ok(exit)
}
