//! Memory in use, by what holds it.

use std::ffi::c_char;
use std::fs;

use llama_cpp_sys_2 as sys;

use super::context::Context;
use super::text;
use crate::api::{BufferUse, Bytes, MemoryUse, Resident};

/// Kinds of buffers that are listed: some per device, and llama.cpp knows 16 devices.
const MOST_KINDS: i32 = 128;

#[repr(C)]
#[derive(Clone, Copy)]
struct RawBufferUse {
    name: *const c_char,
    model: u64,
    context: u64,
    compute: u64,
    device: *const c_char,
    mappable: bool,
}

/// What llama.cpp says of one type of buffer.
pub(super) struct Account {
    pub(super) used: BufferUse,
    /// The graphics card whose own memory it is.
    pub(super) device: Option<String>,
    /// Whether it is plain main memory, in which weights are mapped where that was asked for.
    pub(super) mappable: bool,
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
    MemoryUse {
        peak_resident_bytes: peak_resident(),
        resident: resident(),
        buffers: accounts(context).into_iter().map(|account| account.used).collect(),
    }
}

/// llama.cpp's account of a context and its model, by type of buffer; empty types are left out.
pub(super) fn accounts(context: &Context) -> Vec<Account> {
    let null = std::ptr::null();
    let empty = RawBufferUse {
        name: null,
        model: 0,
        context: 0,
        compute: 0,
        device: null,
        mappable: false,
    };
    let mut raw = [empty; MOST_KINDS as usize];
    // SAFETY: the context is alive; the structure is the shim's own, and at most as many entries
    // are written as there is room for.
    let count =
        unsafe { autotune_memory_breakdown(context.as_ptr(), raw.as_mut_ptr(), MOST_KINDS) };
    let count = usize::try_from(count).unwrap_or(0).min(raw.len());
    let mut accounts: Vec<Account> = raw[..count]
        .iter()
        .filter(|buffer| buffer.model + buffer.context + buffer.compute > 0)
        .map(|buffer| Account {
            used: BufferUse {
                name: text(buffer.name),
                model_bytes: Bytes(buffer.model),
                context_bytes: Bytes(buffer.context),
                compute_bytes: Bytes(buffer.compute),
            },
            device: (!buffer.device.is_null()).then(|| text(buffer.device)),
            mappable: buffer.mappable,
        })
        .collect();
    // llama.cpp sorts by address, which changes from run to run.
    accounts.sort_by(|a, b| a.used.name.cmp(&b.used.name));
    accounts
}

/// Lets the peak begin anew, where the system can; otherwise it stays that of the whole process.
pub(super) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

fn peak_resident() -> Option<Bytes> {
    field(&status()?, "VmHWM:")
}

/// What the system counts as resident now, by kind.
pub(super) fn resident() -> Option<Resident> {
    let status = status()?;
    Some(Resident {
        anonymous_bytes: field(&status, "RssAnon:")?,
        file_bytes: field(&status, "RssFile:")?,
        shared_bytes: field(&status, "RssShmem:")?,
    })
}

fn status() -> Option<String> {
    fs::read_to_string("/proc/self/status").ok()
}

/// A field of `/proc/self/status`, which counts in units of 1024 bytes.
fn field(status: &str, name: &str) -> Option<Bytes> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kibibytes.saturating_mul(1024)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_status_are_read_and_others_are_not_taken_for_them() {
        let status = "VmHWM:\t   2048 kB\nRssAnon:\t 12 kB\nRssFile: 3 kilobytes\n";
        assert_eq!(field(status, "VmHWM:"), Some(Bytes(2 << 20)));
        assert_eq!(field(status, "RssAnon:"), Some(Bytes(12 << 10)));
        assert_eq!((field(status, "RssFile:"), field(status, "RssShmem:")), (None, None));
    }
}
