//! llama.cpp's quantizer in two pieces: which type it gives each tensor of a file type, and the
//! quantization of rows. Writing files is left to the caller.

use std::ffi::{CString, c_char};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

/// A file type: a mixture of tensor types under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileType {
    /// llama.cpp's name in small letters, for example `q4_k_m`.
    pub name: &'static str,
    /// The number that stands for it (`general.file_type`).
    pub id: u32,
}

const fn file_type(name: &'static str, id: sys::llama_ftype) -> FileType {
    FileType { name, id }
}

/// Every file type that the embedded quantizer can produce, the largest first.
pub const FILE_TYPES: &[FileType] = &[
    file_type("f32", sys::LLAMA_FTYPE_ALL_F32),
    file_type("f16", sys::LLAMA_FTYPE_MOSTLY_F16),
    file_type("bf16", sys::LLAMA_FTYPE_MOSTLY_BF16),
    file_type("q8_0", sys::LLAMA_FTYPE_MOSTLY_Q8_0),
    file_type("q6_k", sys::LLAMA_FTYPE_MOSTLY_Q6_K),
    file_type("q5_k_m", sys::LLAMA_FTYPE_MOSTLY_Q5_K_M),
    file_type("q5_k_s", sys::LLAMA_FTYPE_MOSTLY_Q5_K_S),
    file_type("q5_1", sys::LLAMA_FTYPE_MOSTLY_Q5_1),
    file_type("q5_0", sys::LLAMA_FTYPE_MOSTLY_Q5_0),
    file_type("q4_k_m", sys::LLAMA_FTYPE_MOSTLY_Q4_K_M),
    file_type("q4_k_s", sys::LLAMA_FTYPE_MOSTLY_Q4_K_S),
    file_type("q4_1", sys::LLAMA_FTYPE_MOSTLY_Q4_1),
    file_type("q4_0", sys::LLAMA_FTYPE_MOSTLY_Q4_0),
    file_type("mxfp4_moe", sys::LLAMA_FTYPE_MOSTLY_MXFP4_MOE),
    file_type("iq4_nl", sys::LLAMA_FTYPE_MOSTLY_IQ4_NL),
    file_type("iq4_xs", sys::LLAMA_FTYPE_MOSTLY_IQ4_XS),
    file_type("q3_k_l", sys::LLAMA_FTYPE_MOSTLY_Q3_K_L),
    file_type("q3_k_m", sys::LLAMA_FTYPE_MOSTLY_Q3_K_M),
    file_type("q3_k_s", sys::LLAMA_FTYPE_MOSTLY_Q3_K_S),
    file_type("iq3_m", sys::LLAMA_FTYPE_MOSTLY_IQ3_M),
    file_type("iq3_s", sys::LLAMA_FTYPE_MOSTLY_IQ3_S),
    file_type("iq3_xs", sys::LLAMA_FTYPE_MOSTLY_IQ3_XS),
    file_type("iq3_xxs", sys::LLAMA_FTYPE_MOSTLY_IQ3_XXS),
    file_type("q2_k", sys::LLAMA_FTYPE_MOSTLY_Q2_K),
    file_type("q2_k_s", sys::LLAMA_FTYPE_MOSTLY_Q2_K_S),
    file_type("iq2_m", sys::LLAMA_FTYPE_MOSTLY_IQ2_M),
    file_type("iq2_s", sys::LLAMA_FTYPE_MOSTLY_IQ2_S),
    file_type("iq2_xs", sys::LLAMA_FTYPE_MOSTLY_IQ2_XS),
    file_type("iq2_xxs", sys::LLAMA_FTYPE_MOSTLY_IQ2_XXS),
    file_type("q2_0", sys::LLAMA_FTYPE_MOSTLY_Q2_0),
    file_type("tq2_0", sys::LLAMA_FTYPE_MOSTLY_TQ2_0),
    file_type("tq1_0", sys::LLAMA_FTYPE_MOSTLY_TQ1_0),
    file_type("iq1_m", sys::LLAMA_FTYPE_MOSTLY_IQ1_M),
    file_type("iq1_s", sys::LLAMA_FTYPE_MOSTLY_IQ1_S),
    file_type("q1_0", sys::LLAMA_FTYPE_MOSTLY_Q1_0),
];

