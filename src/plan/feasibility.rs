//! The feasibility map: which contexts, KV types, physical batches and places of the layers fit.
//!
//! What lies on the processor alone comes from the engine's own count, one per cell. Layers on
//! graphics cards are composed from that count and the table of tensors, so that a map can be
//! drawn for a machine that is not here.

use autotune_engine::api::{Bytes, DeviceReport, Failure, Forecast, KvType, Setting, Sum};

use super::devices::{shares_memory, taken};
use super::roofline::Roof;
use super::thumb::all_layers;
use crate::knob::apply;
use crate::model::{
    Cell, CellSource, ContextMemory, DeviceRoom, LayerWeights, Level, Machine, ModelCard, Plan,
    Rejected, Room, Scope,
};

/// Main memory that is left to the system and to others.
const MEMORY_RESERVE: Bytes = Bytes(512 << 20);
/// Memory of a card that llama-server's `--fit` leaves free, too.
const DEVICE_RESERVE: Bytes = Bytes(1 << 30);
/// Contexts of the map, beside the asked one.
const CONTEXTS: [u32; 6] = [4096, 8192, 16_384, 32_768, 65_536, 131_072];
/// Physical batches of the map.
const UBATCHES: [u32; 3] = [128, 512, 2048];
/// KV types of the map.
pub const KV_TYPES: [KvType; 3] = [KvType::F16, KvType::Q8_0, KvType::Q4_0];
/// How much more context the question is about.
pub const MORE_CONTEXT: u32 = 32_768;

/// A point of the map that the engine counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Tokens of context.
    pub context: u32,
    /// Type of both halves of the KV cache.
    pub kv_type: KvType,
    /// Physical batch.
    pub ubatch: u32,
    /// The setting, everything on the processor.
    pub setting: Setting,
}

/// The points of a map: the asked contexts, or ordinary ones up to what the model was trained for.
#[must_use]
pub fn points(card: &ModelCard, baseline: &Setting, asked: &[u32]) -> Vec<Point> {
    let contexts =
        if asked.is_empty() { contexts(card, baseline) } else { distinct(asked.to_vec()) };
    let mut points = Vec::new();
    for context in contexts {
        for kv_type in KV_TYPES {
            points.extend(UBATCHES.map(|ubatch| point(baseline, context, kv_type, ubatch)));
        }
    }
    points
}

/// The baseline's context and ordinary ones, up to what the model was trained for.
#[must_use]
pub fn contexts(card: &ModelCard, baseline: &Setting) -> Vec<u32> {
    let own = [baseline.context.context];
    let most = card.trained_context.max(own[0]);
    distinct(CONTEXTS.iter().chain(&own).copied().filter(|tokens| *tokens <= most).collect())
}

fn distinct(mut contexts: Vec<u32>) -> Vec<u32> {
    contexts.sort_unstable();
    contexts.dedup();
    contexts
}

/// What the engine foresees of one context.
#[must_use]
pub fn context_memory(context: u32, forecast: &Forecast) -> ContextMemory {
    let devices = forecast.devices().map(|name| forecast.device(name));
    let devices = devices.fold(Sum::default(), |whole, need| whole.with(&need));
    ContextMemory { context, memory: forecast.memory(), devices }
}

/// The baseline with these three, everything on the processor.
#[must_use]
pub fn point(baseline: &Setting, context: u32, kv_type: KvType, ubatch: u32) -> Point {
    let mut setting = baseline.clone();
    setting.load.gpu_layers = autotune_engine::api::GpuLayers::Count(0);
    setting.context.context = context;
    (setting.context.type_k, setting.context.type_v) = (kv_type, kv_type);
    setting.context.ubatch = ubatch;
    setting.context.batch = setting.context.batch.max(ubatch);
    Point { context, kv_type, ubatch, setting }
}

