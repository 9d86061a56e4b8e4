//! The decision tree and the calculator that people pass around, kept beside the exact answer to
//! show how far they are off.

use autotune_engine::api::{Bytes, Setting};

use crate::model::{Advice, Cell, LayerWeights, ModelCard, Offload, Room, SizeClass};

const GIB: u64 = 1 << 30;
/// Graphics memory that the calculator keeps for everything but weights.
const OVERHEAD: u64 = 2 * GIB;
/// Layers that the calculator takes every model to have.
const LAYERS: u64 = 32;
/// KV cache per token that the calculator takes every model to need.
const KV: Bytes = Bytes(512 << 10);

/// What tree and calculator say, beside what the map has for the baseline's context, cache type
/// and physical batch.
#[must_use]
pub fn advice(
    card: &ModelCard,
    layers: &LayerWeights,
    room: &Room,
    baseline: &Setting,
    cells: &[Cell],
) -> Advice {
    let free: Bytes = room.devices.iter().map(|device| device.free_bytes).sum();
    let context = &baseline.context;
    let own: Vec<&Cell> = cells
        .iter()
        .filter(|cell| {
            (cell.context, cell.kv_type, cell.ubatch)
                == (context.context, context.type_k, context.ubatch)
        })
        .collect();
    let fitting = own.iter().filter(|cell| cell.fits == Some(true) && cell.cpu_experts == 0);
    let exact = fitting.map(|cell| cell.gpu_layers).max();
    let kv = own.first().map_or(Bytes(0), |cell| cell.memory.kv_bytes);
    let (class, says) = class(card);
    Advice {
        class,
        class_says: says.to_owned(),
        memory_says: memory_branch(free).to_owned(),
        rule_gpu_layers: rule_of_thumb(card, free),
        exact_gpu_layers: exact,
        offload: exact.map(|count| match count {
            0 => Offload::None,
            count if count == all_layers(layers) => Offload::Full,
            _ => Offload::Partial,
        }),
        rule_kv_bytes_per_token: KV,
        exact_kv_bytes_per_token: Bytes(kv.0 / u64::from(context.context.max(1))),
    }
}

/// Layers on graphics cards by the calculator: all (with the output layer) where the weights fit
/// into the memory less 2 GiB, else that share of 32.
fn rule_of_thumb(card: &ModelCard, memory: Bytes) -> u32 {
    let room = memory.0.saturating_sub(OVERHEAD);
    if card.file_bytes.0 <= room {
        return card.layers.saturating_add(1);
    }
    let share = u128::from(room) * u128::from(LAYERS) / u128::from(card.file_bytes.0.max(1));
    u32::try_from(share).unwrap_or(u32::MAX)
}

/// The tree's class of a model, and what it says of that class.
#[must_use]
pub fn class(card: &ModelCard) -> (SizeClass, &'static str) {
    match card.parameters {
        ..3_000_000_000 => (SizeClass::Small, "processor or graphics card"),
        3_000_000_000..=13_000_000_000 => {
            (SizeClass::Medium, "graphics card preferred, or a quantized model")
        }
        _ => (SizeClass::Large, "graphics card required, and a quantized model"),
    }
}

/// What the tree says of the graphics memory.
fn memory_branch(memory: Bytes) -> &'static str {
    match memory.0 {
        0 => "no graphics memory: everything on the processor",
        bytes if bytes < 8 * GIB => "below 8 GiB: Q4 or smaller, some layers on the processor",
        bytes if bytes <= 24 * GIB => "8 to 24 GiB: Q8 or F16, all layers on the card",
        _ => "above 24 GiB: F16 or F32, all layers on the card",
    }
}

/// Layers that a model really has, the output layer counted.
pub(super) fn all_layers(layers: &LayerWeights) -> u32 {
    u32::try_from(layers.layer_bytes.len()).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::card;
    use super::*;

    #[test]
    fn the_rule_is_the_one_that_is_passed_around() {
        let mut model = card();
        model.file_bytes = Bytes(8 * GIB);
        model.layers = 40;
        for (memory, layers) in [(0, 0), (2, 0), (6, 16), (9, 28), (10, 41)] {
            assert_eq!(rule_of_thumb(&model, Bytes(memory * GIB)), layers, "{memory} GiB");
        }
        assert_eq!(class(&model).0, SizeClass::Small);
    }
}
