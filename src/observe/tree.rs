//! A tree of processes under watch: who belongs to it, what it used, what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::LAUNCHER;
use super::door::{Closed, Door, Scale};
use super::parse::{self, Stat};
use super::sockets::Descriptors;
use super::wait::{self, Seen, Sleeper};
use crate::model::observation::{
    CallSeen, IoCounts, Look, NetworkCounts, Series, ThreadUse, Totals, Wait, Waiting,
};

/// Most threads of which a look reads the details; the time of the others is known by process.
const MOST_THREADS: usize = 512;
/// Most processes that are followed.
const MOST_PROCESSES: usize = 2048;
/// Looks that are kept: beyond it every two become one.
const MOST_LOOKS: usize = 8192;
/// Most places of waiting that are told apart, and most ended threads that are remembered.
const MOST_KINDS: usize = 512;
/// Threads that have not run for so long are parked: what they wait for holds nobody up.
const PARKED_S: f64 = 5.0;
/// Facts that change slowly are read again after so many seconds.
const SLOW_S: f64 = 0.5;
/// Our own children are looked up at every so many looks.
const OWN_CHILDREN: u32 = 4;
/// The kernel rounds its account in ticks down, and so does the base that is taken off: for each
/// process of the base about a tick too much is left.
const BASE_TICKS: u64 = 1;

/// What may be refused.
const INPUT: &str = "input and output of its processes";
const CALLS: &str = "the system calls in which its threads wait";

/// Whom to watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// Every child of this process, adopted ones too.
    ChildrenOf(u32),
    /// This process and what descends from it.
    Process(u32),
}

/// Who is left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Alive {
    /// Processes that run.
    pub running: Vec<u32>,
    /// Processes that have ended and that only the watcher can wait for.
    pub ended: Vec<u32>,
}

/// A tree of processes under watch.
pub struct Watch<'a> {
    door: &'a dyn Door,
    scale: Scale,
    root: Root,
    own: u32,
    processes: BTreeMap<u32, Process>,
    descriptors: Descriptors,
    /// Counters of processes that are gone and that no relative took over.
    retired: Counters,
    base: Option<Counters>,
    high: Counters,
    rounding_ticks: u64,
    /// Processor time that looks have accounted for, in seconds.
    accounted_s: f64,
    last: f64,
    count: u32,
    series: Series,
    calls: BTreeMap<(String, Option<String>, Wait), u64>,
    ended_threads: Vec<ThreadUse>,
    network: Option<(NetworkCounts, NetworkCounts)>,
    network_at: f64,
    machine: Option<(f64, u64)>,
    own_base_s: f64,
    /// Whether the kernel lists children; else all of `/proc` is searched.
    lists_children: bool,
    seeks_cards: bool,
    refused: BTreeSet<&'static str>,
    skipped_threads: bool,
    /// Threads that were running, or ready to, when the look was taken.
    ready: u32,
    /// Threads that were found waiting and are to be asked what for, once all of the tree is known.
    sleepers: Vec<Sleeper>,
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Counters that only grow, of a process and of its children that have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    user_ticks: u64,
    system_ticks: u64,
    minor_faults: u64,
    major_faults: u64,
    io: IoCounts,
}

impl Counters {
    fn each(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        let io = IoCounts {
            storage_read_bytes: with(self.io.storage_read_bytes, other.io.storage_read_bytes),
            storage_write_bytes: with(self.io.storage_write_bytes, other.io.storage_write_bytes),
            read_bytes: with(self.io.read_bytes, other.io.read_bytes),
            write_bytes: with(self.io.write_bytes, other.io.write_bytes),
            read_calls: with(self.io.read_calls, other.io.read_calls),
            write_calls: with(self.io.write_calls, other.io.write_calls),
        };
        Self {
            user_ticks: with(self.user_ticks, other.user_ticks),
            system_ticks: with(self.system_ticks, other.system_ticks),
            minor_faults: with(self.minor_faults, other.minor_faults),
            major_faults: with(self.major_faults, other.major_faults),
            io,
        }
    }
}