/// What can be had on a machine whose engine lists these devices.
#[must_use]
pub fn room_beside(machine: &Machine, devices: &[DeviceReport]) -> Room {
    let devices = taken(devices).into_iter().filter_map(|device| {
        Some(DeviceRoom {
            name: device.name.clone(),
            free_bytes: device.free_bytes.or(device.memory_bytes)?,
            reserve_bytes: DEVICE_RESERVE,
            shared: shares_memory(device),
        })
    });
    Room {
        memory_bytes: machine.available_memory(),
        memory_reserve_bytes: MEMORY_RESERVE,
        devices: devices.collect(),
    }
}

/// What can be had on a machine, as far as its document tells.
#[must_use]
pub fn room(machine: &Machine) -> Room {
    if let Some(devices) = &machine.devices {
        return room_beside(machine, devices);
    }
    let cards = machine.gpus.iter().filter(|gpu| gpu.backend.is_some());
    let devices = cards
        .filter(|gpu| gpu.integrated != Some(true))
        .enumerate()
        .filter_map(|(index, gpu)| {
            Some(DeviceRoom {
                name: gpu.name.clone().unwrap_or_else(|| format!("card {index}")),
                free_bytes: gpu.free_bytes.or(gpu.memory_bytes)?,
                reserve_bytes: DEVICE_RESERVE,
                shared: false,
            })
        })
        .collect();
    Room { memory_bytes: machine.available_memory(), memory_reserve_bytes: MEMORY_RESERVE, devices }
}

/// What must be known to judge a point.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The model.
    pub card: &'a ModelCard,
    /// Layer by layer.
    pub layers: &'a LayerWeights,
    /// What can be had.
    pub room: &'a Room,
    /// How fast it can be.
    pub roof: Option<&'a Roof>,
}

/// All cells of one point: on the processor alone, and with each place of the layers.
#[must_use]
pub fn cells(ground: Ground<'_>, point: &Point, forecast: &Forecast) -> Vec<Cell> {
    let mut cells = vec![cell(ground, point, forecast, Split::default())];
    if ground.room.devices.is_empty() {
        return cells;
    }
    let all = all_layers(ground.layers);
    let mut splits: Vec<Split> = (1..=3)
        .map(|quarter| Split { gpu_layers: all * quarter / 4, cpu_experts: 0 })
        .chain(largest(ground, point, forecast))
        .collect();
    let own = u32::try_from(ground.layers.layer_bytes.len()).unwrap_or(u32::MAX);
    let experts = if ground.card.experts > 0 { vec![own / 2, own] } else { Vec::new() };
    splits.extend(
        experts.into_iter().chain([0]).map(|cpu_experts| Split { gpu_layers: all, cpu_experts }),
    );
    splits.retain(|split| split.gpu_layers > 0);
    splits.sort_unstable_by_key(|split| (split.gpu_layers, std::cmp::Reverse(split.cpu_experts)));
    splits.dedup();
    cells.extend(splits.into_iter().map(|split| cell(ground, point, forecast, split)));
    cells
}

/// Where the layers of a cell lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Split {
    gpu_layers: u32,
    cpu_experts: u32,
}

/// The most that fits: layers, and of a mixture with all layers the fewest experts left behind.
fn largest(ground: Ground<'_>, point: &Point, forecast: &Forecast) -> Vec<Split> {
    let all = all_layers(ground.layers);
    let fits = |split: &Split| cell(ground, point, forecast, *split).fits == Some(true);
    let layers = (1..=all).rev().map(|gpu_layers| Split { gpu_layers, cpu_experts: 0 }).find(fits);
    let own = if ground.card.experts > 0 { all - 1 } else { 0 };
    let experts = (1..=own).map(|cpu_experts| Split { gpu_layers: all, cpu_experts }).find(fits);
    layers.into_iter().chain(experts).collect()
}

