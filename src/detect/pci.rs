//! One graphics card on the PCI bus, from the kernel's files about it.

use autotune_engine::api::Bytes;

use super::gpu::Card;
use super::host::{Unread, line, value};
use super::{Host, amd, intel};
use crate::model::{Gpu, GpuSource, Pcie};

/// Makers whose cards compute; screens of virtual machines and of servers' service processors are
/// no such cards. Numbers as in the registry of PCI vendors.
const VENDORS: &[(&str, &str)] = &[
    ("0x10de", "NVIDIA"),
    ("0x1002", "AMD"),
    ("0x8086", "Intel"),
    ("0x1da3", "Habana"),
    ("0x1ed5", "Moore Threads"),
    ("0x19e5", "Huawei"),
];
/// Where distributions keep the registry's names.
const REGISTRIES: &[&str] =
    &["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/var/lib/pciutils/pci.ids"];

/// Whether a device of the bus is a card that may compute: a display or 3D controller, or a
/// processing accelerator. Intel's accelerators are neural units and queues for copying; shares
/// of a card that is also here itself are left out.
pub(super) fn computes(host: &dyn Host, device: &str) -> bool {
    let Ok(class) = line(host, &format!("{device}/class")) else { return false };
    let vendor = line(host, &format!("{device}/vendor")).unwrap_or_default();
    let display = class.starts_with("0x03") && !["0x19e5", "0x1da3"].contains(&vendor.as_str());
    let accelerator = class.starts_with("0x1200") && vendor != "0x8086";
    (display || accelerator) && host.list(&format!("{device}/physfn")).is_empty()
}

/// The card in this folder; `node` is its folder under `/sys/class/drm`.
pub(super) fn card(host: &dyn Host, device: &str, node: Option<&str>) -> Option<Card> {
    let number = line(host, &format!("{device}/vendor")).ok()?;
    let (_, vendor) = VENDORS.iter().find(|(known, _)| *known == number)?;
    let events = host.read(&format!("{device}/uevent")).unwrap_or_default();
    let mut card = Card::new(Gpu {
        vendor: (*vendor).to_owned(),
        driver: event(&events, "DRIVER"),
        pcie: link(host, device),
        power_limit_watts: watts(host, device, "power1_cap"),
        default_power_limit_watts: watts(host, device, "power1_cap_default"),
        numa_node: value::<i64>(host, &format!("{device}/numa_node"))
            .ok()
            .and_then(|node| u32::try_from(node).ok()),
        pci_address: event(&events, "PCI_SLOT_NAME").map(|address| address.to_lowercase()),
        sources: vec![GpuSource::Sysfs],
        ..Gpu::default()
    });
    if card.gpu.driver.is_none() {
        card.unseen.insert("driver".to_owned(), "no driver has taken the card".to_owned());
    }
    match *vendor {
        "AMD" => amd::fill(host, device, &mut card),
        "Intel" => intel::fill(host, device, node, &mut card),
        "NVIDIA" => nvidia(host, &mut card),
        _ => card.gpu.integrated = Some(false),
    }
    if card.gpu.name.is_none() {
        let model = line(host, &format!("{device}/device")).ok();
        card.gpu.name = model.map(|model| {
            registered(host, &number, &model).unwrap_or_else(|| format!("{vendor} {model}"))
        });
    }
    Some(card)
}

/// What the kernel module says while the library is silent. The driver's version is in the first
/// line, after the words `Kernel Module` (with `for x86_64` between in the open module).
fn nvidia(host: &dyn Host, card: &mut Card) {
    card.gpu.integrated = Some(false);
    let folder = "/proc/driver/nvidia";
    if let Some(address) = &card.gpu.pci_address {
        let text = host.read(&format!("{folder}/gpus/{address}/information")).unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
        card.gpu.name = model.map(|model| model.trim().to_owned()).filter(|name| !name.is_empty());
    }
    if card.gpu.driver.as_deref() == Some("nvidia")
        && let Ok(text) = line(host, &format!("{folder}/version"))
        && let Some((_, rest)) = text.split_once("Kernel Module")
    {
        let version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
        card.gpu.driver = rest.split_whitespace().find(version).map(str::to_owned);
    }
}

/// A line of a device's `uevent` file.
pub(super) fn event(events: &str, key: &str) -> Option<String> {
    let mut lines = events.lines();
    lines.find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.trim().to_owned()))
}

/// The bytes of a file, `None` where there is none.
pub(super) fn bytes(host: &dyn Host, path: &str) -> Option<Bytes> {
    value::<u64>(host, path).ok().map(Bytes)
}

/// The name that the registry of PCI devices gives, as `lspci` prints it: below the line of the
/// vendor, lines of models begin with one tab.
fn registered(host: &dyn Host, vendor: &str, model: &str) -> Option<String> {
    let read = |path: &&str| -> Result<String, Unread> { host.read(path) };
    let text = REGISTRIES.iter().find_map(|path| read(path).ok())?;
    let (vendor, model) = (vendor.strip_prefix("0x")?, model.strip_prefix("0x")?);
    let mut lines = text.lines().skip_while(|line| !line.starts_with(vendor));
    let maker = lines.next()?.strip_prefix(vendor)?.trim();
    let mut models = lines.take_while(|line| line.starts_with(['\t', '#']));
    let name = models.find_map(|line| line.strip_prefix('\t')?.strip_prefix(model))?.trim();
    // `AD102 [GeForce RTX 4090]`: the name in brackets is the one on the box.
    let boxed = name.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let short = maker.split_whitespace().next().unwrap_or_default();
    let short = if short == "Advanced" { "AMD" } else { short };
    Some(format!("{short} {}", boxed.map_or(name, |(inner, _)| inner)))
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

fn watts(host: &dyn Host, device: &str, file: &str) -> Option<f64> {
    let sensors = host.list(&format!("{device}/hwmon"));
    let microwatts = sensors
        .iter()
        .find_map(|name| value::<u64>(host, &format!("{device}/hwmon/{name}/{file}")).ok())?;
    (microwatts > 0).then_some(microwatts as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_an_event_is_that_line() {
        let events = "DRIVER=amdgpu\nPCI_ID=1002:744C\nPCI_SLOT_NAME=0000:03:00.0\n";
        assert_eq!(event(events, "PCI_SLOT_NAME").as_deref(), Some("0000:03:00.0"));
        assert_eq!(event(events, "PCI"), None);
    }
}
