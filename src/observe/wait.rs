//! What one thread waits for, from its state, its system call and what its descriptor leads to.

use std::collections::BTreeSet;

use super::calls::{self, Nature};
use super::door::{Closed, Door};
use super::parse::{self, Inside};
use super::sockets::{Descriptors, Peer, is_card, numbered};
use crate::model::observation::{Source, Wait, Waiting};

/// A thread that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) waiting: Waiting,
    /// The system call, `page fault`, or the function of the kernel.
    pub(super) call: String,
    /// What its descriptor leads to.
    pub(super) on: Option<String>,
}

/// A thread that is not running, and what surrounds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sleeper {
    pub(super) pid: u32,
    pub(super) tid: u32,
    /// `S`, `D`, `T` …
    pub(super) state: char,
    /// Whether its process had pages fetched from storage since the last look.
    pub(super) fetched: bool,
    /// Whether its process moved bytes to or from storage since the last look.
    pub(super) moved: bool,
}

/// What it waits for; `None` where it woke up meanwhile. The flag says that a file was refused.
/// `family` is every process of the tree.
pub(super) fn judge(
    door: &dyn Door,
    descriptors: &mut Descriptors,
    sleeper: &Sleeper,
    family: &BTreeSet<u32>,
) -> (Option<Seen>, bool) {
    let Sleeper { pid, tid, state, .. } = *sleeper;
    if matches!(state, 'T' | 't') {
        return (Some(seen(Wait::Stopped, Source::TaskState, "stopped", None)), false);
    }
    let text = door.read(&format!("/proc/{pid}/task/{tid}/syscall"));
    let refused = text == Err(Closed::Denied);
    let inside = text.ok().and_then(|text| parse::system_call(&text));
    let found = match inside {
        Some(Inside::Running) => None,
        Some(Inside::Fault) => Some(fault(door, sleeper)),
        Some(Inside::Call { number, first }) => match calls::named(door.scale().calls, number) {
            Some((name, nature)) => {
                let asked = Asked { name, nature, first };
                Some(call(door, descriptors, sleeper, family, &asked))
            }
            None => Some(by_function(door, descriptors, sleeper, &format!("call {number}"))),
        },
        None => Some(by_function(door, descriptors, sleeper, "not seen")),
    };
    (found, refused)
}

fn seen(kind: Wait, source: Source, call: &str, on: Option<String>) -> Seen {
    Seen { waiting: Waiting { kind, source }, call: call.to_owned(), on }
}

/// Waiting, and in no call: a page that has to be fetched, or the lock on the map of memory.
fn fault(door: &dyn Door, sleeper: &Sleeper) -> Seen {
    let function = function(door, sleeper);
    let kind = match function.as_deref().and_then(kind_of_function) {
        Some(kind) => kind,
        None if sleeper.fetched && sleeper.state == 'D' => Wait::Disk,
        None => Wait::Unknown,
    };
    seen(kind, Source::TaskState, "page fault", None)
}

/// A system call.
struct Asked<'a> {
    name: &'a str,
    nature: Nature,
    first: u64,
}

fn call(
    door: &dyn Door,
    descriptors: &mut Descriptors,
    sleeper: &Sleeper,
    family: &BTreeSet<u32>,
    &Asked { name, nature, first }: &Asked<'_>,
) -> Seen {
    let blocked = sleeper.state == 'D';
    let told = |kind, on| seen(kind, Source::SystemCall, name, on);
    let deep = |kind| seen(kind, Source::TaskState, name, None);
    match nature {
        Nature::Descriptor => descriptor(door, descriptors, sleeper, family, (name, first)),
        Nature::Accept => told(Wait::Requests, None),
        Nature::Flush => told(Wait::Disk, path(door, sleeper.pid, first)),
        Nature::Names if blocked => deep(Wait::Disk),
        Nature::Transfers => told(Wait::Disk, None),
        Nature::Ring if sleeper.moved || blocked => {
            seen(Wait::Disk, Source::IoCounters, name, None)
        }
        Nature::Several | Nature::Ring => several(door, descriptors, sleeper.pid, name),
        Nature::Lock | Nature::Memory => told(Wait::Lock, None),
        Nature::Child | Nature::Begin => told(Wait::Child, None),
        Nature::Sleep => told(Wait::Sleep, None),
        Nature::Signal => told(Wait::Event, None),
        Nature::Queue => told(Wait::Pipe, None),
        Nature::Names => by_function(door, descriptors, sleeper, name),
    }
}

