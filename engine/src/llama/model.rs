//! A loaded model: loading under a [`LoadSetting`], and what llama.cpp knows of it.

use std::ffi::{CString, c_char};
use std::fs;
use std::path::Path;
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use super::backend::Backend;
use super::stage::{self, Stage};
use super::{layout, log, text, verdict};
use crate::api::{Bytes, Failure, GpuLayers, LoadMode, LoadSetting, ModelFacts, Toggle};

/// A loaded model, freed when dropped. Contexts on it must be dropped before.
#[derive(Debug)]
pub(super) struct Model {
    pointer: NonNull<sys::llama_model>,
}

/// Whether a model's weights are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weights {
    /// They are.
    Read,
    /// They are only counted: nothing can be computed with such a model.
    Counted,
    /// They are left alone: such a model has a vocabulary and nothing else.
    Ignored,
}

// SAFETY: llama.cpp binds a model to no thread; it is read-only once loaded.
unsafe impl Send for Model {}
// SAFETY: as above: everything done through a shared reference only reads.
unsafe impl Sync for Model {}

impl Model {
    /// Loads a model. Null from llama.cpp becomes a failure in its own words.
    pub(super) fn load(
        path: &Path,
        setting: &LoadSetting,
        backend: &Backend,
        weights: Weights,
    ) -> Result<Self, Failure> {
        readable(path)?;
        let name = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Failure::refused("the model's path has a zero byte in it"))?;
        let mut devices = layout::devices(setting, backend)?;
        let overrides = layout::Overrides::new(setting)?;
        let split = layout::split(&setting.tensor_split);
        // SAFETY: returns a plain structure.
        let mut params = unsafe { sys::llama_model_default_params() };
        params.n_gpu_layers = match setting.gpu_layers {
            GpuLayers::All => -1,
            GpuLayers::Count(count) => i32::try_from(count).unwrap_or(i32::MAX),
        };
        if let Some(devices) = &mut devices {
            params.devices = devices.as_mut_ptr();
        }
        params.tensor_buft_overrides = overrides.as_ptr();
        if let Some(split) = &split {
            params.tensor_split = split.as_ptr();
        }
        params.split_mode = layout::split_mode(setting.split_mode);
        params.main_gpu = i32::try_from(setting.main_gpu).unwrap_or(i32::MAX);
        params.no_host = setting.no_host == Toggle::On;
        params.load_mode = load_mode(setting.load_mode);
        params.use_extra_bufts = setting.repack == Toggle::On;
        if weights == Weights::Counted {
            params.no_alloc = true;
            // llama.cpp asserts that nothing is mapped.
            params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
        }
        params.vocab_only = weights == Weights::Ignored;
        // The default prints dots into the log.
        params.progress_callback = Some(go_on);
        stage::reached(Stage::Load);
        let mark = log::mark();
        // SAFETY: the path, the lists of devices and overrides, each with its end, and the shares,
        // as many as llama.cpp reads, outlive the call; a backend is registered.
        let pointer = unsafe { sys::llama_model_load_from_file(name.as_ptr(), params) };
        NonNull::new(pointer).map(|pointer| Self { pointer }).ok_or_else(|| {
            let what = format!("cannot load {}", path.display());
            verdict::from_log(&what, log::since(mark))
        })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_model {
        self.pointer.as_ptr()
    }

    /// What llama.cpp knows of it.
    pub(super) fn facts(&self) -> ModelFacts {
        let mut description: [c_char; 256] = [0; 256];
        // SAFETY: the model is alive; the buffer is as long as said, and gets a zero byte at its
        // end even if it is too short.
        unsafe {
            sys::llama_model_desc(self.as_ptr(), description.as_mut_ptr(), description.len());
            ModelFacts {
                description: text(description.as_ptr()),
                size_bytes: Bytes(sys::llama_model_size(self.as_ptr())),
                parameters: sys::llama_model_n_params(self.as_ptr()),
                layers: self.layers(),
            }
        }
    }

    /// Layers, without the output layer.
    pub(super) fn layers(&self) -> u32 {
        // SAFETY: the model is alive; reads a number.
        u32::try_from(unsafe { sys::llama_model_n_layer(self.as_ptr()) }).unwrap_or(0)
    }

