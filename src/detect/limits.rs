//! What this process may use of the machine.

use autotune_engine::api::Bytes;

use super::{Gaps, Host, cgroup, topology};
use crate::model::{Cpu, CpuList, Limits};

/// Reads limits, and completes the processor's facts with the threads they allow.
pub(super) fn find(host: &dyn Host, cpu: &mut Cpu, gaps: &mut Gaps) -> Limits {
    let groups = cgroup::find(host).unwrap_or_else(|why| {
        for fact in ["cgroup_version", "cpu_quota_cores", "cpuset", "memory_limit_bytes"] {
            gaps.missing(format!("limits.{fact}"), &why);
        }
        cgroup::Groups::default()
    });
    let online = topology::online(host);
    let allowed = allowed(host, online.as_ref(), groups.cpuset.as_ref());
    let allowed_cpus = allowed.clone().unwrap_or_default();
    let threads = allowed.map(|list| list.len()).or(host.threads()).or(cpu.threads_online);
    cpu.threads_allowed =
        gaps.or("cpu.threads_allowed", threads, "/proc/self/status does not tell");
    let cpuset = groups
        .cpuset
        .filter(|list| online.as_ref().is_none_or(|online| !online.difference(list).is_empty()));
    Limits {
        cgroup_version: groups.version,
        cpu_quota_cores: groups.quota_cores,
        cpuset,
        allowed_cpus,
        memory_limit_bytes: groups.memory_limit.map(Bytes),
        locked_memory_bytes: locked_memory(host, gaps),
        usable_threads: gaps.or(
            "limits.usable_threads",
            threads.map(|threads| usable(threads, groups.quota_cores)),
            "the allowed CPUs are unknown",
        ),
    }
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
