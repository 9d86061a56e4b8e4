//! Where a sweep runs: the engine with its clock and sensors, the machine, and the model on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use autotune_engine::api::{Bytes, Clock, DeviceReport, Engine, GpuLayers, Setting, SystemClock};

use crate::cli::detect::measurable;
use crate::cli::engine::OpenEngine;
use crate::cli::replay::Space;
use crate::cli::{Exit, Printer, Stop, interrupt, model, peaks, simulated};
use crate::detect::{self, CardWatch};
use crate::knob::Terrain;
use crate::measure::{Bench, NoSensors, Reading, Sensors};
use crate::model::{CardUse, Machine, ModelCard, Room};
use crate::plan::{self, Here};

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
    /// Memory that can be had, with that of the devices.
    pub(super) room: Room,
    /// What is special about devices, one sentence each.
    pub(super) device_notes: Vec<String>,
    /// What was recorded; `None` where nothing is replayed.
    pub(super) recorded: Option<Space>,
    /// Equal where results may be reused.
    pub(super) fingerprint: String,
    pub(super) card: ModelCard,
}

impl Place {
    /// The machine that the engine runs on, with the model as typed, and the devices of those
    /// servers.
    pub(super) fn open(
        opened: OpenEngine,
        model: &str,
        servers: &[String],
        printer: Printer,
    ) -> Result<Self, Stop> {
        let OpenEngine { mut engine, clock, world, recorded, canceller } = opened;
        let is_live = world.is_none() && recorded.is_none();
        let (mut machine, card): (Machine, ModelCard);
        let mut reached: Option<Vec<DeviceReport>> = None;
        let mut space: Option<Space> = None;
        let mut sensors: Box<dyn Sensors> = Box::new(NoSensors);
        if let Some(world) = &world {
            (machine, card) = (simulated::machine(world), simulated::model(world, model));
        } else if let Some(recorded) = recorded {
            card = recorded.model(model);
            machine = recorded.machine;
            space = Some(recorded.space);
        } else {
            machine = detect::machine(&detect::live());
            measurable(&machine)?;
            peaks::complete(&mut machine, &detect::live(), printer);
            card = model::card(model, printer)?;
            // Only what a loaded backend drives counts as graphics memory.
            match engine.devices_with(servers) {
                Ok(listed) => {
                    // Those of other machines are none of this one.
                    let own = listed.iter().filter(|device| !plan::is_remote(device)).cloned();
                    detect::add_devices(&mut machine, own.collect());
                    reached = Some(listed);
                }
                Err(failure) if !servers.is_empty() => {
                    return Err(Stop::from_error(Exit::Usage, &failure));
                }
                Err(failure) => drop(machine.unseen.insert("devices".into(), failure.to_string())),
            }
        }
        let devices = reached.or_else(|| machine.devices.clone()).unwrap_or_default();
        let (here, fingerprint) = (here(&machine, &devices), machine.fingerprint());
        if is_live {
            sensors = Box::new(Counters::of(&devices));
        }
        let terrain = Terrain { servers: servers.to_vec(), ..terrain(&machine, &devices) };
        let room = plan::room_beside(&machine, &devices);
        // From here on there is an engine at work. A model that is still being written is stopped
        // by the signal itself.
        let interrupted = interrupt::flag(canceller)?;
        Ok(Self {
            engine,
            interrupted,
            clock,
            sensors,
            machine,
            here,
            terrain,
            room,
            device_notes: device_notes(&devices),
            recorded: space,
            fingerprint,
            card,
        })
    }

