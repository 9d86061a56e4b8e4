//! A machine with nothing the matter, to spoil one fact of.

use autotune_engine::api::{Bytes, Identity, Sum, Threading, VariantReport, VariantVerdict};

use crate::detect::GpuProcess;
use crate::doctor::{Subject, TrialResult, examine};
use crate::model::{
    CheckOutcome, Condition, CoreKind, CounterUnit, CpuList, Diagnosis, EngineReport, Finding, Gpu,
    GpuBackend, KindName, Machine, MemoryModule, ModelCard, Node, Pcie, PowerCap, PowerSource,
    StorageKind, Switch, Switches, ThrottleEvents, Turbo,
};

pub(super) struct Room {
    pub(super) machine: Machine,
    pub(super) condition: Condition,
    pub(super) model: Option<ModelCard>,
    pub(super) need: Option<Sum>,
    pub(super) model_storage: Option<StorageKind>,
    pub(super) gpu_memory: Vec<GpuProcess>,
    pub(super) trials: Vec<TrialResult>,
}

pub(super) fn cpus(text: &str) -> CpuList {
    text.parse().unwrap()
}

pub(super) fn node(id: u32, list: &str) -> Node {
    Node {
        id,
        memory_bytes: Some(Bytes(32 << 30)),
        free_bytes: None,
        cpus: cpus(list),
        kind: None,
        huge_pages: Vec::new(),
    }
}

pub(super) fn kind(name: KindName, cores: u32, threads: u32, list: &str) -> CoreKind {
    CoreKind { name, cores, threads, max_hz: None, cpus: cpus(list) }
}

pub(super) fn module(locator: &str, gib: u64) -> MemoryModule {
    MemoryModule {
        locator: Some(locator.to_owned()),
        size_bytes: (gib > 0).then_some(Bytes(gib << 30)),
        ..MemoryModule::default()
    }
}

pub(super) fn variant(name: &str, verdict: VariantVerdict) -> VariantReport {
    VariantReport { name: name.to_owned(), score: 1, verdict }
}

pub(super) fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

pub(super) fn card(gib: u64) -> ModelCard {
    ModelCard {
        path: "m.gguf".into(),
        name: None,
        architecture: "llama".to_owned(),
        file_bytes: Bytes(gib << 30),
        digest: String::new(),
        synthetic: false,
        parameters: 1,
        layers: 1,
        embedding: 1,
        heads: 1,
        kv_heads: 1,
        key_length: 1,
        value_length: 1,
        feed_forward: 1,
        experts: 0,
        experts_used: 0,
        vocabulary: 1,
        trained_context: 1,
        sliding_window: None,
        types: Vec::new(),
        bytes_per_token: Bytes(1),
    }
}

fn identity() -> Identity {
    Identity {
        name: "sim".to_owned(),
        version: String::new(),
        ggml_version: String::new(),
        binding_version: String::new(),
        threading: Threading::Ggml,
        synthetic: true,
    }
}

fn machine() -> Machine {
    let mut machine =
        Machine { captured_at: "2026-01-02T03:04:05Z".to_owned(), ..Machine::default() };
    machine.os.architecture = Some("x86_64".to_owned());
    machine.cpu.vendor = Some("GenuineIntel".to_owned());
    machine.cpu.cores = Some(8);
    machine.cpu.smt = Some(2);
    machine.cpu.threads_online = Some(16);
    machine.cpu.kinds = vec![kind(KindName::Uniform, 8, 16, "0-15")];
    machine.cpu.isa_unusable = Some(Vec::new());
    machine.cpu.governor = Some("powersave".to_owned());
    machine.cpu.turbo = Some(Turbo::On);
    machine.numa.nodes = vec![node(0, "0-15")];
    machine.memory.total_bytes = Some(Bytes(64 << 30));
    machine.memory.available_bytes = Some(Bytes(60 << 30));
    machine.memory.swap_total_bytes = Some(Bytes(8 << 30));
    machine.memory.transparent_huge_pages = Some("always".to_owned());
    machine.memory.slots = Some(4);
    machine.memory.modules = vec![module("DIMM_A1", 32), module("DIMM_B1", 32)];
    machine.memory.rated_speed_mt_per_s = Some(5600);
    machine.memory.speed_mt_per_s = Some(5600);
    machine.limits.cgroup_version = Some(2);
    machine.limits.usable_threads = Some(16);
    machine.storage.kind = Some(StorageKind::Nvme);
    machine.devices = Some(Vec::new());
    machine.gpus = vec![gpu()];
    machine.engine = Some(EngineReport {
        identity: identity(),
        variants: vec![variant("icelake", VariantVerdict::Usable)],
    });
    machine
}

