//! What a process is to the kernel: niceness, huge pages, memory nodes. Set once, before anything
//! is loaded, and looked at afterwards.

use std::collections::BTreeMap;
use std::{env, fs};

use crate::api::{Failure, HugePages, LoadMode, MOST_NODES, MemoryPolicy, ProcessSetting};

/// `MPOL_BIND`, `MPOL_INTERLEAVE` and `MPOL_LOCAL` of the kernel's `mempolicy.h`.
const BIND: i64 = 2;
const INTERLEAVE: i64 = 3;
const LOCAL: i64 = 4;
/// Bits of one word of a set of nodes.
const WORD: usize = u64::BITS as usize;
/// Share of the pages that must be where they were asked for, in percent: libraries and stacks
/// were there before the policy.
const ENOUGH: u64 = 90;

/// Makes this process one of such a setting. What only changes how urgent it is may fail, and is
/// told by [`effective`].
pub(super) fn enter(setting: &ProcessSetting) -> Result<(), Failure> {
    for (name, value) in setting.environment() {
        let found = env::var(name).unwrap_or_default();
        if !found.split(':').any(|part| part == value) {
            let reason = format!("it needs a process that was started with {name}={value}");
            return Err(Failure::refused(reason));
        }
    }
    if setting.nice != 0 {
        let _ = rustix::process::setpriority_process(None, i32::from(setting.nice));
    }
    if setting.huge_pages == HugePages::Off {
        rustix::thread::disable_transparent_huge_pages(true).map_err(|error| {
            Failure::refused(format!("huge pages cannot be turned off here: {error}"))
        })?;
    }
    let refused = |error: std::io::Error| {
        let policy = setting.memory_policy;
        Err(Failure::refused(format!("the memory policy {policy} cannot be had here: {error}")))
    };
    apply(setting.memory_policy).or_else(refused)
}

fn apply(policy: MemoryPolicy) -> std::io::Result<()> {
    match policy {
        MemoryPolicy::Default => Ok(()),
        MemoryPolicy::Local => set_policy(LOCAL, &[]),
        MemoryPolicy::Interleave => set_policy(INTERLEAVE, &allowed_nodes()),
        MemoryPolicy::Bind(node) => set_policy(BIND, &[node]),
    }
}

/// Nodes that this process may take memory from.
fn allowed_nodes() -> Vec<u32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Mems_allowed_list:"));
    let nodes = list.and_then(|list| super::crew::cpu_list(list.trim()));
    nodes.map_or_else(|| vec![0], |nodes| nodes.into_iter().map(u32::from).collect())
}

