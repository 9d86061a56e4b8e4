//! On what the folder of models lies.

use std::path::Path;

use super::host::{line, value};
use super::mounts::{self, Mount};
use super::{Gaps, Host};
use crate::model::{Storage, StorageKind};

/// File systems of other machines, or of the machine around this virtual one.
pub(super) const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "virtiofs",
    "vboxsf",
    "ceph",
    "lustre",
    "afs",
    "gpfs",
    "beegfs",
    "gfs2",
    "ocfs2",
    "orangefs",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.juicefs",
    "fuse.ceph",
    "fuse.davfs",
    "fuse.vmhgfs-fuse",
    "prl_fs",
];
/// Disks of clouds that look like a device and are a service on the network.
const NETWORK_DISKS: &[&str] =
    &["Amazon Elastic Block Store", "MSFT NVMe Accelerator", "nvme_card-pd", "PersistentDisk"];
/// Makers of disks that exist in hypervisors only; what they say of spinning means nothing.
const VIRTUAL_DISKS: &[&str] = &["QEMU", "VMware", "Msft", "VBOX", "Virtual"];
/// Devices on top of devices on top of devices are followed this far.
const DEEPEST: usize = 6;

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
    let mount = beneath_overlay(&mounts, mount);
    if NETWORK.contains(&mount.kind.as_str()) {
        let device = Some(mount.source.clone());
        return Storage { model_cache_path_device: device, kind: Some(StorageKind::Network) };
    }
    let Some(name) = block_device(host, mount) else {
        let why = format!("{} is no block device", mount.kind);
        gaps.missing("storage.kind", why);
        return Storage { model_cache_path_device: Some(mount.source.clone()), kind: None };
    };
    let kind = kind(host, &mounts, &name, DEEPEST);
    let why = format!("{name} does not tell; virtual disks never do");
    Storage { kind: gaps.or("storage.kind", kind, why), model_cache_path_device: Some(name) }
}

/// The mount on which an overlay keeps what is written; the overlay itself where that lies
/// outside of this view, as in a container.
fn beneath_overlay<'a>(mounts: &'a [Mount], mount: &'a Mount) -> &'a Mount {
    let upper = mount.options.iter().find_map(|option| option.strip_prefix("upperdir="));
    let Some(upper) = upper.filter(|_| mount.kind == "overlay") else { return mount };
    mounts::below(mounts, Path::new(upper)).filter(|below| below.kind != "overlay").unwrap_or(mount)
}

/// Its name in `/sys/class/block`. Some file systems have a device number of their own; then the
/// source of the mount names the device, or the mapping that it was made by.
fn block_device(host: &dyn Host, mount: &Mount) -> Option<String> {
    let event = host.read(&format!("/sys/dev/block/{}/uevent", mount.device));
    let named = event.ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("DEVNAME=").map(str::to_owned))
    });
    named.or_else(|| {
        let name = mount.source.strip_prefix("/dev/")?;
        let blocks = host.list("/sys/class/block");
        let mapped = name.strip_prefix("mapper/").unwrap_or(name);
        let is = |block: &String| {
            block == name
                || line(host, &format!("/sys/class/block/{block}/dm/name")).as_deref() == Ok(mapped)
        };
        blocks.into_iter().find(is)
    })
}

/// A device on others is what the slowest of them is.
fn kind(host: &dyn Host, mounts: &[Mount], name: &str, deepest: usize) -> Option<StorageKind> {
    let left = deepest.checked_sub(1)?;
    let below = host.list(&format!("/sys/class/block/{name}/slaves"));
    if !below.is_empty() {
        let kinds: Option<Vec<_>> =
            below.iter().map(|part| kind(host, mounts, part, left)).collect();
        return kinds?.into_iter().max_by_key(|kind| slowness(*kind));
    }
    let disk = disk(host, name);
    let file = |file: &str| line(host, &format!("/sys/class/block/{disk}/{file}"));
    if let Ok(path) = file("loop/backing_file") {
        let inner = block_device(host, mounts::below(mounts, Path::new(&path))?)?;
        return kind(host, mounts, &inner, left);
    }
    let made = [file("device/vendor"), file("device/model")].map(Result::unwrap_or_default);
    let is = |known: &[&str]| known.iter().any(|word| made.iter().any(|m| m.contains(word)));
    let far = ["rbd", "nbd", "drbd"].iter().any(|driver| disk.starts_with(driver));
    let link = file("device/transport").unwrap_or_default();
    if is(NETWORK_DISKS) || far || ["tcp", "rdma", "fc"].contains(&&*link) {
        return Some(StorageKind::Network);
    }
    if disk.starts_with("nvme") {
        return Some(StorageKind::Nvme);
    }
    // Hypervisors report any disk as a spinning one.
    if disk.starts_with("vd") || disk.starts_with("xvd") || is(VIRTUAL_DISKS) {
        return None;
    }
    match value::<u32>(host, &format!("/sys/class/block/{disk}/queue/rotational")).ok()? {
        0 => Some(StorageKind::Ssd),
        _ => Some(StorageKind::Hdd),
    }
}

fn slowness(kind: StorageKind) -> u32 {
    match kind {
        StorageKind::Nvme => 0,
        StorageKind::Ssd => 1,
        StorageKind::Hdd => 2,
        StorageKind::Network => 3,
    }
}

/// The disk of a partition: `sda2` is on `sda`, `nvme0n1p2` on `nvme0n1`.
fn disk<'a>(host: &dyn Host, name: &'a str) -> &'a str {
    let whole = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if whole == name || host.read(&format!("/sys/class/block/{name}/queue/rotational")).is_ok() {
        return name;
    }
    match whole.strip_suffix('p') {
        Some(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => disk,
        _ if ["sd", "hd", "vd", "xvd"].iter().any(|driver| name.starts_with(driver)) => whole,
        _ => name,
    }
}