/// A call that waits for one descriptor.
fn descriptor(
    door: &dyn Door,
    descriptors: &mut Descriptors,
    sleeper: &Sleeper,
    family: &BTreeSet<u32>,
    (name, number): (&str, u64),
) -> Seen {
    let pid = sleeper.pid;
    let told = |kind, on: Option<String>| seen(kind, Source::SystemCall, name, on);
    let Some(link) = door.link(&format!("/proc/{pid}/fd/{number}")) else {
        return by_function(door, descriptors, sleeper, name);
    };
    let target = link.target;
    if let Some(inode) = numbered(&target, "socket") {
        return match descriptors.peer(door, pid, inode) {
            Some(Peer::Outbound(to) | Peer::Packets(to)) => told(Wait::Network, Some(to)),
            Some(Peer::Inbound) => told(Wait::Requests, Some("a client".to_owned())),
            Some(Peer::Listening) => told(Wait::Requests, None),
            Some(Peer::Local(to)) => told(Wait::Pipe, Some(to)),
            None => told(Wait::Network, Some("a socket".to_owned())),
        };
    }
    if let Some(inode) = numbered(&target, "pipe") {
        let on = Some("a pipe".to_owned());
        let others = family.iter().filter(|other| **other != pid);
        // Reading from a relative is no wait of the program: the relative is looked into.
        let mut feeds = |other: &u32| descriptors.feeds(door, *other, inode);
        let reads = !link.writable;
        return if reads && others.clone().any(&mut feeds) {
            told(Wait::Child, on)
        } else if reads && feeds(&pid) {
            told(Wait::Lock, on)
        } else {
            told(Wait::Pipe, on)
        };
    }
    if is_card(&target) {
        return told(Wait::Gpu, Some(target));
    }
    let terminal = ["/dev/pts/", "/dev/tty", "/dev/console"];
    if terminal.iter().any(|start| target.starts_with(start)) {
        return told(Wait::Terminal, Some(target));
    }
    if target.starts_with("anon_inode:") {
        // An eventfd or a timerfd: whatever it is that wakes it.
        return told(Wait::Event, Some(target));
    }
    // Storage is waited for without letting signals in; a plain path that lets them in is a
    // named pipe or a file system of another program, or one over the network.
    if let Some(kind) = function(door, sleeper).as_deref().and_then(kind_of_function) {
        return seen(kind, Source::KernelFunction, name, Some(target));
    }
    match sleeper.state {
        'D' => told(Wait::Disk, Some(target)),
        _ => told(Wait::Pipe, Some(target)),
    }
}

fn path(door: &dyn Door, pid: u32, number: u64) -> Option<String> {
    let target = door.link(&format!("/proc/{pid}/fd/{number}"))?.target;
    target.starts_with('/').then_some(target)
}

/// A call that waits for any of several descriptors, which are not told: what its process holds
/// says it. Connections that it opened come first, then those of its clients.
fn several(door: &dyn Door, descriptors: &mut Descriptors, pid: u32, name: &str) -> Seen {
    let peers = descriptors.peers_of(door, pid);
    let outbound = peers.iter().find_map(|peer| match peer {
        Peer::Outbound(to) => Some(to.clone()),
        _ => None,
    });
    let packets = peers.iter().find_map(|peer| match peer {
        Peer::Packets(to) => Some(to.clone()),
        _ => None,
    });
    let serves = peers.iter().any(|peer| matches!(peer, Peer::Inbound | Peer::Listening));
    let answers = outbound.or(packets.filter(|_| !serves));
    let (kind, on) = match answers {
        Some(to) => (Wait::Network, Some(to)),
        None if serves => (Wait::Requests, None),
        None => (Wait::Event, None),
    };
    seen(kind, Source::SystemCall, name, on)
}

