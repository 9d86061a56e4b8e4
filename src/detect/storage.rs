//! On what the folder of models lies.

use super::host::value;
use super::mounts::{self, Mount};
use super::{Gaps, Host};
use crate::model::{Storage, StorageKind};

/// File systems of other machines.
const NETWORK: &[&str] = &["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "fuse.sshfs"];
/// Devices on top of devices on top of devices are followed this far.
const DEEPEST: usize = 4;

/// Device and kind below the folder of models.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> Storage {
    let mounts = mounts::all(host);
    let Some(folder) = host.model_folder() else {
        for fact in ["model_cache_path_device", "kind"] {
            gaps.missing(format!("storage.{fact}"), "no folder of models was named");
        }
        return Storage::default();
    };
    let Some(mount) = mounts::below(&mounts, &folder) else {
        for fact in ["model_cache_path_device", "kind"] {
            gaps.missing(format!("storage.{fact}"), "/proc/self/mountinfo does not list it");
        }
        return Storage::default();
    };
    if NETWORK.contains(&mount.kind.as_str()) {
        let device = Some(mount.source.clone());
        return Storage { model_cache_path_device: device, kind: Some(StorageKind::Network) };
    }
    let Some(name) = block_device(host, mount) else {
        let why = format!("{} is no block device", mount.kind);
        gaps.missing("storage.kind", why);
        return Storage { model_cache_path_device: Some(mount.source.clone()), kind: None };
    };
    let kind = kind(host, &name, DEEPEST);
    let why = format!("{name} does not tell; virtual disks never do");
    Storage { kind: gaps.or("storage.kind", kind, why), model_cache_path_device: Some(name) }
}

/// Its name in `/sys/class/block`. Some file systems have a device number of their own; then the
/// source of the mount names the device.
fn block_device(host: &dyn Host, mount: &Mount) -> Option<String> {
    let event = host.read(&format!("/sys/dev/block/{}/uevent", mount.device));
    let named = event.ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("DEVNAME=").map(str::to_owned))
    });
    named.or_else(|| {
        let name = mount.source.strip_prefix("/dev/")?;
        let known = host.list("/sys/class/block").iter().any(|block| block == name);
        known.then(|| name.to_owned())
    })
}

/// A device on others is what the first of them is.
fn kind(host: &dyn Host, name: &str, deepest: usize) -> Option<StorageKind> {
    if name.starts_with("nvme") {
        return Some(StorageKind::Nvme);
    }
    // Hypervisors report any disk as a spinning one.
    if name.starts_with("vd") || name.starts_with("xvd") {
        return None;
    }
    let below = host.list(&format!("/sys/class/block/{name}/slaves"));
    if let Some(below) = below.first() {
        return deepest.checked_sub(1).and_then(|left| kind(host, below, left));
    }
    let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let disk = if name.starts_with("sd") { disk } else { name };
    match value::<u32>(host, &format!("/sys/class/block/{disk}/queue/rotational")).ok()? {
        0 => Some(StorageKind::Ssd),
        _ => Some(StorageKind::Hdd),
    }
}
