//! A context on a model: the KV cache and the scratch space, under a [`ContextSetting`].

use std::ffi::c_char;
use std::ptr::NonNull;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::model::Model;
use super::pool::Pools;
use super::stage::{self, Stage};
use super::{log, text, verdict};
use crate::api::{ContextSetting, Failure, FlashAttention, KvType, ThreadSetting};

unsafe extern "C" {
    fn autotune_decode(
        context: *mut sys::llama_context,
        batch: sys::llama_batch,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
    fn autotune_synchronize(
        context: *mut sys::llama_context,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
}

/// A context, freed when dropped; it keeps its model alive.
#[derive(Debug)]
pub(super) struct Context {
    pointer: NonNull<sys::llama_context>,
    // Declared after the pointer and freed after it: `drop` runs before the fields go.
    model: Arc<Model>,
    flash_attention: FlashAttention,
    // The last one is attached. The one before it stays until something was computed with the
    // last: only then does ggml's CPU backend let go of it.
    pools: Vec<(ThreadSetting, Pools)>,
}

// SAFETY: llama.cpp binds a context to no thread as long as one at a time uses it, and every
// method that does more than read takes `&mut self`.
unsafe impl Send for Context {}

impl Context {
    /// Makes a context. Null from llama.cpp becomes a failure in its own words.
    pub(super) fn new(model: &Arc<Model>, setting: &ContextSetting) -> Result<Self, Failure> {
        Self::with_outputs(model, setting, 0)
    }

    /// The same with room for the logits of that many tokens at once; 0: of a whole batch.
    pub(super) fn with_outputs(
        model: &Arc<Model>,
        setting: &ContextSetting,
        outputs: u32,
    ) -> Result<Self, Failure> {
        // SAFETY: returns a plain structure.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = setting.context;
        params.n_batch = setting.batch;
        params.n_ubatch = setting.ubatch;
        params.n_outputs_max = outputs;
        params.flash_attn_type = match setting.flash_attention {
            FlashAttention::Auto => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            FlashAttention::Off => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
            FlashAttention::On => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
        };
        params.type_k = kv_type(setting.type_k);
        params.type_v = kv_type(setting.type_v);
        // As llama-bench and llama-server have it; the C API's own default is the full size.
        params.swa_full = false;
        stage::reached(Stage::Context);
        let mark = log::mark();
        // SAFETY: the model is alive and stays so as long as this context.
        let pointer = unsafe { sys::llama_init_from_model(model.as_ptr(), params) };
        let said = log::since(mark);
        let Some(pointer) = NonNull::new(pointer) else {
            return Err(verdict::from_log("cannot make a context", said));
        };
        let flash_attention = resolved(setting.flash_attention, &said);
        Ok(Self { pointer, model: Arc::clone(model), flash_attention, pools: Vec::new() })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_context {
        self.pointer.as_ptr()
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The setting as llama.cpp really made it.
    pub(super) fn effective(&self, asked: &ContextSetting) -> ContextSetting {
        // SAFETY: the context is alive; each call reads a number.
        let (context, batch, ubatch) = unsafe {
            (
                sys::llama_n_ctx(self.as_ptr()),
                sys::llama_n_batch(self.as_ptr()),
                sys::llama_n_ubatch(self.as_ptr()),
            )
        };
        let flash_attention = self.flash_attention;
        ContextSetting { context, batch, ubatch, flash_attention, ..asked.clone() }
    }

    /// Tokens per call at most.
    pub(super) fn batch(&self) -> usize {
        // SAFETY: the context is alive; reads a number.
        unsafe { sys::llama_n_batch(self.as_ptr()) as usize }
    }

    /// Forgets all tokens; the memory stays.
    pub(super) fn clear(&mut self) {
        // SAFETY: the context is alive, and so is its memory.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.as_ptr()), false) }
    }

    /// Processes tokens that follow those already there; only the last one's logits are kept.
    pub(super) fn decode(&mut self, tokens: &mut [sys::llama_token]) -> Result<(), Failure> {
        assert!(
            !tokens.is_empty() && tokens.len() <= self.batch(),
            "callers cut prompts into batches"
        );
        let count = i32::try_from(tokens.len()).expect("a batch is below 2^31");
        let mark = log::mark();
        let mut message: [c_char; 256] = [0; 256];
        // SAFETY: the tokens outlive the call and are as many as said, which llama.cpp asserts to
        // be at most its batch; the message is as long as said; exceptions are caught in the shim.
        let code = unsafe {
            let batch = sys::llama_batch_get_one(tokens.as_mut_ptr(), count);
            autotune_decode(self.as_ptr(), batch, message.as_mut_ptr(), message.len())
        };
        if code == 0 {
            return Ok(());
        }
        verdict::from_decode(code, &text(message.as_ptr()), log::since(mark))
    }

    /// Waits until everything asked for is computed.
    pub(super) fn synchronize(&mut self) -> Result<(), Failure> {
        let mut message: [c_char; 256] = [0; 256];
        // SAFETY: as in `decode`.
        let code =
            unsafe { autotune_synchronize(self.as_ptr(), message.as_mut_ptr(), message.len()) };
        verdict::from_decode(code, &text(message.as_ptr()), Vec::new())
    }

    /// The logits of the last token.
    pub(super) fn logits(&mut self) -> Option<&[f32]> {
        // SAFETY: the context is alive; null says that the last call kept none.
        let logits = unsafe { sys::llama_get_logits_ith(self.as_ptr(), -1) };
        if logits.is_null() {
            return None;
        }
        // SAFETY: llama.cpp returns one value per token of the vocabulary, which stay until the
        // next decode, and that needs the context this borrows.
        Some(unsafe { std::slice::from_raw_parts(logits, self.model.vocabulary()) })
    }

    /// A copy of everything remembered of the tokens so far.
    pub(super) fn save(&mut self) -> Result<Vec<u8>, Failure> {
        // SAFETY: the context is alive; the buffer is as long as said.
        unsafe {
            let mut state = vec![0; sys::llama_state_seq_get_size(self.as_ptr(), 0)];
            let written =
                sys::llama_state_seq_get_data(self.as_ptr(), state.as_mut_ptr(), state.len(), 0);
            if written == 0 {
                return Err(Failure::refused("the KV cache cannot be saved"));
            }
            state.truncate(written);
            Ok(state)
        }
    }

    /// Puts such a copy back.
    pub(super) fn restore(&mut self, state: &[u8]) -> Result<(), Failure> {
        // SAFETY: as above; the bytes come from `save` on this very context.
        let read =
            unsafe { sys::llama_state_seq_set_data(self.as_ptr(), state.as_ptr(), state.len(), 0) };
        if read == 0 {
            return Err(Failure::refused("the saved KV cache does not fit"));
        }
        Ok(())
    }

    /// Computes with such threads from now on. Call it on the thread that will decode.
    pub(super) fn attach(&mut self, setting: &ThreadSetting) -> Result<(), Failure> {
        if self.pools.last().is_some_and(|(current, _)| current == setting) {
            return Ok(());
        }
        let pools = Pools::new(setting)?;
        // SAFETY: the context is alive and will own the pools, which it frees after itself. The
        // counts are those of the pools: with OpenMP a larger one would read past a pool's end.
        unsafe {
            sys::llama_set_n_threads(self.as_ptr(), pools.threads(), pools.threads_batch());
            sys::llama_attach_threadpool(self.as_ptr(), pools.decode(), pools.batch());
        }
        self.pools.push((setting.clone(), pools));
        Ok(())
    }

    /// After a computation: frees the pools that were attached before, and lets the threads sleep.
    pub(super) fn rest(&mut self) {
        let old = self.pools.len().saturating_sub(1);
        self.pools.drain(..old);
        if let Some((_, pools)) = self.pools.last() {
            pools.pause();
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once; the model and the pools are fields and go afterwards.
        unsafe { sys::llama_free(self.as_ptr()) }
    }
}

/// What became of flash attention: there is no getter, and only the log says it.
fn resolved(asked: FlashAttention, said: &[String]) -> FlashAttention {
    let has = |words: &str| said.iter().any(|line| line.contains(words));
    if has("forcing off") || has("Flash Attention not supported, set to disabled") {
        FlashAttention::Off
    } else if has("Flash Attention enabled") || has("enabling flash_attn") {
        FlashAttention::On
    } else {
        asked
    }
}

fn kv_type(kv: KvType) -> sys::ggml_type {
    match kv {
        KvType::F32 => sys::GGML_TYPE_F32,
        KvType::F16 => sys::GGML_TYPE_F16,
        KvType::Bf16 => sys::GGML_TYPE_BF16,
        KvType::Q8_0 => sys::GGML_TYPE_Q8_0,
        KvType::Q5_1 => sys::GGML_TYPE_Q5_1,
        KvType::Q5_0 => sys::GGML_TYPE_Q5_0,
        KvType::Q4_1 => sys::GGML_TYPE_Q4_1,
        KvType::Q4_0 => sys::GGML_TYPE_Q4_0,
        KvType::Iq4Nl => sys::GGML_TYPE_IQ4_NL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_attention_is_read_from_the_log() {
        for (asked, said, became) in [
            (FlashAttention::Auto, "resolve: Flash Attention enabled", FlashAttention::On),
            (
                FlashAttention::Auto,
                "resolve: Flash Attention not supported, set to disabled",
                FlashAttention::Off,
            ),
            (FlashAttention::On, "x: not compatible with Grok - forcing off", FlashAttention::Off),
            (FlashAttention::Off, "", FlashAttention::Off),
            (FlashAttention::Auto, "nothing said", FlashAttention::Auto),
        ] {
            assert_eq!(resolved(asked, &[said.to_owned()]), became, "{said}");
        }
    }
}
