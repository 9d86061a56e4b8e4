//! The setting that models are asked under when nothing but their answers counts.

use autotune_engine::api::{
    ContextSetting, FlashAttention, GpuLayers, KvType, LoadSetting, ProcessSetting, Setting,
    ThreadSetting,
};

/// Tokens that a context is asked to compute at once at least.
const BATCH: u32 = 512;

/// What changes answers, and where they are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Speech {
    /// The CPU variant; `None`: the best that multiplies rightly.
    pub isa_variant: Option<String>,
    /// Layers on the GPU.
    pub gpu_layers: GpuLayers,
    /// Type of the K cache.
    pub type_k: KvType,
    /// Type of the V cache.
    pub type_v: KvType,
    /// Flash attention.
    pub flash_attention: FlashAttention,
    /// Sequences at once.
    pub sequences: u32,
}

impl Default for Speech {
    fn default() -> Self {
        let ContextSetting { type_k, type_v, flash_attention, .. } = ContextSetting::default();
        let gpu_layers = GpuLayers::default();
        Self { isa_variant: None, gpu_layers, type_k, type_v, flash_attention, sequences: 1 }
    }
}

impl Speech {
    /// What changes answers in a setting that was found for speed.
    #[must_use]
    pub fn of(setting: &Setting) -> Self {
        let ContextSetting { type_k, type_v, flash_attention, .. } = setting.context;
        let (isa_variant, gpu_layers) =
            (setting.process.isa_variant.clone(), setting.load.gpu_layers);
        Self { isa_variant, gpu_layers, type_k, type_v, flash_attention, sequences: 1 }
    }

    /// The flags of its KV cache where that is not the usual one; empty where it is.
    #[must_use]
    pub fn cache_flags(&self) -> String {
        let usual = Self::default();
        let flags = [("-ctk", self.type_k, usual.type_k), ("-ctv", self.type_v, usual.type_v)];
        let unusual = flags.iter().filter(|(_, kind, usual)| kind != usual);
        unusual.map(|(flag, kind, _)| format!("{flag} {kind}")).collect::<Vec<_>>().join(" ")
    }
}

/// A setting with room for chunks of so many tokens in each sequence.
#[must_use]
pub fn speaking(threads: u32, chunk_tokens: u32, speech: &Speech) -> Setting {
    // llama.cpp pads to this much by itself, and divides what it padded.
    let context = chunk_tokens.next_multiple_of(256).saturating_mul(speech.sequences.max(1));
    Setting {
        process: ProcessSetting {
            isa_variant: speech.isa_variant.clone(),
            ..ProcessSetting::default()
        },
        load: LoadSetting { gpu_layers: speech.gpu_layers, ..LoadSetting::default() },
        context: ContextSetting {
            context,
            batch: BATCH.min(context),
            ubatch: BATCH.min(context),
            flash_attention: speech.flash_attention,
            type_k: speech.type_k,
            type_v: speech.type_v,
            sequences: speech.sequences.max(1),
            ..ContextSetting::default()
        },
        // Threads that spin would take the processor from those that compare the answers: with a
        // small model and two cores twice the time.
        threads: ThreadSetting { poll: 0, ..ThreadSetting::of(threads) },
    }
}
