//! Cores, caches and sharing among CPUs: by hwloc where it answers, else from the kernel's files.

use std::collections::BTreeSet;

use autotune_engine::api::Bytes;

use super::host::{cpus, line, value};
use super::{Gaps, Host};
use crate::model::{Cache, CacheKind, CpuList, Node};

/// How CPUs hang together. Counts are those of the online CPUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Whether this is the machine that the host is.
    pub this_system: bool,
    /// Sockets.
    pub packages: Option<u32>,
    /// CPUs of each physical core; empty where unknown.
    pub cores: Vec<CpuList>,
    /// Caches, nearest first.
    pub caches: Vec<Cache>,
    /// CPUs behind each cache of the last level; empty where unknown.
    pub last_caches: Vec<CpuList>,
    /// Memory nodes, where the source tells.
    pub nodes: Vec<Node>,
    /// CPUs that are online.
    pub online: CpuList,
}

/// One cache and the CPUs behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheUse {
    pub(super) level: u32,
    pub(super) kind: CacheKind,
    pub(super) size: Bytes,
    pub(super) cpus: CpuList,
}

/// Where the kernel tells about CPUs.
const CPUS: &str = "/sys/devices/system/cpu";

/// How CPUs hang together; `None` where nothing tells.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> Option<Topology> {
    let found = host.topology().filter(|found| !found.cores.is_empty()).or_else(|| files(host));
    if found.as_ref().is_none_or(|found| found.cores.is_empty()) {
        let why = "neither hwloc nor the kernel's files tell which CPUs share a core";
        for fact in ["cpu.cores", "cpu.smt", "cpu.kinds"] {
            gaps.missing(fact, why);
        }
    }
    if found.as_ref().is_none_or(|found| found.packages.is_none()) {
        gaps.missing("cpu.packages", "neither hwloc nor the kernel's files tell");
    }
    if found.as_ref().is_none_or(|found| found.caches.is_empty()) {
        gaps.missing("cpu.caches", "neither hwloc nor the kernel's files list any");
    }
    found
}

/// From `/sys/devices/system/cpu`.
pub(super) fn files(host: &dyn Host) -> Option<Topology> {
    let online = online(host)?;
    let mut cores: Vec<CpuList> = Vec::new();
    let mut packages = BTreeSet::new();
    let mut caches: Vec<CacheUse> = Vec::new();
    let mut placed = BTreeSet::new();
    for cpu in online.iter() {
        let folder = format!("{CPUS}/cpu{cpu}");
        if let Ok(package) = value::<i64>(host, &format!("{folder}/topology/physical_package_id")) {
            packages.insert(package);
        }
        for cache in cpu_caches(host, &folder) {
            if !caches.contains(&cache) {
                caches.push(cache);
            }
        }
        let siblings = ["core_cpus_list", "thread_siblings_list"]
            .iter()
            .find_map(|name| cpus(host, &format!("{folder}/topology/{name}")).ok());
        if let Some(siblings) = siblings.filter(|siblings| siblings.contains(cpu))
            && !placed.contains(&cpu)
        {
            let core = siblings.intersection(&online);
            placed.extend(core.iter());
            cores.push(core);
        }
    }
    // Some CPUs without a core would make every count wrong.
    if placed.len() != online.len() as usize {
        cores.clear();
    }
    Some(Topology {
        this_system: true,
        packages: u32::try_from(packages.len()).ok().filter(|count| *count > 0),
        cores,
        last_caches: last(&caches),
        caches: instances(caches.into_iter()),
        nodes: Vec::new(),
        online,
    })
}

/// CPUs that are online, by the file that lists them or by their folders.
pub(super) fn online(host: &dyn Host) -> Option<CpuList> {
    if let Ok(list) = cpus(host, &format!("{CPUS}/online")) {
        return Some(list).filter(|list| !list.is_empty());
    }
    let folders: CpuList = host
        .list(CPUS)
        .iter()
        .filter_map(|name| name.strip_prefix("cpu")?.parse::<u32>().ok())
        .filter(|cpu| value::<u32>(host, &format!("{CPUS}/cpu{cpu}/online")) != Ok(0))
        .collect();
    Some(folders).filter(|list| !list.is_empty())
}

fn cpu_caches(host: &dyn Host, folder: &str) -> Vec<CacheUse> {
    let names = host.list(&format!("{folder}/cache"));
    let indices = names.iter().filter(|name| name.starts_with("index"));
    indices
        .filter_map(|name| {
            let file = |fact: &str| format!("{folder}/cache/{name}/{fact}");
            Some(CacheUse {
                level: value(host, &file("level")).ok()?,
                kind: match line(host, &file("type")).ok()?.as_str() {
                    "Data" => CacheKind::Data,
                    "Instruction" => CacheKind::Instruction,
                    "Unified" => CacheKind::Unified,
                    _ => return None,
                },
                size: size(&line(host, &file("size")).ok()?)?,
                cpus: cpus(host, &file("shared_cpu_list")).ok()?,
            })
        })
        .collect()
}

/// `48K`, `2M`.
fn size(text: &str) -> Option<Bytes> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let factor = match unit {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor).map(Bytes).filter(|size| size.0 > 0)
}

/// CPUs behind each cache of the highest level that holds data.
pub(super) fn last(caches: &[CacheUse]) -> Vec<CpuList> {
    let data = || caches.iter().filter(|cache| cache.kind != CacheKind::Instruction);
    let highest = data().map(|cache| cache.level).max();
    data().filter(|cache| Some(cache.level) == highest).map(|cache| cache.cpus.clone()).collect()
}

/// Single caches counted into rows of those that are alike.
pub(super) fn instances(single: impl Iterator<Item = CacheUse>) -> Vec<Cache> {
    let mut rows: Vec<Cache> = Vec::new();
    for cache in single {
        let row = Cache {
            level: cache.level,
            kind: cache.kind,
            size_bytes: cache.size,
            instances: 1,
            shared_by_threads: cache.cpus.len(),
        };
        let alike = |other: &&mut Cache| Cache { instances: 1, ..(*other).clone() } == row;
        match rows.iter_mut().find(alike) {
            Some(known) => known.instances += 1,
            None => rows.push(row),
        }
    }
    rows.sort();
    rows
}
