//! Trees of processes made of recorded texts, on a clock that only the test moves.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::{Alive, CallTable, Closed, Door, Link, Root, Scale, Watch, command_line, runs};
use crate::model::observation::{Series, Source, Wait, Waiting};

/// The watcher's own number.
const OWN: u32 = 1;
/// Processors.
const COUNT: u32 = 4;

#[derive(Debug, Default)]
struct Recorded {
    files: RefCell<BTreeMap<String, Result<String, Closed>>>,
    links: RefCell<BTreeMap<String, Link>>,
    now: Cell<f64>,
}

impl Door for Recorded {
    fn read(&self, path: &str) -> Result<String, Closed> {
        self.files.borrow().get(path).cloned().unwrap_or(Err(Closed::Gone))
    }

    fn list(&self, path: &str) -> Vec<String> {
        let start = format!("{path}/");
        let files = self.files.borrow();
        let links = self.links.borrow();
        let below = files.keys().chain(links.keys()).filter_map(|known| known.strip_prefix(&start));
        let mut names: Vec<String> =
            below.filter_map(|rest| Some(rest.split('/').next()?.to_owned())).collect();
        names.sort();
        names.dedup();
        names
    }

    fn link(&self, path: &str) -> Option<Link> {
        self.links.borrow().get(path).cloned()
    }

    fn now(&self) -> f64 {
        self.now.get()
    }

    fn scale(&self) -> Scale {
        Scale { ticks_per_second: 100, page_bytes: 4096, calls: CallTable::X86 }
    }
}

/// A thread as a test writes it.
#[derive(Debug, Clone, Copy)]
struct Task {
    pid: u32,
    tid: u32,
    parent: u32,
    state: char,
    /// Processor time, and time in the queue, in milliseconds.
    used_ms: u64,
    queued_ms: u64,
    turns: u64,
    /// Of its process, ended children with it, in ticks.
    ticks: u64,
    ended_ticks: u64,
    threads: u32,
    major_faults: u64,
}

impl Task {
    fn new(pid: u32, parent: u32, state: char) -> Self {
        Self {
            pid,
            tid: pid,
            parent,
            state,
            used_ms: 0,
            queued_ms: 0,
            turns: 1,
            ticks: 0,
            ended_ticks: 0,
            threads: 1,
            major_faults: 0,
        }
    }
}

impl Recorded {
    fn write(&self, path: impl Into<String>, text: impl Into<String>) {
        self.files.borrow_mut().insert(path.into(), Ok(text.into()));
    }

    fn refuse(&self, path: impl Into<String>) {
        self.files.borrow_mut().insert(path.into(), Err(Closed::Denied));
    }

    fn lead(&self, path: impl Into<String>, target: &str, writable: bool) {
        self.links.borrow_mut().insert(path.into(), Link { target: target.to_owned(), writable });
    }

    fn pass(&self, seconds: f64) {
        self.now.set(self.now.get() + seconds);
    }

    fn task(&self, task: Task) {
        let Task { pid, tid, parent, state, threads, ticks, ended_ticks, major_faults, .. } = task;
        let stat = format!(
            "{tid} (name {tid}) {state} {parent} 1 1 0 -1 0 10 0 {major_faults} 0 {ticks} 0 \
             {ended_ticks} 0 20 0 {threads} 0 {pid}00 0 100 0 0 0 0 0 0 0 0 0 0 0 0 0 17 2 0 0 0\n"
        );
        let folder = format!("/proc/{pid}/task/{tid}");
        if pid == tid {
            self.write(format!("/proc/{pid}/stat"), stat.clone());
        }
        self.write(format!("{folder}/stat"), stat);
        let (used, queued) = (task.used_ms * 1_000_000, task.queued_ms * 1_000_000);
        self.write(format!("{folder}/schedstat"), format!("{used} {queued} {}\n", task.turns));
        self.files.borrow_mut().entry(format!("{folder}/children")).or_insert(Ok(String::new()));
    }

    fn io(&self, pid: u32, read: u64, written: u64) {
        let text = format!(
            "rchar: 5\nwchar: 6\nsyscr: 7\nsyscw: 8\nread_bytes: {read}\nwrite_bytes: {written}\n"
        );
        self.write(format!("/proc/{pid}/io"), text);
    }

