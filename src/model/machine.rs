//! The machine document: what a machine is, in the names other programs read.
//!
//! Every fact that could not be seen is `None` and has its reason in [`Machine::unseen`], under
//! the path of its name in JSON. Seeing is left to `detect`.

use std::collections::BTreeMap;

use autotune_engine::api::{Bytes, DeviceReport, Identity, VariantReport};
use serde::{Deserialize, Serialize};

use super::{Ceilings, CpuList};

/// What a machine is: the document of `autotune detect --format json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// [`Machine::SCHEMA`].
    pub schema: String,
    /// Version of `autotune`.
    pub tool_version: String,
    /// When it was looked at, RFC 3339 in UTC.
    pub captured_at: String,
    /// Whose facts these are.
    pub provenance: Provenance,
    /// The operating system and what it runs in.
    pub os: OperatingSystem,
    /// The processors.
    pub cpu: Cpu,
    /// Memory nodes.
    pub numa: Numa,
    /// Main memory.
    pub memory: Memory,
    /// What this process may use of it all.
    pub limits: Limits,
    /// Graphics cards.
    pub gpus: Vec<Gpu>,
    /// Where models are kept.
    pub storage: Storage,
    /// Measured peaks; `None` where they were not measured.
    pub ceilings: Option<Ceilings>,
    /// What the machine suits.
    pub recommendation: Recommendation,
    /// The engine that ships with the program; `None` where it was not asked.
    pub engine: Option<EngineReport>,
    /// Devices of the engine's loaded backends; `None` where it was not asked.
    pub devices: Option<Vec<DeviceReport>>,
    /// Why a fact is missing, under its path: `"memory.channels"`.
    pub unseen: BTreeMap<String, String>,
}

/// Whose facts a machine document holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// The machine that the program ran on.
    Live,
    /// Files taken from a machine, perhaps another one; never measured.
    #[default]
    Captured,
    /// A machine made of formulas.
    Simulated,
}

/// The operating system and what it runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatingSystem {
    /// For example `Debian GNU/Linux`.
    pub name: Option<String>,
    /// For example `13`.
    pub version: Option<String>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// For example `x86_64`.
    pub architecture: Option<String>,
    /// For example `kvm`; `None` on the bare machine.
    pub hypervisor: Option<String>,
    /// For example `docker`; `None` outside of one.
    pub container: Option<String>,
}

/// The processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// For example `GenuineIntel`.
    pub vendor: Option<String>,
    /// As the processor names itself.
    pub model: Option<String>,
    /// For example `Sapphire Rapids`.
    pub microarchitecture: Option<String>,
    /// Announced instruction sets that matter to matrix products, in Linux's spelling.
    pub isa: Vec<String>,
    /// Of those, what dies or computes wrongly here; `None` where it was not tried.
    pub isa_unusable: Option<Vec<UnusableIsa>>,
    /// For example `x86-64-v4`.
    pub isa_level: Option<String>,
    /// Sockets.
    pub packages: Option<u32>,
    /// Physical cores that are online.
    pub cores: Option<u32>,
    /// Logical CPUs that are there, online or not.
    pub threads: Option<u32>,
    /// Logical CPUs that are online.
    pub threads_online: Option<u32>,
    /// Logical CPUs that this process may run on.
    pub threads_allowed: Option<u32>,
    /// Threads of the core that has most of them.
    pub smt: Option<u32>,
    /// Kinds of cores, fastest first; one `uniform` where all are alike.
    pub kinds: Vec<CoreKind>,
    /// Caches, nearest first.
    pub caches: Vec<Cache>,
    /// CPUs of each physical core that is online; empty where unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub core_cpus: Vec<CpuList>,
    /// CPUs behind each cache of the last level; empty where unknown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache_cpus: Vec<CpuList>,
    /// Clock without turbo.
    pub base_hz: Option<u64>,
    /// Highest clock of any core.
    pub max_hz: Option<u64>,
    /// How the kernel chooses clocks, for example `schedutil`.
    pub governor: Option<String>,
    /// Whether clocks above the base are allowed.
    pub turbo: Option<Turbo>,
}

/// An instruction set that is announced and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableIsa {
    /// As in [`Cpu::isa`].
    pub name: String,
    /// One line: what executing it showed.
    pub reason: String,
}

