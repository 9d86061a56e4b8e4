//! Graphics cards from all sources, each card once.

use super::{Gaps, Host, drm};
use crate::model::Gpu;

/// Every card, in the order of the driver's library, then of the kernel.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> Vec<Gpu> {
    let (mut cards, trouble) = match host.nvidia() {
        Ok(cards) => (cards, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    for listed in drm::cards(host) {
        let same =
            |card: &&mut Gpu| card.pci_address.is_some() && card.pci_address == listed.pci_address;
        match cards.iter_mut().find(same) {
            Some(card) => {
                card.integrated = card.integrated.or(listed.integrated);
                card.numa_node = card.numa_node.or(listed.numa_node);
            }
            None => cards.push(listed),
        }
    }
    if let Some(why) = &trouble {
        gaps.missing("gpus", why);
    }
    for (index, card) in cards.iter().enumerate() {
        note(index, card, trouble.as_deref(), gaps);
    }
    cards
}

fn note(index: usize, card: &Gpu, trouble: Option<&str>, gaps: &mut Gaps) {
    let why = match (card.vendor.as_str(), card.integrated) {
        (_, Some(true)) => "it shares the system's memory, and the kernel sets no bound",
        ("NVIDIA", _) => trouble.unwrap_or("NVIDIA's driver library is not installed or is silent"),
        _ => "the kernel's driver does not tell",
    };
    let facts = [
        ("memory_bytes", card.memory_bytes.is_none()),
        ("free_bytes", card.free_bytes.is_none()),
        ("driver", card.driver.is_none()),
        ("name", card.name.is_none()),
        ("integrated", card.integrated.is_none()),
        ("power_limit_watts", card.power_limit_watts.is_none()),
        ("numa_node", card.numa_node.is_none()),
        ("pcie", card.pcie.is_none()),
        ("compute_capability", card.compute_capability.is_none() && card.vendor == "NVIDIA"),
    ];
    for (fact, missing) in facts {
        if missing {
            let why = match fact {
                "memory_bytes" | "free_bytes" => why,
                _ => "the driver does not tell",
            };
            gaps.missing(format!("gpus.{index}.{fact}"), why);
        }
    }
}