    fn call(&self, pid: u32, tid: u32, number: u64, first: u64) {
        let text = format!("{number} {first:#x} 0x0 0x0 0x0 0x0 0x0 0x7ff 0x7ff\n");
        self.write(format!("/proc/{pid}/task/{tid}/syscall"), text);
    }

    fn children(&self, pid: u32, children: &str) {
        self.write(format!("/proc/{pid}/task/{pid}/children"), children);
    }

    /// A process is gone.
    fn remove(&self, pid: u32) {
        let start = format!("/proc/{pid}/");
        self.files.borrow_mut().retain(|path, _| !path.starts_with(&start));
    }
}

/// A tree with one process, number 7, that waits.
fn one() -> Recorded {
    let door = Recorded::default();
    door.children(OWN, "7");
    door.task(Task::new(7, OWN, 'S'));
    door.io(7, 0, 0);
    door
}

fn start(door: &Recorded) -> Watch<'_> {
    Watch::start(door, Root::ChildrenOf(OWN), OWN, COUNT, false)
}

/// One look in which the process runs for a millisecond and then waits as it is written.
fn waits(door: &Recorded) -> (Option<Waiting>, Series) {
    let mut watch = start(door);
    door.pass(0.02);
    let text = door.read("/proc/7/task/7/schedstat").unwrap();
    let used: u64 = text.split_whitespace().next().unwrap().parse().unwrap();
    door.write("/proc/7/task/7/schedstat", format!("{} 0 2\n", used + 1_000_000));
    watch.look();
    let series = watch.finish();
    (series.looks[0].waiting, series)
}

#[test]
fn calls_and_descriptors_say_what_is_waited_for() {
    let tcp = "  sl  local_address rem_address   st\n\
               0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 10 1\n\
               1: 0100007F:C000 0200000A:01BB 01 0:0 0:0 0 0 0 11 1\n\
               2: 0100007F:1F90 0300000A:D000 01 0:0 0:0 0 0 0 12 1\n";
    let unix = "Num RefCount Protocol Flags Type St Inode Path\n\
                0: 00000002 00000000 00010000 0001 01 13 /run/database\n";
    for (state, number, target, kind, on) in [
        ('S', 0, "socket:[11]", Wait::Network, Some("tcp 10.0.0.2:443")),
        ('S', 45, "socket:[12]", Wait::Requests, Some("a client")),
        ('S', 45, "socket:[10]", Wait::Requests, None),
        ('S', 45, "socket:[13]", Wait::Pipe, Some("local socket /run/database")),
        ('S', 45, "socket:[99]", Wait::Network, Some("a socket")),
        ('S', 43, "socket:[10]", Wait::Requests, None),
        ('D', 0, "/data/x", Wait::Disk, Some("/data/x")),
        ('S', 0, "/tmp/named pipe", Wait::Pipe, Some("/tmp/named pipe")),
        ('S', 0, "pipe:[5]", Wait::Pipe, Some("a pipe")),
        ('S', 0, "/dev/pts/3", Wait::Terminal, Some("/dev/pts/3")),
        ('S', 16, "/dev/nvidia0", Wait::Gpu, Some("/dev/nvidia0")),
        ('S', 0, "anon_inode:[eventfd]", Wait::Event, Some("anon_inode:[eventfd]")),
        ('D', 74, "/data/x", Wait::Disk, Some("/data/x")),
        // An event loop that holds one connection of each kind waits for the one it opened.
        ('S', 232, "socket:[11]", Wait::Network, Some("tcp 10.0.0.2:443")),
        ('S', 232, "socket:[12]", Wait::Requests, None),
        ('S', 232, "anon_inode:[eventpoll]", Wait::Event, None),
        ('S', 202, "/data/x", Wait::Lock, None),
        ('S', 230, "/data/x", Wait::Sleep, None),
        ('S', 61, "/data/x", Wait::Child, None),
        // A parent waits for its child like for storage, without letting signals in.
        ('D', 58, "/data/x", Wait::Child, None),
        ('D', 257, "/data/x", Wait::Disk, None),
        ('D', 9, "/data/x", Wait::Lock, None),
        ('T', 0, "/data/x", Wait::Stopped, None),
    ] {
        let door = one();
        door.task(Task::new(7, OWN, state));
        door.call(7, 7, number, 3);
        door.lead("/proc/7/fd/3", target, false);
        door.write("/proc/7/net/tcp", tcp);
        door.write("/proc/7/net/unix", unix);
        let (waiting, series) = waits(&door);
        assert_eq!(waiting.map(|found| found.kind), Some(kind), "{number} on {target}");
        assert_eq!(series.calls[0].on.as_deref(), on, "{number} on {target}");
    }
}

