//! Names that people and programs gave, replaced by numbers: the same name by the same number.

use std::collections::BTreeMap;

/// Names of groups that every system has.
const GROUPS: &[&str] = &[
    "",
    ".",
    "..",
    "docker",
    "garden",
    "init.scope",
    "kubepods",
    "kubepods.slice",
    "lxc",
    "machine.slice",
    "system.slice",
    "user.slice",
];
/// Beginnings of names of groups that tell who made them.
const MAKERS: &[&str] =
    &["docker-", "kubepods-", "libpod-", "lxc.payload", "systemd-nspawn", "lxc.monitor"];

/// What was replaced by what.
#[derive(Debug, Default)]
pub(super) struct Names {
    groups: BTreeMap<String, String>,
    mappings: BTreeMap<String, String>,
}

impl Names {
    /// A path of groups, each part for itself.
    pub(super) fn groups(&mut self, path: &str) -> String {
        path.split('/').map(|part| self.group(part)).collect::<Vec<_>>().join("/")
    }

    fn group(&mut self, name: &str) -> String {
        if GROUPS.contains(&name) {
            return name.to_owned();
        }
        let maker = MAKERS.iter().find(|maker| name.starts_with(**maker));
        let inner = name.contains("kubepods").then_some("kubepods-");
        let maker = maker.copied().or(inner).unwrap_or("group");
        let number = self.groups.len() + 1;
        self.groups.entry(name.to_owned()).or_insert_with(|| format!("{maker}{number}")).clone()
    }

    /// The name of a mapped device: that of a volume often holds the name of the host.
    pub(super) fn mapping(&mut self, name: &str) -> String {
        let number = self.mappings.len() + 1;
        self.mappings.entry(name.to_owned()).or_insert_with(|| format!("mapping{number}")).clone()
    }

    /// The source of a mount that is a device, or a word for one that is none.
    pub(super) fn source(&mut self, source: &str, network: bool, kind: &str) -> String {
        if let Some(name) = source.strip_prefix("/dev/mapper/") {
            return format!("/dev/mapper/{}", self.mapping(name));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        match source.strip_prefix("/dev/") {
            Some(name) if !name.is_empty() && name.chars().all(plain) => source.to_owned(),
            Some(_) => "/dev/device".to_owned(),
            None if network => "server:/export".to_owned(),
            None => kind.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_each_by_one_and_makers_stay_known() {
        let mut names = Names::default();
        let pod = "/kubepods.slice/kubepods-pod12ab.slice/cri-containerd-0f3c.scope";
        assert_eq!(names.groups(pod), "/kubepods.slice/kubepods-1/group2");
        assert_eq!(names.groups("/docker/0f3c2b"), "/docker/group3");
        assert_eq!(
            names.groups("/docker/0f3c2b/cri-containerd-0f3c.scope"),
            "/docker/group3/group2"
        );
        assert_eq!(
            names.source("/dev/mapper/laptop--vg-root", false, "ext4"),
            "/dev/mapper/mapping1"
        );
        assert_eq!(names.mapping("laptop--vg-root"), "mapping1");
        assert_eq!(names.source("alice@nas:/home", true, "fuse.sshfs"), "server:/export");
        assert_eq!(names.source("/dev/sda2", false, "ext4"), "/dev/sda2");
        assert_eq!(names.source("rpool/alice", false, "zfs"), "zfs");
    }
}
