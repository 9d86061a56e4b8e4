//! Graphics cards from the driver's library and the kernel, each card once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Gaps, Host, drm};
use crate::model::{Gpu, GpuSource};

/// The backend is known only to who loads it.
pub(super) const NOT_ASKED: &str = "the engine was not asked; --backends asks it";
const SHARED: &str = "it shares the system's memory, and the kernel sets no bound";
const SILENT: &str = "the driver does not tell";
/// Facts that only NVIDIA's library has words for.
const OF_NVIDIA: &[&str] =
    &["cuda_version", "compute_capability", "throttle_reasons", "persistence", "ecc", "mig"];

/// A card, and why facts of it are missing, by their path below the card.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What is known.
    pub gpu: Gpu,
    /// Why the rest is not.
    pub unseen: BTreeMap<String, String>,
}

impl Card {
    pub(super) fn new(gpu: Gpu) -> Self {
        Self { gpu, unseen: BTreeMap::new() }
    }

    /// A card of which one reason hides everything.
    pub(super) fn lost(gpu: Gpu, why: &str) -> Self {
        let missing = facts(&gpu).into_iter().filter(|(_, missing)| *missing);
        let unseen = missing.map(|(fact, _)| (fact.to_owned(), why.to_owned())).collect();
        Self { gpu, unseen }
    }
}

/// Every card, in the order of the driver's library, then of the kernel.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> Vec<Gpu> {
    let (cards, trouble) = match host.nvidia() {
        Ok(cards) => (cards, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    if let Some(why) = &trouble {
        gaps.missing("gpus", why);
    }
    let cards = joined(cards, drm::cards(host));
    for (index, card) in cards.iter().enumerate() {
        note(index, card, trouble.as_deref(), gaps);
    }
    cards.into_iter().map(|card| card.gpu).collect()
}

/// Cards with one address are one. What is left of NVIDIA's on both sides and lacks an address on
/// one of them is paired in order: such cards cannot be others.
fn joined(mut told: Vec<Card>, listed: Vec<Card>) -> Vec<Card> {
    let known: Vec<Option<String>> = told.iter().map(|card| card.gpu.pci_address.clone()).collect();
    for card in listed {
        let address = card.gpu.pci_address.clone();
        let same = known.iter().position(|known| known.is_some() && *known == address);
        let place = same.or_else(|| {
            let nameless = |card: &Card| {
                card.gpu.pci_address.is_none() && !card.gpu.sources.contains(&GpuSource::Sysfs)
            };
            (card.gpu.vendor == "NVIDIA").then(|| told.iter().position(nameless)).flatten()
        });
        match place.and_then(|place| told.get_mut(place)) {
            Some(known) => fill(known, card),
            None => told.push(card),
        }
    }
    told
}

/// What the kernel adds to what the library told.
fn fill(card: &mut Card, listed: Card) {
    let (gpu, more) = (&mut card.gpu, listed.gpu);
    gpu.name = gpu.name.take().or(more.name);
    gpu.memory_bytes = gpu.memory_bytes.or(more.memory_bytes);
    gpu.free_bytes = gpu.free_bytes.or(more.free_bytes);
    gpu.driver = gpu.driver.take().or(more.driver);
    gpu.pcie = gpu.pcie.take().or(more.pcie);
    gpu.integrated = gpu.integrated.or(more.integrated);
    gpu.numa_node = gpu.numa_node.or(more.numa_node);
    gpu.pci_address = gpu.pci_address.take().or(more.pci_address);
    gpu.sources.extend(more.sources);
    for (fact, why) in listed.unseen {
        card.unseen.entry(fact).or_insert(why);
    }
}

/// Every fact that may be missing, by its path below the card, and whether it is.
fn facts(gpu: &Gpu) -> Vec<(&'static str, bool)> {
    let clocks = &gpu.clocks;
    vec![
        ("name", gpu.name.is_none()),
        ("memory_bytes", gpu.memory_bytes.is_none()),
        ("free_bytes", gpu.free_bytes.is_none()),
        ("driver", gpu.driver.is_none()),
        ("cuda_version", gpu.cuda_version.is_none()),
        ("backend", gpu.backend.is_none()),
        ("device", gpu.device.is_none()),
        ("compute_capability", gpu.compute_capability.is_none()),
        ("pcie", gpu.pcie.is_none()),
        ("power_limit_watts", gpu.power_limit_watts.is_none()),
        ("default_power_limit_watts", gpu.default_power_limit_watts.is_none()),
        ("clocks.graphics_hz", clocks.graphics_hz.is_none()),
        ("clocks.memory_hz", clocks.memory_hz.is_none()),
        ("clocks.max_graphics_hz", clocks.max_graphics_hz.is_none()),
        ("clocks.max_memory_hz", clocks.max_memory_hz.is_none()),
        ("throttle_reasons", gpu.throttle_reasons.is_none()),
        ("persistence", gpu.persistence.is_none()),
        ("ecc", gpu.ecc.is_none()),
        ("mig", gpu.mig.is_none()),
        ("integrated", gpu.integrated.is_none()),
        ("numa_node", gpu.numa_node.is_none()),
        ("pci_address", gpu.pci_address.is_none()),
    ]
}

fn note(index: usize, card: &Card, trouble: Option<&str>, gaps: &mut Gaps) {
    let gpu = &card.gpu;
    let silent = trouble.unwrap_or("NVIDIA's driver library is not installed or is silent");
    let nvidia = gpu.vendor == "NVIDIA";
    let asked = gpu.sources.contains(&GpuSource::Nvml);
    for (fact, _) in facts(gpu).into_iter().filter(|(_, missing)| *missing) {
        let why = match fact {
            "backend" | "device" => NOT_ASKED,
            "memory_bytes" | "free_bytes" if gpu.integrated == Some(true) => SHARED,
            _ if card.unseen.contains_key(fact) => &card.unseen[fact],
            "numa_node" => "the kernel knows no node for it",
            "pcie" | "pci_address" if gpu.pci_address.is_none() => "it is not on a PCI bus",
            _ if OF_NVIDIA.contains(&fact) && !nvidia => "only NVIDIA's library tells of such",
            _ if nvidia && !asked => silent,
            _ => SILENT,
        };
        gaps.missing(format!("gpus.{index}.{fact}"), why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(source: GpuSource, address: Option<&str>) -> Card {
        Card::new(Gpu {
            vendor: "NVIDIA".to_owned(),
            pci_address: address.map(str::to_owned),
            sources: vec![source],
            ..Gpu::default()
        })
    }

    #[test]
    fn a_card_whose_address_the_library_does_not_tell_is_not_counted_twice() {
        let (a, b) = ("0000:01:00.0", "0000:02:00.0");
        let told = vec![card(GpuSource::Nvml, None), card(GpuSource::Nvml, Some(a))];
        let listed = vec![card(GpuSource::Sysfs, Some(a)), card(GpuSource::Sysfs, Some(b))];
        let cards = joined(told, listed);
        let addresses: Vec<_> = cards.iter().map(|c| c.gpu.pci_address.as_deref()).collect();
        assert_eq!(addresses, [Some(b), Some(a)]);
    }

    #[test]
    fn cards_that_only_one_source_knows_stay() {
        let told = vec![card(GpuSource::Nvml, Some("0000:01:00.0"))];
        let listed = vec![card(GpuSource::Sysfs, Some("0000:02:00.0"))];
        assert_eq!(joined(told, listed).len(), 2);
    }
}
