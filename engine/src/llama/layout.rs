//! Where the parts of a model go: devices, their shares, tensors placed by name.

use std::ffi::CString;
use std::ptr;

use llama_cpp_sys_2 as sys;

use super::backend::Backend;
use super::text;
use crate::api::{Devices, Failure, GpuLayers, LoadSetting, MOST_DEVICES, SplitMode, TensorSplit};

/// The devices that may be used, with the end that llama.cpp looks for; `None` leaves them to it.
///
/// Without layers on a device the list is empty: with no list at all, llama.cpp would take every
/// GPU for big batches even when no layer is offloaded. Devices that are named are given all the
/// same, since computing big batches there may be what is wanted.
pub(super) fn devices(
    setting: &LoadSetting,
    backend: &Backend,
) -> Result<Option<Vec<sys::ggml_backend_dev_t>>, Failure> {
    let nothing = Ok(Some(vec![ptr::null_mut()]));
    match &setting.devices {
        Devices::Auto if !backend.offloads || setting.gpu_layers == GpuLayers::Count(0) => nothing,
        Devices::Auto => Ok(None),
        Devices::None => nothing,
        Devices::Named(names) => {
            let mut list = names.iter().map(|name| device(name)).collect::<Result<Vec<_>, _>>()?;
            list.push(ptr::null_mut());
            Ok(Some(list))
        }
    }
}

fn device(name: &str) -> Result<sys::ggml_backend_dev_t, Failure> {
    let known = registered();
    if let Some((_, device)) = known.iter().find(|it| it.0 == name && offloads(it.1)) {
        return Ok(*device);
    }
    let names: Vec<&str> =
        known.iter().filter(|it| offloads(it.1)).map(|(name, _)| name.as_str()).collect();
    let there = if names.is_empty() { "there is none".into() } else { names.join(", ") };
    Err(Failure::refused(format!("there is no device `{name}` to offload to: {there}")))
}

/// Whether layers can be offloaded to a device, as llama.cpp's `--device` asks it.
fn offloads(device: sys::ggml_backend_dev_t) -> bool {
    // SAFETY: the device is registered; reads a number.
    let kind = unsafe { sys::ggml_backend_dev_type(device) };
    kind == sys::GGML_BACKEND_DEVICE_TYPE_GPU || kind == sys::GGML_BACKEND_DEVICE_TYPE_IGPU
}

fn registered() -> Vec<(String, sys::ggml_backend_dev_t)> {
    // SAFETY: reads the registry, whose devices stay for as long as the process.
    unsafe {
        (0..sys::ggml_backend_dev_count())
            .map(|index| sys::ggml_backend_dev_get(index))
            .map(|device| (text(sys::ggml_backend_dev_name(device)), device))
            .collect()
    }
}

/// The kind of buffer of that name, of any device.
fn buffer_type(name: &str) -> Result<sys::ggml_backend_buffer_type_t, Failure> {
    let mut known = Vec::new();
    for (_, device) in registered() {
        // SAFETY: the device is registered; null says that it has no buffers of its own, and a
        // type's name stays for as long as the process.
        let (buffer, own) = unsafe {
            let buffer = sys::ggml_backend_dev_buffer_type(device);
            if buffer.is_null() {
                continue;
            }
            (buffer, text(sys::ggml_backend_buft_name(buffer)))
        };
        if own == name {
            return Ok(buffer);
        }
        known.push(own);
    }
    let known = known.join(", ");
    Err(Failure::refused(format!("there is no kind of buffer `{name}` for tensors, only {known}")))
}

/// Tensors placed by name. The patterns stay for as long as this does.
pub(super) struct Overrides {
    _patterns: Vec<CString>,
    list: Vec<sys::llama_model_tensor_buft_override>,
}

impl Overrides {
    /// First those that were named, then the experts of the first layers: llama.cpp takes the
    /// first pattern that fits.
    pub(super) fn new(setting: &LoadSetting) -> Result<Self, Failure> {
        let named = setting.overrides.iter().map(|it| (it.pattern().to_owned(), it.buffer()));
        let experts = (0..setting.cpu_experts).map(|layer| (experts_of(layer), "CPU"));
        let (mut patterns, mut list) = (Vec::new(), Vec::new());
        for (pattern, buffer) in named.chain(experts) {
            let pattern = CString::new(pattern)
                .map_err(|_| Failure::refused("a tensor pattern has a zero byte in it"))?;
            let buft = buffer_type(buffer)?;
            // The text behind a `CString` stays where it is when the list of them grows.
            list.push(sys::llama_model_tensor_buft_override { pattern: pattern.as_ptr(), buft });
            patterns.push(pattern);
        }
        let end = (ptr::null(), ptr::null_mut());
        list.push(sys::llama_model_tensor_buft_override { pattern: end.0, buft: end.1 });
        Ok(Self { _patterns: patterns, list })
    }

    /// Null where there is none: a list alone turns parts of llama.cpp off.
    pub(super) fn as_ptr(&self) -> *const sys::llama_model_tensor_buft_override {
        if self.list.len() == 1 { ptr::null() } else { self.list.as_ptr() }
    }
}

/// The expert matrices of a layer, as llama.cpp's `--n-cpu-moe` names them.
fn experts_of(layer: u32) -> String {
    format!(r"blk\.{layer}\.ffn_(up|down|gate|gate_up)_(ch|)exps")
}

/// The shares of devices, as many as llama.cpp reads; `None` leaves them to it.
pub(super) fn split(shares: &TensorSplit) -> Option<[f32; MOST_DEVICES]> {
    if shares.is_auto() {
        return None;
    }
    let mut split = [0.0; MOST_DEVICES];
    for (place, share) in split.iter_mut().zip(shares.shares()) {
        *place = share;
    }
    Some(split)
}

pub(super) fn split_mode(mode: SplitMode) -> sys::llama_split_mode {
    match mode {
        SplitMode::None => sys::LLAMA_SPLIT_MODE_NONE,
        SplitMode::Layer => sys::LLAMA_SPLIT_MODE_LAYER,
        SplitMode::Row => sys::LLAMA_SPLIT_MODE_ROW,
        SplitMode::Tensor => sys::LLAMA_SPLIT_MODE_TENSOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_fill_what_llama_cpp_reads() {
        assert_eq!(split(&TensorSplit::default()), None);
        let shares = split(&"3/1".parse().unwrap()).unwrap();
        assert_eq!(shares[..3], [3.0, 1.0, 0.0]);
        // SAFETY: returns a number.
        assert_eq!(unsafe { sys::llama_max_devices() }, MOST_DEVICES);
    }

    #[test]
    fn the_pattern_of_experts_ends_at_the_layers_number() {
        assert_eq!(experts_of(1), r"blk\.1\.ffn_(up|down|gate|gate_up)_(ch|)exps");
    }
}
