//! Graphics cards.

use super::{Bytes, Cost, Fault, Look, Rule, Subject, figure, not_applicable, unseen};
use crate::model::{Gpu, Switch};

/// Memory of a card that a desktop or the driver takes without anybody remarking it: 1 part in
/// this many.
const UNREMARKED: u64 = 20;

pub(super) const GPU_NO_BACKEND: Rule = Rule {
    id: "gpu-no-backend",
    title: "cards that no backend of the engine drives",
    figure: None,
    look: gpu_no_backend,
};

pub(super) const GRAPH_SPLITS: Rule = Rule {
    id: "graph-splits",
    title: "settings that move attention from the card to the processor",
    figure: Some(&figure::SPLITS),
    look: graph_splits,
};

pub(super) const GPU_MEMORY_TAKEN: Rule = Rule {
    id: "gpu-memory-taken",
    title: "memory of the cards that others hold",
    figure: None,
    look: gpu_memory_taken,
};

pub(super) const PCIE_LINK: Rule = Rule {
    id: "pcie-link",
    title: "PCI Express lanes of the cards against those they have",
    figure: None,
    look: pcie_link,
};

pub(super) const GPU_THROTTLED: Rule = Rule {
    id: "gpu-throttled",
    title: "what holds the cards' clocks down now",
    figure: None,
    look: gpu_throttled,
};

pub(super) const GPU_POWER_LIMIT: Rule = Rule {
    id: "gpu-power-limit",
    title: "power limits of the cards against those they were made with",
    figure: None,
    look: gpu_power_limit,
};

pub(super) const GPU_PERSISTENCE: Rule = Rule {
    id: "gpu-persistence",
    title: "whether the driver stays loaded between runs",
    figure: None,
    look: gpu_persistence,
};

