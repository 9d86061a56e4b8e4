//! Names of the system calls in which threads wait, by their numbers.

use super::door::CallTable;

/// What a call can wait for, before it is known what its descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Waits for what its first argument, a descriptor, leads to.
    Descriptor,
    /// Accepts connections of others.
    Accept,
    /// Waits for any of several descriptors.
    Several,
    /// Waits for storage to have everything.
    Flush,
    /// Looks at names in a file system.
    Names,
    /// Waits for transfers that were begun before.
    Transfers,
    /// Waits for the ring of requests of any kind.
    Ring,
    /// Waits for a lock or a condition.
    Lock,
    /// Waits for a child.
    Child,
    /// Begins a child or another program.
    Begin,
    /// Sleeps.
    Sleep,
    /// Waits for a signal.
    Signal,
    /// Changes the map of memory.
    Memory,
    /// A queue between processes.
    Queue,
}

/// Name, number on x86-64, number in the common table of newer architectures, nature.
const CALLS: &[(&str, Option<u64>, Option<u64>, Nature)] = &[
    ("read", Some(0), Some(63), Nature::Descriptor),
    ("write", Some(1), Some(64), Nature::Descriptor),
    ("pread64", Some(17), Some(67), Nature::Descriptor),
    ("pwrite64", Some(18), Some(68), Nature::Descriptor),
    ("readv", Some(19), Some(65), Nature::Descriptor),
    ("writev", Some(20), Some(66), Nature::Descriptor),
    ("preadv", Some(295), Some(69), Nature::Descriptor),
    ("pwritev", Some(296), Some(70), Nature::Descriptor),
    ("preadv2", Some(327), Some(286), Nature::Descriptor),
    ("pwritev2", Some(328), Some(287), Nature::Descriptor),
    ("sendfile", Some(40), Some(71), Nature::Descriptor),
    ("splice", Some(275), Some(76), Nature::Descriptor),
    ("copy_file_range", Some(326), Some(285), Nature::Descriptor),
    ("readahead", Some(187), Some(213), Nature::Descriptor),
    ("fallocate", Some(285), Some(47), Nature::Descriptor),
    ("ftruncate", Some(77), Some(46), Nature::Descriptor),
    ("lseek", Some(8), Some(62), Nature::Descriptor),
    ("ioctl", Some(16), Some(29), Nature::Descriptor),
    ("connect", Some(42), Some(203), Nature::Descriptor),
    ("sendto", Some(44), Some(206), Nature::Descriptor),
    ("recvfrom", Some(45), Some(207), Nature::Descriptor),
    ("sendmsg", Some(46), Some(211), Nature::Descriptor),
    ("recvmsg", Some(47), Some(212), Nature::Descriptor),
    ("recvmmsg", Some(299), Some(243), Nature::Descriptor),
    ("sendmmsg", Some(307), Some(269), Nature::Descriptor),
    ("accept", Some(43), Some(202), Nature::Accept),
    ("accept4", Some(288), Some(242), Nature::Accept),
    ("poll", Some(7), None, Nature::Several),
    ("select", Some(23), None, Nature::Several),
    ("epoll_wait", Some(232), None, Nature::Several),
    ("pselect6", Some(270), Some(72), Nature::Several),
    ("ppoll", Some(271), Some(73), Nature::Several),
    ("epoll_pwait", Some(281), Some(22), Nature::Several),
    ("epoll_pwait2", Some(441), Some(441), Nature::Several),
    ("msync", Some(26), Some(227), Nature::Flush),
    ("fsync", Some(74), Some(82), Nature::Flush),
    ("fdatasync", Some(75), Some(83), Nature::Flush),
    ("sync", Some(162), Some(81), Nature::Flush),
    ("sync_file_range", Some(277), Some(84), Nature::Flush),
    ("syncfs", Some(306), Some(267), Nature::Flush),
    ("open", Some(2), None, Nature::Names),
    ("stat", Some(4), None, Nature::Names),
    ("lstat", Some(6), None, Nature::Names),
    ("close", Some(3), Some(57), Nature::Names),
    ("fstat", Some(5), Some(80), Nature::Names),
    ("rename", Some(82), None, Nature::Names),
    ("unlink", Some(87), None, Nature::Names),
    ("mkdir", Some(83), None, Nature::Names),
    ("getdents64", Some(217), Some(61), Nature::Names),
    ("openat", Some(257), Some(56), Nature::Names),
    ("newfstatat", Some(262), Some(79), Nature::Names),
    ("unlinkat", Some(263), Some(35), Nature::Names),
    ("renameat2", Some(316), Some(276), Nature::Names),
    ("mkdirat", Some(258), Some(34), Nature::Names),
    ("statx", Some(332), Some(291), Nature::Names),
    ("io_getevents", Some(208), Some(4), Nature::Transfers),
    ("io_uring_enter", Some(426), Some(426), Nature::Ring),
    ("futex", Some(202), Some(98), Nature::Lock),
    ("futex_waitv", Some(449), Some(449), Nature::Lock),
    ("futex_wait", Some(455), Some(455), Nature::Lock),
    ("flock", Some(73), Some(32), Nature::Lock),
    ("semop", Some(65), Some(193), Nature::Lock),
    ("semtimedop", Some(220), Some(192), Nature::Lock),
    ("wait4", Some(61), Some(260), Nature::Child),
    ("waitid", Some(247), Some(95), Nature::Child),
    ("clone", Some(56), Some(220), Nature::Begin),
    ("fork", Some(57), None, Nature::Begin),
    ("vfork", Some(58), None, Nature::Begin),
    ("execve", Some(59), Some(221), Nature::Begin),
    ("clone3", Some(435), Some(435), Nature::Begin),
    ("nanosleep", Some(35), Some(101), Nature::Sleep),
    ("clock_nanosleep", Some(230), Some(115), Nature::Sleep),
    ("restart_syscall", Some(219), Some(128), Nature::Sleep),
    ("pause", Some(34), None, Nature::Signal),
    ("rt_sigtimedwait", Some(128), Some(137), Nature::Signal),
    ("rt_sigsuspend", Some(130), Some(133), Nature::Signal),
    ("mmap", Some(9), Some(222), Nature::Memory),
    ("mprotect", Some(10), Some(226), Nature::Memory),
    ("munmap", Some(11), Some(215), Nature::Memory),
    ("brk", Some(12), Some(214), Nature::Memory),
    ("mremap", Some(25), Some(216), Nature::Memory),
    ("madvise", Some(28), Some(233), Nature::Memory),
    ("exit_group", Some(231), Some(94), Nature::Memory),
    ("msgrcv", Some(70), Some(188), Nature::Queue),
    ("msgsnd", Some(69), Some(189), Nature::Queue),
    ("mq_timedreceive", Some(243), Some(183), Nature::Queue),
];

