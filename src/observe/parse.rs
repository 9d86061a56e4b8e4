//! Texts of `/proc/PID` as numbers. What makes no sense is `None`, never a guess.

use crate::model::observation::NetworkCounts;

/// `/proc/PID/stat`, or that of a thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: String,
    pub(super) state: char,
    pub(super) parent: u32,
    pub(super) minor_faults: u64,
    pub(super) ended_minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) ended_major_faults: u64,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) ended_user_ticks: u64,
    pub(super) ended_system_ticks: u64,
    pub(super) threads: u32,
    /// Ticks from the system's start to its own: tells it from another one of the same number.
    pub(super) started: u64,
    pub(super) resident_pages: u64,
    pub(super) processor: Option<u32>,
    pub(super) storage_delay_ticks: Option<u64>,
}

impl Stat {
    /// Whether none of its threads runs any more. The first one may end before the others.
    pub(super) fn has_ended(&self) -> bool {
        self.state == 'X' || (self.state == 'Z' && self.threads <= 1)
    }
}

/// `proc_pid_stat(5)`: fields are counted behind the name, which may hold anything.
pub(super) fn stat(text: &str) -> Option<Stat> {
    let (front, behind) = text.rsplit_once(')')?;
    let (_, name) = front.split_once('(')?;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        minor_faults: number(10)?,
        ended_minor_faults: number(11)?,
        major_faults: number(12)?,
        ended_major_faults: number(13)?,
        user_ticks: number(14)?,
        system_ticks: number(15)?,
        // The times of ended children can be negative by a tick on old kernels.
        ended_user_ticks: number(16).unwrap_or(0),
        ended_system_ticks: number(17).unwrap_or(0),
        threads: number(20)?.try_into().ok()?,
        started: number(22)?,
        resident_pages: number(24)?,
        processor: number(39).and_then(|found| found.try_into().ok()),
        storage_delay_ticks: number(42),
    })
}

/// `/proc/PID/schedstat`: time on a processor and waiting for one, both in nanoseconds, and turns.
pub(super) fn schedule(text: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

/// `/proc/PID/syscall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// It runs.
    Running,
    /// It waits, and not in a system call: for a page.
    Fault,
    /// It waits in a system call of this number and first argument.
    Call { number: u64, first: u64 },
}

pub(super) fn system_call(text: &str) -> Option<Inside> {
    let mut words = text.split_whitespace();
    match words.next()? {
        "running" => Some(Inside::Running),
        "-1" => Some(Inside::Fault),
        number => {
            let first = words.next()?.strip_prefix("0x")?;
            let first = u64::from_str_radix(first, 16).ok()?;
            Some(Inside::Call { number: number.parse().ok()?, first })
        }
    }
}

/// A line `name: value` of a file such as `/proc/PID/io`; a unit behind the value is left out.
pub(super) fn named(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `/proc/PID/net/dev`, all interfaces but the loop.
pub(super) fn interfaces(text: &str) -> NetworkCounts {
    let mut all = NetworkCounts::default();
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<u64> =
            numbers.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [received, received_packets, .., sent, sent_packets, _, _, _, _, _, _] = numbers[..]
        else {
            continue;
        };
        if name.trim() == "lo" || numbers.len() != 16 {
            continue;
        }
        all.received_bytes += received;
        all.received_packets += received_packets;
        all.sent_bytes += sent;
        all.sent_packets += sent_packets;
    }
    all
}

/// Ticks that all processors were busy: the first line of `/proc/stat`.
pub(super) fn busy_ticks(text: &str) -> Option<u64> {
    let all = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _waiting, interrupts, soft, ..] = ticks[..] else {
        return None;
    };
    Some(user + nice + system + interrupts + soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "23888 (a ) (b) R 23885 23885 23365 0 -1 4194304 2869 6548 3 1 91 2 4 1 20 \
                        0 5 0 4664097 16961536 3362 18446744073709551615 1 2 3 0 0 0 0 16781318 0 \
                        0 0 0 17 1 0 0 7 0 0 9 9 9 9 9 9 9 0";

    #[test]
    fn a_process_is_read_behind_its_name() {
        let found = stat(STAT).unwrap();
        assert_eq!(found.name, "a ) (b");
        assert_eq!((found.state, found.parent, found.threads), ('R', 23885, 5));
        assert_eq!((found.minor_faults, found.major_faults), (2869, 3));
        assert_eq!((found.user_ticks, found.ended_user_ticks), (91, 4));
        assert_eq!((found.started, found.resident_pages), (4_664_097, 3362));
        assert_eq!((found.processor, found.storage_delay_ticks), (Some(1), Some(7)));
        for text in ["", "1 (a", "1 (a) R", "1 (a) R x", "1 a R 1 2 3"] {
            assert_eq!(stat(text), None, "{text}");
        }
    }

    #[test]
    fn where_a_thread_is() {
        assert_eq!(system_call("running\n"), Some(Inside::Running));
        assert_eq!(system_call("-1 0x7ff 0x12\n"), Some(Inside::Fault));
        let read = Inside::Call { number: 0, first: 3 };
        assert_eq!(system_call("0 0x3 0x7f 0x2 0x22 0x0 0x0 0x7ffd 0x7f\n"), Some(read));
        for text in ["", "x", "0", "0 3", "0 0xz"] {
            assert_eq!(system_call(text), None, "{text}");
        }
    }

    #[test]
    fn counters_are_found_by_name() {
        let io = "rchar: 1685830\nwchar: 1689\nread_bytes: 12\n";
        assert_eq!(named(io, "read_bytes"), Some(12));
        assert_eq!(named(io, "char"), None);
        assert_eq!(named("VmHWM:\t   13608 kB\n", "VmHWM"), Some(13608));
        assert_eq!(schedule("942164311 1668062 22\n"), Some((942_164_311, 1_668_062, 22)));
        assert_eq!(schedule("1 2"), None);
    }

    #[test]
    fn the_loop_is_no_network() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets\n\
                    \x20   lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n\
                    \x20 eth0: 100 3 0 0 0 0 0 0 50 2 0 0 0 0 0 0\n";
        let found = interfaces(text);
        assert_eq!((found.received_bytes, found.sent_bytes), (100, 50));
        assert_eq!((found.received_packets, found.sent_packets), (3, 2));
    }

    #[test]
    fn the_whole_machine() {
        assert_eq!(busy_ticks("cpu  100 20 30 900 5 6 4 50 0 0\ncpu0 1\n"), Some(160));
        assert_eq!(busy_ticks("intr 1"), None);
    }
}