#[test]
fn a_running_thread_waits_for_nothing() {
    let door = one();
    door.task(Task::new(7, OWN, 'R'));
    assert_eq!(waits(&door).0, None);
    let door = one();
    door.write("/proc/7/task/7/syscall", "running\n");
    assert_eq!(waits(&door).0, None, "it woke up between two files");
}

#[test]
fn where_calls_may_not_be_read_the_function_of_the_kernel_tells() {
    for (function, kind) in [
        ("hrtimer_nanosleep", Wait::Sleep),
        ("futex_wait_queue", Wait::Lock),
        ("do_wait", Wait::Child),
        ("sk_wait_data", Wait::Network),
        ("inet_csk_accept", Wait::Requests),
        ("pipe_read", Wait::Pipe),
        ("ep_poll", Wait::Event),
        ("something_new", Wait::Unknown),
    ] {
        let door = one();
        door.refuse("/proc/7/task/7/syscall");
        door.write("/proc/7/task/7/wchan", function);
        let (waiting, series) = waits(&door);
        let expected = Waiting { kind, source: Source::KernelFunction };
        assert_eq!(waiting, Some(expected), "{function}");
        assert!(series.unseen[0].contains("system calls"), "{:?}", series.unseen);
    }
    let door = one();
    door.refuse("/proc/7/task/7/syscall");
    let (waiting, _) = waits(&door);
    let expected = Waiting { kind: Wait::Unknown, source: Source::TaskState };
    assert_eq!(waiting, Some(expected), "a kernel that hides both");
}

#[test]
fn a_page_from_storage_is_waiting_for_storage() {
    let door = one();
    let mut watch = start(&door);
    door.pass(0.02);
    let task = Task { used_ms: 1, turns: 2, major_faults: 3, ..Task::new(7, OWN, 'D') };
    door.task(task);
    door.write("/proc/7/task/7/syscall", "-1 0x7ff 0x7ff\n");
    watch.look();
    let series = watch.finish();
    let expected = Waiting { kind: Wait::Disk, source: Source::TaskState };
    assert_eq!(series.looks[0].waiting, Some(expected));
    assert_eq!((series.looks[0].major_faults, series.totals.major_faults), (3, 3));
    assert_eq!(series.calls[0].call, "page fault");
}

#[test]
fn a_pipe_from_a_relative_is_no_wait_of_the_program() {
    let door = one();
    door.task(Task { parent: 7, ..Task::new(8, 7, 'S') });
    door.children(7, "8");
    door.call(7, 7, 0, 3);
    door.lead("/proc/7/fd/3", "pipe:[5]", false);
    door.lead("/proc/8/fd/1", "pipe:[5]", true);
    door.call(8, 8, 230, 0);
    let (waiting, series) = waits(&door);
    assert_eq!(waiting.map(|found| found.kind), Some(Wait::Sleep), "the child's own");
    assert!(series.calls.iter().any(|call| call.kind == Wait::Child), "{:?}", series.calls);
    assert_eq!(series.processes_seen, 2);
}

