//! The kernel's own count of processes that it has killed for memory.
//!
//! A worker inherits this process's memory group, so its own counter tells of both.

use std::fs;
use std::path::{Path, PathBuf};

/// Counters that rise when the kernel kills for memory; `None` where one cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kills {
    /// In this process's memory group.
    group: Option<u64>,
    /// On the whole system.
    system: Option<u64>,
}

impl Kills {
    /// The counters as they are now.
    pub(super) fn now() -> Self {
        Self::under(Path::new("/"))
    }

    fn under(root: &Path) -> Self {
        let read = |path: &Path| count(&fs::read_to_string(path).ok()?);
        let memberships = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        Self {
            group: groups(root, &memberships).iter().find_map(|path| read(path)),
            system: read(&root.join("proc/vmstat")),
        }
    }

    /// Whether somebody was killed for memory since an earlier look.
    pub(super) fn rose_since(self, earlier: Self) -> bool {
        let rose = |now: Option<u64>, then: Option<u64>| now.zip(then).is_some_and(|(n, t)| n > t);
        rose(self.group, earlier.group) || rose(self.system, earlier.system)
    }
}

/// Where the counter of this process's memory group may be. In a container the path may be that
/// of the host while the folder itself is mounted.
fn groups(root: &Path, memberships: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (mount, file) = match controllers {
            "" => (root.join("sys/fs/cgroup"), "memory.events"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("sys/fs/cgroup/memory"), "memory.oom_control")
            }
            _ => continue,
        };
        files.push(mount.join(path.trim_start_matches('/')).join(file));
        files.push(mount.join(file));
    }
    files
}

/// The value of the line `oom_kill`.
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_kill_in_the_group_or_on_the_system_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(Kills::under(root), Kills { group: None, system: None });
        write(root, "proc/self/cgroup", "0::/a/b\n");
        write(root, "sys/fs/cgroup/a/b/memory.events", "oom 3\noom_kill 1\noom_group_kill 0\n");
        write(root, "proc/vmstat", "pgfault 9\noom_kill 4\n");
        let before = Kills::under(root);
        assert_eq!(before, Kills { group: Some(1), system: Some(4) });
        assert!(!Kills::under(root).rose_since(before));
        write(root, "sys/fs/cgroup/a/b/memory.events", "oom 4\noom_kill 2\n");
        assert!(Kills::under(root).rose_since(before));
        write(root, "sys/fs/cgroup/a/b/memory.events", "oom 4\noom_kill 1\n");
        write(root, "proc/vmstat", "oom_kill 5\n");
        assert!(Kills::under(root).rose_since(before));
    }

    #[test]
    fn the_counter_is_found_in_a_container_and_under_the_first_version() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root, "proc/self/cgroup", "7:cpu,cpuacct:/x\n5:memory:/docker/1234\n");
        write(root, "sys/fs/cgroup/memory/memory.oom_control", "under_oom 0\noom_kill 6\n");
        assert_eq!(Kills::under(root).group, Some(6));
        write(root, "proc/self/cgroup", "0::/../elsewhere\n");
        write(root, "sys/fs/cgroup/memory.events", "oom_kill 2\n");
        assert_eq!(Kills::under(root).group, Some(2));
    }

    #[test]
    fn a_counter_that_appears_is_no_kill() {
        let unknown = Kills { group: None, system: None };
        let known = Kills { group: Some(3), system: Some(3) };
        assert!(!known.rose_since(unknown) && !unknown.rose_since(known));
    }
}
