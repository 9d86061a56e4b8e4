//! The threads that computed, as the kernel has them: CPUs they may run on, and their priority.

use std::collections::BTreeSet;
use std::fs;

use crate::api::{CpuMask, Priority};

/// Threads looked at; a pool has no more.
const MOST_THREADS: usize = 1024;

/// What the kernel says of some threads. Empty where it has no files that tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Crew {
    /// CPUs that any of them may run on.
    pub(super) cpus: BTreeSet<u16>,
    /// Priorities, each once.
    pub(super) priorities: BTreeSet<Priority>,
}

/// The numbers of this process's threads.
pub(super) fn threads() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .take(MOST_THREADS)
        .collect()
}

impl Crew {
    /// These threads and the one that calls.
    pub(super) fn of(threads: &[i32]) -> Self {
        let mut all = Self::default();
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        for thread in threads.iter().copied().chain([own]) {
            let look = |name: &str| fs::read_to_string(format!("/proc/self/task/{thread}/{name}"));
            if let Some(found) = look("status").ok().as_deref().and_then(allowed) {
                all.cpus.extend(found);
            }
            if let Some(rank) = look("stat").ok().as_deref().and_then(priority) {
                all.priorities.insert(rank);
            }
        }
        all
    }

    /// The CPUs as a mask.
    pub(super) fn mask(&self) -> Option<CpuMask> {
        CpuMask::new(self.cpus.iter().copied())
    }

    /// The priority that all of them have.
    pub(super) fn priority(&self) -> Option<Priority> {
        let mut each = self.priorities.iter();
        each.next().filter(|_| each.next().is_none()).copied()
    }
}

/// `Cpus_allowed_list` of a thread's `status`.
fn allowed(status: &str) -> Option<BTreeSet<u16>> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    cpu_list(list.trim())
}

/// `0-3,8` as numbers, those that ggml can name.
pub(super) fn cpu_list(text: &str) -> Option<BTreeSet<u16>> {
    let mut cpus = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        let most = u32::from(CpuMask::LIMIT) - 1;
        cpus.extend((first..=last.min(most)).filter_map(|cpu| u16::try_from(cpu).ok()));
    }
    Some(cpus)
}

/// The priority in a thread's `stat`: its fields 40 and 41, counted behind the name, which may
/// hold anything.
fn priority(stat: &str) -> Option<Priority> {
    const BATCH: u32 = 3;
    const FIFO: u32 = 1;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let (rank, policy): (u32, u32) = (fields.get(37)?.parse().ok()?, fields.get(38)?.parse().ok()?);
    Some(match (policy, rank) {
        (BATCH, _) => Priority::Low,
        (FIFO, 90..) => Priority::Realtime,
        (FIFO, 80..) => Priority::High,
        (FIFO, _) => Priority::Medium,
        _ => Priority::Normal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_read_within_bounds() {
        let cpus = |list| cpu_list(list).map(|cpus| cpus.into_iter().collect::<Vec<_>>());
        assert_eq!(cpus("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(cpus("510-4000000000"), Some(vec![510, 511]));
        assert_eq!(cpus("0-"), None);
        let status = "Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1\nMems_allowed:\t1\n";
        assert_eq!(allowed(status).unwrap().len(), 2);
    }

    #[test]
    fn priorities_are_told_by_class_and_rank() {
        let stat = |policy: u32, rank: u32| {
            let before = vec!["0"; 37].join(" ");
            format!("7 (a) b) {before} {rank} {policy} 0 0")
        };
        for (policy, rank, wanted) in [
            (0, 0, Priority::Normal),
            (3, 0, Priority::Low),
            (1, 40, Priority::Medium),
            (1, 80, Priority::High),
            (1, 90, Priority::Realtime),
        ] {
            assert_eq!(priority(&stat(policy, rank)), Some(wanted));
        }
        assert_eq!(priority("7 (x) S 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_thread_may_run_somewhere() {
        let crew = Crew::of(&[]);
        assert!(!crew.cpus.is_empty() && crew.priority().is_some(), "{crew:?}");
        assert!(!threads().is_empty());
    }
}
