//! Where the last graph was computed, by llama.cpp's own scheduler.

use llama_cpp_sys_2 as sys;

use super::context::Context;
use crate::api::GraphUse;

#[repr(C)]
struct RawGraph {
    splits: i32,
    layers_on_devices: i32,
    attention_left_behind: i32,
    output_on_device: bool,
}

unsafe extern "C" {
    fn autotune_last_graph(context: *mut sys::llama_context, out: *mut RawGraph) -> bool;
}

/// The graph of the last computation; `None` before there was one.
pub(super) fn last(context: &mut Context) -> Option<GraphUse> {
    let mut raw = RawGraph {
        splits: 0,
        layers_on_devices: 0,
        attention_left_behind: 0,
        output_on_device: false,
    };
    // SAFETY: the context is alive and nothing else uses it; the structure is the shim's own.
    // Exceptions are caught there.
    let known = unsafe { autotune_last_graph(context.as_ptr(), &raw mut raw) };
    let count = |number: i32| u32::try_from(number).unwrap_or(0);
    known.then(|| GraphUse {
        splits: count(raw.splits),
        layers_on_devices: count(raw.layers_on_devices),
        attention_left_behind: count(raw.attention_left_behind),
        output_on_device: raw.output_on_device,
    })
}
