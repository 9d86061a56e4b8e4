//! Graphics cards as the kernel lists them: those with a node under `/sys/class/drm`, then those
//! on the PCI bus that only compute and have none.

use super::gpu::Card;
use super::host::line;
use super::{Host, pci};
use crate::model::{Gpu, GpuSource};

const NODES: &str = "/sys/class/drm";
const BUS: &str = "/sys/bus/pci/devices";
/// Graphics of systems on a chip: driver, maker, name. They share the system's memory.
const ON_CHIP: &[(&str, &str, &str)] = &[
    ("panthor", "Arm", "Mali (panthor)"),
    ("panfrost", "Arm", "Mali (panfrost)"),
    ("mali", "Arm", "Mali"),
    ("lima", "Arm", "Mali (lima)"),
    ("msm", "Qualcomm", "Adreno"),
    ("msm_dpu", "Qualcomm", "Adreno"),
    ("msm-mdss", "Qualcomm", "Adreno"),
    ("adreno", "Qualcomm", "Adreno"),
    ("asahi", "Apple", "AGX (asahi)"),
    ("v3d", "Broadcom", "VideoCore (v3d)"),
    ("powervr", "Imagination", "PowerVR"),
    ("etnaviv", "Vivante", "GC (etnaviv)"),
    ("nvgpu", "NVIDIA", "Tegra"),
    ("gk20a", "NVIDIA", "Tegra"),
];

/// Every card, NVIDIA's too.
pub(super) fn cards(host: &dyn Host) -> Vec<Card> {
    let mut numbers: Vec<u32> = host
        .list(NODES)
        .iter()
        .filter_map(|name| name.strip_prefix("card")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let mut cards: Vec<Card> = Vec::new();
    for number in numbers {
        let node = format!("{NODES}/card{number}");
        let device = format!("{node}/device");
        let card = match line(host, &format!("{device}/vendor")) {
            Ok(_) => pci::card(host, &device, Some(&node)),
            Err(_) => on_chip(host, &device),
        };
        cards.extend(card);
    }
    for address in host.list(BUS) {
        let device = format!("{BUS}/{address}");
        if !pci::computes(host, &device) {
            continue;
        }
        let address = address.to_lowercase();
        if cards.iter().any(|card| card.gpu.pci_address.as_ref() == Some(&address)) {
            continue;
        }
        if let Some(mut card) = pci::card(host, &device, None) {
            card.gpu.pci_address = Some(address);
            cards.push(card);
        }
    }
    cards
}

fn on_chip(host: &dyn Host, device: &str) -> Option<Card> {
    let event = host.read(&format!("{device}/uevent")).ok()?;
    let driver = pci::event(&event, "DRIVER")?;
    let (_, vendor, name) = ON_CHIP.iter().find(|(known, ..)| *known == driver)?;
    // For example `rockchip,rk3588-mali`: the chip is said nowhere else.
    let chip = pci::event(&event, "OF_COMPATIBLE_0");
    Some(Card::new(Gpu {
        vendor: (*vendor).to_owned(),
        name: Some(match chip {
            Some(chip) => format!("{name}, {chip}"),
            None => (*name).to_owned(),
        }),
        driver: Some(driver),
        integrated: Some(true),
        sources: vec![GpuSource::Sysfs],
        ..Gpu::default()
    }))
}
