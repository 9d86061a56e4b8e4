//! What is planned, and for which machine.

use std::path::{Path, PathBuf};

use autotune_engine::api::{Bytes, Engine};
use autotune_engine::sim::World;

use super::Arguments;
use crate::cli::engine::Devices;
use crate::cli::{Exit, Printer, Stop, peaks, simulated};
use crate::detect;
use crate::gguf::ModelFile;
use crate::model::{LayerWeights, Machine, ModelCard, Room};
use crate::{plan, synth};

/// A model to be planned; an outline goes away with it.
pub(super) struct Subject {
    pub(super) card: ModelCard,
    pub(super) layers: LayerWeights,
    pub(super) path: PathBuf,
    _outline: Option<synth::Outline>,
}

impl Subject {
    /// The model as typed: a file's header, or the outline of one that is nowhere.
    pub(super) fn read(typed: &str) -> Result<Self, Stop> {
        let outline = if synth::Name::is_synthetic(typed) {
            let made = synth::outline(typed, &std::env::temp_dir());
            Some(made.map_err(|error| Stop::from_error(Exit::Usage, &error))?)
        } else {
            None
        };
        let path = outline.as_ref().map_or(Path::new(typed), synth::Outline::path).to_owned();
        let file = ModelFile::open(&path).map_err(|error| {
            let stop = Stop::from_error(Exit::Usage, &error);
            if path.extension().is_some_and(|end| end == "gguf") {
                return stop;
            }
            stop.hint("a model is a .gguf file, or synth:SHAPE:QUANT (see `autotune synth --help`)")
        })?;
        let mut card =
            ModelCard::of(&file).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
        let layers = plan::layers(&file, &card);
        // The outline is gone when the plan is read.
        card.path = PathBuf::from(typed);
        Ok(Self { card, layers, path, _outline: outline })
    }

    /// The model of a simulated machine, which has no tensors: each layer is as large as the next.
    pub(super) fn simulated(world: &World, typed: &str) -> Self {
        let card = simulated::model(world, typed);
        let count = usize::try_from(card.layers).unwrap_or(0).min(1 << 16);
        let each = Bytes(card.file_bytes.0 / u64::from(card.layers.max(1)));
        let layers = LayerWeights {
            layer_bytes: vec![each; count],
            expert_bytes: vec![Bytes(0); count],
            embedding_bytes: Bytes(0),
            output_bytes: Bytes(0),
            active_parameters: card.parameters,
            quantized: true,
        };
        Self { path: card.path.clone(), card, layers, _outline: None }
    }
}

/// The machine that is planned for: that of a document, the simulated one, or this one with what
/// the engine's backends can drive.
pub(super) fn machine(
    arguments: &Arguments,
    world: Option<&World>,
    engine: &mut dyn Engine,
    printer: Printer,
) -> Result<Machine, Stop> {
    if let Some(path) = &arguments.machine {
        return document(path);
    }
    if let Some(world) = world {
        return Ok(simulated::machine(world));
    }
    let host = detect::live();
    let mut machine = detect::machine(&host);
    match engine.devices() {
        Ok(devices) => detect::add_devices(&mut machine, devices),
        Err(failure) => drop(machine.unseen.insert("devices".into(), failure.to_string())),
    }
    peaks::complete(&mut machine, &host, printer);
    Ok(machine)
}

fn document(path: &Path) -> Result<Machine, Stop> {
    let wrong = |why: String| {
        Stop::usage(format!("cannot read the machine {}: {why}", path.display()))
            .hint("`autotune detect --format json -o machine.json` writes one")
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let machine: Machine = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if machine.schema != Machine::SCHEMA {
        return Err(wrong(format!("it is no document of {}", Machine::SCHEMA)));
    }
    Ok(machine)
}

/// What can be had on a machine and on the servers that are named with it. llama.cpp fills the
/// devices of servers first.
pub(super) fn room(
    machine: &Machine,
    devices: &Devices,
    engine: &mut dyn Engine,
) -> Result<Room, Stop> {
    if devices.rpc.is_empty() {
        return Ok(plan::room(machine));
    }
    let listed = engine.devices_with(&devices.rpc).map_err(|failure| Stop {
        exit: Exit::NothingMeasured,
        message: format!("the RPC servers do not answer: {failure}"),
        hint: Some("`autotune rpc-server` starts one on each of the other machines".into()),
    })?;
    Ok(plan::room_beside(machine, &listed))
}
