//! What the loaded backends can compute on.

use llama_cpp_sys_2 as sys;

use super::backend::Backend;
use super::text;
use crate::api::{Bytes, DeviceKind, DeviceReport, Failure, ProcessSetting};

/// Every device of every module that loads here, and of those RPC servers. A driver that aborts
/// takes this process along.
pub fn devices(servers: &[String]) -> Result<Vec<DeviceReport>, Failure> {
    Backend::start(&ProcessSetting { rpc: servers.to_vec(), ..ProcessSetting::default() })?;
    Ok(registered())
}

/// Every device of this process, which was started already.
pub(super) fn registered() -> Vec<DeviceReport> {
    // SAFETY: reads the registry, which is filled.
    let count = unsafe { sys::ggml_backend_dev_count() };
    (0..count).filter_map(device).collect()
}

fn device(index: usize) -> Option<DeviceReport> {
    // SAFETY: the index is below the count, and devices are never taken away.
    let device = unsafe { sys::ggml_backend_dev_get(index) };
    if device.is_null() {
        return None;
    }
    let mut properties = std::mem::MaybeUninit::<sys::ggml_backend_dev_props>::zeroed();
    // SAFETY: the device is registered, the structure is large enough and, being numbers, flags
    // and pointers, valid with every byte zero, so a backend that leaves parts of it alone does
    // no harm.
    let properties = unsafe {
        sys::ggml_backend_dev_get_props(device, properties.as_mut_ptr());
        properties.assume_init()
    };
    // SAFETY: a registered device has a registry, whose name is a static string.
    let backend = unsafe { sys::ggml_backend_reg_name(sys::ggml_backend_dev_backend_reg(device)) };
    let known = |bytes: usize| (bytes > 0).then_some(Bytes(bytes as u64));
    Some(DeviceReport {
        name: text(properties.name),
        description: text(properties.description).trim().to_owned(),
        kind: kind(properties.type_)?,
        backend: text(backend),
        memory_bytes: known(properties.memory_total),
        // None of a device whose size is known is an answer; none of an unknown size is not.
        free_bytes: known(properties.memory_total).map(|_| Bytes(properties.memory_free as u64)),
        pci_address: Some(text(properties.device_id).to_lowercase()).filter(|id| !id.is_empty()),
    })
}

fn kind(number: sys::ggml_backend_dev_type) -> Option<DeviceKind> {
    match number {
        sys::GGML_BACKEND_DEVICE_TYPE_CPU => Some(DeviceKind::Cpu),
        sys::GGML_BACKEND_DEVICE_TYPE_GPU => Some(DeviceKind::Gpu),
        sys::GGML_BACKEND_DEVICE_TYPE_IGPU => Some(DeviceKind::IntegratedGpu),
        sys::GGML_BACKEND_DEVICE_TYPE_ACCEL => Some(DeviceKind::Accelerator),
        sys::GGML_BACKEND_DEVICE_TYPE_META => Some(DeviceKind::Meta),
        _ => None,
    }
}
