//! NVIDIA's cards by the driver's own library, loaded at run time.

use std::ffi::OsStr;

use autotune_engine::api::Bytes;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};

use super::gpu::Card;
use crate::model::{Gpu, GpuClocks, GpuSource, MigInstance, Pcie, Switch};

/// Where the library is: on the loader's path, or where Windows puts it for its Linux.
pub(super) const LIBRARIES: &[&str] = if cfg!(windows) {
    &["nvml.dll"]
} else {
    &["libnvidia-ml.so.1", "/usr/lib/wsl/lib/libnvidia-ml.so.1"]
};
/// Most cards, and instances of one, that are looked at.
const MOST: u32 = 64;
/// Bytes of a process's name, as the library wants to know beforehand.
const LONGEST_NAME: usize = 256;
/// Words for what holds clocks down; an idle card and clocks that the user chose are no loss.
const THROTTLES: &[(ThrottleReasons, &str)] = &[
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "application clocks"),
    (ThrottleReasons::SW_POWER_CAP, "power limit"),
    (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync boost"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "temperature"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "temperature, by the hardware"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "power brake"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display clocks"),
];

/// A process that holds memory of a card. Names of processes are private: no document has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuProcess {
    /// The card, by its place among NVIDIA's.
    pub card: u32,
    /// The card's address on the PCI bus.
    pub pci_address: Option<String>,
    /// Its number, in the driver's eyes: in a container another one than in it.
    pub pid: u32,
    /// Its program, without the folder.
    pub name: Option<String>,
    /// What it holds.
    pub memory_bytes: Option<Bytes>,
}

/// Every card; none where there is no driver; `Err` where there is one and it does not work.
pub(super) fn cards() -> Result<Vec<Card>, String> {
    cards_by(LIBRARIES)
}

/// Who holds memory of NVIDIA's cards; none where there is no driver.
pub fn gpu_processes() -> Result<Vec<GpuProcess>, String> {
    processes_by(LIBRARIES)
}

pub(super) fn cards_by(libraries: &[&str]) -> Result<Vec<Card>, String> {
    let Some(nvml) = open(libraries)? else { return Ok(Vec::new()) };
    let driver = nvml.sys_driver_version();
    let cuda = nvml.sys_cuda_driver_version().map(|version| {
        let (major, minor) =
            (cuda_driver_version_major(version), cuda_driver_version_minor(version));
        format!("{major}.{minor}")
    });
    let cards = (0..count(&nvml)?).map(|index| {
        let mut card = match nvml.device_by_index(index) {
            Ok(device) => card(&device),
            // It is there, or the library would not count it.
            Err(why) => Card::lost(blank(), &words(&why)),
        };
        card.gpu.driver = card.ask("driver", driver.as_ref().cloned().map_err(words));
        card.gpu.cuda_version = card.ask("cuda_version", cuda.as_ref().cloned().map_err(words));
        card
    });
    Ok(cards.collect())
}

pub(super) fn processes_by(libraries: &[&str]) -> Result<Vec<GpuProcess>, String> {
    let Some(nvml) = open(libraries)? else { return Ok(Vec::new()) };
    let mut found: Vec<GpuProcess> = Vec::new();
    for card in 0..count(&nvml)? {
        let Ok(device) = nvml.device_by_index(card) else { continue };
        let pci_address = device.pci_info().ok().map(|pci| sysfs_address(&pci.bus_id));
        let lists = [device.running_compute_processes(), device.running_graphics_processes()];
        for process in lists.into_iter().flatten().flatten() {
            let memory_bytes = match process.used_gpu_memory {
                UsedGpuMemory::Used(bytes) => Some(Bytes(bytes)),
                UsedGpuMemory::Unavailable => None,
            };
            // A program that computes and draws is in both lists.
            if found.iter().any(|known| known.card == card && known.pid == process.pid) {
                continue;
            }
            let name = nvml.sys_process_name(process.pid, LONGEST_NAME).ok();
            let name = name.and_then(|path| Some(path.rsplit(['/', '\\']).next()?.to_owned()));
            let pci_address = pci_address.clone();
            found.push(GpuProcess { card, pci_address, pid: process.pid, name, memory_bytes });
        }
    }
    Ok(found)
}

/// The library, started; `None` without it or without the driver's kernel module.
pub(super) fn open(libraries: &[&str]) -> Result<Option<Nvml>, String> {
    for library in libraries {
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => return Ok(Some(nvml)),
            Err(NvmlError::LibloadingError(_)) => {}
            Err(NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded) => return Ok(None),
            Err(why) => {
                let why = words(&why);
                return Err(format!("NVIDIA's driver library does not start: {why}"));
            }
        }
    }
    Ok(None)
}

pub(super) fn count(nvml: &Nvml) -> Result<u32, String> {
    let count = nvml.device_count().map_err(|why| format!("NVIDIA's driver: {}", words(&why)))?;
    Ok(count.min(MOST))
}

fn blank() -> Gpu {
    Gpu { vendor: "NVIDIA".to_owned(), sources: vec![GpuSource::Nvml], ..Gpu::default() }
}