/// What the mixture depends on, beside the tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantizeModel {
    /// llama.cpp's name of the architecture.
    pub architecture: &'static str,
    /// Width of the residual stream.
    pub embedding: u32,
    /// Width of the feed-forward block.
    pub feed_forward: u32,
    /// Layers.
    pub layers: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of K and V.
    pub kv_heads: u32,
    /// Experts, 0 for a dense model.
    pub experts: u32,
    /// Width of a K head.
    pub key_length: u32,
    /// Width of a V head.
    pub value_length: u32,
}

/// What cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// llama.cpp's word.
    #[error("llama.cpp's quantizer refuses: {0}")]
    Refused(String),
    /// A model it would abort on.
    #[error("{0} layers; llama.cpp takes 1 to {MAX_LAYERS}")]
    Layers(u32),
    /// Names end at a zero byte in C and at 63 bytes in ggml.
    #[error("the tensor name `{0}` is too long or holds a zero byte")]
    Name(String),
    /// An axis is zero or too large.
    #[error("the tensor {0} has an impossible shape")]
    Shape(String),
    /// No such type, or none that is quantized to.
    #[error("there is no quantization to the type {0}")]
    Type(u32),
    /// Rows of this width do not exist in the type.
    #[error("{weights} weights are no whole rows of {width}, or the type {id} has no such rows")]
    Width {
        /// The type.
        id: u32,
        /// Weights given.
        weights: usize,
        /// Row width asked.
        width: usize,
    },
    /// What came out is not valid.
    #[error("quantizing to the type {0} gave invalid data")]
    Invalid(u32),
}

/// `LLAMA_MAX_LAYERS`.
const MAX_LAYERS: u32 = 512;
/// `GGML_MAX_NAME`, with the final zero.
const MAX_NAME: usize = 64;

#[repr(C)]
struct RawTensor {
    name: *const c_char,
    axes: [i64; 4],
}

#[repr(C)]
struct RawModel {
    architecture: *const c_char,
    embedding: u32,
    feed_forward: u32,
    layers: u32,
    heads: u32,
    kv_heads: u32,
    experts: u32,
    key_length: u32,
    value_length: u32,
}

unsafe extern "C" {
    fn autotune_quantize_types(
        model: *const RawModel,
        file_type: i32,
        tensors: *const RawTensor,
        count: usize,
        types: *mut i32,
        message: *mut c_char,
        message_bytes: usize,
    ) -> bool;
}

/// The logger is one per process; whoever silences it does so alone.
static SILENCE: Mutex<()> = Mutex::new(());

unsafe extern "C" fn say_nothing(
    _: sys::ggml_log_level,
    _: *const c_char,
    _: *mut std::ffi::c_void,
) {
}

