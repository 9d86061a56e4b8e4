//! `/proc/self/mountinfo` with only what the probes look for: the mounts of control groups, those
//! below the folder of models and below disks that are files, and marks of containers.

use std::path::Path;

use super::super::container;
use super::super::mounts::{self, Mount};
use super::super::storage;
use super::names::Names;

/// Words of a mount of groups that name its controllers.
const CONTROLLERS: &[&str] = &["cpu", "cpuacct", "cpuset", "memory"];
/// The folder of models in a capture.
pub(super) const MODELS: &str = "/models";

/// A place of groups on the machine, and in the capture.
pub(super) struct Groups {
    pub(super) point: String,
    pub(super) name: String,
}

/// The lines of a capture.
pub(super) struct Reduced {
    pub(super) text: String,
    pub(super) groups: Vec<Groups>,
}

/// Mounts that matter, with other names. `paths` are pairs of a path whose mount is looked for and
/// its name in the capture.
pub(super) fn reduce(text: &str, paths: &[(String, String)], names: &mut Names) -> Reduced {
    let all: Vec<Mount> = text.lines().filter_map(mounts::mount).collect();
    let mut lines = Vec::new();
    let mut groups = Vec::new();
    for mount in all.iter().filter(|mount| ["cgroup", "cgroup2"].contains(&&*mount.kind)) {
        let known = mount.point.starts_with("/sys/fs/cgroup");
        let name = if known { mount.point.clone() } else { format!("/cgroup{}", groups.len() + 1) };
        let controllers = mount.options.iter().filter(|word| CONTROLLERS.contains(&&***word));
        let options: Vec<&str> = controllers.map(String::as_str).collect();
        let root = names.groups(&mount.root);
        lines.push(line(&mount.device, &root, &name, &mount.kind, "cgroup", &options.join(",")));
        groups.push(Groups { point: mount.point.clone(), name });
    }
    for (path, name) in paths {
        let Some(mount) = mounts::below(&all, Path::new(path)) else { continue };
        let upper = mount.options.iter().find_map(|option| option.strip_prefix("upperdir="));
        let options =
            if upper.is_some() { format!("upperdir={name}-upper") } else { String::new() };
        lines.push(mounted(mount, name, &options, names));
        if let Some(below) = upper.and_then(|upper| mounts::below(&all, Path::new(upper))) {
            lines.push(mounted(below, &format!("{name}-upper"), "", names));
        }
    }
    for (word, original) in container::marks(text) {
        let Some(mount) = mounts::mount(original) else { continue };
        let (root, point) =
            if word.starts_with(' ') { ("/", "/proc/mark") } else { (word, "/mark") };
        lines.push(line(&mount.device, root, point, &mount.kind, "mark", ""));
    }
    let mut kept = Vec::new();
    for line in lines {
        if !kept.contains(&line) {
            kept.push(line);
        }
    }
    Reduced { text: kept.concat(), groups }
}

fn mounted(mount: &Mount, name: &str, options: &str, names: &mut Names) -> String {
    let point = if mount.point == "/" { "/" } else { name };
    let network = storage::NETWORK.contains(&mount.kind.as_str());
    let source = names.source(&mount.source, network, &mount.kind);
    line(&mount.device, "/", point, &mount.kind, &source, options)
}

fn line(device: &str, root: &str, point: &str, kind: &str, source: &str, more: &str) -> String {
    let more = if more.is_empty() { "rw" } else { more };
    format!("0 0 {device} {root} {point} rw - {kind} {source} {more}\n")
}
