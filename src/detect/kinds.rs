//! Kinds of cores: by the kernel's own lists, by capacity, by the highest clock, or by the names
//! of the cores' designs, whichever is there.

use super::host::{cpus, value};
use super::topology::CPUS;
use super::{Host, arm, cache};
use crate::model::{CoreKind, CpuList, KindName};

/// Cores of less than this share of the strongest one's capacity or clock are another kind. The
/// favoured cores of one kind differ by a tenth at most, kinds of one chip by a third at least.
const SAME_KIND: f64 = 0.82;
/// Cores whose strengths form a chain of steps smaller than this are one kind, however far its
/// ends are apart: some firmware ranks each core of one kind.
const STEP: f64 = 0.94;
/// Clusters of Arm chips down to this share of the strongest do the heavy work.
const STRONG: f64 = 0.6;

type Groups = Vec<(KindName, CpuList)>;

/// Kinds of cores, fastest first; one `uniform` where all are alike.
pub(super) fn find(host: &dyn Host, cores: &[CpuList], cpuinfo: &str) -> Vec<CoreKind> {
    let all: CpuList = cores.iter().flat_map(CpuList::iter).collect();
    let groups = by_counters(host, &all)
        .or_else(|| by_strength(host, &all))
        .or_else(|| by_design(host, &all, cpuinfo))
        .unwrap_or_else(|| vec![(KindName::Uniform, all.clone())]);
    let kinds = groups.into_iter().filter(|(_, list)| !list.is_empty());
    kinds.map(|(name, list)| kind(host, name, list, cores)).collect()
}

/// On hybrid x86 each kind has performance counters of its own, which list their CPUs.
fn by_counters(host: &dyn Host, all: &CpuList) -> Option<Groups> {
    let listed = |name: &str| {
        let list = cpus(host, &format!("/sys/devices/{name}/cpus")).ok()?.intersection(all);
        Some(list).filter(|list| !list.is_empty())
    };
    let (big, small) = (listed("cpu_core")?, listed("cpu_atom").unwrap_or_default());
    let lowest = listed("cpu_lowpower").unwrap_or_else(|| lowest(host, &small));
    // With all cores of the other kinds switched off there is one kind.
    if small.is_empty() && lowest.is_empty() {
        return None;
    }
    let groups = [(KindName::Efficiency, small.difference(&lowest)), (KindName::LowPower, lowest)];
    Some([(KindName::Performance, big)].into_iter().chain(groups).collect())
}

/// The small cores that lie on another chip of the package share counters with those beside the
/// large ones, but not the cache of the third level, and their clock is lower.
fn lowest(host: &dyn Host, small: &CpuList) -> CpuList {
    let third = |cpu: &u32| cache::levels(host, *cpu).contains(&3);
    let apart: CpuList = small.iter().filter(|cpu| !third(cpu)).collect();
    let is_part = |list: &CpuList| !list.is_empty() && list.len() < small.len();
    if is_part(&apart) {
        return apart;
    }
    let strengths = strengths(host, small, "cpufreq/cpuinfo_max_freq").unwrap_or_default();
    let slow = split(strengths).into_iter().skip(1).flat_map(|(_, list)| list);
    Some(slow.collect()).filter(is_part).unwrap_or_default()
}

/// Every CPU's number from this file; `None` where one has none.
fn strengths(host: &dyn Host, all: &CpuList, file: &str) -> Option<Vec<(f64, u32)>> {
    let path = |cpu: u32| format!("{CPUS}/cpu{cpu}/{file}");
    all.iter()
        .map(|cpu| value::<u64>(host, &path(cpu)).ok().map(|value| (value as f64, cpu)))
        .collect()
}

/// Groups of like strength, strongest first.
fn split(mut strengths: Vec<(f64, u32)>) -> Vec<(f64, Vec<u32>)> {
    strengths.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut groups: Vec<(f64, Vec<u32>)> = Vec::new();
    let mut above = f64::INFINITY;
    for (strength, cpu) in strengths {
        match groups.last_mut() {
            Some((first, list)) if strength >= *first * SAME_KIND || strength >= above * STEP => {
                list.push(cpu);
            }
            _ => groups.push((strength, vec![cpu])),
        }
        above = strength;
    }
    groups
}

/// By the kernel's measure of capacity, else by the highest clock; `None` where neither differs.
fn by_strength(host: &dyn Host, all: &CpuList) -> Option<Groups> {
    let groups = ["cpu_capacity", "cpufreq/cpuinfo_max_freq"]
        .iter()
        .filter_map(|file| strengths(host, all, file))
        .map(split)
        .find(|groups| groups.len() > 1)?;
    let strongest = groups[0].0;
    let weak = groups.iter().filter(|(strength, _)| *strength < strongest * STRONG).count();
    let last = groups.len() - 1;
    let name = |at: usize, strength: f64| match at {
        0 => KindName::Performance,
        // Two kinds are the strong one and the other one, however close.
        _ if strength >= strongest * STRONG && last > 1 => KindName::Performance,
        _ if at == last && weak > 1 => KindName::LowPower,
        _ => KindName::Efficiency,
    };
    let groups = groups.into_iter().enumerate();
    Some(
        groups
            .map(|(at, (strength, list))| (name(at, strength), list.into_iter().collect()))
            .collect(),
    )
}

/// By the designs of Arm cores: those that are made to be small, and the others.
fn by_design(host: &dyn Host, all: &CpuList, cpuinfo: &str) -> Option<Groups> {
    let small: CpuList = arm::cores(cpuinfo)
        .iter()
        .filter(|core| core.design.is_some_and(|design| design.small))
        .map(|core| core.cpu)
        .collect();
    let small = if small.is_empty() { small_by_counters(host) } else { small };
    let small = small.intersection(all);
    let large = all.difference(&small);
    (!small.is_empty() && !large.is_empty())
        .then(|| vec![(KindName::Performance, large), (KindName::Efficiency, small)])
}

/// CPUs of counters such as `armv8_cortex_a53` and `apple_icestorm_pmu`.
fn small_by_counters(host: &dyn Host) -> CpuList {
    let folder = "/sys/bus/event_source/devices";
    let counters = host.list(folder);
    let small = counters.iter().filter(|name| arm::small_counters(name));
    let lists = small.filter_map(|name| cpus(host, &format!("{folder}/{name}/cpus")).ok());
    lists.flat_map(|list| list.iter().collect::<Vec<_>>()).collect()
}

fn kind(host: &dyn Host, name: KindName, list: CpuList, cores: &[CpuList]) -> CoreKind {
    let inside = cores.iter().filter(|core| core.iter().any(|cpu| list.contains(cpu))).count();
    CoreKind {
        name,
        cores: u32::try_from(inside).expect("no more cores than CPUs"),
        threads: list.len(),
        max_hz: max_hz(host, &list),
        cpus: list,
    }
}

/// The highest clock of any of these CPUs.
pub(super) fn max_hz(host: &dyn Host, list: &CpuList) -> Option<u64> {
    let path = |cpu| format!("{CPUS}/cpu{cpu}/cpufreq/cpuinfo_max_freq");
    let khz = list.iter().filter_map(|cpu| value::<u64>(host, &path(cpu)).ok());
    khz.max().and_then(|khz| khz.checked_mul(1000))
}