/// The type id that llama.cpp gives each of these tensors (name and axes) in this file type.
pub fn tensor_types(
    model: &QuantizeModel,
    file_type: FileType,
    tensors: &[(String, Vec<u64>)],
) -> Result<Vec<u32>, QuantizeError> {
    if model.layers == 0 || model.layers > MAX_LAYERS {
        return Err(QuantizeError::Layers(model.layers));
    }
    let names = tensors.iter().map(|(name, _)| c_name(name)).collect::<Result<Vec<_>, _>>()?;
    let raw = tensors
        .iter()
        .zip(&names)
        .map(|((name, axes), c)| Ok(RawTensor { name: c.as_ptr(), axes: four(name, axes)? }))
        .collect::<Result<Vec<_>, QuantizeError>>()?;
    let architecture = c_name(model.architecture)?;
    let raw_model = RawModel {
        architecture: architecture.as_ptr(),
        embedding: model.embedding,
        feed_forward: model.feed_forward,
        layers: model.layers,
        heads: model.heads,
        kv_heads: model.kv_heads,
        experts: model.experts,
        key_length: model.key_length,
        value_length: model.value_length,
    };
    let mut types = vec![0_i32; raw.len()];
    let mut message = [0_u8; 256];
    let alone = SILENCE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: all pointers are to live memory of the lengths given; the callee catches C++
    // exceptions, and the counts it asserts on were checked above. The previous logger is put
    // back, with what belonged to it, before the lock is released.
    let done = unsafe {
        let mut callback = None;
        let mut data = std::ptr::null_mut();
        sys::llama_log_get(&raw mut callback, &raw mut data);
        sys::llama_log_set(Some(say_nothing), std::ptr::null_mut());
        let done = autotune_quantize_types(
            &raw const raw_model,
            file_type.id.cast_signed(),
            raw.as_ptr(),
            raw.len(),
            types.as_mut_ptr(),
            message.as_mut_ptr().cast(),
            message.len(),
        );
        sys::llama_log_set(callback, data);
        done
    };
    drop(alone);
    if done {
        return Ok(types.into_iter().map(i32::cast_unsigned).collect());
    }
    let end = message.iter().position(|byte| *byte == 0).unwrap_or(message.len());
    Err(QuantizeError::Refused(String::from_utf8_lossy(&message[..end]).into_owned()))
}

fn c_name(name: &str) -> Result<CString, QuantizeError> {
    CString::new(name)
        .ok()
        .filter(|name| name.as_bytes_with_nul().len() <= MAX_NAME)
        .ok_or_else(|| QuantizeError::Name(name.into()))
}

fn four(name: &str, axes: &[u64]) -> Result<[i64; 4], QuantizeError> {
    let wrong = || QuantizeError::Shape(name.into());
    let mut four = [1; 4];
    if axes.is_empty() || axes.len() > four.len() {
        return Err(wrong());
    }
    for (to, from) in four.iter_mut().zip(axes) {
        *to = i64::try_from(*from).ok().filter(|axis| *axis > 0).ok_or_else(wrong)?;
    }
    // The product in bytes must fit, or ggml's own arithmetic overflows.
    let room = four.iter().try_fold(8_i64, |product, axis| product.checked_mul(*axis));
    room.map(|_| four).ok_or_else(wrong)
}

/// Quantizes whole rows of this width to a type, with a uniform importance matrix where the type
/// demands one.
pub fn quantize_rows(id: u32, values: &[f32], width: usize) -> Result<Vec<u8>, QuantizeError> {
    quantize_rows_by(id, values, width, None)
}

/// The same with an importance for each column.
pub fn quantize_rows_by(
    id: u32,
    values: &[f32],
    width: usize,
    columns: Option<&[f32]>,
) -> Result<Vec<u8>, QuantizeError> {
    let wrong = QuantizeError::Width { id, weights: values.len(), width };
    if id >= sys::GGML_TYPE_COUNT || !QUANTIZED.contains(&id) {
        return Err(QuantizeError::Type(id));
    }
    // SAFETY: the id is one of an existing type; both only read tables.
    let block = unsafe { sys::ggml_blck_size(id) };
    let Ok(count) = i64::try_from(width) else { return Err(wrong) };
    if values.is_empty()
        || width == 0
        || columns.is_some_and(|columns| columns.len() != width)
        || count % block != 0
        || !values.len().is_multiple_of(width)
    {
        return Err(wrong);
    }
    let rows = values.len() / width;
    let Ok(row_count) = i64::try_from(rows) else { return Err(wrong) };
    // SAFETY: as above; the width is a whole number of blocks.
    let (row_bytes, demands) =
        unsafe { (sys::ggml_row_size(id, count), sys::ggml_quantize_requires_imatrix(id)) };
    let mut bytes = vec![0_u8; row_bytes * rows];
    let uniform = (demands && columns.is_none()).then(|| vec![1.0_f32; width]);
    let importance = columns.or(uniform.as_deref()).map_or(std::ptr::null(), <[f32]>::as_ptr);
    // SAFETY: source, target and importance have exactly the lengths that rows and width name; the
    // function initializes the type's tables under its own lock.
    let valid = unsafe {
        let target = bytes.as_mut_ptr().cast();
        let written =
            sys::ggml_quantize_chunk(id, values.as_ptr(), target, 0, row_count, count, importance);
        written == bytes.len() && sys::ggml_validate_row_data(id, target, bytes.len())
    };
    if valid { Ok(bytes) } else { Err(QuantizeError::Invalid(id)) }
}