#[test]
fn time_is_counted_from_the_first_look_and_by_thread() {
    let door = one();
    door.task(Task { used_ms: 500, ticks: 50, ..Task::new(7, OWN, 'R') });
    let mut watch = start(&door);
    door.pass(0.1);
    door.task(Task {
        used_ms: 560,
        queued_ms: 30,
        turns: 4,
        ticks: 56,
        threads: 2,
        ..Task::new(7, OWN, 'R')
    });
    // Born meanwhile: all of its time counts.
    door.task(Task { tid: 9, used_ms: 90, threads: 2, ..Task::new(7, OWN, 'R') });
    watch.look();
    let series = watch.finish();
    let look = &series.looks[0];
    assert!((look.on_cpu_s - 0.15).abs() < 1e-9, "{look:?}");
    assert!((look.queued_s - 0.03).abs() < 1e-9, "{look:?}");
    assert_eq!((look.threads, series.threads_seen), (2, 2));
    assert_eq!(series.threads[0].tid, 9);
    assert!((series.by_processor[&2] - 0.15).abs() < 1e-9, "{:?}", series.by_processor);
    assert!((series.totals.user_s - 0.06).abs() < 1e-9, "{:?}", series.totals);
}

#[test]
fn children_that_came_and_went_between_two_looks_count() {
    let door = one();
    let mut watch = start(&door);
    door.pass(1.0);
    door.task(Task { ended_ticks: 80, ..Task::new(7, OWN, 'S') });
    watch.look();
    let series = watch.finish();
    // All but what the two accounts may differ by.
    assert!((0.7..=0.8).contains(&series.looks[0].on_cpu_s), "{:?}", series.looks);
}

#[test]
fn who_is_ready_speaks_for_those_who_left_with_their_accounts() {
    for (state, ready_s) in [('R', 0.015), ('S', 0.0), ('D', 0.0)] {
        let door = one();
        door.children(7, "8");
        door.task(Task::new(8, 7, 'R'));
        let mut watch = start(&door);
        // One child ended unseen and the next began, which has used a little so far.
        door.pass(0.02);
        door.remove(8);
        door.children(7, "9");
        door.task(Task { used_ms: 4, queued_ms: 1, ..Task::new(9, 7, state) });
        watch.look();
        // Nobody came or went: what is not accounted for was waited for.
        door.pass(0.02);
        watch.look();
        let series = watch.finish();
        let found: Vec<f64> = series.looks.iter().map(|look| look.ready_s).collect();
        assert!((found[0] - ready_s).abs() < 1e-9 && found[1].abs() < 1e-9, "{state}: {found:?}");
    }
}

#[test]
fn ticks_that_come_late_are_not_wanted_twice() {
    let door = one();
    door.children(7, "8");
    door.task(Task::new(8, 7, 'R'));
    let mut watch = start(&door);
    door.pass(0.02);
    door.remove(8);
    door.children(7, "9");
    door.task(Task::new(9, 7, 'R'));
    watch.look();
    // What the first child used is told only now; a tick of each process may be rounding.
    door.pass(0.02);
    door.task(Task { ended_ticks: 3, ..Task::new(7, OWN, 'S') });
    door.task(Task::new(9, 7, 'S'));
    watch.look();
    let series = watch.finish();
    let (first, second) = (series.looks[0].ready_s, series.looks[1].on_cpu_s);
    assert!((first - 0.01).abs() < 1e-9 && (second - 0.01).abs() < 1e-9, "{:?}", series.looks);
}

#[test]
fn a_process_that_leaves_takes_nothing_back() {
    let door = one();
    door.children(7, "8");
    door.task(Task { parent: 7, ..Task::new(8, 7, 'S') });
    door.io(8, 0, 0);
    let mut watch = start(&door);
    door.pass(0.02);
    door.task(Task { used_ms: 10, ticks: 10, turns: 2, ..Task::new(8, 7, 'S') });
    door.io(8, 4096, 0);
    watch.look();
    // It vanishes, and its parent did not care: nobody has its counters.
    door.remove(8);
    door.children(7, "");
    door.pass(0.02);
    assert_eq!(watch.look(), Alive { running: vec![7], ended: Vec::new() });
    let series = watch.finish();
    assert!((series.totals.user_s - 0.1).abs() < 1e-9, "{:?}", series.totals);
    assert_eq!(series.totals.io.map(|io| io.storage_read_bytes), Some(4096));
    assert_eq!(series.looks.iter().map(|look| look.read_bytes).sum::<u64>(), 4096);
}

