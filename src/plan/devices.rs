//! Devices that layers are put on: which ones llama.cpp takes by itself, whose memory they have,
//! and how many layers fit by the engine's own count.

use autotune_engine::api::{DeviceKind, DeviceReport};

/// ggml's name of the backend whose devices belong to other machines.
const REMOTE: &str = "RPC";
/// Backends whose devices have the processor's memory although they call themselves cards.
const UNIFIED: [&str; 2] = ["Metal", "MTL"];
/// How Vulkan drivers name themselves that compute on the processor: Mesa's and Google's.
const SOFTWARE: [&str; 3] = ["llvmpipe", "lavapipe", "SwiftShader"];

/// Whether it belongs to another machine.
#[must_use]
pub fn is_remote(device: &DeviceReport) -> bool {
    device.backend == REMOTE
}

/// Whether it is the processor under another name.
#[must_use]
pub fn is_software(device: &DeviceReport) -> bool {
    SOFTWARE.iter().any(|name| device.description.contains(name))
}

/// Whether what lies on it is taken from main memory.
#[must_use]
pub fn shares_memory(device: &DeviceReport) -> bool {
    device.kind == DeviceKind::IntegratedGpu
        || UNIFIED.contains(&device.backend.as_str())
        || is_software(device)
}

/// The devices that llama.cpp puts layers on unless others are named, in its order: those of
/// other machines, then every card once, and only without a card integrated graphics.
#[must_use]
pub fn taken(devices: &[DeviceReport]) -> Vec<&DeviceReport> {
    let of = |kind: DeviceKind| devices.iter().filter(move |device| device.kind == kind);
    let mut taken: Vec<&DeviceReport> =
        of(DeviceKind::Gpu).filter(|device| is_remote(device)).collect();
    let mut cards: Vec<&DeviceReport> = Vec::new();
    for card in of(DeviceKind::Gpu).filter(|device| !is_remote(device)) {
        let address = card.pci_address.as_ref();
        if !cards.iter().any(|known| address.is_some() && known.pci_address.as_ref() == address) {
            cards.push(card);
        }
    }
    if cards.is_empty() {
        let first = of(DeviceKind::IntegratedGpu).next();
        let backend = first.map(|device| device.backend.as_str());
        cards.extend(
            of(DeviceKind::IntegratedGpu).filter(|device| Some(device.backend.as_str()) == backend),
        );
    }
    taken.extend(cards);
    taken
}

/// The most layers that fit, by halving: `fits` is asked for about the logarithm of `all`. `None`
/// where it does not know.
pub fn most_layers(all: u32, mut fits: impl FnMut(u32) -> Option<bool>) -> Option<u32> {
    if fits(all)? {
        return Some(all);
    }
    // Nothing on the devices always fits into them.
    let (mut fitting, mut failing) = (0, all);
    while failing - fitting > 1 {
        let middle = fitting.midpoint(failing);
        if fits(middle)? {
            fitting = middle;
        } else {
            failing = middle;
        }
    }
    Some(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, backend: &str, kind: DeviceKind, address: Option<&str>) -> DeviceReport {
        DeviceReport {
            name: name.to_owned(),
            description: String::new(),
            kind,
            backend: backend.to_owned(),
            memory_bytes: None,
            free_bytes: None,
            pci_address: address.map(str::to_owned),
        }
    }

    fn names(devices: &[DeviceReport]) -> Vec<&str> {
        taken(devices).iter().map(|device| device.name.as_str()).collect()
    }

    #[test]
    fn devices_are_taken_as_llama_cpp_takes_them() {
        use DeviceKind::{Accelerator, Cpu, Gpu, IntegratedGpu};
        let mut devices = vec![
            device("CUDA0", "CUDA", Gpu, Some("0000:01:00.0")),
            device("Vulkan0", "Vulkan", Gpu, Some("0000:01:00.0")),
            device("Vulkan1", "Vulkan", IntegratedGpu, Some("0000:00:02.0")),
            device("BLAS", "BLAS", Accelerator, None),
            device("CPU", "CPU", Cpu, None),
            device("RPC0", "RPC", Gpu, None),
        ];
        assert_eq!(names(&devices), ["RPC0", "CUDA0"]);
        devices.drain(..2);
        // Another machine's card does not take the place of graphics that are here.
        assert_eq!(names(&devices), ["RPC0", "Vulkan1"]);
        devices.push(device("SYCL0", "SYCL", IntegratedGpu, None));
        devices.push(device("Vulkan2", "Vulkan", IntegratedGpu, None));
        assert_eq!(names(&devices), ["RPC0", "Vulkan1", "Vulkan2"]);
        assert_eq!(names(&[device("CPU", "CPU", Cpu, None)]), Vec::<&str>::new());
    }

    #[test]
    fn a_driver_on_the_processor_is_told_from_a_card() {
        let mut own = device("Vulkan0", "Vulkan", DeviceKind::Gpu, None);
        assert!(!shares_memory(&own));
        own.description = "llvmpipe (LLVM 15.0.6, 256 bits)".to_owned();
        assert!(shares_memory(&own) && is_software(&own));
        let integrated = device("Vulkan0", "Vulkan", DeviceKind::IntegratedGpu, None);
        assert!(shares_memory(&integrated) && !is_software(&integrated));
        assert!(shares_memory(&device("MTL0", "MTL", DeviceKind::Gpu, None)));
    }

    #[test]
    fn the_edge_is_found_by_halving() {
        for all in [1_u32, 2, 13, 33, 1000] {
            for edge in [0, 1, all / 2, all - 1, all] {
                let mut asked = 0;
                let found = most_layers(all, |count| {
                    asked += 1;
                    Some(count <= edge)
                });
                assert_eq!(found, Some(edge), "of {all}");
                assert!(asked <= 2 + all.ilog2(), "{asked} questions for {all}");
            }
        }
        assert_eq!(most_layers(10, |_| None), None);
    }
}