    /// A whole number of its metadata, under the prefix of its architecture; the largest of a
    /// list with one entry per layer.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        let architecture = self.metadata("general.architecture")?;
        let value = self.metadata(&format!("{architecture}.{name}"))?;
        let numbers = value.trim_matches(['[', ']']).split(',');
        numbers.filter_map(|number| number.trim().parse().ok()).max()
    }

    fn metadata(&self, key: &str) -> Option<String> {
        let key = CString::new(key).ok()?;
        let mut value: [c_char; 4096] = [0; 4096];
        // SAFETY: the model is alive; the key is a C string that outlives the call; the buffer is
        // as long as said, and gets a zero byte at its end even if it is too short.
        let length = unsafe {
            let (start, room) = (value.as_mut_ptr(), value.len());
            sys::llama_model_meta_val_str(self.as_ptr(), key.as_ptr(), start, room)
        };
        (length >= 0).then(|| text(value.as_ptr()))
    }

    /// Whether it can be asked for the next token.
    pub(super) fn generates(&self) -> bool {
        // SAFETY: the model is alive; both calls read a property of its architecture.
        unsafe {
            sys::llama_model_has_decoder(self.as_ptr())
                && !sys::llama_model_has_encoder(self.as_ptr())
        }
    }

    /// Size of the vocabulary.
    pub(super) fn vocabulary(&self) -> usize {
        // SAFETY: the model is alive, and so is its vocabulary.
        let count = unsafe { sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(self.as_ptr())) };
        usize::try_from(count).unwrap_or(0)
    }

    /// Tokens of the context that it was trained with.
    pub(super) fn trained_context(&self) -> u32 {
        // SAFETY: the model is alive; reads a number.
        u32::try_from(unsafe { sys::llama_model_n_ctx_train(self.as_ptr()) }).unwrap_or(0)
    }

    /// The tokens of a text, with what the vocabulary adds to it; words that look like special
    /// tokens are words. `None` for a text that has more than 2^31 of them.
    pub(super) fn tokenize(&self, words: &str) -> Option<Vec<sys::llama_token>> {
        let length = i32::try_from(words.len()).ok()?;
        let mut tokens = vec![0; words.len().saturating_add(16)];
        let room = i32::try_from(tokens.len()).ok()?;
        // SAFETY: the vocabulary lives as long as the model; text and tokens are as long as said.
        let count = unsafe {
            let vocabulary = sys::llama_model_get_vocab(self.as_ptr());
            let start = words.as_ptr().cast();
            sys::llama_tokenize(vocabulary, start, length, tokens.as_mut_ptr(), room, true, false)
        };
        // There are at most as many tokens as bytes, and the few that are added.
        tokens.truncate(usize::try_from(count).ok()?);
        Some(tokens)
    }

    /// The bytes of a token; none of a special one.
    pub(super) fn piece(&self, token: sys::llama_token) -> Vec<u8> {
        let mut bytes = vec![0_u8; 512];
        for _ in 0..2 {
            let room = i32::try_from(bytes.len()).unwrap_or(0);
            // SAFETY: the vocabulary lives as long as the model; the buffer is as long as said.
            let length = unsafe {
                let vocabulary = sys::llama_model_get_vocab(self.as_ptr());
                let start = bytes.as_mut_ptr().cast();
                sys::llama_token_to_piece(vocabulary, token, start, room, 0, false)
            };
            if let Ok(length) = usize::try_from(length) {
                bytes.truncate(length);
                return bytes;
            }
            bytes.resize(length.unsigned_abs() as usize, 0);
        }
        Vec::new()
    }

    /// Whether a text ends with it.
    pub(super) fn ends(&self, token: sys::llama_token) -> bool {
        // SAFETY: the vocabulary lives as long as the model, and has the token: it chose it.
        unsafe { sys::llama_vocab_is_eog(sys::llama_model_get_vocab(self.as_ptr()), token) }
    }

    /// The token that begins a text, where the vocabulary adds one by itself.
    pub(super) fn beginning(&self) -> Option<sys::llama_token> {
        // SAFETY: as above.
        let (adds, token) = unsafe {
            let vocabulary = sys::llama_model_get_vocab(self.as_ptr());
            (sys::llama_vocab_get_add_bos(vocabulary), sys::llama_vocab_bos(vocabulary))
        };
        (adds && token >= 0).then_some(token)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once; contexts borrow it, so none is left.
        unsafe { sys::llama_model_free(self.as_ptr()) }
    }
}

/// llama.cpp answers a folder and a missing file with the same words; the system knows better.
pub(super) fn readable(path: &Path) -> Result<(), Failure> {
    let refused = |reason: &str| {
        Err(Failure::refused(format!("cannot read the model {}: {reason}", path.display())))
    };
    match fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_dir() => refused("it is a folder"),
        Ok(metadata) if metadata.len() == 0 => refused("it is empty"),
        Ok(_) => Ok(()),
        Err(error) => refused(&error.to_string()),
    }
}

fn load_mode(mode: LoadMode) -> sys::llama_load_mode {
    match mode {
        LoadMode::Auto => sys::LLAMA_LOAD_MODE_AUTO,
        LoadMode::None => sys::LLAMA_LOAD_MODE_NONE,
        LoadMode::Mmap => sys::LLAMA_LOAD_MODE_MMAP,
        LoadMode::Mlock => sys::LLAMA_LOAD_MODE_MLOCK,
        LoadMode::MmapMlock => sys::LLAMA_LOAD_MODE_MMAP_MLOCK,
        LoadMode::DirectIo => sys::LLAMA_LOAD_MODE_DIRECT_IO,
    }
}

unsafe extern "C" fn go_on(_progress: f32, _: *mut std::ffi::c_void) -> bool {
    true
}
