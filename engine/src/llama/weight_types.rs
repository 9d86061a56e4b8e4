//! The element types of a model file's tensors, by ggml's own reader.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::Path;
use std::ptr;

use llama_cpp_sys_2 as sys;

use super::{log, text, verdict};
use crate::api::Failure;

/// The types, by ggml's names in upper case (`"Q4_K"`, `"F16"`), each once.
pub fn weight_types(model: &Path) -> Result<Vec<String>, Failure> {
    log::capture();
    let name = CString::new(model.as_os_str().as_encoded_bytes())
        .map_err(|_| Failure::refused("the model's path has a zero byte in it"))?;
    super::model::readable(model)?;
    let params = sys::gguf_init_params { no_alloc: true, ctx: ptr::null_mut() };
    let mark = log::mark();
    // SAFETY: the path outlives the call; without a context to fill, only the header is read.
    let file = unsafe { sys::gguf_init_from_file(name.as_ptr(), params) };
    if file.is_null() {
        let what = format!("cannot read the header of {}", model.display());
        return Err(verdict::from_log(&what, log::since(mark)));
    }
    let mut types = BTreeSet::new();
    // SAFETY: the file is open, and every index is below the count it gives.
    unsafe {
        for tensor in 0..sys::gguf_get_n_tensors(file) {
            types.insert(sys::gguf_get_tensor_type(file, tensor));
        }
        sys::gguf_free(file);
    }
    // SAFETY: the reader refuses types that ggml does not know.
    let name = |kind| text(unsafe { sys::ggml_type_name(kind) }).to_uppercase();
    Ok(types.into_iter().map(name).collect())
}
