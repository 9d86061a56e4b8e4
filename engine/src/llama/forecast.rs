//! What a setting needs, from a model whose weights are only counted: llama.cpp's own account of
//! its buffers, and an estimate of each thing that account leaves out.

use std::ffi::CString;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::context::Context;
use super::memory::{self, Account};
use super::model::Model;
use crate::api::{
    BufferForecast, Bytes, Failure, Forecast, LoadMode, LoadSetting, Place, Rest, RestKind, Setting,
};

/// Bytes of ggml's workspace for tiled products, per thread (`TILED_WS_SLOT` in
/// `ggml-cpu/tiled/tiled.cpp`).
const TILES: u64 = 512 << 10;
/// Bytes per element of the widest format that products want their activations in: `block_q8_K`
/// has 292 bytes for 256 elements.
const ACTIVATION: (u64, u64) = (292, 256);

/// The forecast for a model that was loaded to be counted.
pub(super) fn forecast(
    model: &Arc<Model>,
    path: &Path,
    setting: &Setting,
) -> Result<Forecast, Failure> {
    // One row of logits for each sequence: llama.cpp reserves that many and aborts on fewer.
    let outputs = setting.context.sequences.max(1);
    let touched = memory::accounts(&Context::with_outputs(model, &setting.context, outputs)?);
    counted(model, path, setting, Some(&touched))
}

/// The same without the second context that tells what of the scratch space is touched.
pub(super) fn reservation(
    model: &Arc<Model>,
    path: &Path,
    setting: &Setting,
) -> Result<Forecast, Failure> {
    counted(model, path, setting, None)
}

fn counted(
    model: &Arc<Model>,
    path: &Path,
    setting: &Setting,
    touched: Option<&[Account]>,
) -> Result<Forecast, Failure> {
    let context = Context::new(model, &setting.context)?;
    let accounts = memory::accounts(&context);
    let mapped = maps(&setting.load, &accounts);
    let mut rest = rest(model, &context, setting, &accounts);
    if mapped {
        rest.push(Rest {
            what: RestKind::RepackSource,
            place: Place::File,
            bytes: Some(repacked(&accounts)),
        });
    } else if repacked(&accounts) > Bytes(0) {
        rest.push(Rest {
            what: RestKind::Staging,
            place: Place::Memory,
            bytes: largest_tensor(path),
        });
    }
    Ok(Forecast {
        effective: context.effective(&setting.context),
        buffers: accounts
            .iter()
            .map(|account| buffer(account, touched.unwrap_or(&accounts), mapped))
            .collect(),
        rest,
    })
}

/// Whether plain weights are mapped from the file. What `auto` becomes is decided as llama.cpp
/// does: mapped unless an integrated card holds some of the weights.
fn maps(setting: &LoadSetting, accounts: &[Account]) -> bool {
    match setting.load_mode {
        LoadMode::Mmap | LoadMode::MmapMlock => true,
        LoadMode::None | LoadMode::Mlock | LoadMode::DirectIo => false,
        LoadMode::Auto => {
            accounts.iter().all(|account| account.device.is_none() || discrete(account))
        }
    }
}

fn discrete(account: &Account) -> bool {
    let Some(name) = account.device.as_deref().and_then(|name| CString::new(name).ok()) else {
        return true;
    };
    // SAFETY: the name is a C string that outlives the call; null says that there is no such
    // device.
    unsafe {
        let device = sys::ggml_backend_dev_by_name(name.as_ptr());
        device.is_null() || sys::ggml_backend_dev_type(device) == sys::GGML_BACKEND_DEVICE_TYPE_GPU
    }
}

fn buffer(account: &Account, touched: &[Account], mapped: bool) -> BufferForecast {
    let used = &account.used;
    let place = account.device.clone().map_or(Place::Memory, Place::Device);
    let model_place = match &place {
        Place::Memory if account.mappable && mapped => Place::File,
        other => other.clone(),
    };
    let touched = touched.iter().find(|other| other.used.name == used.name);
    BufferForecast {
        name: used.name.clone(),
        place,
        model_place,
        model_bytes: used.model_bytes,
        context_bytes: used.context_bytes,
        compute_bytes: used.compute_bytes,
        touched_bytes: touched.map_or(used.compute_bytes, |other| other.used.compute_bytes),
    }
}

/// Weights that are rearranged into a memory of their own.
fn repacked(accounts: &[Account]) -> Bytes {
    let own = accounts.iter().filter(|account| account.device.is_none() && !account.mappable);
    own.map(|account| account.used.model_bytes).sum()
}

fn rest(model: &Model, context: &Context, setting: &Setting, accounts: &[Account]) -> Vec<Rest> {
    let entry = |what, bytes| Rest { what, place: Place::Memory, bytes };
    // The context's own output buffer begins with one output per sequence.
    let logits = 4 * model.vocabulary() as u64;
    let resident = memory::resident();
    let mut rest = vec![
        entry(RestKind::Logits, Some(Bytes(logits))),
        entry(RestKind::Work, Some(work(model, context, setting))),
        // This process has the same libraries, vocabulary and descriptions, and nothing else.
        entry(RestKind::Process, resident.map(|it| it.anonymous_bytes)),
    ];
    rest.push(Rest {
        what: RestKind::Libraries,
        place: Place::File,
        bytes: resident.map(|it| it.file_bytes),
    });
    for device in accounts.iter().filter_map(|account| account.device.clone()) {
        let place = Place::Device(device);
        if !rest.iter().any(|rest| rest.place == place) {
            rest.push(Rest { what: RestKind::DeviceContext, place, bytes: None });
        }
    }
    rest
}

/// The CPU backend's work buffer: the widest activations of a physical batch in the format that
/// products want, and a tile per thread (`ggml_graph_plan` in `ggml-cpu.c`).
fn work(model: &Model, context: &Context, setting: &Setting) -> Bytes {
    let count = |name| model.count(name).unwrap_or(0);
    let (embedding, heads) = (count("embedding_length"), count("attention.head_count"));
    let head = model.count("attention.key_length").or(embedding.checked_div(heads)).unwrap_or(0);
    let used = count("expert_used_count");
    let expert = model.count("expert_feed_forward_length").filter(|_| used > 0);
    let inner = match expert {
        Some(width) => width.saturating_mul(used),
        None => count("feed_forward_length"),
    };
    let width = inner.max(embedding).max(heads.saturating_mul(head));
    let ubatch = u64::from(context.effective(&setting.context).ubatch);
    let activations = width.saturating_mul(ubatch).saturating_mul(ACTIVATION.0) / ACTIVATION.1;
    let threads = u64::from(setting.threads.threads.max(setting.threads.threads_batch));
    Bytes(activations.saturating_add(threads.saturating_mul(TILES)))
}

/// The largest tensor of the file, or of the first file of several.
fn largest_tensor(path: &Path) -> Option<Bytes> {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).ok()?;
    let params = sys::gguf_init_params { no_alloc: true, ctx: ptr::null_mut() };
    // SAFETY: the path outlives the call; without a context to fill, only the header is read.
    let file = unsafe { sys::gguf_init_from_file(name.as_ptr(), params) };
    if file.is_null() {
        return None;
    }
    // SAFETY: the file is open, and every index is below the count it gives.
    let largest = unsafe {
        let tensors = 0..sys::gguf_get_n_tensors(file);
        let largest = tensors.map(|tensor| sys::gguf_get_tensor_size(file, tensor)).max();
        sys::gguf_free(file);
        largest
    };
    largest.map(|bytes| Bytes(bytes as u64))
}
