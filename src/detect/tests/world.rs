//! The format of `tests/machines`: a machine in a few lines, rendered into the files that a kernel
//! would show.
//!
//! `[files]` are texts by path, and win over everything else. `[[cores]]` and `[[caches]]` name
//! the CPUs of each core and of each cache: one by one, or as a `range` that is cut into pieces of
//! `per` CPUs, where `twins` are the second threads of the CPUs of `range` in the same order.
//! `[[nodes]]` are memory nodes, `[[cpuinfo]]` the blocks of `/proc/cpuinfo`, `[[each]]` one file
//! per CPU with `{cpu}` for its number. `[expect]` is a part of the document, and `missing` names
//! facts that must be `null` and have a reason, `none` those that are `null` because there is nothing
//! to be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::super::{Host, Unread};
use crate::model::{CpuList, Provenance};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct World {
    #[serde(default)]
    pub(super) missing: Vec<String>,
    #[serde(default)]
    pub(super) none: Vec<String>,
    /// The folder of models on that machine.
    pub(super) models: Option<PathBuf>,
    online: Option<CpuList>,
    present: Option<CpuList>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// What the firmware says of the mainboard, by the names of its files.
    #[serde(default)]
    dmi: BTreeMap<String, String>,
    #[serde(default)]
    cpuinfo: Vec<Block>,
    #[serde(default)]
    cores: Vec<Cores>,
    #[serde(default)]
    caches: Vec<Caches>,
    #[serde(default)]
    nodes: Vec<Nodes>,
    #[serde(default)]
    each: Vec<Each>,
    pub(super) expect: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    cpus: CpuList,
    lines: BTreeMap<String, String>,
}

