//! Caches from the kernel's files, each counted once however many CPUs list it.

use autotune_engine::api::Bytes;

use super::Host;
use super::host::{cpus, line, mask, value};
use super::topology::CPUS;
use crate::model::{Cache, CacheKind, CpuList};

/// One cache and the CPUs behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheUse {
    pub(super) level: u32,
    pub(super) kind: CacheKind,
    pub(super) size: Bytes,
    pub(super) cpus: CpuList,
}

/// One cache, and its number where the kernel gives one.
struct Found {
    cache: CacheUse,
    id: Option<u64>,
}

/// All caches of these CPUs; `online` bounds who can share one.
pub(super) fn find(host: &dyn Host, described: &CpuList, online: &CpuList) -> Vec<CacheUse> {
    let mut found: Vec<Found> = Vec::new();
    for cpu in described.iter() {
        let folder = format!("{CPUS}/cpu{cpu}/cache");
        let names = host.list(&folder);
        for name in names.iter().filter(|name| name.starts_with("index")) {
            add(host, &format!("{folder}/{name}"), cpu, online, &mut found);
        }
    }
    found.into_iter().map(|found| found.cache).collect()
}

/// CPUs behind each cache of the highest level that holds data.
pub(super) fn last(caches: &[CacheUse]) -> Vec<CpuList> {
    let data = || caches.iter().filter(|cache| cache.kind != CacheKind::Instruction);
    let highest = data().map(|cache| cache.level).max();
    data().filter(|cache| Some(cache.level) == highest).map(|cache| cache.cpus.clone()).collect()
}

/// Levels of the caches that one CPU has.
pub(super) fn levels(host: &dyn Host, cpu: u32) -> Vec<u32> {
    let folder = format!("{CPUS}/cpu{cpu}/cache");
    let names = host.list(&folder).into_iter();
    names.filter_map(|name| value(host, &format!("{folder}/{name}/level")).ok()).collect()
}

/// Adds a cache unless another CPU that shares it has listed it.
fn add(host: &dyn Host, folder: &str, cpu: u32, online: &CpuList, found: &mut Vec<Found>) {
    let file = |fact: &str| format!("{folder}/{fact}");
    let Ok(level) = value(host, &file("level")) else { return };
    let Some(kind) = line(host, &file("type")).ok().and_then(|name| kind(&name)) else { return };
    let alike = |known: &&mut Found| (known.cache.level, known.cache.kind) == (level, kind);
    if found.iter_mut().filter(alike).any(|known| known.cache.cpus.contains(cpu)) {
        return;
    }
    let Some(size) = line(host, &file("size")).ok().and_then(|text| size(&text)) else { return };
    let shared = cpus(host, &file("shared_cpu_list"))
        .or_else(|_| mask(host, &file("shared_cpu_map")))
        .map(|list| list.intersection(online))
        .ok()
        .filter(|list| list.contains(cpu));
    let id: Option<u64> = value(host, &file("id")).ok();
    // Without a list the number alone tells that two CPUs mean one cache.
    if shared.is_none()
        && id.is_some()
        && let Some(known) = found.iter_mut().filter(alike).find(|known| known.id == id)
    {
        known.cache.cpus = known.cache.cpus.iter().chain([cpu]).collect();
        return;
    }
    let taken = |other: u32| {
        let alike = |known: &&Found| (known.cache.level, known.cache.kind) == (level, kind);
        found.iter().filter(alike).any(|known| known.cache.cpus.contains(other))
    };
    let cpus = shared.unwrap_or_else(|| [cpu].into_iter().collect());
    let cpus = cpus.iter().filter(|other| !taken(*other)).collect();
    found.push(Found { cache: CacheUse { level, kind, size, cpus }, id });
}

fn kind(name: &str) -> Option<CacheKind> {
    match name {
        "Data" => Some(CacheKind::Data),
        "Instruction" => Some(CacheKind::Instruction),
        "Unified" => Some(CacheKind::Unified),
        _ => None,
    }
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
