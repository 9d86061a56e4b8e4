//! Where a sweep runs: the engine with its clock and sensors, the machine, and the model on it.

use std::path::PathBuf;

use autotune_engine::api::{Bytes, Clock, Engine};
use autotune_engine::sim::World;
use serde_json::{Value, json};

use crate::cli::engine::OpenEngine;
use crate::cli::{Printer, Stop};
use crate::measure::{Bench, NoSensors, Sensors};
use crate::model::{Machine, ModelCard};
use crate::plan::Here;

/// Everything that is outside of a sweep.
pub(super) struct Place {
    pub(super) engine: Box<dyn Engine>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) sensors: Box<dyn Sensors>,
    pub(super) machine: Machine,
    pub(super) here: Here,
    /// Equal where results may be reused.
    pub(super) fingerprint: String,
    pub(super) card: ModelCard,
}

impl Place {
    /// The machine that the engine runs on, with the model as typed.
    pub(super) fn open(opened: OpenEngine, model: &str, _printer: Printer) -> Result<Self, Stop> {
        let Some(world) = opened.world else {
            return Err(Stop::usage("llama.cpp is not wired yet"));
        };
        let machine = simulated_machine(&world);
        Ok(Self {
            engine: opened.engine,
            clock: opened.clock,
            sensors: Box::new(NoSensors),
            here: here(&machine),
            fingerprint: fingerprint(&machine),
            machine,
            card: simulated_model(&world, model),
        })
    }

    /// The doors of a visit.
    pub(super) fn bench(&mut self) -> Bench<'_> {
        Bench {
            engine: self.engine.as_mut(),
            clock: self.clock.as_ref(),
            sensors: self.sensors.as_mut(),
            model: &self.card.path,
        }
    }
}

/// What a plan needs of a machine document.
pub(super) fn here(machine: &Machine) -> Here {
    let document = document(machine);
    let count = |path: &str| {
        document.pointer(path).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok())
    };
    let bytes = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_u64).map(Bytes);
    let cores = count("/cpu/cores").unwrap_or(1);
    // llama.cpp starts one thread per physical core, on hybrid processors per performance core.
    let kinds = document.pointer("/cpu/kinds").and_then(Value::as_array);
    let performance: u32 = kinds
        .into_iter()
        .flatten()
        .filter(|kind| kind["name"] == "performance")
        .filter_map(|kind| kind["cores"].as_u64().and_then(|cores| u32::try_from(cores).ok()))
        .sum();
    let online = count("/cpu/threads_online").unwrap_or(cores);
    let gpus = document.pointer("/gpus").and_then(Value::as_array);
    let free: Vec<Bytes> =
        gpus.into_iter().flatten().filter_map(|gpu| bytes(gpu, "/free_bytes")).collect();
    Here {
        physical_cores: if performance > 0 { performance } else { cores },
        online_threads: online,
        usable_threads: count("/limits/usable_threads").unwrap_or(online).max(1),
        available_memory: bytes(&document, "/memory/available_bytes"),
        gpu_memory: (!free.is_empty()).then(|| free.into_iter().sum()),
    }
}

/// The facts of a machine that speed depends on, as one digest.
pub(super) fn fingerprint(machine: &Machine) -> String {
    let document = document(machine);
    let facts = [
        "/os/kernel",
        "/os/hypervisor",
        "/cpu/model",
        "/cpu/cores",
        "/cpu/threads_online",
        "/cpu/threads_allowed",
        "/memory/total_bytes",
        "/limits/usable_threads",
        "/gpus/0/name",
        "/gpus/0/driver",
        "/provenance",
    ];
    let values: Vec<Option<&Value>> = facts.iter().map(|path| document.pointer(path)).collect();
    let text = serde_json::to_vec(&values).expect("documents have string keys only");
    blake3::hash(&text).to_hex().to_string()
}

fn document(machine: &Machine) -> Value {
    serde_json::to_value(machine).expect("documents have string keys only")
}

/// The machine document of a simulated machine.
fn simulated_machine(world: &World) -> Machine {
    let machine = world.machine;
    let threads = machine.cores * machine.smt;
    let document = json!({
        "schema": "autotune.machine/1",
        "tool_version": env!("CARGO_PKG_VERSION"),
        "provenance": "simulated",
        "cpu": {
            "model": world.name, "cores": machine.cores, "threads": threads,
            "threads_online": threads, "threads_allowed": threads, "smt": machine.smt,
        },
        "memory": {
            "total_bytes": machine.memory_bytes, "available_bytes": machine.memory_bytes,
        },
        "limits": { "usable_threads": machine.usable_threads.unwrap_or(threads) },
        "gpus": [],
    });
    serde_json::from_value(document).expect("the document has the contract's names")
}

/// The model card of a simulated machine, where every file is the one model it has.
fn simulated_model(world: &World, typed: &str) -> ModelCard {
    let model = &world.model;
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
        // One head of one element whose size is the world's KV cache per token and layer.
        kv_heads: 1,
        key_length: u32::try_from(model.kv_bytes_per_token / u64::from(model.layers) / 4)
            .unwrap_or(u32::MAX),
        value_length: u32::try_from(model.kv_bytes_per_token / u64::from(model.layers) / 4)
            .unwrap_or(u32::MAX),
        feed_forward: 0,
        experts: 0,
        experts_used: 0,
        vocabulary: 0,
        trained_context: 0,
        sliding_window: None,
        types: Vec::new(),
        bytes_per_token: Bytes(model.bytes_per_token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_processor_counts_its_performance_cores() {
        let machine = |kinds: Value| -> Machine {
            serde_json::from_value(json!({
                "schema": "autotune.machine/1",
                "cpu": {"cores": 14, "threads_online": 20, "kinds": kinds},
                "limits": {"usable_threads": 12},
                "gpus": [{"free_bytes": 5}, {"free_bytes": 7}, {"free_bytes": null}],
            }))
            .unwrap()
        };
        let kinds =
            json!([{"name": "performance", "cores": 6}, {"name": "efficiency", "cores": 8}]);
        let hybrid = here(&machine(kinds));
        assert_eq!((hybrid.physical_cores, hybrid.online_threads), (6, 20));
        assert_eq!((hybrid.usable_threads, hybrid.gpu_memory), (12, Some(Bytes(12))));
        assert_eq!(hybrid.available_memory, None);
        let uniform = here(&machine(json!([{"name": "uniform", "cores": 14}])));
        assert_eq!(uniform.physical_cores, 14);
    }
}
