//! Which part of the model lies where: on the processor's side or on the graphics card.

use super::parts::GpuSpec;
use super::world::World;
use crate::api::{BufferUse, Bytes, Devices, Failure, GpuLayers, Setting, Toggle};

/// The parts of a model under a resolved setting. All layers and the output are equally large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// Share of what a token reads and computes that is the processor's.
    pub(super) active: f64,
    /// Bytes of weights on the processor's side.
    pub(super) host_bytes: f64,
    /// Share of the KV cache on the processor's side.
    pub(super) cache: f64,
    /// Layers on the card, the output counted as one.
    pub(super) device_layers: u32,
    /// Times that a pass is handed over from one side to the other.
    pub(super) crossings: u32,
}

impl World {
    /// The card, where the setting may use one.
    pub(super) fn card(&self, setting: &Setting) -> Option<&GpuSpec> {
        let gpu = self.gpu.as_ref()?;
        match &setting.load.devices {
            Devices::Auto => Some(gpu),
            Devices::None => None,
            Devices::Named(names) => names.contains(&gpu.name).then_some(gpu),
        }
    }

    /// Layers on the card under a setting, the output counted as one.
    pub(super) fn device_layers(&self, setting: &Setting) -> u32 {
        let most = self.model.layers + 1;
        match setting.load.gpu_layers {
            _ if self.card(setting).is_none() => 0,
            GpuLayers::All => most,
            GpuLayers::Count(count) => count.min(most),
        }
    }

    pub(super) fn split(&self, effective: &Setting) -> Split {
        let model = &self.model;
        let layers = f64::from(model.layers);
        let device_layers = self.device_layers(effective);
        // The output is the first to go to the card.
        let repeating = device_layers.saturating_sub(1);
        let left = 1.0 - f64::from(device_layers) / (layers + 1.0);
        let experts_left = match self.experts {
            Some(_) => (model.layers - repeating).max(effective.load.cpu_experts.min(model.layers)),
            None => model.layers - repeating,
        };
        let (stored, read) =
            self.experts.map_or((0, 0), |experts| (experts.size_bytes, experts.bytes_per_token));
        let part = |all: u64, of_experts: u64| {
            (all.saturating_sub(of_experts)) as f64 * left
                + of_experts as f64 * f64::from(experts_left) / layers
        };
        let kept = effective.context.kv_offload == Toggle::On;
        let cache = if kept { f64::from(model.layers - repeating) / layers } else { 1.0 };
        let boundary = u32::from(device_layers > 0 && device_layers <= model.layers);
        let alone = experts_left - (model.layers - repeating);
        let fetched = if kept { 0 } else { repeating };
        Split {
            active: part(model.bytes_per_token, read) / model.bytes_per_token.max(1) as f64,
            host_bytes: part(model.size_bytes, stored),
            cache,
            device_layers,
            crossings: boundary + 2 * alone + 2 * fetched,
        }
    }

    /// Memory that a setting fills, the processor's first.
    pub(super) fn memory(&self, effective: &Setting) -> Vec<BufferUse> {
        let split = self.split(effective);
        let context = &effective.context;
        let cache = self.cache_bytes(effective) * f64::from(context.context);
        let scratch = self.model.compute_bytes_per_token.saturating_mul(u64::from(context.ubatch));
        let buffer = |name: &str, weights: f64, cache: f64, scratch: u64| BufferUse {
            name: name.to_owned(),
            model_bytes: bytes(weights),
            context_bytes: bytes(cache),
            compute_bytes: Bytes(scratch),
        };
        let mut buffers = vec![buffer("CPU", split.host_bytes, cache * split.cache, scratch)];
        if let Some(gpu) = self.card(effective).filter(|_| split.device_layers > 0) {
            let weights = self.model.size_bytes as f64 - split.host_bytes;
            buffers.push(buffer(&gpu.name, weights, cache * (1.0 - split.cache), scratch));
        }
        buffers
    }

    /// The failure of a setting whose buffers are larger than what they have to lie in.
    pub(super) fn check_memory(&self, effective: &Setting) -> Result<(), Failure> {
        let sum = |buffer: &BufferUse| -> Bytes {
            [buffer.model_bytes, buffer.context_bytes, buffer.compute_bytes].into_iter().sum()
        };
        let buffers = self.memory(effective);
        let mut main = sum(&buffers[0]);
        if let (Some(gpu), Some(buffer)) = (&self.gpu, buffers.get(1)) {
            let needed = sum(buffer) + Bytes(gpu.context_bytes);
            if gpu.shares_memory {
                main = main + needed;
            }
            let place = format!("on {}", gpu.name);
            enough(needed, Bytes(gpu.memory_bytes), &place)?;
        }
        enough(main, Bytes(self.machine.memory_bytes), "there")
    }
}

fn enough(needed: Bytes, available: Bytes, place: &str) -> Result<(), Failure> {
    if needed <= available {
        return Ok(());
    }
    let reason = format!("weights, KV cache and scratch need {needed}, {available} are {place}");
    Err(Failure::OutOfMemory { reason, log: Vec::new() })
}

fn bytes(amount: f64) -> Bytes {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let whole = amount as u64;
    Bytes(whole)
}