#[derive(Debug, Default)]
struct Process {
    started: u64,
    parent: u32,
    counters: Counters,
    threads: BTreeMap<u32, Thread>,
    ended: bool,
    slow_at: Option<f64>,
}

#[derive(Debug, Default)]
struct Thread {
    name: String,
    on_cpu_ns: u64,
    queued_ns: u64,
    turns: u64,
    /// What of it fell into the watch.
    own_ns: u64,
    ran_at: f64,
    seen: Option<Seen>,
    switches: Option<(u64, u64)>,
    switches_at: f64,
    delay_ticks: Option<u64>,
    children: Vec<u32>,
}

impl<'a> Watch<'a> {
    /// Begins with a first look, from which all is counted. `own` is the watcher itself;
    /// `processors` are those that the command may use; `cards` says whether descriptors are
    /// searched for graphics processors.
    #[must_use]
    pub fn start(door: &'a dyn Door, root: Root, own: u32, processors: u32, cards: bool) -> Self {
        let delays = door.read("/proc/sys/kernel/task_delayacct").unwrap_or_default();
        let storage_delay_s = (delays.trim() == "1").then_some(0.0);
        let totals = Totals { storage_delay_s, ..Totals::default() };
        let lists = door.read(&format!("/proc/{own}/task/{own}/children")).is_ok();
        let mut watch = Self {
            door,
            scale: door.scale(),
            root,
            own,
            processes: BTreeMap::new(),
            descriptors: Descriptors::default(),
            retired: Counters::default(),
            base: None,
            high: Counters::default(),
            rounding_ticks: 0,
            accounted_s: 0.0,
            last: door.now(),
            count: 0,
            series: Series { processors: processors.max(1), totals, ..Series::default() },
            calls: BTreeMap::new(),
            ended_threads: Vec::new(),
            network: None,
            network_at: f64::NEG_INFINITY,
            machine: None,
            own_base_s: 0.0,
            lists_children: lists,
            seeks_cards: cards,
            refused: BTreeSet::new(),
            skipped_threads: false,
            ready: 0,
            sleepers: Vec::new(),
        };
        watch.own_base_s = watch.own_cpu();
        watch.machine = watch.busy_ticks().map(|busy| (watch.last, busy));
        watch.look();
        watch
    }

    /// When the last look was taken, on the door's clock.
    #[must_use]
    pub fn looked_at(&self) -> f64 {
        self.last
    }

    /// Looks, and says who is left.
    pub fn look(&mut self) -> Alive {
        let now = self.door.now();
        let mut look = Look { at_s: now, span_s: now - self.last, ..Look::default() };
        self.ready = 0;
        let mut queue: Vec<(u32, Option<u32>)> =
            self.processes.keys().map(|pid| (*pid, None)).collect();
        let due = self.count.is_multiple_of(OWN_CHILDREN);
        if due {
            queue.extend(self.roots());
        }
        let scanned = if self.lists_children { BTreeMap::new() } else { self.scan() };
        let mut visited = BTreeSet::new();
        let mut details = 0;
        self.walk(queue, &scanned, now, &mut look, (&mut visited, &mut details));
        if !due && self.processes.values().all(|process| process.ended) {
            // Before it is taken to be over: who has lost its parent is our child now.
            let roots = self.roots();
            self.walk(roots, &scanned, now, &mut look, (&mut visited, &mut details));
        }
        let gone: Vec<u32> =
            self.processes.keys().copied().filter(|pid| !visited.contains(pid)).collect();
        let ended = !gone.is_empty();
        for pid in gone {
            self.leave(pid);
        }
        self.count_up(&mut look);
        if ended && self.ready > 0 {
            look.ready_s = (look.span_s - look.wanted_s()).max(0.0);
        }
        if self.count > 0 {
            self.judge_sleepers();
            self.decide(now, &mut look);
        }
        self.sleepers.clear();
        self.slow_facts(now);
        self.keep(look, now);
        self.alive()
    }