/// Whether clocks above the base are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Turbo {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// Cores that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreKind {
    /// What they are for.
    pub name: KindName,
    /// Physical cores.
    pub cores: u32,
    /// Logical CPUs.
    pub threads: u32,
    /// Their highest clock.
    pub max_hz: Option<u64>,
    /// Which CPUs they are.
    pub cpus: CpuList,
}

/// What cores are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KindName {
    /// The fast ones among several kinds.
    Performance,
    /// The small ones among several kinds.
    Efficiency,
    /// The smallest of three kinds.
    LowPower,
    /// All are alike.
    Uniform,
}

/// All caches of one level, kind, size and way of sharing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is nearest to the core.
    pub level: u32,
    /// What it holds.
    pub kind: CacheKind,
    /// Of one instance.
    pub size_bytes: Bytes,
    /// How many of them.
    pub instances: u32,
    /// Logical CPUs that share one.
    pub shared_by_threads: u32,
}

/// What a cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheKind {
    /// Data.
    Data,
    /// Instructions.
    Instruction,
    /// Both.
    Unified,
}

/// Memory nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Numa {
    /// In rising order of their numbers; some have no memory, some no CPUs.
    pub nodes: Vec<Node>,
    /// `distances[i][j]` from node `i` to node `j` of the list, 10 being local.
    pub distances: Vec<Vec<u32>>,
}

/// One memory node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The kernel's number.
    pub id: u32,
    /// Its memory.
    pub memory_bytes: Option<Bytes>,
    /// What is free of it, page cache not counted as free.
    pub free_bytes: Option<Bytes>,
    /// Its CPUs.
    pub cpus: CpuList,
    /// What its memory is made of.
    pub kind: Option<NodeKind>,
    /// Its share of the pools of reserved huge pages.
    #[serde(default)]
    pub huge_pages: Vec<HugePages>,
}

/// What the memory of a node is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Ordinary memory.
    Dram,
    /// High-bandwidth memory on the package.
    Hbm,
    /// Memory behind a CXL link.
    Cxl,
    /// A graphics card's, which the system can address.
    Gpu,
}

/// Main memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// What the kernel manages.
    pub total_bytes: Option<Bytes>,
    /// What can be had without swapping, before limits.
    pub available_bytes: Option<Bytes>,
    /// Size of the swap space.
    pub swap_total_bytes: Option<Bytes>,
    /// `always`, `madvise` or `never`.
    pub transparent_huge_pages: Option<String>,
    /// Pools of reserved huge pages.
    pub huge_pages: Vec<HugePages>,
    /// Memory channels in use.
    pub channels: Option<u32>,
    /// Transfers per second, in millions, as set up: of the slowest module.
    pub speed_mt_per_s: Option<u32>,
    /// Transfers per second, in millions, that the slowest module is made for.
    pub rated_speed_mt_per_s: Option<u32>,
    /// For example `DDR5`.
    pub kind: Option<String>,
    /// Places for modules, empty ones too.
    pub slots: Option<u32>,
    /// Modules that are there.
    pub modules: Vec<MemoryModule>,
}

/// One memory module, as the firmware describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryModule {
    /// The place's name, for example `DIMM_A1`.
    pub locator: Option<String>,
    /// The name of its bank, for example `P0 CHANNEL A`.
    pub bank: Option<String>,
    /// Its size.
    pub size_bytes: Option<Bytes>,
    /// For example `DDR5`.
    pub kind: Option<String>,
    /// Millions of transfers per second that it is made for.
    pub rated_mt_per_s: Option<u32>,
    /// Millions of transfers per second as set up.
    pub speed_mt_per_s: Option<u32>,
}

/// A pool of reserved huge pages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HugePages {
    /// Of one page.
    pub size_bytes: Bytes,
    /// Pages in the pool.
    pub total: u64,
    /// Pages that nobody uses.
    pub free: u64,
}