#[test]
fn an_orphan_is_found_among_our_own_children_before_it_is_over() {
    let door = one();
    let mut watch = start(&door);
    door.pass(0.01);
    door.task(Task::new(7, OWN, 'Z'));
    door.task(Task::new(8, OWN, 'R'));
    door.children(OWN, "7 8");
    assert_eq!(watch.look(), Alive { running: vec![8], ended: vec![7] });
    watch.waited_for(7);
    door.remove(7);
    door.pass(0.01);
    door.task(Task { used_ms: 10, ..Task::new(8, OWN, 'R') });
    assert_eq!(watch.look().running, [8]);
    let series = watch.finish();
    assert!(series.looks[1].on_cpu_s > 0.0, "{:?}", series.looks);
}

#[test]
fn a_number_that_was_given_to_somebody_else_is_not_followed() {
    let door = one();
    let mut watch = start(&door);
    door.pass(0.02);
    let text = door.read("/proc/7/stat").unwrap().replace(" 700 ", " 900 ");
    door.write("/proc/7/stat", text);
    assert_eq!(watch.look(), Alive::default());
}

#[test]
fn without_lists_of_children_all_processes_are_searched() {
    let door = one();
    door.files.borrow_mut().retain(|path, _| !path.ends_with("/children"));
    door.write("/proc/7/stat", door.read("/proc/7/task/7/stat").unwrap());
    let mut watch = start(&door);
    door.pass(0.02);
    assert_eq!(watch.look().running, [7]);
}

#[test]
fn parked_threads_do_not_name_the_wait() {
    let door = one();
    let both = |used_ms, turns| {
        door.task(Task { used_ms, turns, threads: 2, ..Task::new(7, OWN, 'S') });
        door.task(Task { tid: 9, threads: 2, ..Task::new(7, OWN, 'S') });
    };
    both(0, 1);
    door.call(7, 7, 230, 0);
    // Waits for the network, and has not run for a long time.
    door.call(7, 9, 45, 3);
    door.lead("/proc/7/fd/3", "socket:[11]", false);
    let mut watch = start(&door);
    door.pass(0.02);
    both(1, 2);
    watch.look();
    door.pass(10.0);
    both(2, 3);
    watch.look();
    let series = watch.finish();
    let kinds: Vec<Wait> =
        series.looks.iter().filter_map(|look| Some(look.waiting?.kind)).collect();
    assert_eq!(kinds, [Wait::Network, Wait::Sleep]);
}

#[test]
fn what_is_refused_is_said() {
    let door = one();
    door.refuse("/proc/7/io");
    let (_, series) = waits(&door);
    assert_eq!(series.totals.io, None);
    assert!(series.unseen[0].contains("input and output"), "{:?}", series.unseen);
}

#[test]
fn cards_are_found_among_descriptors() {
    let door = one();
    door.lead("/proc/7/fd/9", "/dev/nvidia0", true);
    let mut watch = Watch::start(&door, Root::ChildrenOf(OWN), OWN, COUNT, true);
    door.pass(1.0);
    watch.look();
    assert!(watch.finish().holds_card);
}

#[test]
fn long_watches_keep_a_bounded_number_of_looks() {
    let door = one();
    let mut watch = start(&door);
    for turn in 0..9000_u64 {
        door.pass(0.02);
        door.write("/proc/7/task/7/schedstat", format!("{} 0 {turn}\n", turn * 10_000_000));
        watch.look();
    }
    let series = watch.finish();
    assert!(series.looks.len() <= 8192, "{}", series.looks.len());
    let seconds: f64 = series.looks.iter().map(|look| look.span_s).sum();
    assert!((seconds - 180.0).abs() < 1e-6, "{seconds}");
    let used: f64 = series.looks.iter().map(|look| look.on_cpu_s).sum();
    assert!((used - 89.99).abs() < 0.1, "{used}");
}

#[test]
fn a_command_line_is_read_with_its_empty_words() {
    let door = one();
    door.write("/proc/7/cmdline", "a\0\0b c\0");
    assert_eq!(command_line(&door, 7), ["a", "", "b c"]);
    door.write("/proc/7/cmdline", "");
    assert_eq!(command_line(&door, 7), ["name 7"]);
    assert!(runs(&door, 7) && !runs(&door, 8));
}
