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
    ("/docker/", "docker"),
    ("/docker-", "docker"),
    ("/libpod-", "podman"),
    ("/lxc/", "lxc"),
    ("/lxc.payload", "lxc"),
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
pub(super) const GVISOR: &str = "Sun Jan 10 15:06:54 PST 2016";

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
        MOUNTS.iter().find(|(word, _)| text.lines().any(|line| from_outside(line, word)))
    };
    marked.or(named).or_else(mounts).map(|(_, name)| (*name).to_owned())
}

/// Whether there being such a file is all that it tells.
pub(super) fn is_mark(path: &str) -> bool {
    MARKERS.iter().any(|(marker, _)| *marker == path)
}

/// Lines of mounts that tell of a container, each with the word that does.
pub(super) fn marks(mounts: &str) -> Vec<(&'static str, &str)> {
    let lines = mounts.lines();
    let mark =
        |line| MOUNTS.iter().find(|(word, _)| from_outside(line, word)).map(|(word, _)| *word);
    lines.filter_map(|line| Some((mark(line)?, line))).collect()
}

/// Whether a mount brought something in from the outer system. There, the same paths are mount
/// points; and LXC lays single files over those of `/proc` only inside.
fn from_outside(line: &str, word: &str) -> bool {
    let mut fields = line.split(' ').skip(3);
    let (root, point) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    if word.starts_with(' ') {
        return line.contains(word) && point.starts_with("/proc/");
    }
    root.contains(word) && !point.contains(word)
}