/// What this process may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// 1 or 2; `None` without control groups. 1 on systems that mix both.
    pub cgroup_version: Option<u32>,
    /// CPU time per time, the least of all nested groups; `None`: no quota.
    pub cpu_quota_cores: Option<f64>,
    /// CPUs the groups allow; `None`: no restriction.
    pub cpuset: Option<CpuList>,
    /// CPUs this process may run on, by its affinity and the groups; empty where unknown.
    #[serde(skip_serializing_if = "CpuList::is_empty")]
    pub allowed_cpus: CpuList,
    /// Memory the groups allow, the least of all nested ones; `None`: no limit.
    pub memory_limit_bytes: Option<Bytes>,
    /// What is left below that limit, file cache that can be dropped counted as free; `None`: no
    /// limit.
    pub memory_available_bytes: Option<Bytes>,
    /// CPUs that the kernel keeps clear of ordinary work (`isolcpus`): it moves no thread from one
    /// of them to another. `None`: none are.
    pub isolated_cpus: Option<CpuList>,
    /// Memory that may be locked (`--mlock`); `None`: no limit.
    pub locked_memory_bytes: Option<Bytes>,
    /// Threads that can run at once: allowed CPUs, cut by the quota rounded up, at least 1.
    /// Isolated CPUs count only where all allowed ones are isolated.
    pub usable_threads: Option<u32>,
}

/// One graphics card.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// `NVIDIA`, `AMD`, `Intel`, `Apple`.
    pub vendor: String,
    /// As the driver names it.
    pub name: Option<String>,
    /// Its own memory, or what it may take of the system's where it is integrated.
    pub memory_bytes: Option<Bytes>,
    /// What is free of it.
    pub free_bytes: Option<Bytes>,
    /// Version (NVIDIA) or kernel module of the driver.
    pub driver: Option<String>,
    /// Newest CUDA version that the driver runs, for example `12.4`.
    pub cuda_version: Option<String>,
    /// The engine's loaded backend that drives it; `None` where none does or nobody asked.
    pub backend: Option<GpuBackend>,
    /// The engine's name for it, for example `CUDA0`.
    pub device: Option<String>,
    /// For example `9.0`.
    pub compute_capability: Option<String>,
    /// Its link to the processor.
    pub pcie: Option<Pcie>,
    /// Power it is limited to.
    pub power_limit_watts: Option<f64>,
    /// The limit that it was made with.
    pub default_power_limit_watts: Option<f64>,
    /// Its clocks.
    pub clocks: GpuClocks,
    /// What holds its clocks down now, idleness left out; empty: nothing does.
    pub throttle_reasons: Option<Vec<String>>,
    /// Whether its driver stays loaded while nobody uses it.
    pub persistence: Option<Switch>,
    /// Whether its memory corrects errors.
    pub ecc: Option<Switch>,
    /// Whether it is cut into instances.
    pub mig: Option<Switch>,
    /// Its instances, where it is cut.
    pub mig_instances: Vec<MigInstance>,
    /// Whether it shares the system's memory.
    pub integrated: Option<bool>,
    /// Memory node it is near to.
    pub numa_node: Option<u32>,
    /// Address on the PCI bus: two sources that see one card agree on it.
    pub pci_address: Option<String>,
    /// Who told: `nvml`, `sysfs`, `engine`.
    pub sources: Vec<GpuSource>,
}

/// Clocks of a graphics card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuClocks {
    /// Of the cores now; idle cards lower it.
    pub graphics_hz: Option<u64>,
    /// Of the memory now.
    pub memory_hz: Option<u64>,
    /// Of the cores at most.
    pub max_graphics_hz: Option<u64>,
    /// Of the memory at most.
    pub max_memory_hz: Option<u64>,
}

/// Whether something of a card is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// One part of a card that is cut by MIG.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MigInstance {
    /// As the driver names it.
    pub name: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<Bytes>,
    /// What is free of it.
    pub free_bytes: Option<Bytes>,
}

/// Who told of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuSource {
    /// NVIDIA's library.
    Nvml,
    /// The kernel's files.
    Sysfs,
    /// A backend of the engine.
    Engine,
}

/// The engine's backends for graphics cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GpuBackend {
    /// NVIDIA's.
    Cuda,
    /// Any vendor's.
    Vulkan,
    /// Apple's.
    Metal,
    /// AMD's.
    Hip,
    /// Intel's.
    Sycl,
    /// Any vendor's, mostly on phones.
    OpenCl,
    /// Moore Threads'.
    Musa,
    /// Huawei's.
    Cann,
}

/// A PCI Express link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pcie {
    /// Generation now; idle cards fall back to lower ones.
    pub generation: Option<u32>,
    /// Lanes now.
    pub width: Option<u32>,
    /// Highest generation that card and slot can.
    pub max_generation: Option<u32>,
    /// Most lanes that card and slot can.
    pub max_width: Option<u32>,
}

/// Where models are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// The block device or file system below the model cache.
    pub model_cache_path_device: Option<String>,
    /// What it is.
    pub kind: Option<StorageKind>,
}

