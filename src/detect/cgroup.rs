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
        groups.limit(quota_v2(host, &folder), number(host, &format!("{folder}/memory.max")));
        groups.cpus(host, &format!("{folder}/cpuset.cpus.effective"));
    }
    for folder in folders(&membership, &mounts, Some("cpu")) {
        groups.limit(quota_v1(host, &folder), None);
    }
    for folder in folders(&membership, &mounts, Some("memory")) {
        groups.limit(None, number(host, &format!("{folder}/memory.limit_in_bytes")));
    }
    for folder in folders(&membership, &mounts, Some("cpuset")) {
        groups.cpus(host, &format!("{folder}/cpuset.cpus"));
    }
    Ok(groups)
}

impl Groups {
    fn limit(&mut self, quota: Option<f64>, memory: Option<u64>) {
        if let Some(quota) = quota {
            self.quota_cores = Some(self.quota_cores.map_or(quota, |least| least.min(quota)));
        }
        if let Some(memory) = memory {
            self.memory_limit = Some(self.memory_limit.map_or(memory, |least| least.min(memory)));
        }
    }

    fn cpus(&mut self, host: &dyn Host, path: &str) {
        let Ok(list) = cpus(host, path) else { return };
        // An empty list means: as the group above.
        if !list.is_empty() {
            self.cpuset = Some(match &self.cpuset {
                Some(known) => known.intersection(&list),
                None => list,
            });
        }
    }
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
    let mount = mounts.iter().find(|mount| match controller {
        Some(name) => mount.kind == "cgroup" && mount.options.iter().any(|option| option == name),
        None => mount.kind == "cgroup2",
    });
    let (Some(path), Some(mount)) = (path, mount) else { return Vec::new() };
    let inside = match mount.root.as_str() {
        "/" => path,
        root => match path.strip_prefix(root) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => "",
        },
    };
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mount(root: &str, point: &str) -> Mount {
        Mount {
            device: "0:1".to_owned(),
            root: root.to_owned(),
            point: point.to_owned(),
            kind: "cgroup2".to_owned(),
            source: "cgroup2".to_owned(),
            options: Vec::new(),
        }
    }

    #[test]
    fn the_group_is_found_through_any_view_of_it() {
        for (root, path, folders_wanted) in [
            ("/", "/", vec!["/cg"]),
            ("/", "/a/b", vec!["/cg", "/cg/a", "/cg/a/b"]),
            ("/docker/x", "/docker/x", vec!["/cg"]),
            ("/docker/x", "/docker/x/y", vec!["/cg", "/cg/y"]),
            ("/docker/x", "/docker/xy", vec!["/cg"]),
            ("/docker/x", "/elsewhere", vec!["/cg"]),
            ("/", "/../up", vec!["/cg"]),
        ] {
            let found =
                folders(&format!("1:name=systemd:/\n0::{path}\n"), &[mount(root, "/cg")], None);
            assert_eq!(found, folders_wanted, "{root} {path}");
        }
    }

    proptest! {
        #[test]
        fn any_membership_stays_inside_the_mount(text in "[0-9a-z:/.\n]{0,60}") {
            for folder in folders(&text, &[mount("/", "/cg")], None) {
                prop_assert!(folder.starts_with("/cg"));
                prop_assert!(!folder.split('/').any(|part| part == ".."));
            }
        }
    }
}
