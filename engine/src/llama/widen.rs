//! The same model with 32-bit weights: what its weights say without the rounding of any product,
//! as a measure for every backend.

use std::ffi::CString;
use std::path::Path;

use llama_cpp_sys_2 as sys;

use super::{log, model, verdict};
use crate::api::Failure;

/// Writes a model with every quantized or 16-bit weight as the 32-bit number that it stands for.
pub fn widen(from: &Path, to: &Path) -> Result<(), Failure> {
    model::readable(from)?;
    let name = |path: &Path| {
        CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| Failure::refused("the model's path has a zero byte in it"))
    };
    let (input, output) = (name(from)?, name(to)?);
    log::capture();
    let mark = log::mark();
    // SAFETY: returns a plain structure.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.ftype = sys::LLAMA_FTYPE_ALL_F32;
    params.allow_requantize = true;
    // SAFETY: both paths are C strings that outlive the call, and so do the parameters, whose
    // pointers are null; exceptions are caught in llama.cpp.
    let code =
        unsafe { sys::llama_model_quantize(input.as_ptr(), output.as_ptr(), &raw const params) };
    if code == 0 {
        return Ok(());
    }
    Err(verdict::from_log(&format!("cannot widen {}", from.display()), log::since(mark)))
}