/// What a storage device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Flash on PCI Express.
    Nvme,
    /// Other flash.
    Ssd,
    /// Spinning disks.
    Hdd,
    /// Another machine.
    Network,
}

/// What the machine suits, by the decision tree that `plan` refines for one model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recommendation {
    /// How much of a model goes to the graphics cards; `None` where their memory is unknown.
    pub offload: Option<Offload>,
    /// Size class of the largest `Q4_K_M` model that fits; `None` where memory is unknown.
    pub class: Option<SizeClass>,
    /// Weights of that model, in parameters, rounded down to a tenth of a billion.
    pub largest_q4_parameters: Option<u64>,
    /// The branch of the tree in words.
    pub advice: Option<String>,
}

/// How much of a model goes to the graphics cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Offload {
    /// Nothing.
    None,
    /// Some layers.
    Partial,
    /// Everything.
    Full,
}

/// Size classes of models by their parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SizeClass {
    /// Below 3 billion.
    Small,
    /// From 3 to 13 billion.
    Medium,
    /// Above 13 billion.
    Large,
}

/// The engine that ships with the program, tried on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineReport {
    /// Who answers.
    pub identity: Identity,
    /// CPU variants after their self-test, best first.
    pub variants: Vec<VariantReport>,
}

impl Machine {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.machine/1";

    /// A digest of the facts that decide whether two results may be compared. Free memory, clocks
    /// of the moment, the date and what only asking the engine tells are left out; memory counts in whole GiB, because kernels
    /// reserve a little more or less of it at each start.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let memory = self.memory.total_bytes.map(|bytes| (bytes.0 + (1 << 29)) >> 30);
        let gpus: Vec<_> = self
            .gpus
            .iter()
            .map(|gpu| (&gpu.vendor, &gpu.name, gpu.memory_bytes, &gpu.driver))
            .collect();
        let facts = serde_json::json!([
            self.provenance,
            self.os.architecture,
            [&self.cpu.vendor, &self.cpu.model],
            self.cpu.isa,
            [self.cpu.packages, self.cpu.cores, self.cpu.threads, self.cpu.threads_online],
            [self.cpu.threads_allowed, self.limits.usable_threads],
            self.numa.nodes.len(),
            memory,
            gpus,
        ]);
        blake3::hash(facts.to_string().as_bytes()).to_hex().to_string()
    }

    /// Physical cores that llama.cpp counts: of a hybrid processor the performance cores alone.
    #[must_use]
    pub fn fast_cores(&self) -> Option<u32> {
        let fast = self.cpu.kinds.iter().filter(|kind| kind.name == KindName::Performance);
        let cores: u32 = fast.map(|kind| kind.cores).sum();
        if cores > 0 { Some(cores) } else { self.cpu.cores }
    }

    /// Memory that can be had without swapping, under this process's limit.
    #[must_use]
    pub fn available_memory(&self) -> Option<Bytes> {
        let limits = [self.limits.memory_limit_bytes, self.limits.memory_available_bytes];
        [self.memory.available_bytes].into_iter().chain(limits).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_machine_is_the_same_tomorrow_and_not_with_one_thread_less() {
        let mut machine = Machine { provenance: Provenance::Live, ..Machine::default() };
        machine.memory.total_bytes = Some(Bytes(16 << 30));
        machine.limits.usable_threads = Some(8);
        let today = machine.fingerprint();
        machine.memory.total_bytes = Some(Bytes((16 << 30) - (100 << 20)));
        machine.memory.available_bytes = Some(Bytes(1));
        machine.captured_at = "2026-01-02T03:04:05Z".to_owned();
        assert_eq!(machine.fingerprint(), today);
        machine.limits.usable_threads = Some(7);
        assert_ne!(machine.fingerprint(), today);
    }

    #[test]
    fn a_document_with_less_in_it_can_still_be_read() {
        let machine: Machine =
            serde_json::from_str(r#"{"schema": "autotune.machine/1", "new": 1}"#).unwrap();
        assert_eq!(machine.schema, Machine::SCHEMA);
        assert_eq!(machine.limits.usable_threads, None);
        let json = serde_json::to_value(&machine).unwrap();
        assert_eq!(json["memory"]["channels"], Value::Null);
        assert_eq!(serde_json::from_value::<Machine>(json).unwrap(), machine);
    }
}