/// CPUs in pieces.
#[derive(Debug, Deserialize)]
struct Pieces {
    #[serde(default)]
    cpus: Vec<CpuList>,
    range: Option<CpuList>,
    twins: Option<CpuList>,
    per: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Cores {
    package: i64,
    #[serde(flatten)]
    pieces: Pieces,
    /// Other files of the topology, `{core}` being the core's place in the list.
    #[serde(default)]
    files: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Caches {
    level: u32,
    kind: String,
    size: String,
    #[serde(flatten)]
    pieces: Pieces,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nodes {
    id: u32,
    #[serde(default)]
    cpus: CpuList,
    memory_mib: u64,
    free_mib: Option<u64>,
    #[serde(default)]
    distances: Vec<u32>,
    /// From the nearest CPUs, in MB/s.
    bandwidth: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Each {
    cpus: CpuList,
    path: String,
    text: String,
}

/// A machine whose files are in memory.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) texts: BTreeMap<String, String>,
    pub(super) models: Option<PathBuf>,
}

impl Pieces {
    fn lists(&self) -> Vec<CpuList> {
        let Some(range) = &self.range else { return self.cpus.clone() };
        let range: Vec<u32> = range.iter().collect();
        let twins: Vec<u32> = self.twins.iter().flat_map(CpuList::iter).collect();
        let per = self.per.unwrap_or(1);
        let piece = |index: usize| -> CpuList {
            let places = index * per..((index + 1) * per).min(range.len());
            let second = twins.get(places.clone()).unwrap_or_default();
            range[places].iter().chain(second).copied().collect()
        };
        (0..range.len().div_ceil(per)).map(piece).collect()
    }
}

impl World {
    /// All files of the machine.
    pub(super) fn files(&self) -> Files {
        let mut texts = BTreeMap::new();
        let mut put = |path: String, text: String| texts.insert(path, text);
        let cpus = "/sys/devices/system/cpu";
        for (name, list) in [("online", &self.online), ("present", &self.present)] {
            if let Some(list) = list {
                put(format!("{cpus}/{name}"), format!("{list}\n"));
            }
        }
        for (name, text) in &self.dmi {
            put(format!("/sys/class/dmi/id/{name}"), format!("{text}\n"));
        }
        if !self.cpuinfo.is_empty() {
            put("/proc/cpuinfo".to_owned(), self.cpuinfo());
        }
        self.topology(&mut put);
        self.caches(&mut put);
        for node in &self.nodes {
            node.files(&mut put);
        }
        for each in &self.each {
            for cpu in each.cpus.iter() {
                let numbered = |text: &str| text.replace("{cpu}", &cpu.to_string());
                put(format!("/{}", numbered(&each.path)), numbered(&each.text));
            }
        }
        for (path, text) in &self.files {
            put(format!("/{path}"), text.clone());
        }
        Files { texts, models: self.models.clone() }
    }

    fn cpuinfo(&self) -> String {
        let mut blocks = BTreeMap::new();
        for block in &self.cpuinfo {
            let lines = block.lines.iter().map(|(key, value)| format!("{key}\t: {value}\n"));
            let lines = lines.collect::<Vec<_>>().concat();
            let numbers = block.cpus.iter();
            blocks.extend(numbers.map(|cpu| (cpu, format!("processor\t: {cpu}\n{lines}\n"))));
        }
        blocks.into_values().collect()
    }

    fn topology(&self, put: &mut impl FnMut(String, String) -> Option<String>) {
        for cores in &self.cores {
            for (index, core) in cores.pieces.lists().iter().enumerate() {
                for cpu in core.iter() {
                    let folder = format!("/sys/devices/system/cpu/cpu{cpu}/topology");
                    put(format!("{folder}/core_cpus_list"), format!("{core}\n"));
                    put(format!("{folder}/physical_package_id"), format!("{}\n", cores.package));
                    for (name, text) in &cores.files {
                        let text = text.replace("{core}", &index.to_string());
                        put(format!("{folder}/{name}"), format!("{text}\n"));
                    }
                }
            }
        }
    }

    fn caches(&self, put: &mut impl FnMut(String, String) -> Option<String>) {
        let mut seen: BTreeMap<u32, u32> = BTreeMap::new();
        for caches in &self.caches {
            for list in caches.pieces.lists() {
                for cpu in list.iter() {
                    let index = seen.entry(cpu).or_default();
                    let folder = format!("/sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
                    *index += 1;
                    put(format!("{folder}/level"), format!("{}\n", caches.level));
                    put(format!("{folder}/type"), format!("{}\n", caches.kind));
                    put(format!("{folder}/size"), format!("{}\n", caches.size));
                    put(format!("{folder}/shared_cpu_list"), format!("{list}\n"));
                }
            }
        }
    }
}

impl Nodes {
    fn files(&self, put: &mut impl FnMut(String, String) -> Option<String>) {
        let (id, folder) = (self.id, format!("/sys/devices/system/node/node{}", self.id));
        let (total, free) = (self.memory_mib * 1024, self.free_mib.unwrap_or(0) * 1024);
        let info = format!("Node {id} MemTotal:  {total} kB\nNode {id} MemFree:  {free} kB\n");
        put(format!("{folder}/meminfo"), info);
        put(format!("{folder}/cpulist"), format!("{}\n", self.cpus));
        let row: Vec<String> = self.distances.iter().map(ToString::to_string).collect();
        if !row.is_empty() {
            put(format!("{folder}/distance"), format!("{}\n", row.join(" ")));
        }
        if let Some(speed) = self.bandwidth {
            put(format!("{folder}/access0/initiators/read_bandwidth"), format!("{speed}\n"));
        }
    }
}

impl Files {
    /// The same files on disk.
    pub(super) fn write(&self, root: &Path) {
        for (path, text) in &self.texts {
            let file = root.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        fs::create_dir_all(root.join("proc")).unwrap();
    }
}

impl Host for Files {
    fn read(&self, path: &str) -> Result<String, Unread> {
        self.texts.get(path).cloned().ok_or_else(|| Unread::Absent(path.to_owned()))
    }

    fn list(&self, path: &str) -> Vec<String> {
        let folder = format!("{path}/");
        let after = self.texts.range(folder.clone()..).map(|(file, _)| file);
        let inside = after.map_while(|file| file.strip_prefix(&folder));
        let names: BTreeSet<&str> = inside.filter_map(|rest| rest.split('/').next()).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn now(&self) -> String {
        "2026-01-02T03:04:05Z".to_owned()
    }

    fn model_folder(&self) -> Option<PathBuf> {
        self.models.clone()
    }
}