/// What one card shows for one question.
enum Card {
    Fine,
    Unknown,
    Bad { what: String, source: &'static str, value: String, remedy: Option<String> },
}

/// Asks every card the same; one bad card is a finding, one known card is enough to be fine.
fn each(
    subject: &Subject<'_>,
    fact: &str,
    needs_root: bool,
    ask: impl Fn(usize, &Gpu) -> Card,
) -> Look {
    let machine = subject.machine;
    if machine.gpus.is_empty() {
        return none_seen(subject);
    }
    let mut known = false;
    let mut whats = Vec::new();
    let mut fault = Fault::new(String::new());
    fault.needs_root = needs_root;
    for (index, gpu) in machine.gpus.iter().enumerate() {
        match ask(index, gpu) {
            Card::Fine => known = true,
            Card::Unknown => {}
            Card::Bad { what, source, value, remedy } => {
                whats.push(format!("{}: {what}", name(index, gpu)));
                fault = fault.shown(format!("gpus.{index}.{source}"), value);
                // One command for all cards is given once.
                if let Some(remedy) = remedy.filter(|remedy| !fault.remedy.contains(remedy)) {
                    fault = fault.remedy(remedy);
                }
            }
        }
    }
    if whats.is_empty() {
        return if known { Look::Fine } else { unseen(machine, &format!("gpus.0.{fact}")) };
    }
    fault.what = whats.join("; ");
    fault.found()
}

fn none_seen(subject: &Subject<'_>) -> Look {
    match subject.machine.unseen.get("gpus") {
        Some(why) => Look::Unseen(why.clone()),
        None => not_applicable("no graphics card was seen"),
    }
}

fn name(index: usize, gpu: &Gpu) -> String {
    gpu.name.clone().unwrap_or_else(|| format!("{} card {index}", gpu.vendor))
}

/// The card in the words of `nvidia-smi -i`.
fn chosen(index: usize, gpu: &Gpu) -> String {
    gpu.pci_address.clone().unwrap_or_else(|| index.to_string())
}

fn gpu_no_backend(subject: &Subject<'_>) -> Look {
    if subject.machine.gpus.is_empty() {
        return none_seen(subject);
    }
    let Some(devices) = &subject.machine.devices else {
        return unseen(subject.machine, "devices");
    };
    let mut loaded: Vec<&str> = devices.iter().map(|device| device.backend.as_str()).collect();
    loaded.sort_unstable();
    loaded.dedup();
    each(subject, "backend", false, |_, gpu| {
        if gpu.backend.is_some() || gpu.integrated == Some(true) {
            return Card::Fine;
        }
        let (what, wanted) = match &gpu.driver {
            Some(driver) => (format!("driver {driver} without a matching backend"), "a build"),
            None => ("no driver and no backend".to_owned(), "the maker's driver and a build"),
        };
        let backend = match gpu.vendor.as_str() {
            "NVIDIA" => "CUDA or Vulkan",
            "AMD" => "ROCm or Vulkan",
            "Intel" => "SYCL or Vulkan",
            _ => "Vulkan",
        };
        Card::Bad {
            what,
            source: "backend",
            value: format!("none; loaded: {}", loaded.join(", ")),
            remedy: Some(format!("install {wanted} of llama.cpp with {backend}")),
        }
    })
}

fn graph_splits(subject: &Subject<'_>) -> Look {
    if subject.machine.gpus.is_empty() {
        return none_seen(subject);
    }
    if subject.model.is_none() {
        return not_applicable("no model was named; --model names one");
    }
    let trial = subject.trials.iter().find(|trial| trial.check == GRAPH_SPLITS.id);
    let Some(trial) = trial else {
        let why = "it shows in a run on the card alone, and none was made";
        return Look::Unseen(why.to_owned());
    };
    let shown = match &trial.cost {
        Cost::Measured { trial, .. } => trial.clone(),
        Cost::Published { figure, .. } => figure.clone(),
        Cost::Unknown => "more graph splits than the model has layers on the processor".to_owned(),
    };
    Fault::new("with this setting attention runs on the processor, and nothing says so")
        .shown("trial", shown)
        .remedy("llama-server --cache-type-k f16 --cache-type-v f16 --flash-attn auto")
        .found()
}

fn gpu_memory_taken(subject: &Subject<'_>) -> Look {
    let look = each(subject, "free_bytes", false, |_, gpu| {
        if gpu.integrated == Some(true) {
            return Card::Fine;
        }
        let Some((total, free)) = gpu.memory_bytes.zip(gpu.free_bytes) else {
            return Card::Unknown;
        };
        let taken = Bytes(total.0.saturating_sub(free.0));
        if taken.0 <= total.0 / UNREMARKED {
            return Card::Fine;
        }
        Card::Bad {
            what: format!("{taken} of {total} are taken{}", holders(subject, gpu)),
            source: "free_bytes",
            value: free.to_string(),
            remedy: None,
        }
    });
    match look {
        Look::Found(fault) => {
            let listed = holding(subject);
            let fault =
                listed.into_iter().fold(fault, |fault, (source, value)| fault.shown(source, value));
            fault.remedy("stop these programs, or plan with the memory that is left").found()
        }
        other => other,
    }
}

/// `, by python and 2 others`.
fn holders(subject: &Subject<'_>, gpu: &Gpu) -> String {
    let mut mine: Vec<_> = subject
        .gpu_memory
        .iter()
        .filter(|process| gpu.pci_address.is_some() && process.pci_address == gpu.pci_address)
        .collect();
    mine.sort_by_key(|process| std::cmp::Reverse(process.memory_bytes));
    let Some(first) = mine.first() else { return String::new() };
    let name = first.name.clone().unwrap_or_else(|| format!("process {}", first.pid));
    match mine.len() {
        1 => format!(", by {name}"),
        2 => format!(", by {name} and 1 other"),
        count => format!(", by {name} and {} others", count - 1),
    }
}

fn holding(subject: &Subject<'_>) -> Vec<(String, String)> {
    let line = |process: &crate::detect::GpuProcess| {
        let name = process.name.as_deref().unwrap_or("unnamed");
        let held = process.memory_bytes.map_or("unknown".to_owned(), |bytes| bytes.to_string());
        let card = process.pci_address.clone().unwrap_or_else(|| process.card.to_string());
        (format!("driver, card {card}, process {}", process.pid), format!("{name}: {held}"))
    };
    subject.gpu_memory.iter().map(line).collect()
}

fn pcie_link(subject: &Subject<'_>) -> Look {
    each(subject, "pcie", false, |_, gpu| {
        // Idle cards lower the generation, never the lanes.
        let lanes = gpu.pcie.as_ref().and_then(|link| link.width.zip(link.max_width));
        let Some((width, most)) = lanes else { return Card::Unknown };
        if width >= most {
            return Card::Fine;
        }
        Card::Bad {
            what: format!("{width} of {most} PCI Express lanes"),
            source: "pcie.width",
            value: format!("{width}, at most {most}"),
            remedy: Some(
                "move the card to the slot with most lanes; look for risers and for \
                          drives that share its lanes"
                    .to_owned(),
            ),
        }
    })
}

fn gpu_throttled(subject: &Subject<'_>) -> Look {
    each(subject, "throttle_reasons", false, |_, gpu| {
        let Some(reasons) = &gpu.throttle_reasons else { return Card::Unknown };
        if reasons.is_empty() {
            return Card::Fine;
        }
        Card::Bad {
            what: format!("clocks are held down by {}", reasons.join(", ")),
            source: "throttle_reasons",
            value: reasons.join(", "),
            remedy: Some(
                "nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER    # says more".to_owned(),
            ),
        }
    })
}

fn gpu_power_limit(subject: &Subject<'_>) -> Look {
    each(subject, "power_limit_watts", true, |index, gpu| {
        let limits = gpu.power_limit_watts.zip(gpu.default_power_limit_watts);
        let Some((limit, default)) = limits else { return Card::Unknown };
        // Drivers round to watts.
        if limit + 1.0 >= default {
            return Card::Fine;
        }
        Card::Bad {
            what: format!("limited to {limit:.0} W of {default:.0} W"),
            source: "power_limit_watts",
            value: format!("{limit:.0}, made with {default:.0}"),
            remedy: Some(format!("sudo nvidia-smi -i {} -pl {default:.0}", chosen(index, gpu))),
        }
    })
}

fn gpu_persistence(subject: &Subject<'_>) -> Look {
    if subject.machine.gpus.iter().all(|gpu| gpu.vendor != "NVIDIA")
        && !subject.machine.gpus.is_empty()
    {
        return not_applicable("only NVIDIA's driver unloads itself");
    }
    each(subject, "persistence", true, |_, gpu| match gpu.persistence {
        None => Card::Unknown,
        Some(Switch::On) => Card::Fine,
        Some(Switch::Off) => Card::Bad {
            what: "its driver unloads itself when nobody uses the card".to_owned(),
            source: "persistence",
            value: "off".to_owned(),
            remedy: Some("sudo nvidia-smi -pm 1".to_owned()),
        },
    })
}
