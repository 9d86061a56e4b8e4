//! Where a sweep runs: the engine with its clock and sensors, the machine, and the model on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autotune_engine::api::{Bytes, Clock, Engine, SystemClock};

use crate::cli::detect::measurable;
use crate::cli::engine::OpenEngine;
use crate::cli::{Printer, Stop, interrupt, model, simulated};
use crate::detect;
use crate::knob::Terrain;
use crate::measure::{Bench, NoSensors, Reading, Sensors};
use crate::model::{GpuBackend, Machine, ModelCard};
use crate::plan::Here;

/// Everything that is outside of a sweep.
pub(super) struct Place {
    pub(super) engine: Box<dyn Engine>,
    /// Set by Ctrl-C and SIGTERM, which also end the engine's job.
    pub(super) interrupted: Arc<AtomicBool>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) sensors: Box<dyn Sensors>,
    pub(super) machine: Machine,
    pub(super) here: Here,
    pub(super) terrain: Terrain,
    /// Equal where results may be reused.
    pub(super) fingerprint: String,
    pub(super) card: ModelCard,
}

impl Place {
    /// The machine that the engine runs on, with the model as typed.
    pub(super) fn open(opened: OpenEngine, model: &str, printer: Printer) -> Result<Self, Stop> {
        let OpenEngine { mut engine, clock, world, recorded, canceller } = opened;
        let (mut machine, card): (Machine, ModelCard);
        let sensors: Box<dyn Sensors>;
        if let Some(world) = &world {
            (machine, card) = (simulated::machine(world), simulated::model(world, model));
            sensors = Box::new(NoSensors);
        } else if let Some(recorded) = recorded {
            card = recorded.model(model);
            machine = recorded.machine;
            sensors = Box::new(NoSensors);
        } else {
            machine = detect::machine(&detect::live());
            measurable(&machine)?;
            card = model::card(model, printer)?;
            sensors = Box::new(Counters(SystemClock::start()));
            // Only what a loaded backend drives counts as graphics memory.
            match engine.devices() {
                Ok(devices) => detect::add_devices(&mut machine, devices),
                Err(failure) => drop(machine.unseen.insert("devices".into(), failure.to_string())),
            }
        }
        let (here, fingerprint) = (here(&machine), machine.fingerprint());
        let terrain = terrain(&machine);
        // From here on there is an engine at work. A model that is still being written is stopped
        // by the signal itself.
        let interrupted = interrupt::flag(canceller)?;
        Ok(Self { engine, interrupted, clock, sensors, machine, here, terrain, fingerprint, card })
    }

    /// Whether the user wants to stop.
    pub(super) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
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

/// The counters of this machine's processors.
#[derive(Debug)]
struct Counters(SystemClock);

impl Sensors for Counters {
    fn read(&mut self) -> Reading {
        let times = detect::processor_times();
        Reading {
            at: self.0.now(),
            busy: times.map(|times| times.busy),
            stolen: times.map(|times| times.stolen),
            processors: times.map(|times| times.processors),
        }
    }
}

/// What a plan needs of a machine document.
pub(in crate::cli) fn here(machine: &Machine) -> Here {
    let cores = machine.cpu.cores.unwrap_or(1);
    let online = machine.cpu.threads_online.unwrap_or(cores);
    let free: Vec<Bytes> = machine
        .gpus
        .iter()
        .filter(|gpu| gpu.backend.is_some() && gpu.integrated != Some(true))
        .filter_map(|gpu| gpu.free_bytes)
        .collect();
    Here {
        physical_cores: machine.fast_cores().unwrap_or(cores),
        online_threads: online,
        usable_threads: machine.limits.usable_threads.unwrap_or(online).max(1),
        available_memory: machine.available_memory(),
        gpu_memory: (!free.is_empty()).then(|| free.into_iter().sum()),
    }
}

/// What single knobs look at of a machine.
pub(in crate::cli) fn terrain(machine: &Machine) -> Terrain {
    Terrain::of(machine, devices(machine))
}

/// The devices that the engine would offload to, by ggml's names for them.
fn devices(machine: &Machine) -> Vec<String> {
    let driven = machine.gpus.iter().filter(|gpu| gpu.integrated != Some(true));
    let mut names: Vec<String> = Vec::new();
    for backend in driven.filter_map(|gpu| gpu.backend) {
        let family = match backend {
            GpuBackend::Cuda => "CUDA",
            GpuBackend::Vulkan => "Vulkan",
            GpuBackend::Metal => "Metal",
            GpuBackend::Hip => "ROCm",
            GpuBackend::Sycl => "SYCL",
            GpuBackend::OpenCl => "GPUOpenCL",
            GpuBackend::Musa => "MUSA",
            GpuBackend::Cann => "CANN",
        };
        let before = names.iter().filter(|name| name.starts_with(family)).count();
        names.push(format!("{family}{before}"));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Gpu;

    #[test]
    fn only_cards_that_the_engine_drives_count_as_memory() {
        let gpu = |backend, free: u64, integrated| Gpu {
            backend,
            free_bytes: Some(Bytes(free)),
            integrated: Some(integrated),
            ..Gpu::default()
        };
        let mut machine = Machine::default();
        assert_eq!((here(&machine).physical_cores, here(&machine).usable_threads), (1, 1));
        machine.gpus = vec![
            gpu(None, 1, false),
            gpu(Some(GpuBackend::Cuda), 20, false),
            gpu(Some(GpuBackend::Cuda), 300, false),
            gpu(Some(GpuBackend::Vulkan), 4000, true),
        ];
        assert_eq!(here(&machine).gpu_memory, Some(Bytes(320)));
        assert_eq!(devices(&machine), ["CUDA0", "CUDA1"]);
    }
}
