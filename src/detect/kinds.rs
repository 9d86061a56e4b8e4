//! Kinds of cores: by the kernel's own lists, by capacity, or by the highest clock.

use super::Host;
use super::host::{cpus, value};
use crate::model::{CoreKind, CpuList, KindName};

/// Cores of less than this share of the strongest one's capacity or clock are another kind. The
/// favoured cores of one kind differ by a tenth at most, kinds of one chip by a third at least.
const SAME_KIND: f64 = 0.82;
/// Clusters of Arm chips down to this share of the strongest do the heavy work.
const STRONG: f64 = 0.6;

/// Kinds of cores, fastest first; one `uniform` where all are alike.
pub(super) fn find(host: &dyn Host, cores: &[CpuList]) -> Vec<CoreKind> {
    let all: CpuList = cores.iter().flat_map(CpuList::iter).collect();
    let listed = |name: &str| {
        let list = cpus(host, &format!("/sys/devices/{name}/cpus")).ok()?.intersection(&all);
        Some(list).filter(|list| !list.is_empty())
    };
    let mut groups = Vec::new();
    if let (Some(big), Some(small)) = (listed("cpu_core"), listed("cpu_atom")) {
        groups.push((KindName::Performance, big));
        let lowest = listed("cpu_lowpower");
        let small = lowest.as_ref().map_or(small.clone(), |lowest| small.difference(lowest));
        groups.push((KindName::Efficiency, small));
        groups.extend(lowest.map(|lowest| (KindName::LowPower, lowest)));
    } else {
        groups = by_strength(host, &all);
    }
    let kinds = groups.into_iter().filter(|(_, list)| !list.is_empty());
    kinds.map(|(name, list)| kind(host, name, list, cores)).collect()
}

/// Groups of CPUs of like strength, strongest first.
fn by_strength(host: &dyn Host, all: &CpuList) -> Vec<(KindName, CpuList)> {
    let strengths = |file: &str| -> Option<Vec<(f64, u32)>> {
        all.iter()
            .map(|cpu| {
                let path = format!("/sys/devices/system/cpu/cpu{cpu}/{file}");
                value::<u64>(host, &path).ok().map(|value| (value as f64, cpu))
            })
            .collect()
    };
    let uniform = || vec![(KindName::Uniform, all.clone())];
    let found = strengths("cpu_capacity").or_else(|| strengths("cpufreq/cpuinfo_max_freq"));
    let Some(mut strengths) = found.filter(|found| !found.is_empty()) else { return uniform() };
    strengths.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let strongest = strengths[0].0;
    let mut groups: Vec<(f64, Vec<u32>)> = Vec::new();
    for (strength, cpu) in strengths {
        match groups.last_mut() {
            Some((first, list)) if strength >= *first * SAME_KIND => list.push(cpu),
            _ => groups.push((strength, vec![cpu])),
        }
    }
    if groups.len() == 1 {
        return uniform();
    }
    let weak = groups.iter().filter(|(strength, _)| *strength < strongest * STRONG).count();
    let last = groups.len() - 1;
    let name = |at: usize, strength: f64| match at {
        0 => KindName::Performance,
        // Two kinds are the strong one and the other one, however close.
        _ if strength >= strongest * STRONG && last > 1 => KindName::Performance,
        _ if at == last && weak > 1 => KindName::LowPower,
        _ => KindName::Efficiency,
    };
    groups
        .into_iter()
        .enumerate()
        .map(|(at, (strength, list))| (name(at, strength), list.into_iter().collect()))
        .collect()
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
    let path = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq");
    let khz = list.iter().filter_map(|cpu| value::<u64>(host, &path(cpu)).ok());
    khz.max().and_then(|khz| khz.checked_mul(1000))
}
