//! Graphics cards as the kernel lists them under `/sys/class/drm`.

use autotune_engine::api::Bytes;

use super::Host;
use super::host::{line, value};
use crate::model::{Gpu, GpuBackend, Pcie};

/// Cards of the makers whose cards compute; screens of virtual machines and of servers' service
/// processors are no such cards.
const VENDORS: &[(&str, &str, GpuBackend)] = &[
    ("0x10de", "NVIDIA", GpuBackend::Cuda),
    ("0x1002", "AMD", GpuBackend::Hip),
    ("0x8086", "Intel", GpuBackend::Vulkan),
];

/// Every card, NVIDIA's too.
pub(super) fn cards(host: &dyn Host) -> Vec<Gpu> {
    let names = host.list("/sys/class/drm");
    let cards = names
        .iter()
        .filter(|name| name.strip_prefix("card").is_some_and(|rest| rest.parse::<u32>().is_ok()));
    cards.filter_map(|name| card(host, &format!("/sys/class/drm/{name}/device"))).collect()
}

fn card(host: &dyn Host, device: &str) -> Option<Gpu> {
    let vendor = line(host, &format!("{device}/vendor")).ok()?;
    let (_, vendor, backend) = VENDORS.iter().find(|(number, ..)| *number == vendor)?;
    let event = host.read(&format!("{device}/uevent")).unwrap_or_default();
    let event = |key: &str| {
        event.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
    };
    let memory = |name: &str| value::<u64>(host, &format!("{device}/{name}")).ok();
    let total = memory("mem_info_vram_total");
    let used = memory("mem_info_vram_used");
    let number = line(host, &format!("{device}/device")).ok();
    let address = event("PCI_SLOT_NAME").map(|address| address.to_lowercase());
    // Intel's integrated graphics sit at this address in every generation.
    let integrated = (*vendor == "Intel")
        .then(|| address.as_deref().is_some_and(|address| address.ends_with(":00:02.0")))
        .or((*vendor == "NVIDIA" && address.is_some()).then_some(false));
    Some(Gpu {
        vendor: (*vendor).to_owned(),
        name: line(host, &format!("{device}/product_name"))
            .ok()
            .or(number.map(|number| format!("{vendor} {number}"))),
        memory_bytes: total.map(Bytes),
        free_bytes: total.zip(used).map(|(total, used)| Bytes(total.saturating_sub(used))),
        driver: event("DRIVER"),
        backend: Some(*backend),
        compute_capability: None,
        pcie: link(host, device),
        power_limit_watts: power_limit(host, device),
        integrated,
        numa_node: value::<i64>(host, &format!("{device}/numa_node"))
            .ok()
            .and_then(|node| u32::try_from(node).ok()),
        pci_address: address,
    })
}

fn link(host: &dyn Host, device: &str) -> Option<Pcie> {
    let generation = |name: &str| {
        let speed = line(host, &format!("{device}/{name}")).ok()?;
        match speed.split_whitespace().next()? {
            "2.5" => Some(1),
            "5.0" | "5" => Some(2),
            "8.0" | "8" => Some(3),
            "16.0" | "16" => Some(4),
            "32.0" | "32" => Some(5),
            "64.0" | "64" => Some(6),
            _ => None,
        }
    };
    // 0 and 255 lanes are what a device without a link reports.
    let width = |name: &str| {
        let lanes = value::<u32>(host, &format!("{device}/{name}")).ok();
        lanes.filter(|lanes| (1..=32).contains(lanes))
    };
    let link = Pcie {
        generation: generation("current_link_speed"),
        width: width("current_link_width"),
        max_generation: generation("max_link_speed"),
        max_width: width("max_link_width"),
    };
    (link != Pcie::default()).then_some(link)
}

fn power_limit(host: &dyn Host, device: &str) -> Option<f64> {
    let sensors = host.list(&format!("{device}/hwmon"));
    let microwatts = sensors
        .iter()
        .find_map(|name| value::<u64>(host, &format!("{device}/hwmon/{name}/power1_cap")).ok())?;
    Some(microwatts as f64 / 1e6)
}