fn cell(ground: Ground<'_>, point: &Point, forecast: &Forecast, split: Split) -> Cell {
    let (memory, devices) = placed(ground, forecast, split);
    let over = shortage(ground.room, &memory, &devices);
    // Cards have peaks of their own, which a roof of main memory says nothing about.
    let roof = ground.roof.filter(|_| split.gpu_layers == 0);
    let kv = forecast.buffers.iter().map(|buffer| buffer.context_bytes).sum();
    Cell {
        context: point.context,
        kv_type: point.kv_type,
        ubatch: point.ubatch,
        gpu_layers: split.gpu_layers,
        cpu_experts: split.cpu_experts,
        memory,
        devices,
        source: if split.gpu_layers == 0 { CellSource::Engine } else { CellSource::Layers },
        fits: ground.room.memory_bytes.map(|_| over.is_none()),
        reason: over,
        decode_tok_per_s: roof.map(|roof| roof.decode(Bytes(0))),
        full_decode_tok_per_s: roof.map(|roof| roof.decode(kv)),
        prefill_tok_per_s: roof.and_then(|roof| roof.prefill(point.ubatch)),
    }
}

/// The need of main memory and of each card. Layers go to the cards from the end of the model, in
/// proportion to what is free on each, as llama.cpp deals them out; each card has its own scratch.
fn placed(ground: Ground<'_>, forecast: &Forecast, split: Split) -> (Sum, Vec<Sum>) {
    let mut memory = forecast.memory();
    let mut devices = vec![Sum::default(); ground.room.devices.len()];
    let own = ground.layers.layer_bytes.len();
    let on_cards = usize::try_from(split.gpu_layers).unwrap_or(usize::MAX).min(own + 1);
    if on_cards == 0 || devices.is_empty() {
        return (memory, devices);
    }
    let kv_each = memory.kv_bytes.0 / u64::try_from(own.max(1)).unwrap_or(1);
    let free: f64 = ground.room.devices.iter().map(|device| device.free_bytes.0 as f64).sum();
    let first = own + 1 - on_cards;
    for place in first..=own {
        let share = (place - first) as f64 / on_cards as f64;
        let device = dealt(&ground.room.devices, share * free.max(1.0));
        let (weights, kv) = match ground.layers.layer_bytes.get(place) {
            // The experts of the first layers stay behind.
            Some(bytes) if place < usize::try_from(split.cpu_experts).unwrap_or(usize::MAX) => {
                (bytes.0.saturating_sub(ground.layers.expert_bytes[place].0), kv_each)
            }
            Some(bytes) => (bytes.0, kv_each),
            None => (ground.layers.output_bytes.0, 0),
        };
        let sum = &mut devices[device];
        sum.weights_bytes = sum.weights_bytes + Bytes(weights);
        sum.kv_bytes = sum.kv_bytes + Bytes(kv);
        sum.compute_bytes = memory.compute_bytes;
        // A tied embedding is copied, not moved.
        let moved =
            weights.min(memory.weights_bytes.0.saturating_sub(ground.layers.embedding_bytes.0));
        memory.weights_bytes = Bytes(memory.weights_bytes.0 - moved);
        memory.kv_bytes = Bytes(memory.kv_bytes.0.saturating_sub(kv));
    }
    (memory, devices)
}

/// The card that a share of all free memory falls on.
fn dealt(devices: &[DeviceRoom], place: f64) -> usize {
    let mut end = 0.0;
    let found = devices.iter().position(|device| {
        end += device.free_bytes.0 as f64;
        place < end
    });
    found.unwrap_or(devices.len() - 1)
}

/// The sum of the first memory that is too small. What lies on a device without memory of its own
/// is taken from main memory.
fn shortage(room: &Room, memory: &Sum, devices: &[Sum]) -> Option<String> {
    let shared = room.devices.iter().zip(devices).filter(|(device, _)| device.shared);
    let whole = shared.fold(*memory, |whole, (_, need)| whole.with(need));
    let main = room.memory_bytes.map(|bytes| ("main memory", bytes, room.memory_reserve_bytes));
    let main = main.and_then(|(name, free, reserve)| too_much(name, free, reserve, &whole));
    main.or_else(|| shortage_of_devices(room, devices))
}

/// The sum of the first device whose memory is too small.
fn shortage_of_devices(room: &Room, devices: &[Sum]) -> Option<String> {
    room.devices.iter().zip(devices).find_map(|(device, need)| {
        too_much(&device.name, device.free_bytes, device.reserve_bytes, need)
    })
}

