//! The rows of graphics cards.

use crate::model::{Gpu, GpuBackend, Machine, Pcie, Switch};

use super::{Group, MOST_ROWS, clean, gigahertz};

/// Up to here each card has a row for what limits it.
const MOST_DETAILED: usize = 2;

pub(super) fn cards(machine: &Machine) -> Group {
    let gpus = &machine.gpus;
    let mut group = Group { title: "Graphics", rows: Vec::new() };
    for (index, gpu) in gpus.iter().take(MOST_ROWS).enumerate() {
        group.rows.push((format!("card {index}"), clean(&card(gpu, machine.devices.is_some()))));
        let limits = limits(gpu);
        if gpus.len() <= MOST_DETAILED && !limits.is_empty() {
            group.rows.push((String::new(), clean(&limits.join(", "))));
        }
    }
    if let Some(more) = gpus.len().checked_sub(MOST_ROWS).filter(|more| *more > 0) {
        group.rows.push((String::new(), format!("and {more} more")));
    }
    if gpus.is_empty() {
        let text = match machine.unseen.get("gpus") {
            Some(why) => format!("unknown: {}", clean(why)),
            None => "none".to_owned(),
        };
        group.rows.push(("cards".to_owned(), text));
    }
    if let Some(devices) = &machine.devices {
        let names = devices.iter().map(|device| {
            if device.name == device.backend {
                device.name.clone()
            } else {
                format!("{} ({})", device.name, device.backend)
            }
        });
        let names: Vec<String> = names.collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        group.rows.push(("backends".to_owned(), clean(&names)));
    }
    group
}

fn card(gpu: &Gpu, asked: bool) -> String {
    let mut parts = vec![gpu.name.clone().unwrap_or_else(|| gpu.vendor.clone())];
    let free = gpu.free_bytes.map(|free| format!(" ({free} free)")).unwrap_or_default();
    parts.extend(match (gpu.integrated, gpu.memory_bytes) {
        (Some(true), Some(total)) => Some(format!("shares {total} of the system's memory{free}")),
        (Some(true), None) => Some("shares the system's memory".to_owned()),
        (_, Some(total)) => Some(format!("{total}{free}")),
        (_, None) => Some("memory unknown".to_owned()),
    });
    parts.extend(gpu.compute_capability.as_ref().map(|found| format!("compute {found}")));
    parts.extend(gpu.driver.as_ref().map(|driver| match &gpu.cuda_version {
        Some(cuda) => format!("driver {driver} (CUDA {cuda})"),
        None => format!("driver {driver}"),
    }));
    parts.extend(match (gpu.backend, asked) {
        (Some(backend), _) => Some(format!("runs on {}", name(backend))),
        (None, true) => Some("no backend drives it".to_owned()),
        (None, false) => None,
    });
    parts.join(", ")
}

fn name(backend: GpuBackend) -> &'static str {
    match backend {
        GpuBackend::Cuda => "CUDA",
        GpuBackend::Vulkan => "Vulkan",
        GpuBackend::Metal => "Metal",
        GpuBackend::Hip => "HIP",
        GpuBackend::Sycl => "SYCL",
        GpuBackend::OpenCl => "OpenCL",
        GpuBackend::Musa => "MUSA",
        GpuBackend::Cann => "CANN",
    }
}

/// What bounds the card's speed.
fn limits(gpu: &Gpu) -> Vec<String> {
    let mut parts: Vec<String> = gpu.pcie.as_ref().and_then(link).into_iter().collect();
    parts.extend(gpu.power_limit_watts.map(|watts| match gpu.default_power_limit_watts {
        Some(made) if (made - watts).abs() >= 1.0 => format!("{watts:.0} W (made for {made:.0})"),
        _ => format!("{watts:.0} W"),
    }));
    parts.extend(gpu.clocks.max_graphics_hz.map(|hz| format!("up to {}", gigahertz(hz))));
    let held = gpu.throttle_reasons.iter().flatten().cloned().collect::<Vec<_>>().join(" and ");
    parts.extend((!held.is_empty()).then(|| format!("slowed by {held}")));
    parts.extend(gpu.numa_node.map(|node| format!("node {node}")));
    parts.extend((gpu.persistence == Some(Switch::Off)).then(|| "persistence off".to_owned()));
    parts.extend((gpu.mig == Some(Switch::On)).then(|| match gpu.mig_instances.len() {
        1 => "cut into 1 MIG instance".to_owned(),
        count => format!("cut into {count} MIG instances"),
    }));
    parts
}

fn link(link: &Pcie) -> Option<String> {
    let text = |generation: Option<u32>, width: Option<u32>| {
        Some(format!("PCIe {} ×{}", generation?, width?))
    };
    let now = text(link.generation, link.width);
    let most = text(link.max_generation, link.max_width);
    match (now, most) {
        (Some(now), Some(most)) if now != most => Some(format!("{now} now (can {most})")),
        (now, most) => now.or(most),
    }
}
