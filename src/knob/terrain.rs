//! What the levels of placement, memory and device knobs depend on of a machine.

use autotune_engine::api::{Bytes, VariantReport};

use super::Ground;
use crate::model::{CpuList, KindName, Machine};

/// The parts of a machine that knobs look at. Empty where unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terrain {
    /// For example `x86_64`.
    pub architecture: Option<String>,
    /// CPUs this process may run on.
    pub allowed: CpuList,
    /// CPUs of each physical core.
    pub cores: Vec<CpuList>,
    /// CPUs behind each cache of the last level.
    pub caches: Vec<CpuList>,
    /// Memory nodes that have CPUs, with these.
    pub nodes: Vec<(u32, CpuList)>,
    /// The fast CPUs of a hybrid processor; empty where all are alike.
    pub fast: CpuList,
    /// Devices that the engine can offload to, by ggml's names.
    pub devices: Vec<String>,
    /// RPC servers that every setting uses, `HOST:PORT` each.
    pub servers: Vec<String>,
    /// `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// Memory that may be locked; `None`: no limit.
    pub locked_memory: Option<Bytes>,
}

impl Terrain {
    /// Of a machine, with the devices that the engine drives there.
    #[must_use]
    pub fn of(machine: &Machine, devices: Vec<String>) -> Self {
        let fast = machine.cpu.kinds.iter().filter(|kind| kind.name == KindName::Performance);
        Self {
            architecture: machine.os.architecture.clone(),
            allowed: machine.limits.allowed_cpus.clone(),
            cores: machine.cpu.core_cpus.clone(),
            caches: machine.cpu.cache_cpus.clone(),
            nodes: machine
                .numa
                .nodes
                .iter()
                .filter(|node| !node.cpus.is_empty())
                .map(|node| (node.id, node.cpus.clone()))
                .collect(),
            fast: fast.flat_map(|kind| kind.cpus.iter()).collect(),
            devices,
            servers: Vec::new(),
            huge_pages: machine.memory.transparent_huge_pages.clone(),
            locked_memory: machine.limits.locked_memory_bytes,
        }
    }

    fn is_x86(&self) -> bool {
        matches!(self.architecture.as_deref(), Some("x86_64" | "x86" | "i686"))
    }
}

/// Types that ggml rearranges: for AVX2 and above, for Arm, and for AMX.
const REPACKED_X86: [&str; 5] = ["Q2_K", "Q4_0", "Q4_K", "IQ4_NL", "MXFP4"];
const REPACKED_ARM: [&str; 8] = ["Q1_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4"];
const REPACKED_AMX: [&str; 7] = ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"];
/// Types that ggml multiplies in tiles on x86.
const TILED: [&str; 13] = [
    "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ1_M", "IQ1_S", "IQ2_S", "IQ2_XS", "IQ2_XXS",
    "IQ3_S", "IQ3_XXS", "IQ4_XS",
];

impl Ground<'_> {
    /// Whether the baseline has layers on a device.
    pub(super) fn offloads(&self) -> bool {
        use autotune_engine::api::GpuLayers;
        let layers = self.baseline.load.gpu_layers;
        !self.terrain.devices.is_empty() && layers != GpuLayers::Count(0)
    }

    fn has_type(&self, types: &[&str]) -> bool {
        self.model.types.iter().any(|share| types.contains(&share.name.as_str()))
    }

    /// Whether weights of the model may be rearranged on this processor. Where either is not
    /// known they may.
    pub(super) fn repackable(&self) -> bool {
        if self.model.types.is_empty() || self.terrain.architecture.is_none() {
            return true;
        }
        let amx = |variant: &VariantReport| variant.usable() && variant.name == "sapphirerapids";
        match self.terrain.is_x86() {
            true if self.variants.iter().any(amx) && self.has_type(&REPACKED_AMX) => true,
            true => self.has_type(&REPACKED_X86),
            false => self.has_type(&REPACKED_ARM),
        }
    }

    /// Whether products of the model's weights may be tiled on this processor, as above.
    pub(super) fn tiled(&self) -> bool {
        if self.model.types.is_empty() || self.terrain.architecture.is_none() {
            return true;
        }
        self.terrain.is_x86() && self.has_type(&TILED)
    }
}