/// The sum in words where it is more than there is.
fn too_much(name: &str, free: Bytes, reserve: Bytes, need: &Sum) -> Option<String> {
    let available = Bytes(free.0.saturating_sub(reserve.0));
    let over = need.total().0.checked_sub(available.0).filter(|over| *over > 0)?;
    if need.total() == Bytes(0) {
        return None;
    }
    let parts = [
        (need.weights_bytes, "weights"),
        (need.kv_bytes, "KV"),
        (need.compute_bytes, "compute"),
        (need.rest_bytes, "rest"),
    ];
    let parts = parts.iter().filter(|(bytes, _)| *bytes > Bytes(0));
    let sum = parts.map(|(bytes, what)| format!("{bytes} {what}")).collect::<Vec<_>>().join(" + ");
    Some(format!("{name}: {sum} = {} > {available} by {}", need.total(), Bytes(over)))
}

/// Why a setting does not fit, by the engine's own count; `None` where it does or nobody knows.
#[must_use]
pub fn does_not_fit(forecast: &Forecast, room: &Room) -> Option<String> {
    shortage(room, &forecast.memory(), &on_devices(forecast, room))
}

/// Whether what a setting puts on devices fits there, by the engine's own count. Main memory is
/// left out of it: there, fewer layers on devices are no remedy.
#[must_use]
pub fn devices_hold(forecast: &Forecast, room: &Room) -> bool {
    shortage_of_devices(room, &on_devices(forecast, room)).is_none()
}

fn on_devices(forecast: &Forecast, room: &Room) -> Vec<Sum> {
    room.devices.iter().map(|device| forecast.device(&device.name)).collect()
}

/// A point that the engine refuses to count: a cache type that this model cannot have, mostly.
#[must_use]
pub fn uncounted(point: &Point, failure: &Failure) -> Rejected {
    Rejected {
        knob: "type_k".to_owned(),
        level: Some(Level::Word(point.kv_type.to_string())),
        reason: format!("context {}, ubatch {}: {failure}", point.context, point.ubatch),
    }
}

/// Whether memory is so short that the process can decide whether a setting fits. It moves no
/// byte from one memory to another; a CPU variant's own format of the weights is larger than the
/// file's by an eighth at most (`Q8_0`, whose tiles for AMX have a sum per row).
#[must_use]
pub fn tight(forecast: &Forecast, available: Option<Bytes>) -> bool {
    let mut need = forecast.memory();
    need.weights_bytes = need.weights_bytes + Bytes(need.weights_bytes.0 / 4);
    available.is_some_and(|free| too_much("", free, MEMORY_RESERVE, &need).is_some())
}

