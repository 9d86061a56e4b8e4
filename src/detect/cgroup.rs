//! Limits of control groups, versions 1 and 2, the least of all nested groups.

use super::host::{cpus, line, value};
use super::mounts::{self, Mount};
use super::{Host, Unread};
use crate::model::CpuList;

/// Version 1 writes "no limit" as the largest multiple of a page; nothing real is near it.
const NO_LIMIT: u64 = 1 << 60;

/// What the groups of this process allow.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Groups {
    pub(super) version: Option<u32>,
    pub(super) quota_cores: Option<f64>,
    pub(super) cpuset: Option<CpuList>,
    pub(super) memory_limit: Option<u64>,
    /// What is left of it, in whichever group least is left.
    pub(super) memory_left: Option<u64>,
}

/// What the groups of this process allow; `Err` where it cannot be told.
pub(super) fn find(host: &dyn Host) -> Result<Groups, Unread> {
    let membership = host.read("/proc/self/cgroup")?;
    let mounts = mounts::all(host);
    let mut groups = Groups::default();
    let v2 = mounts.iter().any(|mount| mount.kind == "cgroup2");
    let v1 = mounts.iter().any(|mount| {
        mount.kind == "cgroup"
            && mount.options.iter().any(|option| ["cpu", "memory", "cpuset"].contains(&&**option))
    });
    groups.version = match (v1, v2) {
        (true, _) => Some(1),
        (false, true) => Some(2),
        (false, false) => None,
    };
    for folder in folders(&membership, &mounts, None) {
        groups.quota(quota_v2(host, &folder));
        groups.memory(memory_v2(host, &folder));
        groups.cpus(host, &folder, &["cpuset.cpus.effective"]);
    }
    for folder in folders(&membership, &mounts, Some("cpu")) {
        groups.quota(quota_v1(host, &folder));
    }
    for folder in folders(&membership, &mounts, Some("memory")) {
        groups.memory(memory_v1(host, &folder));
    }
    for folder in folders(&membership, &mounts, Some("cpuset")) {
        groups.cpus(host, &folder, &["cpuset.effective_cpus", "cpuset.cpus", "cpus"]);
    }
    Ok(groups)
}

impl Groups {
    fn quota(&mut self, quota: Option<f64>) {
        let known = [self.quota_cores, quota].into_iter().flatten();
        self.quota_cores = known.min_by(f64::total_cmp);
    }

    fn memory(&mut self, (limit, left): (Option<u64>, Option<u64>)) {
        self.memory_limit = [self.memory_limit, limit].into_iter().flatten().min();
        self.memory_left = [self.memory_left, left].into_iter().flatten().min();
    }

    /// The first of these files that there is.
    fn cpus(&mut self, host: &dyn Host, folder: &str, files: &[&str]) {
        let mut lists = files.iter().map(|file| cpus(host, &format!("{folder}/{file}")));
        let Some(list) = lists.find_map(Result::ok) else { return };
        // An empty list means: as the group above.
        if !list.is_empty() {
            self.cpuset = Some(match &self.cpuset {
                Some(known) => known.intersection(&list),
                None => list,
            });
        }
    }
}

/// Limit and what is left of it. Above `memory.high` a group is slowed down until it gives memory
/// back, so that is a limit too. Statistics of version 2 include the groups below.
fn memory_v2(host: &dyn Host, folder: &str) -> (Option<u64>, Option<u64>) {
    let file = |name: &str| number(host, &format!("{folder}/{name}"));
    let limit = [file("memory.max"), file("memory.high")].into_iter().flatten().min();
    (limit, left(limit, file("memory.current"), statistic(host, folder, "inactive_file")))
}

/// The group's own statistics know the limits of groups above, also of those that are out of
/// sight.
fn memory_v1(host: &dyn Host, folder: &str) -> (Option<u64>, Option<u64>) {
    let own = number(host, &format!("{folder}/memory.limit_in_bytes"));
    let above = statistic(host, folder, "hierarchical_memory_limit").filter(|l| *l < NO_LIMIT);
    let used = number(host, &format!("{folder}/memory.usage_in_bytes"));
    let cache = statistic(host, folder, "total_inactive_file");
    ([own, above].into_iter().flatten().min(), left(own, used, cache))
}

/// Cache of files that nobody has used lately is dropped when memory is asked for.
fn left(limit: Option<u64>, used: Option<u64>, cache: Option<u64>) -> Option<u64> {
    Some(limit?.saturating_sub(used?.saturating_sub(cache.unwrap_or(0))))
}

/// A line of `memory.stat`.
fn statistic(host: &dyn Host, folder: &str, key: &str) -> Option<u64> {
    let text = host.read(&format!("{folder}/memory.stat")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Folders of the process's group and of all groups above it, for a controller of version 1 or
/// for version 2. Inside of a container the group's path may be that of the outer system; then
/// the mounted folder is the group.
fn folders(membership: &str, mounts: &[Mount], controller: Option<&str>) -> Vec<String> {
    let path = membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mine = match controller {
            Some(name) => controllers.split(',').any(|listed| listed == name),
            None => controllers.is_empty(),
        };
        mine.then_some(path)
    });
    let Some(path) = path else { return Vec::new() };
    let mine = mounts.iter().filter(|mount| match controller {
        Some(name) => mount.kind == "cgroup" && mount.options.iter().any(|option| option == name),
        None => mount.kind == "cgroup2",
    });
    // Of several mounts the one that shows most of the groups above this one.
    let mine = mine.map(|mount| (mount, below(&mount.root, path)));
    let Some((mount, inside)) = mine.min_by_key(|(mount, inside)| match inside {
        Some(_) => (0, mount.root.len()),
        None => (1, 0),
    }) else {
        return Vec::new();
    };
    let inside = inside.unwrap_or_default();
    let mut folders = vec![mount.point.clone()];
    for part in inside.split('/').filter(|part| !part.is_empty()) {
        // A path that leads out of the mount belongs to somebody else's view.
        if part == ".." {
            return vec![mount.point.clone()];
        }
        let above = folders.last().expect("it starts with the mount");
        folders.push(format!("{above}/{part}"));
    }
    folders
}

/// The rest of a group's path below the folder that is mounted; `None` where it is elsewhere.
fn below<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    let rest = if root == "/" { path } else { path.strip_prefix(root)? };
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// `max 100000` or `765000 100000`.
fn quota_v2(host: &dyn Host, folder: &str) -> Option<f64> {
    let text = line(host, &format!("{folder}/cpu.max")).ok()?;
    let (quota, period) = text.split_once(' ')?;
    ratio(quota.parse().ok()?, period.trim().parse().ok()?)
}

/// -1 is no quota.
fn quota_v1(host: &dyn Host, folder: &str) -> Option<f64> {
    let quota: i64 = value(host, &format!("{folder}/cpu.cfs_quota_us")).ok()?;
    let period = value(host, &format!("{folder}/cpu.cfs_period_us")).ok()?;
    ratio(u64::try_from(quota).ok()?, period)
}

fn ratio(quota: u64, period: u64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// `max` and what is beyond every memory are no limits.
fn number(host: &dyn Host, path: &str) -> Option<u64> {
    value::<u64>(host, path).ok().filter(|limit| *limit < NO_LIMIT)
}

#[cfg(test)]
mod tests;