/// The types `ggml_quantize_chunk` knows; it aborts on every other.
const QUANTIZED: &[u32] = &[
    sys::GGML_TYPE_F32,
    sys::GGML_TYPE_F16,
    sys::GGML_TYPE_BF16,
    sys::GGML_TYPE_Q1_0,
    sys::GGML_TYPE_Q2_0,
    sys::GGML_TYPE_Q4_0,
    sys::GGML_TYPE_Q4_1,
    sys::GGML_TYPE_Q5_0,
    sys::GGML_TYPE_Q5_1,
    sys::GGML_TYPE_Q8_0,
    sys::GGML_TYPE_MXFP4,
    sys::GGML_TYPE_Q2_K,
    sys::GGML_TYPE_Q3_K,
    sys::GGML_TYPE_Q4_K,
    sys::GGML_TYPE_Q5_K,
    sys::GGML_TYPE_Q6_K,
    sys::GGML_TYPE_TQ1_0,
    sys::GGML_TYPE_TQ2_0,
    sys::GGML_TYPE_IQ1_S,
    sys::GGML_TYPE_IQ1_M,
    sys::GGML_TYPE_IQ2_XXS,
    sys::GGML_TYPE_IQ2_XS,
    sys::GGML_TYPE_IQ2_S,
    sys::GGML_TYPE_IQ3_XXS,
    sys::GGML_TYPE_IQ3_S,
    sys::GGML_TYPE_IQ4_NL,
    sys::GGML_TYPE_IQ4_XS,
];

/// Block size and bytes per block of a type, as ggml has them; nothing for a type it lacks.
#[must_use]
pub fn block_of(id: u32) -> Option<(u64, u64)> {
    if id >= sys::GGML_TYPE_COUNT {
        return None;
    }
    // SAFETY: the id is below the table's length; both only read it.
    let (block, bytes) = unsafe { (sys::ggml_blck_size(id), sys::ggml_type_size(id)) };
    (block > 0 && bytes > 0).then(|| (block.cast_unsigned(), bytes as u64))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_type_quantizes_a_row_it_has_room_for() {
        let values: Vec<f32> = (0..512_u16).map(|i| (f32::from(i) * 0.7).sin() * 0.05).collect();
        for &id in QUANTIZED {
            let bytes = quantize_rows(id, &values, 256).expect("256 is a whole number of blocks");
            let (block, block_bytes) = block_of(id).expect("the type exists");
            assert_eq!(bytes.len() as u64, 512 / block * block_bytes, "type {id}");
        }
    }

    #[test]
    fn what_ggml_would_abort_on_is_refused_first() {
        assert!(matches!(quantize_rows(24, &[0.0; 32], 32), Err(QuantizeError::Type(24))));
        assert!(matches!(quantize_rows(99, &[0.0; 32], 32), Err(QuantizeError::Type(99))));
        assert!(matches!(quantize_rows(12, &[0.0; 64], 32), Err(QuantizeError::Width { .. })));
    }

    #[test]
    fn a_duplicate_name_of_a_file_type_would_hide_the_other() {
        let names: HashSet<&str> = FILE_TYPES.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), FILE_TYPES.len());
    }
}