fn card(device: &Device<'_>) -> Card {
    let mut card = Card::new(blank());
    let name = card.ask("name", device.name());
    let memory = card.ask("memory_bytes", device.memory_info());
    let capability = card.ask("compute_capability", device.cuda_compute_capability());
    let address = card.ask("pci_address", device.pci_info());
    let gpu = Gpu {
        name,
        memory_bytes: memory.as_ref().map(|memory| Bytes(memory.total)),
        free_bytes: memory.as_ref().map(|memory| Bytes(memory.free)),
        compute_capability: capability.map(|found| format!("{}.{}", found.major, found.minor)),
        pci_address: address.map(|pci| sysfs_address(&pci.bus_id)),
        pcie: link(&mut card, device),
        clocks: clocks(&mut card, device),
        ..card.gpu.clone()
    };
    card.gpu = gpu;
    if let Some(why) = card.unseen.get("memory_bytes").cloned() {
        card.unseen.insert("free_bytes".to_owned(), why);
    }
    let watts = |milliwatts: u32| f64::from(milliwatts) / 1e3;
    card.gpu.power_limit_watts =
        card.ask("power_limit_watts", device.enforced_power_limit()).map(watts);
    let limit = device.power_management_limit_default();
    card.gpu.default_power_limit_watts = card.ask("default_power_limit_watts", limit).map(watts);
    card.gpu.throttle_reasons = card.ask("throttle_reasons", throttles(device));
    #[cfg(target_os = "linux")]
    {
        card.gpu.persistence = card.ask("persistence", device.is_in_persistent_mode()).map(switch);
    }
    let ecc = card.ask("ecc", device.is_ecc_enabled());
    card.gpu.ecc = ecc.map(|ecc| switch(ecc.currently_enabled));
    let mig = card.ask("mig", device.mig_mode());
    card.gpu.mig = mig.map(|mode| switch(mode.current != 0));
    if card.gpu.mig == Some(Switch::On) {
        card.gpu.mig_instances = instances(device);
    }
    card
}

/// What holds its clocks down, in words.
pub(super) fn throttles(device: &Device<'_>) -> Result<Vec<String>, NvmlError> {
    let reasons = device.current_throttle_reasons()?;
    let named = THROTTLES.iter().filter(|(flag, _)| reasons.contains(*flag));
    Ok(named.map(|(_, word)| (*word).to_owned()).collect())
}

fn link(card: &mut Card, device: &Device<'_>) -> Option<Pcie> {
    let generation = device.current_pcie_link_gen();
    let why = generation.as_ref().err().map(words);
    let link = Pcie {
        generation: generation.ok(),
        width: device.current_pcie_link_width().ok(),
        max_generation: device.max_pcie_link_gen().ok(),
        max_width: device.max_pcie_link_width().ok(),
    };
    let link = (link != Pcie::default()).then_some(link);
    if let (None, Some(why)) = (&link, why) {
        card.unseen.insert("pcie".to_owned(), why);
    }
    link
}

fn clocks(card: &mut Card, device: &Device<'_>) -> GpuClocks {
    let mut hertz = |fact: &str, megahertz: Result<u32, NvmlError>| {
        card.ask(&format!("clocks.{fact}"), megahertz).map(|mhz| u64::from(mhz) * 1_000_000)
    };
    GpuClocks {
        graphics_hz: hertz("graphics_hz", device.clock_info(Clock::Graphics)),
        memory_hz: hertz("memory_hz", device.clock_info(Clock::Memory)),
        max_graphics_hz: hertz("max_graphics_hz", device.max_clock_info(Clock::Graphics)),
        max_memory_hz: hertz("max_memory_hz", device.max_clock_info(Clock::Memory)),
    }
}

/// The numbers of instances have holes.
fn instances(device: &Device<'_>) -> Vec<MigInstance> {
    let most = device.mig_device_count().unwrap_or(0).min(MOST);
    let found = (0..most).filter_map(|index| {
        let instance = device.mig_device_by_index(index).ok()?;
        let memory = instance.memory_info().ok();
        Some(MigInstance {
            name: instance.name().ok(),
            memory_bytes: memory.as_ref().map(|memory| Bytes(memory.total)),
            free_bytes: memory.as_ref().map(|memory| Bytes(memory.free)),
        })
    });
    found.collect()
}

fn switch(on: bool) -> Switch {
    if on { Switch::On } else { Switch::Off }
}

impl Card {
    /// What the library answers, or a note why it does not.
    fn ask<T, E: Into<Refusal>>(&mut self, fact: &str, answer: Result<T, E>) -> Option<T> {
        answer.map_err(|why| self.unseen.insert(fact.to_owned(), why.into().0)).ok()
    }
}

/// Why the library did not answer.
struct Refusal(String);

impl From<NvmlError> for Refusal {
    fn from(why: NvmlError) -> Self {
        Self(words(&why))
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self(why)
    }
}

/// What the library's answers mean to a person.
fn words(why: &NvmlError) -> String {
    match why {
        NvmlError::NotSupported => "the card or its driver does not support it".to_owned(),
        NvmlError::GpuLost => "the card is lost: it no longer answers on its bus".to_owned(),
        NvmlError::LibRmVersionMismatch => {
            "library and kernel module of the driver are of different versions: load the module \
             anew, or restart the machine"
                .to_owned()
        }
        NvmlError::NoPermission => "this user may not ask".to_owned(),
        NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound => {
            "the driver's library is too old to tell".to_owned()
        }
        other => other.to_string(),
    }
}

/// `00000000:3B:00.0` as the kernel writes it: `0000:3b:00.0`.
pub(super) fn sysfs_address(bus: &str) -> String {
    let bus = bus.to_lowercase();
    // The library writes eight digits of the domain, the kernel no more than it needs.
    match bus.strip_prefix("0000") {
        Some(short) if short.find(':') == Some(4) => short.to_owned(),
        _ => bus,
    }
}

#[cfg(test)]
mod tests {
    use super::sysfs_address;

    #[test]
    fn one_card_has_one_address() {
        assert_eq!(sysfs_address("00000000:3B:00.0"), "0000:3b:00.0");
        assert_eq!(sysfs_address("0000:3b:00.0"), "0000:3b:00.0");
        assert_eq!(sysfs_address("00010000:01:00.0"), "00010000:01:00.0");
        assert_eq!(sysfs_address("0000€€:1"), "0000€€:1");
    }
}
