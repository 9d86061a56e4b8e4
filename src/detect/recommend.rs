//! What the machine suits: the hardware decision tree, from memory alone. `plan` answers exactly
//! for one model; this is the first glance.

use crate::model::{Machine, Offload, Recommendation, SizeClass};

/// Bytes per weight of `Q4_K_M`: 4.85 bits, as llama.cpp's quantization tool lists it for an
/// 8-billion model.
const Q4_BYTES: f64 = 4.85 / 8.0;
/// Share of memory that weights may take; the rest is for KV cache, computation and the system.
const FOR_WEIGHTS: f64 = 0.85;
const GIB: u64 = 1 << 30;

/// The branch of the tree.
pub(super) fn find(machine: &Machine) -> Recommendation {
    let cards = || machine.gpus.iter().filter(|gpu| gpu.integrated != Some(true));
    let free: Option<u64> =
        cards().map(|gpu| gpu.free_bytes.or(gpu.memory_bytes).map(|bytes| bytes.0)).sum();
    let total: Option<u64> = cards().map(|gpu| gpu.memory_bytes.map(|bytes| bytes.0)).sum();
    let seen = !machine.unseen.contains_key("gpus");
    let offload = total.filter(|_| seen).map(|total| match total {
        0 => Offload::None,
        _ if total < 8 * GIB => Offload::Partial,
        _ => Offload::Full,
    });
    let system = machine.available_memory().map(|bytes| bytes.0);
    // With all layers on the cards their memory alone counts; else weights may lie in both.
    let memory = match offload {
        Some(Offload::Full) => free,
        Some(Offload::Partial) => system.zip(free).map(|(system, free)| system + free),
        Some(Offload::None) | None => system,
    };
    let largest = memory.map(largest_parameters);
    let class = largest.map(|parameters| match parameters {
        ..3_000_000_000 => SizeClass::Small,
        3_000_000_000..=13_000_000_000 => SizeClass::Medium,
        _ => SizeClass::Large,
    });
    let advice = match (offload, total.unwrap_or(0)) {
        (Some(Offload::None), _) => {
            "no graphics card: models below 3 B run well, larger ones slowly; Q4"
        }
        (Some(Offload::Partial), _) => "Q4 or smaller, some layers on the processor",
        (Some(Offload::Full), memory) if memory <= 24 * GIB => "Q8 or F16, all on the card",
        (Some(Offload::Full), _) => "F16 or F32, all on the card",
        (None, _) => "graphics memory is unknown: judged by main memory",
    };
    Recommendation {
        offload,
        class,
        largest_q4_parameters: largest,
        advice: Some(advice.to_owned()),
    }
}

/// Parameters that fit, in whole tenths of a billion.
fn largest_parameters(memory: u64) -> u64 {
    let tenths = memory as f64 * FOR_WEIGHTS / Q4_BYTES / 1e8;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let tenths = tenths as u64;
    tenths.saturating_mul(100_000_000)
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::Bytes;

    use super::*;
    use crate::model::Gpu;

    fn machine(ram: u64, cards: &[Option<u64>]) -> Machine {
        let mut machine = Machine::default();
        machine.memory.available_bytes = Some(Bytes(ram * GIB));
        machine.gpus = cards
            .iter()
            .map(|memory| Gpu {
                memory_bytes: memory.map(|gib| Bytes(gib * GIB)),
                free_bytes: memory.map(|gib| Bytes(gib * GIB)),
                ..Gpu::default()
            })
            .collect();
        machine
    }

    #[test]
    fn the_tree_has_these_branches() {
        for (ram, cards, offload, class) in [
            (1, &[][..], Some(Offload::None), SizeClass::Small),
            (8, &[][..], Some(Offload::None), SizeClass::Medium),
            (64, &[][..], Some(Offload::None), SizeClass::Large),
            (4, &[Some(4)][..], Some(Offload::Partial), SizeClass::Medium),
            (64, &[Some(8)][..], Some(Offload::Full), SizeClass::Medium),
            (64, &[Some(24), Some(24)][..], Some(Offload::Full), SizeClass::Large),
            (8, &[None][..], None, SizeClass::Medium),
        ] {
            let found = find(&machine(ram, cards));
            assert_eq!((found.offload, found.class), (offload, Some(class)), "{ram} {cards:?}");
        }
        let mut limited = machine(64, &[]);
        limited.limits.memory_limit_bytes = Some(Bytes(GIB));
        assert_eq!(find(&limited).class, Some(SizeClass::Small));
    }

    #[test]
    fn integrated_graphics_add_no_memory() {
        let mut laptop = machine(8, &[None]);
        laptop.gpus[0].integrated = Some(true);
        assert_eq!(find(&laptop).offload, Some(Offload::None));
    }
}
