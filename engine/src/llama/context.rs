//! A context on a model: the KV cache and the scratch space, under a [`ContextSetting`].

use std::any::Any;
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};

use llama_cpp_sys_2 as sys;

use super::crew::{self, Crew};
use super::importance::{self, Collector};
use super::model::Model;
use super::pieces::{self, Watcher};
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

/// One token of a batch that holds several sequences.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) token: sys::llama_token,
    /// Tokens before it in its sequence.
    pub(super) position: u32,
    pub(super) sequence: u32,
    /// Whether its logits are kept.
    pub(super) answer: bool,
}

/// Who sees every node of every graph.
struct Eyes {
    look: unsafe extern "C" fn(*mut sys::ggml_tensor, bool, *mut c_void) -> bool,
    /// Points into what is kept.
    data: *mut c_void,
    keep: Arc<dyn Any + Send + Sync>,
}

/// A context, freed when dropped; it keeps its model alive.
#[derive(Debug)]
pub(super) struct Context {
    pointer: NonNull<sys::llama_context>,
    // Declared after the pointer and freed after it: `drop` runs before the fields go.
    model: Arc<Model>,
    // Freed after the context too, which may call it as long as it lives.
    _watcher: Option<Arc<dyn Any + Send + Sync>>,
    flash_attention: FlashAttention,
    // The last one is attached. The one before it stays until something was computed with the
    // last: only then does ggml's CPU backend let go of it.
    pools: Vec<(ThreadSetting, Arc<Pools>, Vec<i32>)>,
}

// SAFETY: llama.cpp binds a context to no thread as long as one at a time uses it, and every
// method that does more than read takes `&mut self`.
unsafe impl Send for Context {}

impl Context {
    /// Makes a context. Null from llama.cpp becomes a failure in its own words.
    pub(super) fn new(model: &Arc<Model>, setting: &ContextSetting) -> Result<Self, Failure> {
        Self::make(model, setting, 0, None)
    }

    /// The same under the eyes of a watcher, which sees every node of every graph.
    pub(super) fn watched(
        model: &Arc<Model>,
        setting: &ContextSetting,
        watcher: Arc<Mutex<Watcher>>,
    ) -> Result<Self, Failure> {
        let data = pieces::user_data(&watcher);
        Self::make(model, setting, 0, Some(Eyes { look: pieces::watch, data, keep: watcher }))
    }

    /// The same under eyes that collect what the weights are multiplied with.
    pub(super) fn collecting(
        model: &Arc<Model>,
        setting: &ContextSetting,
        collector: Arc<Mutex<Collector>>,
    ) -> Result<Self, Failure> {
        let data = Arc::as_ptr(&collector).cast_mut().cast();
        Self::make(model, setting, 0, Some(Eyes { look: importance::look, data, keep: collector }))
    }

    /// The same with room for the logits of that many tokens at once; 0: of a whole batch.
    pub(super) fn with_outputs(
        model: &Arc<Model>,
        setting: &ContextSetting,
        outputs: u32,
    ) -> Result<Self, Failure> {
        Self::make(model, setting, outputs, None)
    }

