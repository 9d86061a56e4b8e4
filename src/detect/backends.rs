//! What the engine's loaded backends add to the cards that the driver and the kernel told of.

use std::collections::BTreeSet;

use autotune_engine::api::{Bytes, DeviceKind, DeviceReport};

use super::recommend;
use crate::model::{Gpu, GpuBackend, GpuSource, Machine};

/// Words in the names of devices by which their maker is known where no address tells.
const MAKERS: &[(&str, &str)] = &[
    ("nvidia", "NVIDIA"),
    ("geforce", "NVIDIA"),
    ("tesla", "NVIDIA"),
    ("quadro", "NVIDIA"),
    ("amd", "AMD"),
    ("radeon", "AMD"),
    ("instinct", "AMD"),
    ("intel", "Intel"),
    ("apple", "Apple"),
    ("adreno", "Qualcomm"),
    ("mali", "Arm"),
];
/// Two sources that tell the size of one memory may differ by what the driver keeps for itself.
const SAME_MEMORY: f64 = 0.1;

/// Puts what the engine lists into the document: each card once, with the backend that drives it.
/// Of several backends the first listed is the one that the engine takes.
pub fn add_devices(machine: &mut Machine, devices: Vec<DeviceReport>) {
    machine.unseen.remove("devices");
    let mut driven = BTreeSet::new();
    let graphics =
        |device: &&DeviceReport| matches!(device.kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu);
    for device in devices.iter().filter(graphics) {
        let place = place(&machine.gpus, &driven, device).unwrap_or_else(|| {
            machine.gpus.push(Gpu { vendor: maker(device), ..Gpu::default() });
            machine.gpus.len() - 1
        });
        if driven.insert((device.backend.clone(), place)) && machine.gpus[place].device.is_none() {
            fill(&mut machine.gpus[place], device);
        }
    }
    for index in 0..machine.gpus.len() {
        explain(machine, index, &devices);
    }
    machine.devices = Some(devices);
    machine.recommendation = recommend::find(machine);
}

/// The card that a device is: by its address, else by maker, name and memory. One backend lists
/// no card twice, so what it listed already is another one.
fn place(gpus: &[Gpu], driven: &BTreeSet<(String, usize)>, device: &DeviceReport) -> Option<usize> {
    if let Some(address) = &device.pci_address {
        let same = |gpu: &Gpu| gpu.pci_address.as_ref() == Some(address);
        if let Some(place) = gpus.iter().position(same) {
            return Some(place);
        }
    }
    let free = |place: &usize| !driven.contains(&(device.backend.clone(), *place));
    let addressed = |gpu: &Gpu| gpu.pci_address.is_some() && device.pci_address.is_some();
    (0..gpus.len()).filter(free).find(|place| {
        let gpu = &gpus[*place];
        !addressed(gpu) && gpu.vendor == maker(device) && alike(gpu, device)
    })
}

fn alike(gpu: &Gpu, device: &DeviceReport) -> bool {
    if let (Some(own), Some(told)) = (gpu.memory_bytes, device.memory_bytes)
        && gpu.integrated != Some(true)
    {
        let (own, told) = (own.0 as f64, told.0 as f64);
        if (own - told).abs() > own.max(told) * SAME_MEMORY {
            return false;
        }
    }
    // The kernel's name is often but a number; then maker and memory decide.
    let told = device.description.to_lowercase();
    let named = gpu.name.as_deref().map(str::to_lowercase).filter(|name| !name.contains("0x"));
    named.is_none_or(|name| told.contains(&name) || name.contains(&told))
}

fn maker(device: &DeviceReport) -> String {
    let words = format!("{} {}", device.description, device.backend).to_lowercase();
    let known = MAKERS.iter().find(|(word, _)| words.contains(word)).map(|(_, maker)| *maker);
    known
        .or_else(|| match backend(&device.backend)? {
            GpuBackend::Cuda => Some("NVIDIA"),
            GpuBackend::Hip => Some("AMD"),
            GpuBackend::Metal => Some("Apple"),
            GpuBackend::Sycl => Some("Intel"),
            GpuBackend::Musa => Some("Moore Threads"),
            GpuBackend::Cann => Some("Huawei"),
            GpuBackend::Vulkan | GpuBackend::OpenCl => None,
        })
        .unwrap_or("unknown")
        .to_owned()
}