#[cfg(target_os = "linux")]
fn set_policy(mode: i64, nodes: &[u32]) -> std::io::Result<()> {
    let mut mask = [0_u64; MOST_NODES as usize / WORD];
    for node in nodes.iter().map(|node| *node as usize) {
        let word = mask.get_mut(node / WORD).ok_or(std::io::ErrorKind::InvalidInput)?;
        *word |= 1 << (node % WORD);
    }
    // The kernel reads one bit less than it is told of.
    let bits: usize = if nodes.is_empty() { 0 } else { MOST_NODES as usize + 1 };
    let pointer = if nodes.is_empty() { std::ptr::null() } else { mask.as_ptr() };
    // SAFETY: the kernel reads at most 1024 bits behind the pointer, which are there, or none.
    // glibc has no function for this call.
    let code = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn set_policy(_mode: i64, _nodes: &[u32]) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The niceness that was really got.
pub(super) fn nice() -> Option<i8> {
    rustix::process::getpriority_process(None).ok()?.try_into().ok()
}

/// Where the process is otherwise than asked, one sentence each.
pub(super) fn doubts(setting: &ProcessSetting, load: LoadMode) -> Vec<String> {
    let mut doubts = Vec::new();
    let anonymous = huge_bytes(&read("/proc/self/smaps_rollup"));
    match (setting.huge_pages, anonymous) {
        (HugePages::On, Some(0)) => {
            doubts.push("huge pages were asked for, but the system gave none".to_owned());
        }
        (HugePages::Off, Some(bytes)) if bytes > 0 => {
            doubts.push(format!("huge pages were turned off, but {} MiB are in some", bytes >> 20));
        }
        _ => {}
    }
    if setting.memory_policy != MemoryPolicy::Default {
        let pages = bytes_by_node(&read("/proc/self/numa_maps"));
        doubts.extend(misplaced(setting.memory_policy, &pages, allowed_nodes().len()));
    }
    let locks = matches!(load, LoadMode::Mlock | LoadMode::MmapMlock);
    if locks && locked_bytes(&read("/proc/self/status")) == Some(0) {
        doubts.push("the model was to be locked in memory, but the system allowed none".to_owned());
    }
    doubts
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A count of kibibytes behind a heading, in bytes.
fn kibibytes(text: &str, heading: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(heading))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn huge_bytes(rollup: &str) -> Option<u64> {
    kibibytes(rollup, "AnonHugePages:")
}

fn locked_bytes(status: &str) -> Option<u64> {
    kibibytes(status, "VmLck:")
}

/// Bytes on each memory node, of a `numa_maps`.
fn bytes_by_node(maps: &str) -> BTreeMap<u32, u64> {
    let mut nodes = BTreeMap::new();
    for line in maps.lines() {
        let words = || line.split_whitespace();
        let page = words().find_map(|word| word.strip_prefix("kernelpagesize_kB=")?.parse().ok());
        let page: u64 = page.unwrap_or(4);
        for word in words() {
            let Some((node, pages)) = word.strip_prefix('N').and_then(|it| it.split_once('='))
            else {
                continue;
            };
            if let (Ok(node), Ok(pages)) = (node.parse::<u32>(), pages.parse::<u64>()) {
                let bytes = pages.saturating_mul(page).saturating_mul(1024);
                let sum: &mut u64 = nodes.entry(node).or_default();
                *sum = sum.saturating_add(bytes);
            }
        }
    }
    nodes
}

/// What is not where the policy wants it.
fn misplaced(policy: MemoryPolicy, nodes: &BTreeMap<u32, u64>, allowed: usize) -> Option<String> {
    let all = nodes.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    let percent =
        |bytes: u64| u64::try_from(u128::from(bytes) * 100 / u128::from(all)).unwrap_or(0);
    if all == 0 {
        return Some(format!("where memory lies cannot be seen; it should follow {policy}"));
    }
    match policy {
        MemoryPolicy::Bind(node) => {
            let there = percent(nodes.get(&node).copied().unwrap_or(0));
            (there < ENOUGH).then(|| {
                format!("memory was bound to node {node}, but only {there} % of it is there")
            })
        }
        MemoryPolicy::Interleave => {
            let most = percent(nodes.values().copied().max().unwrap_or(0));
            let fair = 100 / u64::try_from(allowed.max(1)).unwrap_or(1);
            // Page cache filled earlier stays where it was.
            (most > fair.saturating_mul(2).min(ENOUGH) && allowed > 1).then(|| {
                format!("memory was to be spread over {allowed} nodes, but {most} % is on one")
            })
        }
        MemoryPolicy::Default | MemoryPolicy::Local => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a machine with two nodes.
    const MAPS: &str = "\
55d0 default file=/usr/bin/autotune mapped=12 N0=12 kernelpagesize_kB=4
7f00 bind:1 anon=1000 dirty=1000 N1=1000 kernelpagesize_kB=4
7f40 bind:1 anon=4 dirty=4 N0=1 N1=3 kernelpagesize_kB=2048
7fff default stack anon=3 N0=x Nowhere=3
";

    #[test]
    fn pages_are_counted_by_node_and_size() {
        let nodes = bytes_by_node(MAPS);
        assert_eq!(nodes[&0], (12 * 4 + 2048) << 10);
        assert_eq!(nodes[&1], (1000 * 4 + 3 * 2048) << 10);
        assert!(bytes_by_node("garbage N=1 N1= N99999999999=2").is_empty());
    }

    #[test]
    fn memory_on_the_wrong_node_is_told() {
        let nodes = bytes_by_node(MAPS);
        let told = misplaced(MemoryPolicy::Bind(1), &nodes, 2).unwrap();
        assert!(told.contains("only 82 %"), "{told}");
        let fine = BTreeMap::from([(0, 5), (1, 95)]);
        assert_eq!(misplaced(MemoryPolicy::Bind(1), &fine, 2), None);
        assert!(misplaced(MemoryPolicy::Interleave, &fine, 2).unwrap().contains("95 %"));
        assert_eq!(misplaced(MemoryPolicy::Interleave, &BTreeMap::from([(0, 9)]), 1), None);
        assert!(misplaced(MemoryPolicy::Bind(0), &BTreeMap::new(), 1).unwrap().contains("seen"));
    }

    #[test]
    fn kernel_counts_are_read() {
        assert_eq!(huge_bytes("Rss: 1 kB\nAnonHugePages:      2048 kB\n"), Some(2 << 20));
        assert_eq!(locked_bytes("VmLck:\t       0 kB\n"), Some(0));
        assert_eq!(locked_bytes("VmLck: many kB"), None);
    }

    #[test]
    fn a_variable_that_is_not_in_force_is_refused_by_name() {
        let setting = ProcessSetting { malloc_arenas: 7, ..ProcessSetting::default() };
        let reason = enter(&setting).unwrap_err().to_string();
        assert!(reason.contains("MALLOC_ARENA_MAX=7"), "{reason}");
    }
}