    /// Layers that fit on the devices under a setting, by the engine's own count.
    pub(super) fn layers_that_fit(&mut self, setting: &Setting) -> Option<GpuLayers> {
        layers_that_fit(self.engine.as_mut(), &self.card, &self.room, setting)
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

/// The counters of this machine's processors, and its cards.
#[derive(Debug)]
pub(in crate::cli) struct Counters {
    clock: SystemClock,
    watch: Option<CardWatch>,
    /// Address and the engine's name of each device that has an address.
    devices: Vec<(String, String)>,
}

impl Counters {
    pub(in crate::cli) fn of(devices: &[DeviceReport]) -> Self {
        let own = plan::taken(devices).into_iter();
        let devices = own.filter_map(|it| Some((it.pci_address.clone()?, it.name.clone())));
        Self { clock: SystemClock::start(), watch: None, devices: devices.collect() }
    }
}

impl Sensors for Counters {
    fn read(&mut self) -> Reading {
        let times = detect::processor_times();
        Reading {
            at: self.clock.now(),
            busy: times.map(|times| times.busy),
            own: detect::own_processor_time(),
            stolen: times.map(|times| times.stolen),
            processors: times.map(|times| times.processors),
        }
    }

    fn watch_cards(&mut self) {
        self.watch = CardWatch::start();
    }

    fn cards(&mut self) -> Vec<CardUse> {
        let mut cards = self.watch.take().map(CardWatch::finish).unwrap_or_default();
        for card in &mut cards {
            let known = self.devices.iter().find(|it| Some(&it.0) == card.pci_address.as_ref());
            card.device = known.map(|(_, name)| name.clone());
        }
        cards
    }
}

/// What a plan needs of a machine whose engine lists these devices.
pub(in crate::cli) fn here(machine: &Machine, devices: &[DeviceReport]) -> Here {
    let cores = machine.cpu.cores.unwrap_or(1);
    let online = machine.cpu.threads_online.unwrap_or(cores);
    let own = plan::taken(devices).into_iter().filter(|device| !plan::shares_memory(device));
    let free: Vec<Bytes> = own.filter_map(|device| device.free_bytes).collect();
    Here {
        physical_cores: machine.fast_cores().unwrap_or(cores),
        online_threads: online,
        usable_threads: machine.limits.usable_threads.unwrap_or(online).max(1),
        available_memory: machine.available_memory(),
        gpu_memory: (!free.is_empty()).then(|| free.into_iter().sum()),
        gpu_layers: None,
    }
}

/// Layers that fit on devices under a setting, by the engine's own count; `None` where there is no
/// device, or the engine cannot count.
pub(in crate::cli) fn layers_that_fit(
    engine: &mut dyn Engine,
    card: &ModelCard,
    room: &Room,
    setting: &Setting,
) -> Option<GpuLayers> {
    if room.devices.is_empty() {
        return None;
    }
    let all = card.layers.saturating_add(1);
    let most = plan::most_layers(all, |count| {
        let mut setting = setting.clone();
        setting.load.gpu_layers = GpuLayers::Count(count);
        let forecast = engine.forecast(&card.path, &setting).ok()?;
        Some(plan::devices_hold(&forecast, room))
    })?;
    Some(if most == all { GpuLayers::All } else { GpuLayers::Count(most) })
}

fn device_notes(devices: &[DeviceReport]) -> Vec<String> {
    let notes = plan::taken(devices).into_iter().filter_map(|device| {
        let (name, description) = (&device.name, &device.description);
        if plan::is_remote(device) {
            Some(format!("`{name}` belongs to the RPC server {description}"))
        } else if plan::is_software(device) {
            Some(format!("`{name}` ({description}) is the processor itself, driven as a card"))
        } else if plan::shares_memory(device) {
            Some(format!("`{name}` ({description}) has no memory but the processor's"))
        } else {
            None
        }
    });
    notes.collect()
}

/// What single knobs look at of a machine, with the devices that the engine would offload to by
/// its own names for them.
pub(in crate::cli) fn terrain(machine: &Machine, devices: &[DeviceReport]) -> Terrain {
    let names = plan::taken(devices).into_iter().map(|device| device.name.clone());
    Terrain::of(machine, names.collect())
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::DeviceKind;

    use super::*;

    fn device(name: &str, backend: &str, kind: DeviceKind, free: u64) -> DeviceReport {
        DeviceReport {
            name: name.to_owned(),
            description: "a card".to_owned(),
            kind,
            backend: backend.to_owned(),
            memory_bytes: Some(Bytes(free)),
            free_bytes: Some(Bytes(free)),
            pci_address: None,
        }
    }

    #[test]
    fn devices_have_the_engines_names_and_only_their_own_memory_counts() {
        let machine = Machine::default();
        let bare = here(&machine, &[]);
        assert_eq!((bare.physical_cores, bare.usable_threads, bare.gpu_memory), (1, 1, None));
        let mut devices = vec![
            device("CPU", "CPU", DeviceKind::Cpu, 7),
            device("CUDA0", "CUDA", DeviceKind::Gpu, 20),
            device("CUDA1", "CUDA", DeviceKind::Gpu, 300),
            device("Vulkan0", "Vulkan", DeviceKind::IntegratedGpu, 4000),
            device("RPC0", "RPC", DeviceKind::Gpu, 50_000),
        ];
        assert_eq!(here(&machine, &devices).gpu_memory, Some(Bytes(50_320)));
        assert_eq!(terrain(&machine, &devices).devices, ["RPC0", "CUDA0", "CUDA1"]);
        let room = plan::room_beside(&machine, &devices);
        assert_eq!(room.devices[1].name, "CUDA0");
        // Integrated graphics alone take layers, from memory that is counted already.
        devices.drain(1..3);
        devices.pop();
        assert_eq!(here(&machine, &devices).gpu_memory, None);
        assert_eq!(terrain(&machine, &devices).devices, ["Vulkan0"]);
        assert!(plan::room_beside(&machine, &devices).devices[0].shared);
    }
}
