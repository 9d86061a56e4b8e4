//! Broken, hostile and huge machines: something is unseen, nothing panics, nothing hangs.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use super::super::{Host, Tree, machine};
use super::world::Files;

#[cfg(unix)]
#[test]
fn a_tree_is_not_left_and_nothing_in_it_can_hang() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "secret").unwrap();
    let proc = folder.path().join("proc");
    fs::create_dir(&proc).unwrap();
    fs::write(proc.join("cpuinfo"), "processor\t: 0\n").unwrap();
    symlink(outside.path(), proc.join("meminfo")).unwrap();
    symlink("/proc/loop", proc.join("loop")).unwrap();
    fs::create_dir(proc.join("folder")).unwrap();
    let large = fs::File::create(proc.join("large")).unwrap();
    large.set_len(4 << 30).unwrap();
    let tree = Tree::open(folder.path()).unwrap();
    assert_eq!(tree.read("/proc/cpuinfo").unwrap(), "processor\t: 0\n");
    for path in ["/proc/meminfo", "/proc/loop", "/proc/folder", "/proc/large", "/../../etc/passwd"]
    {
        assert!(tree.read(path).is_err(), "{path}");
    }
    assert_eq!(machine(&tree).cpu.threads_online, Some(1));
    assert!(Tree::open(&proc).is_err());
}

/// A folder whose `/sys` links to itself as a real one does, once by the kernel's relative links
/// and once by links that a careless copy made absolute.
#[cfg(unix)]
#[test]
fn links_lead_where_they_would_on_the_captured_machine() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write("sys/devices/pci0/card0/device/vendor", "0x1002\n");
    write("sys/devices/pci0/block/sda/size", "8\n");
    write("etc/hostname", "captured\n");
    fs::create_dir_all(root.join("sys/class/drm")).unwrap();
    fs::create_dir_all(root.join("sys/class/block")).unwrap();
    symlink("../../devices/pci0/card0", root.join("sys/class/drm/card0")).unwrap();
    symlink("/sys/devices/pci0/block/sda", root.join("sys/class/block/sda")).unwrap();
    symlink("../../../../../../../etc/hostname", root.join("sys/deep")).unwrap();
    symlink("/sys", root.join("sys/round")).unwrap();
    let tree = Tree::open(root).unwrap();
    for (path, text) in [
        ("/sys/class/drm/card0/device/vendor", "0x1002\n"),
        ("/sys/class/drm/card0/../block/sda/size", "8\n"),
        ("/sys/class/block/sda/size", "8\n"),
        ("/sys/deep", "captured\n"),
        ("/sys/round/round/round/class/block/sda/size", "8\n"),
    ] {
        assert_eq!(tree.read(path).as_deref(), Ok(text), "{path}");
    }
    assert_eq!(tree.list("/sys/class/block/sda"), ["size"]);
}

/// A pipe without a writer blocks whoever opens it; a folder of a hundred thousand entries and a
/// list of all CPUs there can be must not be walked for each of them.
#[cfg(target_os = "linux")]
#[test]
fn pipes_folders_and_crowds_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let inside = |path: &str| {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        file
    };
    pipe(&inside("proc/meminfo"));
    fs::create_dir_all(root.join("proc/cpuinfo")).unwrap();
    fs::create_dir_all(root.join("sys/devices/system/cpu/cpu0/topology/core_cpus_list")).unwrap();
    fs::write(inside("sys/devices/system/cpu/online"), "0-65535\n").unwrap();
    for entry in 0..100_000 {
        fs::write(inside(&format!("sys/class/drm/card{entry}-x")), "").unwrap();
    }
    for node in 0..1500 {
        fs::create_dir_all(root.join(format!("sys/devices/system/node/node{node}"))).unwrap();
    }
    let seen = machine(&Tree::open(root).unwrap());
    assert_eq!(seen.memory.total_bytes, None);
    assert!(seen.unseen["memory.total_bytes"].contains("no plain file"));
    assert_eq!(seen.cpu.threads_online, Some(65_536));
    assert_eq!(seen.cpu.cores, None);
    assert_eq!(seen.numa.nodes.len(), 1024);
}

#[cfg(target_os = "linux")]
fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Files that probes parse.
const READ: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/proc/self/status",
    "/proc/self/limits",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/present",
    "/sys/devices/system/cpu/cpu0/topology/core_cpus_list",
    "/sys/devices/system/cpu/cpu0/cache/index0/size",
    "/sys/devices/system/cpu/cpu0/cpu_capacity",
    "/sys/devices/system/node/node0/meminfo",
    "/sys/devices/system/node/node0/distance",
    "/sys/class/drm/card0/device/vendor",
    "/sys/class/drm/card0/device/mem_info_vram_total",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/memory.stat",
    "/sys/devices/system/cpu/isolated",
    "/sys/devices/system/cpu/cpu0/topology/thread_siblings",
    "/sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_map",
    "/sys/devices/system/node/node1/access0/initiators/read_bandwidth",
    "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
    "/sys/devices/system/node/has_generic_initiator",
    "/sys/devices/virtual/memory_tiering/memory_tier4/nodelist",
    "/sys/bus/cxl/devices/region0/dax_region0/dax0.0/target_node",
    "/proc/driver/nvidia/gpus/0000:01:00.0/numa_status",
    "/proc/sysinfo",
    "/proc/version",
    "/sys/devices/cpu_core/cpus",
    "/etc/os-release",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_in_any_file_is_no_panic(
        texts in prop::collection::vec("(\\PC|\n|:|,|-|[0-9]|0x1002){0,40}", READ.len())
    ) {
        let files = READ.iter().map(|path| (*path).to_owned()).zip(texts).collect();
        let document = machine(&Files { texts: files, models: None });
        if let Some(usable) = document.limits.usable_threads {
            prop_assert!(usable >= 1);
        }
    }
}
