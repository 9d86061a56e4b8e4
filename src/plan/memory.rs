//! Whether a model fits: weights, KV cache and a margin against what is available.
//!
//! A lower bound on purpose: it refuses only what certainly does not fit. The exact sum by
//! buffer is the engine's.

use autotune_engine::api::{Bytes, KvType, Setting};

use crate::model::ModelCard;

/// Room for the computation, the logits and the program itself.
const MARGIN: Bytes = Bytes(192 << 20);

/// What a model needs under a setting, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The file's tensors.
    pub weights: Bytes,
    /// The KV cache of the whole context. Of a model with a sliding window only the window is
    /// counted, because the header does not say which layers have one.
    pub kv_cache: Bytes,
    /// Everything else.
    pub margin: Bytes,
}

impl Need {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.weights + self.kv_cache + self.margin
    }
}

/// What the model needs under this setting, at least.
#[must_use]
pub fn need(model: &ModelCard, setting: &Setting) -> Need {
    let context = setting.context.context;
    let cached = model.sliding_window.map_or(context, |window| window.min(context));
    let row = |width: u32, kind: KvType| {
        u128::from(model.kv_heads) * u128::from(width) * u128::from(bits_per_block(kind)) / 256
    };
    let per_token = row(model.key_length, setting.context.type_k)
        + row(model.value_length, setting.context.type_v);
    let tokens = u128::from(model.layers) * u128::from(cached);
    let bytes = tokens.saturating_mul(per_token);
    Need {
        weights: model.file_bytes,
        kv_cache: Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)),
        margin: MARGIN,
    }
}

/// Bits of 32 elements of a KV type, by ggml's block layouts.
fn bits_per_block(kind: KvType) -> u32 {
    match kind {
        KvType::F32 => 1024,
        KvType::F16 | KvType::Bf16 => 512,
        KvType::Q8_0 => 272,
        KvType::Q5_1 => 192,
        KvType::Q5_0 => 176,
        KvType::Q4_1 => 160,
        KvType::Q4_0 | KvType::Iq4Nl => 144,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::card;
    use super::*;
    use autotune_engine::api::{ContextSetting, LoadSetting, ProcessSetting, ThreadSetting};

    fn setting(context: u32, kind: KvType) -> Setting {
        Setting {
            process: ProcessSetting::default(),
            load: LoadSetting::default(),
            context: ContextSetting {
                context,
                type_k: kind,
                type_v: kind,
                ..ContextSetting::default()
            },
            threads: ThreadSetting::of(1),
        }
    }

    #[test]
    fn the_kv_cache_of_llama_3_2_1b_is_known() {
        // 16 layers, 8 KV heads of 64: 32 KiB per token at 16 bits.
        let need = need(&card(), &setting(4096, KvType::F16));
        assert_eq!(need.kv_cache, Bytes(4096 * 32 * 1024));
        assert_eq!(need.total(), card().file_bytes + need.kv_cache + MARGIN);
    }

    #[test]
    fn a_quantized_cache_is_smaller_and_a_window_bounds_it() {
        let half = need(&card(), &setting(4096, KvType::Q8_0)).kv_cache;
        assert_eq!(half, Bytes(4096 * 17 * 1024));
        let mut windowed = card();
        windowed.sliding_window = Some(128);
        assert_eq!(need(&windowed, &setting(4096, KvType::F16)).kv_cache, Bytes(128 * 32 * 1024));
    }

    #[test]
    fn absurd_headers_do_not_overflow() {
        let mut absurd = card();
        (absurd.layers, absurd.kv_heads, absurd.key_length) = (u32::MAX, u32::MAX, u32::MAX);
        let need = need(&absurd, &setting(u32::MAX, KvType::F32));
        assert_eq!(need.kv_cache, Bytes(u64::MAX));
    }
}