/// Takes levels out of the space that do not fit while everything else is the baseline's, with
/// their sums as the reason. `judge` gives the sum of a setting that does not fit; processes are
/// judged only where memory is [`tight`], because each has to be started for it. More layers of a
/// mixture on the cards stay where they fit with its experts left behind.
pub fn rule_out(plan: &mut Plan, tight: bool, judge: &mut dyn FnMut(&Setting) -> Option<String>) {
    let baseline = plan.baseline.clone();
    let experts = plan.axes.iter().find(|axis| axis.knob == "cpu_experts").cloned();
    let without_experts = |setting: &Setting| {
        experts.as_ref().and_then(|axis| apply(axis, setting, axis.levels.last()?))
    };
    let rejected = &mut plan.rejected;
    for axis in &mut plan.axes {
        if axis.scope == Scope::Setter || (axis.scope == Scope::Process && !tight) {
            continue;
        }
        let whole = axis.clone();
        axis.levels.retain(|level| {
            let setting = apply(&whole, &baseline, level).filter(|it| *it != baseline);
            let Some(setting) = setting else { return true };
            let Some(reason) = judge(&setting) else { return true };
            let slimmer = without_experts(&setting).filter(|_| whole.knob == "gpu_layers");
            if slimmer.is_some_and(|slimmer| judge(&slimmer).is_none()) {
                return true;
            }
            let (knob, level) = (whole.knob.clone(), Some(level.clone()));
            rejected.push(Rejected { knob, level, reason });
            false
        });
    }
    plan.axes.retain(|axis| axis.levels.len() >= 2);
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{BufferForecast, ContextSetting, Place};

    use super::super::tests::{card, chat, here, variants};
    use super::*;
    use crate::model::{Gpu, GpuBackend};

    const GIB: u64 = 1 << 30;

    /// 16 layers of 1 GiB, an output of 2 GiB that is the embedding too, 1.6 GiB of cache.
    fn forecast() -> Forecast {
        let buffer = BufferForecast {
            name: "CPU".into(),
            place: Place::Memory,
            model_place: Place::File,
            model_bytes: Bytes(18 * GIB),
            context_bytes: Bytes(16 * (GIB / 10)),
            compute_bytes: Bytes(GIB / 4),
            touched_bytes: Bytes(GIB / 8),
        };
        Forecast { effective: ContextSetting::default(), buffers: vec![buffer], rest: Vec::new() }
    }

    fn weights(experts: u64) -> LayerWeights {
        LayerWeights {
            layer_bytes: vec![Bytes(GIB); 16],
            expert_bytes: vec![Bytes(experts); 16],
            embedding_bytes: Bytes(2 * GIB),
            output_bytes: Bytes(2 * GIB),
            active_parameters: 1,
            quantized: true,
        }
    }

    fn machine(memory: u64, cards: &[u64]) -> Machine {
        let mut machine = Machine::default();
        machine.memory.available_bytes = Some(Bytes(memory * GIB));
        machine.gpus = cards
            .iter()
            .map(|free| Gpu {
                name: Some("card".into()),
                backend: Some(GpuBackend::Cuda),
                free_bytes: Some(Bytes(free * GIB)),
                ..Gpu::default()
            })
            .collect();
        machine
    }

    fn map(machine: &Machine, model: &ModelCard, weights: &LayerWeights) -> Vec<Cell> {
        let room = room(machine);
        let baseline = super::super::baseline(model, &here(), &chat(), &variants()).0;
        let ground = Ground { card: model, layers: weights, room: &room, roof: None };
        cells(ground, &point(&baseline, 4096, KvType::F16, 512), &forecast())
    }

    fn most(cells: &[Cell]) -> Option<(u32, u32)> {
        let fitting = cells.iter().filter(|cell| cell.fits == Some(true));
        fitting.map(|cell| (cell.gpu_layers, cell.cpu_experts)).max_by_key(|it| it.0)
    }

    #[test]
    fn without_a_card_there_is_one_cell_and_it_says_its_sum() {
        let cells = map(&machine(24, &[]), &card(), &weights(0));
        assert_eq!((cells.len(), cells[0].fits), (1, Some(true)));
        let cells = map(&machine(16, &[]), &card(), &weights(0));
        let reason = cells[0].reason.as_deref().unwrap();
        assert!(reason.contains("18.0 GiB weights + 1.60 GiB KV"), "{reason}");
        assert!(reason.contains("> 15.5 GiB by 4.35 GiB"), "{reason}");
    }

    #[test]
    fn one_card_gets_what_fits_beside_its_reserve_and_scratch() {
        // 12 GiB less 1 less a quarter: the output takes 2, each layer 1.1.
        let cells = map(&machine(24, &[12]), &card(), &weights(0));
        assert_eq!(most(&cells), Some((8, 0)));
        let cells = map(&machine(24, &[30]), &card(), &weights(0));
        let whole = cells.iter().find(|cell| cell.gpu_layers == 17).unwrap();
        assert_eq!((whole.fits, whole.source), (Some(true), CellSource::Layers));
        // The tied embedding stays with the processor and goes with the output.
        assert_eq!(whole.memory.weights_bytes, Bytes(2 * GIB));
        assert_eq!(whole.devices[0].weights_bytes, Bytes(18 * GIB));
    }

    #[test]
    fn two_cards_share_by_what_is_free_and_are_not_one_large_card() {
        let cells = map(&machine(24, &[12, 6]), &card(), &weights(0));
        let whole = cells.iter().find(|cell| cell.gpu_layers == 17).unwrap();
        let [large, small] = whole.devices.as_slice() else { panic!("two cards") };
        assert!(large.weights_bytes > small.weights_bytes, "{whole:?}");
        assert_eq!(large.weights_bytes + small.weights_bytes, Bytes(18 * GIB));
        assert_eq!(whole.fits, Some(false));
        let alone = most(&map(&machine(24, &[12]), &card(), &weights(0))).unwrap().0;
        assert!(most(&cells).unwrap().0 > alone);
    }

    #[test]
    fn a_level_that_does_not_fit_leaves_the_space_with_its_sum() {
        let model = card();
        let mut plan = super::super::plan(super::super::tests::wish(&model));
        let levels = |plan: &Plan| {
            plan.axes.iter().find(|axis| axis.knob == "ubatch").map(|axis| axis.levels.len())
        };
        let before = levels(&plan).unwrap();
        let mut judge = |setting: &Setting| {
            (setting.context.ubatch != 512).then(|| "1 GiB > 0 B by 1 GiB".to_owned())
        };
        rule_out(&mut plan, false, &mut judge);
        // Only the baseline's level is left, which is no choice.
        assert_eq!(levels(&plan), None);
        let out = plan.rejected.iter().filter(|it| it.reason.contains("by 1 GiB"));
        assert_eq!(out.count(), before - 1);
    }

    #[test]
    fn processes_are_judged_where_a_quarter_more_weights_would_not_fit() {
        // 18 GiB of weights, 1.85 beside them, half a GiB reserved.
        for (memory, short) in [(24, true), (25, false)] {
            assert_eq!(tight(&forecast(), Some(Bytes(memory * GIB))), short, "{memory}");
        }
        assert!(!tight(&forecast(), None));
        let model = card();
        let process = |tight: bool| {
            let mut plan = super::super::plan(super::super::tests::wish(&model));
            rule_out(&mut plan, tight, &mut |_| Some("too large".to_owned()));
            plan.axes.iter().filter(|axis| axis.scope == Scope::Process).count()
        };
        assert!(process(false) > 0);
        assert_eq!(process(true), 0);
    }

    #[test]
    fn of_a_mixture_experts_stay_behind() {
        let mut model = card();
        (model.experts, model.experts_used) = (8, 2);
        let cells = map(&machine(24, &[12]), &model, &weights(GIB / 10 * 9));
        let all = cells.iter().filter(|cell| cell.gpu_layers == 17 && cell.fits == Some(true));
        let fewest = all.map(|cell| cell.cpu_experts).min();
        assert!(fewest.is_some_and(|count| (1..16).contains(&count)), "{fewest:?}");
    }

    #[test]
    fn all_layers_stay_in_the_space_where_they_fit_without_their_experts() {
        let card = card();
        let levels = |counts: &[u32]| counts.iter().copied().map(Level::Count).collect::<Vec<_>>();
        let axis = |knob: &str, levels| crate::model::Axis {
            knob: knob.into(),
            scope: Scope::Load,
            levels,
        };
        let layers =
            axis("gpu_layers", [levels(&[0, 8, 9]), vec![Level::Word("all".into())]].concat());
        let experts = axis("cpu_experts", levels(&[0, 8, 16]));
        let judge = |setting: &Setting| {
            let layers = match setting.load.gpu_layers {
                autotune_engine::api::GpuLayers::Count(count) => count,
                autotune_engine::api::GpuLayers::All => 17,
            };
            (layers > 8 && setting.load.cpu_experts < 16).then(|| "too much".to_owned())
        };
        let left = |axes: Vec<crate::model::Axis>| -> Vec<usize> {
            let mut plan = crate::plan::plan(crate::plan::tests::wish(&card));
            plan.baseline.load.gpu_layers = autotune_engine::api::GpuLayers::Count(8);
            (plan.axes, plan.rejected) = (axes, Vec::new());
            rule_out(&mut plan, false, &mut |setting| judge(setting));
            plan.axes.iter().map(|axis| axis.levels.len()).collect()
        };
        assert_eq!(left(vec![layers.clone(), experts]), [4, 3]);
        assert_eq!(left(vec![layers]), [2]);
    }
}