/// The function of the kernel that it sleeps in; `None` where that may not be read.
fn function(door: &dyn Door, sleeper: &Sleeper) -> Option<String> {
    let text = door.read(&format!("/proc/{}/task/{}/wchan", sleeper.pid, sleeper.tid)).ok()?;
    let name = text.trim();
    (!name.is_empty() && name != "0").then(|| name.to_owned())
}

fn by_function(
    door: &dyn Door,
    descriptors: &mut Descriptors,
    sleeper: &Sleeper,
    call: &str,
) -> Seen {
    let Some(function) = function(door, sleeper) else {
        let kind = if sleeper.state == 'D' { Wait::Disk } else { Wait::Unknown };
        return seen(kind, Source::TaskState, call, None);
    };
    let polls = ["ep_poll", "do_epoll", "poll_schedule", "do_poll", "do_sys_poll", "do_select"];
    if polls.iter().any(|start| function.starts_with(start)) {
        let found = several(door, descriptors, sleeper.pid, &function);
        let waiting = Waiting { source: Source::KernelFunction, ..found.waiting };
        return Seen { waiting, ..found };
    }
    match kind_of_function(&function) {
        Some(kind) => seen(kind, Source::KernelFunction, &function, None),
        None if sleeper.state == 'D' => seen(Wait::Disk, Source::TaskState, &function, None),
        None => seen(Wait::Unknown, Source::KernelFunction, &function, None),
    }
}

/// Functions of the kernel by the beginning of their names, the special before the general.
const FUNCTIONS: &[(&str, Wait)] = &[
    ("hrtimer_nanosleep", Wait::Sleep),
    ("do_nanosleep", Wait::Sleep),
    ("common_nsleep", Wait::Sleep),
    ("futex", Wait::Lock),
    ("do_futex", Wait::Lock),
    ("rwsem", Wait::Lock),
    ("mmap_read_lock", Wait::Lock),
    ("do_wait", Wait::Child),
    ("kernel_wait", Wait::Child),
    ("wait_for_vfork", Wait::Child),
    ("pipe_", Wait::Pipe),
    ("anon_pipe_", Wait::Pipe),
    ("wait_for_partner", Wait::Pipe),
    ("unix_stream", Wait::Pipe),
    ("request_wait_answer", Wait::Pipe),
    ("fuse_", Wait::Pipe),
    ("sk_wait", Wait::Network),
    ("sk_stream_wait", Wait::Network),
    ("skb_wait", Wait::Network),
    ("__skb_wait", Wait::Network),
    ("inet_stream_connect", Wait::Network),
    ("inet_wait_for_connect", Wait::Network),
    ("rpc_wait", Wait::Network),
    ("nfs", Wait::Network),
    ("cifs", Wait::Network),
    ("smb", Wait::Network),
    ("ceph", Wait::Network),
    ("inet_csk_accept", Wait::Requests),
    ("n_tty_read", Wait::Terminal),
    ("do_sigtimedwait", Wait::Event),
    ("sigsuspend", Wait::Event),
    ("io_schedule", Wait::Disk),
    ("folio_wait", Wait::Disk),
    ("wait_on_page", Wait::Disk),
    ("filemap_", Wait::Disk),
    ("blkdev", Wait::Disk),
    ("blk_", Wait::Disk),
    ("submit_bio", Wait::Disk),
    ("jbd2", Wait::Disk),
    ("xfs_", Wait::Disk),
    ("ext4_", Wait::Disk),
    ("btrfs", Wait::Disk),
    ("balance_dirty", Wait::Disk),
    ("read_events", Wait::Disk),
];

fn kind_of_function(name: &str) -> Option<Wait> {
    FUNCTIONS.iter().find(|(start, _)| name.starts_with(start)).map(|(_, kind)| *kind)
}
