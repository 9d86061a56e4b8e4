//! Main memory: how much, how paged.

use autotune_engine::api::Bytes;

use super::host::{line, value};
use super::{Gaps, Host, firmware};
use crate::model::{HugePages, Memory};

/// What the kernel tells about main memory.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> Memory {
    let info = host.read("/proc/meminfo").unwrap_or_else(|why| {
        for fact in ["total_bytes", "available_bytes", "swap_total_bytes"] {
            gaps.missing(format!("memory.{fact}"), &why);
        }
        String::new()
    });
    let pages = line(host, "/sys/kernel/mm/transparent_hugepage/enabled");
    let pages = gaps.read("memory.transparent_huge_pages", pages);
    let mut fact = |name: &str, key: &str| {
        let why = format!("/proc/meminfo has no {key}");
        let known = kilobytes(&info, key);
        if info.is_empty() { known } else { gaps.or(&format!("memory.{name}"), known, why) }
    };
    let mut memory = Memory {
        total_bytes: fact("total_bytes", "MemTotal"),
        available_bytes: fact("available_bytes", "MemAvailable"),
        swap_total_bytes: fact("swap_total_bytes", "SwapTotal"),
        transparent_huge_pages: pages.and_then(|text| {
            let chosen = text.split_once('[')?.1.split_once(']')?.0;
            Some(chosen.to_owned())
        }),
        huge_pages: huge_pages(host, "/sys/kernel/mm/hugepages"),
        ..Memory::default()
    };
    firmware::fill(host, &mut memory, gaps);
    memory
}

/// `MemTotal:  16384 kB`; also behind `Node 0 `.
pub(super) fn kilobytes(info: &str, key: &str) -> Option<Bytes> {
    info.lines().find_map(|line| {
        let (name, amount) = line.split_once(':')?;
        if name.split_whitespace().last()? != key {
            return None;
        }
        let amount: u64 = amount.trim().strip_suffix("kB")?.trim().parse().ok()?;
        amount.checked_mul(1024).map(Bytes)
    })
}

/// The pools of the system, or of one node.
pub(super) fn huge_pages(host: &dyn Host, folder: &str) -> Vec<HugePages> {
    let mut pools: Vec<HugePages> = host
        .list(folder)
        .iter()
        .filter_map(|name| {
            let size: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some(HugePages {
                size_bytes: Bytes(size.checked_mul(1024)?),
                total: value(host, &format!("{folder}/{name}/nr_hugepages")).ok()?,
                free: value(host, &format!("{folder}/{name}/free_hugepages")).ok()?,
            })
        })
        .collect();
    pools.sort();
    pools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_garbage_is_not() {
        let info = "MemTotal:       16384 kB\nNode 0 MemFree:   12 kB\nMemAvailable: many kB\n\
                    Huge: 18446744073709551615 kB\n";
        assert_eq!(kilobytes(info, "MemTotal"), Some(Bytes(16 << 20)));
        assert_eq!(kilobytes(info, "MemFree"), Some(Bytes(12 << 10)));
        assert_eq!(kilobytes(info, "MemAvailable"), None);
        assert_eq!(kilobytes(info, "Huge"), None);
        assert_eq!(kilobytes(info, "Swap"), None);
    }
}
