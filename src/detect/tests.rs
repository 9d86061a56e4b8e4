//! Worlds as data: each file of `tests/machines` holds a machine's files and what must be seen.
//!
//! `[files]` are texts by path; `[[cores]]` write the topology files of whole cores; `[[each]]`
//! writes one file per CPU, `{cpu}` being its number. `[expect]` is a part of the document, and
//! `missing` names facts that must be `null` and have a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::{Host, Tree, Unread, live, machine};
use crate::model::{CpuList, Provenance};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    #[serde(default)]
    missing: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    #[serde(default)]
    cores: Vec<Cores>,
    #[serde(default)]
    each: Vec<Each>,
    expect: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cores {
    package: u32,
    cpus: Vec<CpuList>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Each {
    cpus: CpuList,
    path: String,
    text: String,
}

/// A machine whose files are in memory.
struct Files(BTreeMap<String, String>);

impl World {
    fn files(&self) -> Files {
        let mut files: BTreeMap<String, String> =
            self.files.iter().map(|(path, text)| (format!("/{path}"), text.clone())).collect();
        for cores in &self.cores {
            for (core, cpu) in
                cores.cpus.iter().flat_map(|core| core.iter().map(move |c| (core, c)))
            {
                let folder = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
                files.insert(format!("{folder}/core_cpus_list"), format!("{core}\n"));
                files.insert(
                    format!("{folder}/physical_package_id"),
                    format!("{}\n", cores.package),
                );
            }
        }
        for each in &self.each {
            for cpu in each.cpus.iter() {
                let number = cpu.to_string();
                let path = format!("/{}", each.path.replace("{cpu}", &number));
                files.insert(path, each.text.replace("{cpu}", &number));
            }
        }
        Files(files)
    }
}

impl Host for Files {
    fn read(&self, path: &str) -> Result<String, Unread> {
        self.0.get(path).cloned().ok_or_else(|| Unread::Absent(path.to_owned()))
    }

    fn list(&self, path: &str) -> Vec<String> {
        let folder = format!("{path}/");
        let inside = self.0.keys().filter_map(|file| file.strip_prefix(&folder));
        let names: BTreeSet<&str> = inside.filter_map(|rest| rest.split('/').next()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn now(&self) -> String {
        "2026-01-02T03:04:05Z".to_owned()
    }
}

/// Whether all of `part` is in `whole`; lists must be equal in length.
fn differences(path: &str, part: &Value, whole: &Value, found: &mut Vec<String>) {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            for (name, part) in part {
                let whole = whole.get(name).unwrap_or(&Value::Null);
                differences(&format!("{path}.{name}"), part, whole, found);
            }
        }
        (Value::Array(part), Value::Array(whole)) if part.len() == whole.len() => {
            for (index, (part, whole)) in part.iter().zip(whole).enumerate() {
                differences(&format!("{path}.{index}"), part, whole, found);
            }
        }
        (Value::Number(part), Value::Number(whole)) if part.as_f64() == whole.as_f64() => {}
        _ if part == whole => {}
        _ => found.push(format!("{path}: expected {part}, saw {whole}")),
    }
}

#[test]
fn every_shape_of_machine_is_seen_as_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines");
    let mut shapes = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let shape = path.file_stem().unwrap().to_string_lossy().into_owned();
        let world: World = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{shape}: {error}"));
        let document = serde_json::to_value(machine(&world.files())).unwrap();
        let mut found = Vec::new();
        differences(&shape, &world.expect, &document, &mut found);
        for path in &world.missing {
            let pointer = format!("/{}", path.replace('.', "/"));
            if !matches!(document.pointer(&pointer), Some(value) if value.is_null()) {
                found.push(format!("{shape}.{path}: should be missing"));
            }
            if document["unseen"].get(path).is_none() {
                found.push(format!("{shape}.{path}: has no reason"));
            }
        }
        assert!(found.is_empty(), "{}", found.join("\n"));
        shapes += 1;
    }
    assert!(shapes >= 8, "{} has lost its machines", folder.display());
}

#[test]
fn a_machine_without_any_file_is_all_unseen() {
    let document = machine(&Files(BTreeMap::new()));
    assert_eq!(document.limits.usable_threads, None);
    for fact in ["cpu.cores", "memory.total_bytes", "os.kernel", "limits.usable_threads"] {
        assert!(document.unseen.contains_key(fact), "{fact}");
    }
}

#[test]
fn this_machine_has_threads_and_memory_and_is_the_same_seen_twice() {
    let first = machine(&live());
    assert_eq!(first.provenance, Provenance::Live);
    assert!(first.limits.usable_threads.unwrap() >= 1);
    assert!(first.limits.usable_threads <= first.cpu.threads_online);
    assert_eq!(first.fingerprint(), machine(&live()).fingerprint());
}

#[cfg(target_os = "linux")]
#[test]
fn hwloc_and_the_kernels_files_agree_on_this_machine() {
    let (Some(hwloc), Some(files)) = (super::hwloc::topology(), super::topology::files(&live()))
    else {
        return;
    };
    if !hwloc.this_system || files.cores.is_empty() {
        return;
    }
    assert_eq!(hwloc.online, files.online);
    let sorted = |mut cores: Vec<CpuList>| {
        cores.sort_by_key(ToString::to_string);
        cores
    };
    assert_eq!(sorted(hwloc.cores), sorted(files.cores));
}

#[cfg(unix)]
#[test]
fn a_tree_is_not_left_and_nothing_in_it_can_hang() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), "secret").unwrap();
    let proc = folder.path().join("proc");
    fs::create_dir(&proc).unwrap();
    fs::write(proc.join("cpuinfo"), "processor\t: 0\n").unwrap();
    std::os::unix::fs::symlink(outside.path(), proc.join("meminfo")).unwrap();
    std::os::unix::fs::symlink(proc.join("loop"), proc.join("loop")).unwrap();
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
    "/etc/os-release",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_in_any_file_is_no_panic(
        texts in prop::collection::vec("(\\PC|\n|:|,|-|[0-9]|0x1002){0,40}", READ.len())
    ) {
        let files = READ.iter().map(|path| (*path).to_owned()).zip(texts).collect();
        let document = machine(&Files(files));
        if let Some(usable) = document.limits.usable_threads {
            prop_assert!(usable >= 1);
        }
    }
}