    fn make(
        model: &Arc<Model>,
        setting: &ContextSetting,
        outputs: u32,
        eyes: Option<Eyes>,
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
        params.offload_kqv = setting.kv_offload.into();
        params.op_offload = setting.op_offload.into();
        params.n_seq_max = setting.sequences;
        params.kv_unified = setting.kv_unified.into();
        // Off is what llama-bench and llama-server have; the C API's own default is the full size.
        params.swa_full = setting.swa_full.into();
        if let Some(eyes) = &eyes {
            params.cb_eval = Some(eyes.look);
            params.cb_eval_user_data = eyes.data;
        }
        stage::reached(Stage::Context);
        let mark = log::mark();
        // SAFETY: the model is alive and stays so as long as this context.
        let pointer = unsafe { sys::llama_init_from_model(model.as_ptr(), params) };
        let said = log::since(mark);
        let Some(pointer) = NonNull::new(pointer) else {
            return Err(verdict::from_log("cannot make a context", said));
        };
        let flash_attention = resolved(setting.flash_attention, &said);
        let model = Arc::clone(model);
        let watcher = eyes.map(|eyes| eyes.keep);
        Ok(Self { pointer, model, _watcher: watcher, flash_attention, pools: Vec::new() })
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
        let (context, batch, ubatch, sequences) = unsafe {
            (
                sys::llama_n_ctx(self.as_ptr()),
                sys::llama_n_batch(self.as_ptr()),
                sys::llama_n_ubatch(self.as_ptr()),
                sys::llama_n_seq_max(self.as_ptr()),
            )
        };
        let flash_attention = self.flash_attention;
        ContextSetting { context, batch, ubatch, flash_attention, sequences, ..asked.clone() }
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

    /// Processes tokens of several sequences in one call.
    pub(super) fn decode_entries(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        assert!(
            !entries.is_empty() && entries.len() <= self.batch(),
            "callers cut sequences into batches"
        );
        let whole = |value: u32| i32::try_from(value).expect("positions are below 2^31");
        let mut tokens: Vec<_> = entries.iter().map(|entry| entry.token).collect();
        let mut positions: Vec<i32> = entries.iter().map(|it| whole(it.position)).collect();
        let mut sequences: Vec<i32> = entries.iter().map(|it| whole(it.sequence)).collect();
        let mut lists: Vec<*mut i32> = sequences.iter_mut().map(std::ptr::from_mut).collect();
        let mut counts = vec![1_i32; entries.len()];
        let mut answers: Vec<i8> = entries.iter().map(|entry| i8::from(entry.answer)).collect();
        let batch = sys::llama_batch {
            n_tokens: i32::try_from(entries.len()).expect("a batch is below 2^31"),
            token: tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: lists.as_mut_ptr(),
            logits: answers.as_mut_ptr().cast(),
        };
        let mark = log::mark();
        let mut message: [c_char; 256] = [0; 256];
        // SAFETY: every list has as many elements as the batch says, and all outlive the call;
        // each inner list has the one element that its count says; the message is as long as said;
        // exceptions are caught in the shim.
        let code =
            unsafe { autotune_decode(self.as_ptr(), batch, message.as_mut_ptr(), message.len()) };
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

    /// The logits of a token of the last call by its place there; -1 for the last that has some.
    pub(super) fn logits(&mut self, place: i32) -> Option<&[f32]> {
        // SAFETY: the context is alive; null says that the last call kept none of that token.
        let logits = unsafe { sys::llama_get_logits_ith(self.as_ptr(), place) };
        if logits.is_null() {
            return None;
        }
        // SAFETY: llama.cpp returns one value per token of the vocabulary, which stay until the
        // next decode, and that needs the context this borrows.
        Some(unsafe { std::slice::from_raw_parts(logits, self.model.vocabulary()) })
    }

    /// The logits of all tokens of the last call that were asked for, row after row.
    pub(super) fn all_logits(&mut self, rows: usize) -> Option<&[f32]> {
        // SAFETY: the context is alive; null says that there are none.
        let logits = unsafe { sys::llama_get_logits(self.as_ptr()) };
        if logits.is_null() {
            return None;
        }
        // SAFETY: llama.cpp keeps one row for each token that was asked for, which the caller
        // counts, without gaps and until the next decode, and that needs the context this borrows.
        Some(unsafe { std::slice::from_raw_parts(logits, rows * self.model.vocabulary()) })
    }

    /// A copy of everything remembered of the tokens of a sequence so far.
    pub(super) fn save(&mut self, sequence: i32) -> Result<Vec<u8>, Failure> {
        // SAFETY: the context is alive; the buffer is as long as said.
        unsafe {
            let (context, size) =
                (self.as_ptr(), sys::llama_state_seq_get_size(self.as_ptr(), sequence));
            let mut state = vec![0; size];
            let written =
                sys::llama_state_seq_get_data(context, state.as_mut_ptr(), size, sequence);
            if written == 0 {
                return Err(Failure::refused("the KV cache cannot be saved"));
            }
            state.truncate(written);
            Ok(state)
        }
    }

    /// Puts such a copy back.
    pub(super) fn restore(&mut self, sequence: i32, state: &[u8]) -> Result<(), Failure> {
        let (bytes, size) = (state.as_ptr(), state.len());
        // SAFETY: as above; the bytes come from `save` on this very context.
        let read = unsafe { sys::llama_state_seq_set_data(self.as_ptr(), bytes, size, sequence) };
        if read == 0 {
            return Err(Failure::refused("the saved KV cache does not fit"));
        }
        Ok(())
    }

    /// Computes with such threads from now on. Call it on the thread that will decode.
    pub(super) fn attach(&mut self, setting: &ThreadSetting) -> Result<(), Failure> {
        if self.pools.last().is_some_and(|(current, ..)| current == setting) {
            return Ok(());
        }
        let before = crew::threads();
        let pools = Arc::new(Pools::new(setting)?);
        let made = crew::threads().into_iter().filter(|thread| !before.contains(thread)).collect();
        self.take(setting, pools, made);
        Ok(())
    }

    /// The same with the threads of another context that computes in turn with this one: threads of
    /// their own would spin while the other's work.
    pub(super) fn attach_beside(
        &mut self,
        other: &Self,
        setting: &ThreadSetting,
    ) -> Result<(), Failure> {
        let Some((_, pools, made)) = other.pools.last().filter(|(known, ..)| known == setting)
        else {
            return self.attach(setting);
        };
        if self.pools.last().is_none_or(|(_, own, _)| !Arc::ptr_eq(own, pools)) {
            self.take(setting, Arc::clone(pools), made.clone());
        }
        Ok(())
    }

    fn take(&mut self, setting: &ThreadSetting, pools: Arc<Pools>, made: Vec<i32>) {
        // SAFETY: the context is alive and will own the pools, or its share in them, which it gives
        // up after itself. The counts are those of the pools: with OpenMP a larger one would read
        // past a pool's end.
        unsafe {
            sys::llama_set_n_threads(self.as_ptr(), pools.threads(), pools.threads_batch());
            sys::llama_attach_threadpool(self.as_ptr(), pools.decode(), pools.batch());
        }
        self.pools.push((setting.clone(), pools, made));
    }

    /// Where the threads of the last pool, and the one that calls this, may run and how urgently.
    pub(super) fn crew(&self) -> Crew {
        let made = self.pools.last().map(|(_, _, made)| made.as_slice()).unwrap_or_default();
        Crew::of(made)
    }

    /// After a computation: frees the pools that were attached before, and lets the threads sleep.
    pub(super) fn rest(&mut self) {
        let old = self.pools.len().saturating_sub(1);
        self.pools.drain(..old);
        if let Some((_, pools, _)) = self.pools.last() {
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