fn fill(gpu: &mut Gpu, device: &DeviceReport) {
    gpu.backend = backend(&device.backend);
    gpu.device = Some(device.name.clone());
    // A name that the kernel made of a number is worse than any.
    if gpu.name.as_ref().is_none_or(|name| name.contains(" 0x")) {
        gpu.name = Some(device.description.clone()).filter(|name| !name.is_empty());
    }
    let own = gpu.memory_bytes.is_some();
    gpu.memory_bytes = gpu.memory_bytes.or(device.memory_bytes);
    if !own {
        gpu.free_bytes = gpu.free_bytes.or(device.free_bytes);
    }
    let free = gpu.free_bytes.zip(gpu.memory_bytes);
    gpu.free_bytes = free.map(|(Bytes(free), Bytes(total))| Bytes(free.min(total)));
    gpu.integrated = gpu.integrated.or(Some(device.kind == DeviceKind::IntegratedGpu));
    gpu.pci_address = gpu.pci_address.take().or_else(|| device.pci_address.clone());
    gpu.sources.push(GpuSource::Engine);
}

fn backend(registry: &str) -> Option<GpuBackend> {
    match registry.to_lowercase().as_str() {
        "cuda" => Some(GpuBackend::Cuda),
        "hip" | "rocm" => Some(GpuBackend::Hip),
        "vulkan" => Some(GpuBackend::Vulkan),
        "metal" | "mtl" => Some(GpuBackend::Metal),
        "sycl" => Some(GpuBackend::Sycl),
        "opencl" => Some(GpuBackend::OpenCl),
        "musa" => Some(GpuBackend::Musa),
        "cann" => Some(GpuBackend::Cann),
        _ => None,
    }
}

