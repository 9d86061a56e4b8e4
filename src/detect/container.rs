//! What holds this process apart from the system: markers that container engines leave, else the
//! names of its groups and of what is mounted into it.

use super::Host;
use super::host::line;

/// Files that an engine puts into each of its containers. Kubernetes comes first: its containers
/// are made by one of the others.
const MARKERS: &[(&str, &str)] = &[
    ("/run/secrets/kubernetes.io/serviceaccount/namespace", "kubernetes"),
    ("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "kubernetes"),
    ("/run/.containerenv", "podman"),
    ("/.dockerenv", "docker"),
    ("/.singularity.d/runscript", "apptainer"),
    ("/.flatpak-info", "flatpak"),
    ("/proc/vz/veinfo", "openvz"),
];
/// Parts of the names of groups.
const GROUPS: &[(&str, &str)] = &[
    ("kubepods", "kubernetes"),
    ("/docker", "docker"),
    ("/libpod-", "podman"),
    ("/lxc", "lxc"),
    ("/machine.slice/systemd-nspawn", "systemd-nspawn"),
    ("/garden/", "garden"),
];
/// Parts of the paths on the outer system whose files are mounted inside.
const MOUNTS: &[(&str, &str)] = &[
    ("/kubelet/pods/", "kubernetes"),
    ("/docker/containers/", "docker"),
    ("/containers/storage/overlay-containers/", "podman"),
    (" fuse.lxcfs ", "lxc"),
];
/// What gVisor's own kernel calls itself, at a date when no such kernel was built.
const GVISOR: &str = "Sun Jan 10 15:06:54 PST 2016";

/// `None` where nothing does.
pub(super) fn find(host: &dyn Host) -> Option<String> {
    if host.read("/proc/version").is_ok_and(|text| text.contains(GVISOR)) {
        return Some("gvisor".to_owned());
    }
    let marked = MARKERS.iter().find(|(path, _)| host.read(path).is_ok());
    let groups = host.read("/proc/self/cgroup").unwrap_or_default();
    let named = GROUPS.iter().find(|(word, _)| groups.contains(word));
    // A pod's container has the marker of the engine that made it, too.
    let kubernetes = |found: &&(&str, &str)| found.1 == "kubernetes";
    if let Some((_, name)) = marked.filter(kubernetes).or(named.filter(kubernetes)) {
        return Some((*name).to_owned());
    }
    if let Ok(name) = line(host, "/run/systemd/container") {
        return Some(name);
    }
    let mounts = || {
        let text = host.read("/proc/self/mountinfo").unwrap_or_default();
        // Only what the root of a container sees is inside of it: on the outer system the same
        // paths are mount points, not the folders that are mounted.
        let inside = |line: &str, word: &str| {
            let root = line.split(' ').nth(3).unwrap_or_default();
            root.contains(word) || (word.starts_with(' ') && line.contains(word) && in_proc(line))
        };
        MOUNTS.iter().find(|(word, _)| text.lines().any(|line| inside(line, word)))
    };
    marked.or(named).or_else(mounts).map(|(_, name)| (*name).to_owned())
}

/// LXC mounts single files over those of `/proc`; on the outer system the file system lies
/// elsewhere.
fn in_proc(line: &str) -> bool {
    line.split(' ').nth(4).is_some_and(|point| point.starts_with("/proc/"))
}