fn gpu() -> Gpu {
    Gpu {
        vendor: "NVIDIA".to_owned(),
        name: Some("GeForce".to_owned()),
        memory_bytes: Some(Bytes(24 << 30)),
        free_bytes: Some(Bytes(23 << 30)),
        driver: Some("595.1".to_owned()),
        backend: Some(GpuBackend::Cuda),
        pcie: Some(Pcie {
            generation: Some(1),
            width: Some(16),
            max_generation: Some(4),
            max_width: Some(16),
        }),
        power_limit_watts: Some(450.0),
        default_power_limit_watts: Some(450.0),
        throttle_reasons: Some(Vec::new()),
        persistence: Some(Switch::On),
        pci_address: Some("0000:01:00.0".to_owned()),
        ..Gpu::default()
    }
}

fn condition() -> Condition {
    Condition {
        busy_processors: Some(0.1),
        stolen_share: Some(0.0),
        processor_pressure: Some(0.0),
        clocks: Switches {
            drivers: words(&["intel_pstate"]),
            driver_mode: Some("active".to_owned()),
            energy_preferences: words(&["performance"]),
            governors: words(&["performance", "powersave"]),
        },
        throttled: Some(ThrottleEvents::default()),
        power_caps: vec![PowerCap {
            zone: "intel-rapl:0".to_owned(),
            constraint: 0,
            name: "package-0 long_term".to_owned(),
            limit_microwatts: 125_000_000,
            maximum_microwatts: 125_000_000,
        }],
        swap_used_bytes: Some(Bytes(1 << 20)),
        swapped_pages: Some(0),
        numa_balancing: Some(0),
        allowed_cpus: Some(cpus("0-15")),
        allowed_cores: Some(8),
        allowed_nodes: Some(cpus("0-1")),
        perf_event_paranoid: Some(2),
        counter_unit: Some(CounterUnit::Present),
        capabilities: Some(0),
        power_sources: vec![PowerSource {
            name: "BAT0".to_owned(),
            kind: "Battery".to_owned(),
            status: Some("Charging".to_owned()),
            online: None,
        }],
        platform_profile: Some("balanced".to_owned()),
        platform_profiles: words(&["low-power", "balanced", "performance"]),
        ..Condition::default()
    }
}

impl Room {
    pub(super) fn healthy() -> Self {
        Self {
            machine: machine(),
            condition: condition(),
            model: None,
            need: None,
            model_storage: None,
            gpu_memory: Vec::new(),
            trials: Vec::new(),
        }
    }

    pub(super) fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut room = Self::healthy();
        change(&mut room);
        room
    }

    pub(super) fn examine(&self) -> Diagnosis {
        examine(&Subject {
            machine: &self.machine,
            condition: &self.condition,
            model: self.model.as_ref(),
            need: self.need,
            model_storage: self.model_storage,
            gpu_memory: &self.gpu_memory,
            trials: &self.trials,
        })
    }

    pub(super) fn finding(&self, check: &str) -> Option<Finding> {
        self.examine().findings.into_iter().find(|finding| finding.check == check)
    }

    pub(super) fn outcome(&self, check: &str) -> CheckOutcome {
        let checked = self.examine().checked.into_iter().find(|checked| checked.check == check);
        checked.unwrap_or_else(|| panic!("no check {check}")).outcome
    }
}
