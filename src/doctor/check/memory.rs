//! Main memory: whether it suffices, and whether it is as fast as it could be.

use std::collections::BTreeMap;

use super::{Bytes, Fault, Look, Rule, Subject, not_applicable, unseen, unseen_now};
use crate::model::{Machine, MemoryModule};

/// Part of main memory that may lie in the swap space unremarked: what nobody has used for long.
const SWAPPED: u64 = 100;

pub(super) const MEMORY_SHORT: Rule = Rule {
    id: "memory-short",
    title: "whether the model fits the memory that is available",
    figure: None,
    look: memory_short,
};

pub(super) const SWAP_IN_USE: Rule = Rule {
    id: "swap-in-use",
    title: "memory that lies in the swap space, and pages that move there now",
    figure: None,
    look: swap_in_use,
};

pub(super) const MEMORY_CHANNELS: Rule = Rule {
    id: "memory-channels",
    title: "memory channels without a module",
    figure: None,
    look: memory_channels,
};

pub(super) const MEMORY_SPEED: Rule = Rule {
    id: "memory-speed",
    title: "speed of the memory modules against what they are made for",
    figure: None,
    look: memory_speed,
};

fn memory_short(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let Some(model) = subject.model else {
        return not_applicable("no model was named; --model names one");
    };
    let Some(available) = machine.available_memory() else {
        return unseen(machine, "memory.available_bytes");
    };
    let on_cards = machine.gpus.iter().filter(|gpu| gpu.integrated != Some(true));
    let free_on_cards = on_cards
        .filter_map(|gpu| gpu.free_bytes)
        .fold(0_u64, |sum, free| sum.saturating_add(free.0));
    // Without the engine's count the weights alone: what is too large then is too large.
    let need = subject.need.map_or(model.file_bytes, |need| need.total());
    if need.0 <= available.0.saturating_add(free_on_cards) {
        return Look::Fine;
    }
    let what = format!(
        "the model needs {need}, and {available} of memory can be had: its weights will be read \
         from storage again and again"
    );
    let mut fault = Fault::new(what).shown("size of the model", model.file_bytes);
    if let Some(sum) = subject.need {
        fault = fault
            .shown("weights, as llama.cpp counts them", sum.weights_bytes)
            .shown("KV cache of the default context", sum.kv_bytes)
            .shown("scratch and the rest", sum.compute_bytes + sum.rest_bytes);
    }
    fault
        .shown("memory that can be had without swapping, under this process's limit", available)
        .shown("free memory of graphics cards", Bytes(free_on_cards))
        .remedy("take a smaller quantization, close other programs, or raise the memory limit")
        .found()
}

fn swap_in_use(subject: &Subject<'_>) -> Look {
    let (machine, condition) = (subject.machine, subject.condition);
    if machine.memory.swap_total_bytes == Some(Bytes(0)) {
        return not_applicable("there is no swap space");
    }
    let Some(used) = condition.swap_used_bytes else {
        return unseen_now(condition, "swap_used_bytes");
    };
    let moving = condition.swapped_pages.unwrap_or(0);
    let bound = machine.memory.total_bytes.map_or(0, |total| total.0 / SWAPPED);
    if moving == 0 && used.0 <= bound {
        return Look::Fine;
    }
    let what = if moving > 0 {
        format!("memory is being swapped now, and {used} lie in the swap space")
    } else {
        format!("{used} lie in the swap space")
    };
    Fault::new(what)
        .shown("/proc/meminfo: SwapTotal - SwapFree", used)
        .shown("/proc/vmstat, between two readings: pages swapped", moving)
        .remedy("close what takes the memory")
        .root_remedy("sudo swapoff -a && sudo swapon -a    # once there is room for it")
        .found()
}

fn filled(module: &MemoryModule) -> bool {
    module.size_bytes.is_some_and(|size| size.0 > 0)
}

/// The channel in a slot's or bank's name: `A` in `P0 CHANNEL A` and `ChannelA-DIMM0`, with what
/// stands before it, so that channels of two sockets are two.
fn channel(module: &MemoryModule) -> Option<String> {
    [&module.bank, &module.locator].into_iter().flatten().find_map(|name| {
        let name = name.to_ascii_uppercase();
        let (socket, rest) = name.split_once("CHANNEL")?;
        let letters = rest.trim_start_matches([' ', '_', '-']);
        let word: String = letters.chars().take_while(char::is_ascii_alphanumeric).collect();
        (!word.is_empty()).then(|| format!("{socket}CHANNEL {word}"))
    })
}

/// Channels of which every listed slot is empty; `None` where names do not tell channels.
fn empty_channels(modules: &[MemoryModule]) -> Option<Vec<String>> {
    let mut channels: BTreeMap<String, bool> = BTreeMap::new();
    for module in modules {
        *channels.entry(channel(module)?).or_default() |= filled(module);
    }
    Some(channels.into_iter().filter(|(_, filled)| !filled).map(|(name, _)| name).collect())
}

fn memory_channels(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let modules = &machine.memory.modules;
    let count = modules.iter().filter(|module| filled(module)).count();
    if count == 0 {
        return unseen(machine, "memory.modules");
    }
    let empty = empty_channels(modules).unwrap_or_default();
    let slots = machine.memory.slots.map_or(modules.len(), |slots| slots as usize);
    // Boards have one or two slots for a channel, so fewer modules than half the slots leave a
    // channel empty; boards with two slots have two channels.
    let few = count.saturating_mul(2) < slots || (count == 1 && slots == 2);
    if empty.is_empty() && !few {
        return Look::Fine;
    }
    let what = if empty.is_empty() {
        format!("{count} of {slots} memory slots are filled, so a memory channel is empty")
    } else {
        format!("memory channels without a module: {}", empty.join(", "))
    };
    Fault::new(what)
        .shown("memory.modules", format!("{count} modules"))
        .shown("memory.slots", slots)
        .remedy("put equal modules into the slots that the board's manual names, one per channel")
        .found()
}

/// Rated and actual transfers per second, of the whole memory or of the slowest module.
fn speeds(machine: &Machine) -> Option<(u32, u32)> {
    let memory = &machine.memory;
    let whole = memory.rated_speed_mt_per_s.zip(memory.speed_mt_per_s);
    let modules = memory.modules.iter().filter(|module| filled(module));
    let each = modules.filter_map(|module| module.rated_mt_per_s.zip(module.speed_mt_per_s));
    whole.or_else(|| each.min_by_key(|(_, actual)| *actual)).filter(|(_, actual)| *actual > 0)
}

fn memory_speed(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let Some((rated, actual)) = speeds(machine) else {
        return unseen(machine, "memory.rated_speed_mt_per_s");
    };
    // Firmware rounds 2933.3 either way.
    if rated <= actual.saturating_add(actual / 100) {
        return Look::Fine;
    }
    Fault::new(format!("memory made for {rated} MT/s runs at {actual} MT/s"))
        .shown("memory.rated_speed_mt_per_s", rated)
        .shown("memory.speed_mt_per_s", actual)
        .remedy("choose the modules' profile (XMP, EXPO) in the firmware's setup")
        .found()
}