    /// Visits these and all that descend from them.
    fn walk(
        &mut self,
        mut queue: Vec<(u32, Option<u32>)>,
        scanned: &BTreeMap<u32, Vec<u32>>,
        now: f64,
        look: &mut Look,
        (visited, details): (&mut BTreeSet<u32>, &mut usize),
    ) {
        while let Some((pid, parent)) = queue.pop() {
            if visited.len() >= MOST_PROCESSES || visited.contains(&pid) {
                continue;
            }
            if let Some(children) = self.visit(pid, parent, now, look, details) {
                visited.insert(pid);
                let more = scanned.get(&pid).into_iter().flatten().copied();
                queue.extend(children.into_iter().chain(more).map(|child| (child, Some(pid))));
            }
        }
    }

    fn alive(&self) -> Alive {
        let own = self.own;
        let mut alive = Alive::default();
        for (pid, process) in &self.processes {
            match process.ended {
                false => alive.running.push(*pid),
                true if process.parent == own => alive.ended.push(*pid),
                true => {}
            }
        }
        alive
    }

    /// A process was waited for by the watcher: what it counted is kept here.
    pub fn waited_for(&mut self, pid: u32) {
        if let Some(process) = self.processes.remove(&pid) {
            self.retired = self.retired.each(&process.counters, u64::saturating_add);
            self.remember(pid, process);
        }
    }

    /// Where to begin: numbers, and whose children they must be.
    fn roots(&self) -> Vec<(u32, Option<u32>)> {
        match self.root {
            Root::Process(pid) if self.count == 0 => vec![(pid, None)],
            Root::ChildrenOf(pid) if self.lists_children => {
                let mut found = Vec::new();
                for tid in self.door.list(&format!("/proc/{pid}/task")) {
                    let children = self.children(pid, &tid);
                    found.extend(children.into_iter().map(|child| (child, Some(pid))));
                }
                found
            }
            Root::ChildrenOf(pid) => {
                let scanned = self.scan();
                let children = scanned.get(&pid).into_iter().flatten();
                children.map(|child| (*child, Some(pid))).collect()
            }
            Root::Process(_) => Vec::new(),
        }
    }

