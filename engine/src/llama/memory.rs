//! Memory in use, by what holds it.

use std::ffi::c_char;
use std::fs;

use llama_cpp_sys_2 as sys;

use super::context::Context;
use super::text;
use crate::api::{BufferUse, Bytes, MemoryUse};

/// Kinds of buffers that are listed: some per device, and llama.cpp knows 16 devices.
const MOST_KINDS: i32 = 128;

#[repr(C)]
#[derive(Clone, Copy)]
struct RawBufferUse {
    name: *const c_char,
    model: u64,
    context: u64,
    compute: u64,
}

unsafe extern "C" {
    fn autotune_memory_breakdown(
        context: *const sys::llama_context,
        out: *mut RawBufferUse,
        capacity: i32,
    ) -> i32;
}

/// What the context and its model hold, and the process's peak since [`forget_peak`].
pub(super) fn in_use(context: &Context) -> MemoryUse {
    MemoryUse { peak_resident_bytes: peak_resident(), buffers: buffers(context) }
}

fn buffers(context: &Context) -> Vec<BufferUse> {
    let empty = RawBufferUse { name: std::ptr::null(), model: 0, context: 0, compute: 0 };
    let mut raw = [empty; MOST_KINDS as usize];
    // SAFETY: the context is alive; the structure is the shim's own, and at most as many entries
    // are written as there is room for.
    let count =
        unsafe { autotune_memory_breakdown(context.as_ptr(), raw.as_mut_ptr(), MOST_KINDS) };
    let count = usize::try_from(count).unwrap_or(0).min(raw.len());
    let mut buffers: Vec<BufferUse> = raw[..count]
        .iter()
        .filter(|buffer| buffer.model + buffer.context + buffer.compute > 0)
        .map(|buffer| BufferUse {
            name: text(buffer.name),
            model_bytes: Bytes(buffer.model),
            context_bytes: Bytes(buffer.context),
            compute_bytes: Bytes(buffer.compute),
        })
        .collect();
    // llama.cpp sorts by address, which changes from run to run.
    buffers.sort_by(|a, b| a.name.cmp(&b.name));
    buffers
}

/// Lets the peak begin anew, where the system can; otherwise it stays that of the whole process.
pub(super) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_resident() -> Option<Bytes> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kibibytes * 1024))
}
