//! NVIDIA's cards by the driver's own library, loaded at run time.

use autotune_engine::api::Bytes;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::model::{Gpu, GpuBackend, Pcie};

/// Every card; none where there is no driver; `Err` where there is one and it does not work.
pub(super) fn cards() -> Result<Vec<Gpu>, String> {
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound) => return Ok(Vec::new()),
        Err(why) => return Err(format!("NVIDIA's driver library does not start: {why}")),
    };
    let count = nvml.device_count().map_err(|why| format!("NVIDIA's driver: {why}"))?;
    let driver = nvml.sys_driver_version().ok();
    (0..count)
        .map(|index| {
            let device = nvml.device_by_index(index);
            let device = device.map_err(|why| format!("NVIDIA's card {index}: {why}"))?;
            Ok(card(&device, driver.clone()))
        })
        .collect()
}

fn card(device: &Device<'_>, driver: Option<String>) -> Gpu {
    let memory = device.memory_info().ok();
    let capability = device.cuda_compute_capability().ok();
    let link = Pcie {
        generation: device.current_pcie_link_gen().ok(),
        width: device.current_pcie_link_width().ok(),
        max_generation: device.max_pcie_link_gen().ok(),
        max_width: device.max_pcie_link_width().ok(),
    };
    Gpu {
        vendor: "NVIDIA".to_owned(),
        name: device.name().ok(),
        memory_bytes: memory.as_ref().map(|memory| Bytes(memory.total)),
        free_bytes: memory.as_ref().map(|memory| Bytes(memory.free)),
        driver,
        backend: Some(GpuBackend::Cuda),
        compute_capability: capability.map(|found| format!("{}.{}", found.major, found.minor)),
        pcie: (link != Pcie::default()).then_some(link),
        power_limit_watts: device.enforced_power_limit().ok().map(|limit| f64::from(limit) / 1e3),
        integrated: None,
        numa_node: device.numa_node_id().ok(),
        pci_address: device.pci_info().ok().map(|pci| sysfs_address(&pci.bus_id)),
    }
}

/// `00000000:3B:00.0` as the kernel writes it: `0000:3b:00.0`.
fn sysfs_address(bus: &str) -> String {
    let bus = bus.to_lowercase();
    match bus.split_once(':') {
        Some((domain, rest)) if domain.len() > 4 && domain.starts_with("0000") => {
            format!("{}:{rest}", &domain[domain.len() - 4..])
        }
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
    }
}