    fn children(&self, pid: u32, tid: &str) -> Vec<u32> {
        let text = self.door.read(&format!("/proc/{pid}/task/{tid}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }

    /// Children by parent, from every process there is: for kernels that list no children.
    fn scan(&self) -> BTreeMap<u32, Vec<u32>> {
        let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for name in self.door.list("/proc") {
            let Ok(pid) = name.parse::<u32>() else { continue };
            let text = self.door.read(&format!("/proc/{pid}/stat")).unwrap_or_default();
            if let Some(stat) = parse::stat(&text) {
                found.entry(stat.parent).or_default().push(pid);
            }
        }
        found
    }

    /// Reads one process; gives its children, or `None` where it is gone or none of ours.
    fn visit(
        &mut self,
        pid: u32,
        parent: Option<u32>,
        now: f64,
        look: &mut Look,
        details: &mut usize,
    ) -> Option<Vec<u32>> {
        if pid == self.own {
            return None;
        }
        let stat = parse::stat(&self.door.read(&format!("/proc/{pid}/stat")).ok()?)?;
        match self.processes.get(&pid) {
            Some(known) if known.started == stat.started => {}
            // Its number went to somebody else.
            Some(_) => return None,
            None if parent.is_some_and(|parent| parent != stat.parent) => return None,
            None => {
                let process = Process { started: stat.started, ..Process::default() };
                self.processes.insert(pid, process);
                self.series.processes_seen += 1;
            }
        }
        let io = self.io(pid);
        let ended = stat.has_ended();
        let process = self.processes.get_mut(&pid)?;
        let before = process.counters;
        process.counters = Counters {
            user_ticks: stat.user_ticks + stat.ended_user_ticks,
            system_ticks: stat.system_ticks + stat.ended_system_ticks,
            minor_faults: stat.minor_faults + stat.ended_minor_faults,
            major_faults: stat.major_faults + stat.ended_major_faults,
            io: io.unwrap_or(before.io),
        };
        process.parent = stat.parent;
        process.ended = ended;
        // Until the command is executed, the memory is our own.
        let pages = if stat.name == LAUNCHER { 0 } else { stat.resident_pages };
        look.resident_bytes += pages.saturating_mul(self.scale.page_bytes);
        look.threads += if ended { 0 } else { stat.threads };
        look.processes += u32::from(!ended);
        let moved = before.io.storage_read_bytes != process.counters.io.storage_read_bytes
            || before.io.storage_write_bytes != process.counters.io.storage_write_bytes;
        let fetched = before.major_faults != process.counters.major_faults;
        let tids: Vec<u32> = if stat.threads <= 1 {
            vec![pid]
        } else {
            let names = self.door.list(&format!("/proc/{pid}/task"));
            names.iter().filter_map(|name| name.parse().ok()).collect()
        };
        let mut threads = std::mem::take(&mut self.processes.get_mut(&pid)?.threads);
        let mut children = Vec::new();
        let present: BTreeSet<u32> = tids.iter().copied().collect();
        for tid in tids {
            *details += 1;
            if *details > MOST_THREADS {
                self.skipped_threads = true;
                break;
            }
            if !threads.contains_key(&tid) {
                self.series.threads_seen += 1;
            }
            let leader = (tid == pid).then_some(&stat);
            let thread = threads.entry(tid).or_default();
            self.visit_thread(pid, tid, thread, leader, (moved, fetched), now, look);
            children.extend(&thread.children);
        }
        let left: Vec<u32> = threads.keys().copied().filter(|tid| !present.contains(tid)).collect();
        for tid in left {
            if let Some(thread) = threads.remove(&tid) {
                self.end_thread(pid, tid, thread);
            }
        }
        self.processes.get_mut(&pid)?.threads = threads;
        Some(children)
    }

    fn io(&mut self, pid: u32) -> Option<IoCounts> {
        let text = match self.door.read(&format!("/proc/{pid}/io")) {
            Ok(text) => text,
            Err(closed) => {
                if closed == Closed::Denied {
                    self.refused.insert(INPUT);
                }
                return None;
            }
        };
        Some(IoCounts {
            storage_read_bytes: parse::named(&text, "read_bytes")?,
            storage_write_bytes: parse::named(&text, "write_bytes")?,
            read_bytes: parse::named(&text, "rchar")?,
            write_bytes: parse::named(&text, "wchar")?,
            read_calls: parse::named(&text, "syscr")?,
            write_calls: parse::named(&text, "syscw")?,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "what one look knows of the thread's process")]
    fn visit_thread(
        &mut self,
        pid: u32,
        tid: u32,
        thread: &mut Thread,
        leader: Option<&Stat>,
        (moved, fetched): (bool, bool),
        now: f64,
        look: &mut Look,
    ) {
        let folder = format!("/proc/{pid}/task/{tid}");
        let Ok(text) = self.door.read(&format!("{folder}/schedstat")) else { return };
        let Some((on_cpu, queued, turns)) = parse::schedule(&text) else { return };
        let new = thread.name.is_empty();
        let ran = (on_cpu, turns) != (thread.on_cpu_ns, thread.turns);
        let first = self.count == 0;
        // A thread cannot have run for longer than the time that has passed; one that was missed
        // before may bring more.
        let most = Duration::try_from_secs_f64(look.span_s * 1.02).unwrap_or_default();
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        let own = if first { 0 } else { on_cpu.saturating_sub(thread.on_cpu_ns).min(most) };
        let waited = if first { 0 } else { queued.saturating_sub(thread.queued_ns).min(most) };
        if !first {
            self.series.totals.turns += turns.saturating_sub(thread.turns);
        }
        look.on_cpu_s += own as f64 / 1e9;
        look.queued_s += waited as f64 / 1e9;
        thread.own_ns += own;
        (thread.on_cpu_ns, thread.queued_ns, thread.turns) = (on_cpu, queued, turns);
        let ready = leader.is_some_and(|stat| stat.state == 'R');
        if !ran && !new && !ready && thread.seen.is_some() {
            return;
        }
        if ran || new {
            thread.ran_at = now;
            look.awake += 1;
        }
        let read;
        let stat = if let Some(stat) = leader.filter(|stat| stat.threads <= 1) {
            stat
        } else {
            let text = self.door.read(&format!("{folder}/stat")).unwrap_or_default();
            let Some(found) = parse::stat(&text) else { return };
            read = found;
            &read
        };
        thread.name.clone_from(&stat.name);
        if let Some(processor) = stat.processor.filter(|_| own > 0) {
            *self.series.by_processor.entry(processor).or_default() += own as f64 / 1e9;
        }
        if let (Some(total), Some(ticks)) =
            (self.series.totals.storage_delay_s.as_mut(), stat.storage_delay_ticks)
        {
            let before = thread.delay_ticks.replace(ticks);
            let since = ticks.saturating_sub(before.unwrap_or(if first { ticks } else { 0 }));
            *total += since as f64 / self.scale.ticks_per_second as f64;
        }
        if self.lists_children {
            thread.children = self.children(pid, &tid.to_string());
        }
        self.switches(&folder, thread, now, first, stat.state);
        thread.seen = None;
        self.ready += u32::from(stat.state == 'R');
        if !matches!(stat.state, 'R' | 'Z' | 'X') {
            self.sleepers.push(Sleeper { pid, tid, state: stat.state, fetched, moved });
        }
    }

    /// Asks who was found waiting what for. It takes the whole tree to tell a relative's pipe.
    fn judge_sleepers(&mut self) {
        let family: BTreeSet<u32> = self.processes.keys().copied().collect();
        for sleeper in std::mem::take(&mut self.sleepers) {
            let (seen, refused) = wait::judge(self.door, &mut self.descriptors, &sleeper, &family);
            if refused {
                self.refused.insert(CALLS);
            }
            let process = self.processes.get_mut(&sleeper.pid);
            if let Some(thread) = process.and_then(|one| one.threads.get_mut(&sleeper.tid)) {
                thread.seen = seen;
            }
        }
    }

    /// Switches, read now and then, and when it has ended.
    fn switches(&mut self, folder: &str, thread: &mut Thread, now: f64, first: bool, state: char) {
        let due = thread.switches.is_none() || now - thread.switches_at > SLOW_S || state == 'Z';
        if !due {
            return;
        }
        let text = self.door.read(&format!("{folder}/status")).unwrap_or_default();
        let voluntary = parse::named(&text, "voluntary_ctxt_switches");
        let Some(found) = voluntary.zip(parse::named(&text, "nonvoluntary_ctxt_switches")) else {
            return;
        };
        let before = thread.switches.unwrap_or(if first { found } else { (0, 0) });
        self.series.totals.voluntary_switches += found.0.saturating_sub(before.0);
        self.series.totals.involuntary_switches += found.1.saturating_sub(before.1);
        thread.switches = Some(found);
        thread.switches_at = now;
    }

    /// A process is gone. A relative that waited for it has its counters; else they are kept.
    fn leave(&mut self, pid: u32) {
        let Some(process) = self.processes.remove(&pid) else { return };
        if !self.processes.contains_key(&process.parent) {
            self.retired = self.retired.each(&process.counters, u64::saturating_add);
        }
        self.remember(pid, process);
    }

    fn remember(&mut self, pid: u32, process: Process) {
        self.descriptors.forget(pid);
        for (tid, thread) in process.threads {
            self.end_thread(pid, tid, thread);
        }
    }

    fn end_thread(&mut self, pid: u32, tid: u32, thread: Thread) {
        let cpu_s = thread.own_ns as f64 / 1e9;
        if cpu_s > 0.0 {
            self.ended_threads.push(ThreadUse { name: thread.name, pid, tid, cpu_s });
        }
        if self.ended_threads.len() > 2 * MOST_KINDS {
            self.ended_threads.sort_by(|a, b| b.cpu_s.total_cmp(&a.cpu_s));
            self.ended_threads.truncate(MOST_KINDS);
        }
    }

    /// What all processes counted since the last look.
    fn count_up(&mut self, look: &mut Look) {
        let all = self
            .processes
            .values()
            .fold(self.retired, |all, process| all.each(&process.counters, u64::saturating_add));
        let base = *self.base.get_or_insert(all);
        let before = self.high;
        // A process whose parent lets it vanish takes its counters along: never count down.
        self.high = all.each(&base, u64::saturating_sub).each(&before, u64::max);
        look.read_bytes = self.high.io.storage_read_bytes - before.io.storage_read_bytes;
        look.write_bytes = self.high.io.storage_write_bytes - before.io.storage_write_bytes;
        look.major_faults = self.high.major_faults - before.major_faults;
        // Processes that came and went between two looks are in the account of their parents.
        self.accounted_s += look.on_cpu_s;
        let ticks = self.high.user_ticks + self.high.system_ticks;
        if self.count == 0 {
            self.rounding_ticks = BASE_TICKS * self.processes.len() as u64;
        }
        let per_second = self.scale.ticks_per_second as f64;
        let missed =
            ticks.saturating_sub(self.rounding_ticks) as f64 / per_second - self.accounted_s;
        if missed > 0.0 {
            let room = f64::from(self.series.processors) * look.span_s - look.on_cpu_s;
            let missed = missed.min(room.max(0.0));
            look.on_cpu_s += missed;
            self.accounted_s += missed;
            // Ticks come late: what was taken for ready in the look before may have been this.
            if let Some(before) = self.series.looks.last_mut() {
                before.ready_s = (before.ready_s - missed).max(0.0);
            }
        }
    }

    /// What the program waits for: the first kind by rank among threads that are not parked.
    fn decide(&mut self, now: f64, look: &mut Look) {
        let threads = || self.processes.values().flat_map(|process| process.threads.values());
        let seen = |parked: bool| -> Vec<&Seen> {
            let counts = |thread: &&Thread| parked || now - thread.ran_at <= PARKED_S;
            threads().filter(counts).filter_map(|thread| thread.seen.as_ref()).collect()
        };
        let mut waiting = seen(false);
        if waiting.is_empty() {
            waiting = seen(true);
        }
        let first: Option<Waiting> = waiting.iter().map(|seen| seen.waiting).min();
        look.waiting = first;
        let same = |seen: &&&Seen| first.is_some_and(|first| first.kind == seen.waiting.kind);
        look.in_flight = waiting.iter().filter(same).count().try_into().unwrap_or(u32::MAX);
        for seen in waiting {
            let key = (seen.call.clone(), seen.on.clone(), seen.waiting.kind);
            let full = self.calls.len() >= MOST_KINDS && !self.calls.contains_key(&key);
            let key = if full { (key.0, None, key.2) } else { key };
            *self.calls.entry(key).or_default() += 1;
        }
    }

    fn slow_facts(&mut self, now: f64) {
        let due: Vec<u32> = self
            .processes
            .iter()
            .filter(|(_, process)| !process.ended)
            .filter(|(_, process)| process.slow_at.is_none_or(|at| now - at > SLOW_S))
            .map(|(pid, _)| *pid)
            .collect();
        let several = self.processes.len() > 1;
        for pid in due {
            if self.seeks_cards && !self.series.holds_card {
                self.series.holds_card = self.descriptors.held(self.door, pid).card;
            }
            let text = self.door.read(&format!("/proc/{pid}/status")).unwrap_or_default();
            let own = text.contains(LAUNCHER);
            if let Some(kib) = parse::named(&text, "VmHWM").filter(|_| !several && !own) {
                let peak = &mut self.series.totals.peak_bytes;
                *peak = (*peak).max(kib.saturating_mul(1024));
            }
            if let Some(process) = self.processes.get_mut(&pid) {
                process.slow_at = Some(now);
            }
        }
        if now - self.network_at > SLOW_S
            && let Some(pid) = self.processes.iter().find(|(_, one)| !one.ended).map(|(pid, _)| pid)
            && let Ok(text) = self.door.read(&format!("/proc/{pid}/net/dev"))
        {
            let found = parse::interfaces(&text);
            self.network = Some((self.network.map_or(found, |(first, _)| first), found));
            self.network_at = now;
        }
    }

    fn keep(&mut self, look: Look, now: f64) {
        self.last = now;
        self.count += 1;
        let peak = &mut self.series.totals.peak_bytes;
        *peak = (*peak).max(look.resident_bytes);
        if self.count == 1 {
            // Only where counting begins.
            return;
        }
        let looks = &mut self.series.looks;
        looks.push(look);
        if looks.len() > MOST_LOOKS {
            let mut thinned: Vec<Look> = Vec::with_capacity(looks.len() / 2 + 1);
            let mut all = std::mem::take(looks).into_iter();
            while let Some(mut one) = all.next() {
                if let Some(next) = all.next() {
                    one.join(&next);
                }
                thinned.push(one);
            }
            *looks = thinned;
        }
    }

    fn busy_ticks(&self) -> Option<u64> {
        parse::busy_ticks(&self.door.read("/proc/stat").ok()?)
    }

    fn own_cpu(&self) -> f64 {
        let text = self.door.read(&format!("/proc/{}/stat", self.own)).unwrap_or_default();
        let ticks = parse::stat(&text).map_or(0, |stat| stat.user_ticks + stat.system_ticks);
        ticks as f64 / self.scale.ticks_per_second as f64
    }

    /// Everything that was seen.
    #[must_use]
    pub fn finish(mut self) -> Series {
        let per_second = self.scale.ticks_per_second as f64;
        let processes = std::mem::take(&mut self.processes);
        for (pid, process) in processes {
            self.remember(pid, process);
        }
        let own_cpu_s = self.own_cpu() - self.own_base_s;
        let others_cores = self.others(own_cpu_s);
        let network = self.network.map(|(first, last)| NetworkCounts {
            received_bytes: last.received_bytes.saturating_sub(first.received_bytes),
            sent_bytes: last.sent_bytes.saturating_sub(first.sent_bytes),
            received_packets: last.received_packets.saturating_sub(first.received_packets),
            sent_packets: last.sent_packets.saturating_sub(first.sent_packets),
        });
        let mut series = self.series;
        series.own_cpu_s = own_cpu_s.max(0.0);
        series.totals = Totals {
            user_s: self.high.user_ticks as f64 / per_second,
            system_s: self.high.system_ticks as f64 / per_second,
            minor_faults: self.high.minor_faults,
            major_faults: self.high.major_faults,
            io: (!self.refused.contains(INPUT)).then_some(self.high.io),
            network,
            others_cores,
            ..series.totals
        };
        self.ended_threads.sort_by(|a, b| b.cpu_s.total_cmp(&a.cpu_s));
        self.ended_threads.truncate(MOST_KINDS);
        series.threads = self.ended_threads;
        series.calls = self
            .calls
            .into_iter()
            .map(|((call, on, kind), times)| CallSeen { call, on, kind, times })
            .collect();
        series.calls.sort_by_key(|call| std::cmp::Reverse(call.times));
        series.unseen =
            self.refused.iter().map(|what| format!("this user may not read {what}")).collect();
        if self.skipped_threads {
            let sentence = format!(
                "more than {MOST_THREADS} threads at once: of those beyond it only the processor \
                 time was seen"
            );
            series.unseen.push(sentence);
        }
        series
    }

    /// Processors that everybody else used.
    fn others(&self, own_cpu_s: f64) -> Option<f64> {
        let (since, before) = self.machine?;
        let span = self.last - since;
        let busy = self.busy_ticks()?.saturating_sub(before) as f64;
        let busy = busy / self.scale.ticks_per_second as f64;
        (span > 0.0).then(|| ((busy - self.accounted_s - own_cpu_s) / span).max(0.0))
    }
}