/// Brings the reasons of missing facts in line with what is known now.
fn explain(machine: &mut Machine, index: usize, devices: &[DeviceReport]) {
    let gpu = &machine.gpus[index];
    let loaded: BTreeSet<&str> = devices.iter().map(|device| device.backend.as_str()).collect();
    let loaded: Vec<&str> = loaded.into_iter().collect();
    let none = format!("none of the engine's loaded backends drives it ({})", loaded.join(", "));
    let only = "only the engine knows of this card";
    let facts = [
        ("backend", gpu.backend.is_none(), none.as_str()),
        ("device", gpu.device.is_none(), none.as_str()),
        ("name", gpu.name.is_none(), only),
        ("memory_bytes", gpu.memory_bytes.is_none(), only),
        ("free_bytes", gpu.free_bytes.is_none(), only),
        ("driver", gpu.driver.is_none(), only),
        ("integrated", gpu.integrated.is_none(), only),
        ("pci_address", gpu.pci_address.is_none(), only),
    ];
    for (fact, missing, why) in facts {
        let path = format!("gpus.{index}.{fact}");
        if !missing {
            machine.unseen.remove(&path);
        } else if matches!(fact, "backend" | "device") {
            machine.unseen.insert(path, why.to_owned());
        } else {
            machine.unseen.entry(path).or_insert_with(|| why.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(vendor: &str, name: &str, gib: u64, address: Option<&str>) -> Gpu {
        Gpu {
            vendor: vendor.to_owned(),
            name: Some(name.to_owned()),
            memory_bytes: Some(Bytes(gib << 30)),
            free_bytes: Some(Bytes(1 << 30)),
            pci_address: address.map(str::to_owned),
            sources: vec![GpuSource::Nvml, GpuSource::Sysfs],
            ..Gpu::default()
        }
    }

    fn device(name: &str, backend: &str, gib: u64, address: Option<&str>) -> DeviceReport {
        DeviceReport {
            name: name.to_owned(),
            description: "NVIDIA GeForce RTX 4090".to_owned(),
            kind: DeviceKind::Gpu,
            backend: backend.to_owned(),
            memory_bytes: Some(Bytes(gib << 30)),
            free_bytes: Some(Bytes(gib << 29)),
            pci_address: address.map(str::to_owned),
        }
    }

    #[test]
    fn a_card_that_library_kernel_and_two_backends_see_is_one() {
        let address = Some("0000:3b:00.0");
        let mut machine = Machine {
            gpus: vec![gpu("NVIDIA", "NVIDIA GeForce RTX 4090", 24, address)],
            ..Machine::default()
        };
        let devices =
            vec![device("CUDA0", "CUDA", 24, address), device("Vulkan0", "Vulkan", 24, address)];
        add_devices(&mut machine, devices);
        assert_eq!(machine.gpus.len(), 1);
        let card = &machine.gpus[0];
        assert_eq!(card.backend, Some(GpuBackend::Cuda));
        assert_eq!(card.device.as_deref(), Some("CUDA0"));
        assert_eq!(card.sources, [GpuSource::Nvml, GpuSource::Sysfs, GpuSource::Engine]);
        assert_eq!(card.free_bytes, Some(Bytes(1 << 30)), "the driver knows better");
        assert_eq!(machine.devices.unwrap().len(), 2);
    }

    #[test]
    fn two_cards_of_one_kind_stay_two_without_addresses() {
        let name = "NVIDIA GeForce RTX 4090";
        let mut machine = Machine {
            gpus: vec![gpu("NVIDIA", name, 24, None), gpu("NVIDIA", name, 24, None)],
            ..Machine::default()
        };
        let devices = ["Vulkan0", "Vulkan1", "Vulkan2"].map(|n| device(n, "Vulkan", 24, None));
        add_devices(&mut machine, devices.to_vec());
        let names: Vec<_> = machine.gpus.iter().map(|gpu| gpu.device.clone().unwrap()).collect();
        assert_eq!(names, ["Vulkan0", "Vulkan1", "Vulkan2"]);
    }

    #[test]
    fn another_address_or_memory_is_another_card() {
        let mut machine = Machine {
            gpus: vec![gpu("NVIDIA", "NVIDIA GeForce RTX 4090", 24, Some("0000:01:00.0"))],
            ..Machine::default()
        };
        let other = device("CUDA0", "CUDA", 24, Some("0000:02:00.0"));
        add_devices(&mut machine, vec![other, device("CUDA1", "CUDA", 80, None)]);
        assert_eq!(machine.gpus.len(), 3);
        assert_eq!(machine.gpus[0].backend, None);
        let why = &machine.unseen["gpus.0.backend"];
        assert!(why.contains("none of the engine's loaded backends") && why.contains("CUDA"));
    }

    #[test]
    fn a_name_that_is_only_a_number_is_replaced_and_memory_filled_in() {
        let mut machine = Machine {
            gpus: vec![gpu("Intel", "Intel 0x56a0", 0, Some("0000:03:00.0"))],
            ..Machine::default()
        };
        machine.gpus[0].memory_bytes = None;
        machine.gpus[0].free_bytes = None;
        machine.unseen.insert("gpus.0.memory_bytes".to_owned(), "hidden".to_owned());
        let mut arc = device("Vulkan0", "Vulkan", 16, Some("0000:03:00.0"));
        arc.description = "Intel(R) Arc(tm) A770 Graphics".to_owned();
        add_devices(&mut machine, vec![arc]);
        let card = &machine.gpus[0];
        assert_eq!(card.name.as_deref(), Some("Intel(R) Arc(tm) A770 Graphics"));
        assert_eq!(card.memory_bytes, Some(Bytes(16 << 30)));
        assert!(!machine.unseen.contains_key("gpus.0.memory_bytes"));
    }

    #[test]
    fn the_processor_is_no_card() {
        let mut machine = Machine::default();
        let mut cpu = device("CPU", "CPU", 64, None);
        cpu.kind = DeviceKind::Cpu;
        let mut blas = device("BLAS", "BLAS", 64, None);
        blas.kind = DeviceKind::Accelerator;
        add_devices(&mut machine, vec![cpu, blas]);
        assert!(machine.gpus.is_empty());
    }
}