/// Name and nature of a call; `None` of one that is not listed.
pub(super) fn named(table: CallTable, number: u64) -> Option<(&'static str, Nature)> {
    let found = CALLS.iter().find(|(_, x86, common, _)| match table {
        CallTable::X86 => *x86 == Some(number),
        CallTable::Common => *common == Some(number),
        CallTable::Foreign => false,
    });
    found.map(|(name, _, _, nature)| (*name, *nature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_by_architecture_and_only_once() {
        assert_eq!(named(CallTable::X86, 0), Some(("read", Nature::Descriptor)));
        assert_eq!(named(CallTable::Common, 63), Some(("read", Nature::Descriptor)));
        assert_eq!(named(CallTable::Common, 0), None);
        assert_eq!(named(CallTable::Foreign, 0), None);
        for (column, table) in [
            (CALLS.iter().filter_map(|call| call.1).collect::<Vec<_>>(), "x86-64"),
            (CALLS.iter().filter_map(|call| call.2).collect(), "common"),
        ] {
            let mut once = column.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), column.len(), "{table}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn numbers_of_this_architecture_are_those_of_its_headers() {
        let Some(table) = (match std::env::consts::ARCH {
            "x86_64" => Some(CallTable::X86),
            "aarch64" => Some(CallTable::Common),
            _ => None,
        }) else {
            return;
        };
        let folder = std::env::consts::ARCH;
        let paths = [
            format!("/usr/include/{folder}-linux-gnu/asm/unistd_64.h"),
            "/usr/include/asm/unistd_64.h".to_owned(),
            "/usr/include/asm-generic/unistd.h".to_owned(),
        ];
        let Some(text) = paths.iter().find_map(|path| std::fs::read_to_string(path).ok()) else {
            eprintln!("skipped: the kernel's headers are not installed");
            return;
        };
        let mut compared = 0;
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("#define __NR_") else { continue };
            let mut words = rest.split_whitespace();
            let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse))
            else {
                continue;
            };
            if CALLS.iter().any(|call| call.0 == name) {
                assert_eq!(named(table, number).map(|found| found.0), Some(name), "{line}");
                compared += 1;
            }
        }
        assert!(compared > 50, "only {compared} names were found in the headers");
    }
}
