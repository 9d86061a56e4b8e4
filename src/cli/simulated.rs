//! A simulated machine as the documents and the plan see it. Public, so that a comparison of
//! searches plans on it as the verbs do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use autotune_engine::api::{Bytes, Engine, GpuLayers};
use autotune_engine::sim::{SimulatedCpu, Simulator, World};

use super::sweep::place;
use crate::detect;
use crate::knob::{self, Knob, Terrain, UnknownKnob};
use crate::model::{
    Ceilings, CoreKind, CpuList, Interval, KindName, Machine, ModelCard, Node, Peak, Provenance,
    Workload,
};
use crate::plan::{self, Here};

/// The machine document of a simulated machine.
#[must_use]
pub fn machine(world: &World) -> Machine {
    let spec = world.machine;
    let cpus = world.cpus();
    let threads = u32::try_from(cpus.len()).unwrap_or(u32::MAX);
    let list = |wanted: &dyn Fn(&SimulatedCpu) -> bool| -> CpuList {
        cpus.iter().filter(|cpu| wanted(cpu)).map(|cpu| cpu.number).collect()
    };
    let slow = world.hybrid.map_or(0, |hybrid| hybrid.slow_cores);
    let mut machine = Machine {
        schema: Machine::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        captured_at: super::global::now(),
        provenance: Provenance::Simulated,
        ..Machine::default()
    };
    machine.cpu.model = Some(world.name.clone());
    machine.cpu.cores = Some(spec.cores + slow);
    machine.cpu.threads = Some(threads);
    machine.cpu.threads_online = Some(threads);
    machine.cpu.threads_allowed = Some(threads);
    machine.cpu.smt = Some(spec.smt);
    machine.cpu.core_cpus =
        (0..spec.cores + slow).map(|core| list(&|cpu| cpu.core == core)).collect();
    machine.cpu.kinds = if slow > 0 { kinds(world, &list) } else { Vec::new() };
    machine.numa.nodes = nodes(world, &list);
    machine.memory.total_bytes = Some(Bytes(spec.memory_bytes));
    machine.memory.available_bytes = Some(Bytes(spec.memory_bytes));
    machine.limits.cpu_quota_cores = spec.quota_cores;
    machine.limits.allowed_cpus = list(&|_| true);
    machine.limits.usable_threads = Some(world.usable_threads());
    machine.ceilings = Some(ceilings(world, spec.cores));
    if world.gpu.is_some()
        && let Ok(devices) = Simulator::new(world.clone()).devices()
    {
        detect::add_devices(&mut machine, devices);
    }
    machine
}

/// What measured peaks would be: of one thread, of doublings, of all cores and of all threads.
fn ceilings(world: &World, cores: u32) -> Ceilings {
    let usable = world.usable_threads();
    let doublings = (0..u32::BITS).map(|shift| 1 << shift).take_while(|count| *count < usable);
    let counts: BTreeSet<u32> = doublings.chain([cores.min(usable), usable]).collect();
    let peaks = |rate: &dyn Fn(u32) -> f64| -> Vec<Peak> {
        let peak = |threads: &u32| {
            let value = rate(*threads);
            let rate = Interval { value, low: value, high: value };
            Peak { threads: *threads, rate, ..Peak::default() }
        };
        counts.iter().map(peak).collect()
    };
    Ceilings {
        read_bandwidth_bytes_per_s: peaks(&|count| world.peak(count).bandwidth_bytes_per_s),
        f32_flops: peaks(&|count| world.peak(count).flops),
        ..Ceilings::default()
    }
}

/// The CPUs that fit a condition.
type Listing<'a> = dyn Fn(&dyn Fn(&SimulatedCpu) -> bool) -> CpuList + 'a;

/// Fast cores and slow ones.
fn kinds(world: &World, list: &Listing<'_>) -> Vec<CoreKind> {
    let kind = |name, cores, is_slow: bool| {
        let cpus = list(&|cpu| cpu.slow == is_slow);
        CoreKind { name, cores, threads: cpus.len(), max_hz: None, cpus }
    };
    let slow = world.hybrid.map_or(0, |hybrid| hybrid.slow_cores);
    vec![
        kind(KindName::Performance, world.machine.cores, false),
        kind(KindName::Efficiency, slow, true),
    ]
}

/// Memory nodes; none where nothing is told of them.
fn nodes(world: &World, list: &Listing<'_>) -> Vec<Node> {
    let count = world.numa.map_or(0, |numa| numa.nodes);
    let node = |id| Node {
        id,
        memory_bytes: Some(Bytes(world.machine.memory_bytes / u64::from(count))),
        free_bytes: None,
        cpus: list(&|cpu| cpu.node == id),
        kind: None,
        huge_pages: Vec::new(),
    };
    (0..count).map(node).collect()
}

/// The model card of a simulated machine, where every file is the one model it has.
#[must_use]
pub fn model(world: &World, typed: &str) -> ModelCard {
    let model = &world.model;
    // One head of one element whose size is the world's KV cache per token and layer.
    let width = model.kv_bytes_per_token / u64::from(model.layers) / 4;
    let width = u32::try_from(width).unwrap_or(u32::MAX);
    ModelCard {
        path: PathBuf::from(typed),
        name: Some(model.description.clone()),
        architecture: "simulated".to_owned(),
        file_bytes: Bytes(model.size_bytes),
        digest: blake3::hash(format!("{model:?}").as_bytes()).to_hex().to_string(),
        synthetic: true,
        parameters: model.parameters,
        layers: model.layers,
        embedding: 0,
        heads: 0,
        kv_heads: 1,
        key_length: width,
        value_length: width,
        feed_forward: 0,
        experts: world.experts.map_or(0, |experts| experts.count),
        experts_used: world.experts.map_or(0, |experts| experts.used),
        vocabulary: 0,
        trained_context: 0,
        sliding_window: None,
        types: Vec::new(),
        bytes_per_token: Bytes(model.bytes_per_token),
    }
}

/// What a plan needs of a machine document. A card without memory of its own takes all layers, as
/// the engine's count would say: what the machine cannot hold there it cannot hold at all.
#[must_use]
pub fn here(machine: &Machine) -> Here {
    let devices = machine.devices.as_deref().unwrap_or_default();
    let own = plan::taken(devices);
    let shared = !own.is_empty() && own.iter().all(|device| plan::shares_memory(device));
    let here = place::here(machine, devices);
    Here { gpu_layers: here.gpu_layers.or(shared.then_some(GpuLayers::All)), ..here }
}

/// What single knobs look at of a machine document.
#[must_use]
pub fn terrain(machine: &Machine) -> Terrain {
    place::terrain(machine, machine.devices.as_deref().unwrap_or_default())
}

/// What a comparison of searches tunes for on a simulated machine.
#[must_use]
pub fn workload(world: &World) -> Workload {
    let study = &world.study;
    Workload {
        name: "study".to_owned(),
        description: format!("the turn that `{}` is studied with", world.name),
        prompt_tokens: study.prompt_tokens,
        generate_tokens: study.generate_tokens,
        depth: study.depth,
        context: study.context,
        ..Workload::default()
    }
}

/// The knobs that such a comparison turns.
pub fn knobs(world: &World) -> Result<Vec<&'static dyn Knob>, UnknownKnob> {
    if world.study.knobs.is_empty() {
        return Ok(knob::usual());
    }
    world.study.knobs.iter().map(|name| knob::named(name)).collect()
}
