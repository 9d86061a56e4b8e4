//! What this process may use of the machine.

use autotune_engine::api::Bytes;

use super::host::cpus;
use super::{Gaps, Host, cgroup, topology};
use crate::model::{Cpu, CpuList, Limits};

/// Reads limits, and completes the processor's facts with the threads they allow.
pub(super) fn find(host: &dyn Host, cpu: &mut Cpu, gaps: &mut Gaps) -> Limits {
    let groups = cgroup::find(host).unwrap_or_else(|why| {
        let facts = ["cpu_quota_cores", "cpuset", "memory_limit_bytes", "memory_available_bytes"];
        for fact in facts.iter().chain(&["cgroup_version"]) {
            gaps.missing(format!("limits.{fact}"), &why);
        }
        cgroup::Groups::default()
    });
    let online = topology::online(host);
    let isolated = isolated(host, gaps);
    let allowed = allowed(host, online.as_ref(), groups.cpuset.as_ref());
    let allowed_cpus = allowed.clone().unwrap_or_default();
    let threads = allowed.as_ref().map(CpuList::len).or(host.threads()).or(cpu.threads_online);
    cpu.threads_allowed =
        gaps.or("cpu.threads_allowed", threads, "/proc/self/status does not tell");
    let cpuset = groups
        .cpuset
        .filter(|list| online.as_ref().is_none_or(|online| !online.difference(list).is_empty()));
    let at_once = shared(allowed.as_ref().or(online.as_ref()), isolated.as_ref()).or(threads);
    if groups.memory_limit.is_some() && groups.memory_left.is_none() {
        let why = "the control group does not tell how much of its limit is used";
        gaps.missing("limits.memory_available_bytes", why);
    }
    Limits {
        cgroup_version: groups.version,
        cpu_quota_cores: groups.quota_cores,
        cpuset,
        allowed_cpus,
        memory_limit_bytes: groups.memory_limit.map(Bytes),
        memory_available_bytes: groups.memory_left.map(Bytes),
        isolated_cpus: isolated,
        locked_memory_bytes: locked_memory(host, gaps),
        usable_threads: gaps.or(
            "limits.usable_threads",
            threads.and(at_once).map(|threads| usable(threads, groups.quota_cores)),
            "the allowed CPUs are unknown",
        ),
    }
}

/// CPUs kept clear of ordinary work.
fn isolated(host: &dyn Host, gaps: &mut Gaps) -> Option<CpuList> {
    let list = cpus(host, &format!("{}/isolated", topology::CPUS));
    gaps.read("limits.isolated_cpus", list).filter(|list| !list.is_empty())
}

/// CPUs among which the kernel spreads threads. The affinity a process starts with leaves isolated
/// CPUs out. Where it was widened to include some beside others, threads that are not bound stay on
/// the CPUs they started on, because the kernel does not balance onto isolated ones; where it is
/// made of isolated ones alone, somebody chose them for this process.
fn shared(allowed: Option<&CpuList>, isolated: Option<&CpuList>) -> Option<u32> {
    let isolated = isolated?;
    let allowed = allowed?;
    let spread = allowed.difference(isolated).len();
    Some(if spread > 0 { spread } else { allowed.len() })
}

/// Allowed CPUs, cut by the quota rounded up; at least one.
fn usable(threads: u32, quota: Option<f64>) -> u32 {
    // A quota of a million cores and more cuts nothing, and the cast below stays exact.
    let Some(quota) = quota.filter(|quota| *quota < 1e6) else { return threads.max(1) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=1e6")]
    let whole = quota.ceil() as u32;
    threads.min(whole).max(1)
}

/// The process's affinity, within what is online and what the groups allow.
fn allowed(host: &dyn Host, online: Option<&CpuList>, cpuset: Option<&CpuList>) -> Option<CpuList> {
    let status = host.read("/proc/self/status").ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let list: CpuList = list.parse().ok()?;
    let within = |list: CpuList, bound: Option<&CpuList>| match bound {
        Some(bound) => list.intersection(bound),
        None => list,
    };
    Some(within(within(list, online), cpuset)).filter(|list| !list.is_empty())
}

/// The soft limit; `None` for no limit, and with a note where it is unknown.
fn locked_memory(host: &dyn Host, gaps: &mut Gaps) -> Option<Bytes> {
    let path = "limits.locked_memory_bytes";
    let text = gaps.read(path, host.read("/proc/self/limits"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max locked memory"));
    match line.and_then(|line| line.split_whitespace().next()) {
        Some("unlimited") => None,
        Some(word) => gaps.or(path, word.parse().ok().map(Bytes), "/proc/self/limits is strange"),
        None => {
            gaps.missing(path, "/proc/self/limits does not list it");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::usable;

    #[test]
    fn threads_are_cut_by_the_quota_and_never_none() {
        for (threads, quota, wanted) in [
            (96, Some(7.65), 8),
            (96, Some(57.0), 57),
            (4, Some(7.65), 4),
            (4, Some(0.5), 1),
            (4, None, 4),
            (0, None, 1),
            (4, Some(f64::INFINITY), 4),
        ] {
            assert_eq!(usable(threads, quota), wanted, "{threads} {quota:?}");
        }
    }
}
