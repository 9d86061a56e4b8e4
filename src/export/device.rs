//! Which devices a setting puts layers on, as far as containers care.

use autotune_engine::api::{DeviceKind, Devices, GpuLayers};

use super::Subject;

/// Devices of one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cards {
    /// ggml's name of the backend: `CUDA`.
    pub(super) backend: String,
    /// How many, at least one.
    pub(super) count: usize,
}

/// The devices that layers are offloaded to; `None` where everything stays on the processor.
pub(super) fn cards(subject: &Subject<'_>) -> Option<Cards> {
    let load = &subject.setting().load;
    if load.gpu_layers == GpuLayers::Count(0) {
        return None;
    }
    let mut names: Vec<String> = match &load.devices {
        Devices::None => return None,
        Devices::Named(names) => names.clone(),
        Devices::Auto => {
            let devices = subject.machine.devices.iter().flatten();
            let gpus = devices.filter(|device| {
                matches!(device.kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu)
            });
            let known: Vec<String> = gpus.map(|device| device.name.clone()).collect();
            let seen = subject.machine.gpus.iter().filter_map(|gpu| gpu.device.clone());
            if known.is_empty() { seen.collect() } else { known }
        }
    };
    // Those of other machines are no matter of the container.
    names.retain(|name| !name.starts_with("RPC"));
    let backend = |name: &String| name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let first = names.first().map(backend)?;
    let count = names.iter().filter(|name| backend(name) == first).count();
    Some(Cards { backend: first, count })
}

/// llama.cpp's image of the server that drives these devices, as its `docs/docker.md` lists them.
pub(super) fn image(cards: Option<&Cards>) -> String {
    let kind = match cards.map(|cards| cards.backend.as_str()) {
        Some("CUDA") => "-cuda",
        Some("Vulkan") => "-vulkan",
        Some("ROCm") => "-rocm",
        Some("MUSA") => "-musa",
        Some("SYCL") => "-intel",
        _ => "",
    };
    format!("ghcr.io/ggml-org/llama.cpp:server{kind}")
}

/// What is to be known of the image.
pub(super) fn notes(subject: &Subject<'_>, cards: Option<&Cards>) -> Vec<String> {
    let mut notes = Vec::new();
    let setting = subject.setting();
    let offloads = setting.load.gpu_layers != GpuLayers::Count(0);
    let elsewhere = setting.load.devices == Devices::None || !setting.process.rpc.is_empty();
    let known = ["CUDA", "Vulkan", "ROCm", "MUSA", "SYCL"];
    match cards {
        Some(cards) if !known.contains(&cards.backend.as_str()) => notes.push(format!(
            "llama.cpp has no image for {}; this one computes on the processor alone",
            cards.backend
        )),
        None if offloads && !elsewhere => notes.push(
            "the setting puts layers on devices, but the run names none: choose the image for \
             yours (server-cuda, server-vulkan, server-rocm)"
                .to_owned(),
        ),
        _ => {}
    }
    let engine = &subject.plan.engine;
    notes.push(format!(
        "the image is the newest llama.cpp, not the measured {} with ggml {}; pin its digest once \
         it is as fast",
        engine.version, engine.ggml_version
    ));
    notes
}
