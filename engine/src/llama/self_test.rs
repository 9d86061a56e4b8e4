//! Multiplies small matrices with the loaded CPU variant and compares with arithmetic done here.
//!
//! What a processor announces is not always what it can do: some virtual machines announce AMX and
//! die at its first instruction. Ask in a process that may die.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use llama_cpp_sys_2 as sys;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::backend::{Backend, cpu_device, cpu_function};
use super::text;
use crate::api::{Failure, ProcessSetting, VariantVerdict};

/// Elements of a row: a multiple of every block size.
const COLUMNS: usize = 512;
/// Rows of weights: a multiple of every interleaving, AMX's 32 included.
const ROWS: usize = 64;
/// Activation rows: one as in generation, and enough for the kernels of prompts, with a remainder.
const ACTIVATIONS: [usize; 2] = [1, 67];
/// Squared error over squared result. Activations are rounded to 8 bits on the way, which costs
/// about 1e-4 at worst; a wrong product is off by about 1.
const TOLERANCE: f64 = 1e-3;
/// Threads that multiply: more than one, so that work is divided too.
const THREADS: i32 = 2;

/// Why a variant is not usable, found without it crashing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Fault {
    #[error("a product of {weights} weights in {buffer} with {rows} rows is off by {error:.1e}")]
    Wrong { weights: String, buffer: String, rows: usize, error: f64 },
    #[error("a product of {weights} weights in {buffer} could not be computed: code {code}")]
    NotComputed { weights: String, buffer: String, code: i32 },
    #[error("memory for a test matrix could not be had")]
    NoMemory,
}

/// Starts a variant in this process and multiplies with it.
pub fn self_test(variant: &str, weight_types: &[String]) -> Result<VariantVerdict, Failure> {
    let setting =
        ProcessSetting { isa_variant: Some(variant.to_owned()), ..ProcessSetting::default() };
    Backend::start(&setting)?;
    Ok(verdict(weight_types))
}

/// Multiplies with the variant this process has started.
pub(super) fn verdict(weight_types: &[String]) -> VariantVerdict {
    let kinds = weight_types.iter().filter_map(|name| kind(name));
    match kinds.map(test_kind).find_map(Result::err) {
        Some(fault) => VariantVerdict::Failed { reason: fault.to_string() },
        None => VariantVerdict::Usable,
    }
}

/// ggml's type of that name, if matrices of it are multiplied. Others (indices, say) are not
/// weights, and types that ggml cannot make from floats cannot be tested.
fn kind(name: &str) -> Option<sys::ggml_type> {
    const INTERNAL: [sys::ggml_type; 2] = [sys::GGML_TYPE_Q8_1, sys::GGML_TYPE_Q8_K];
    const FLOATS: [sys::ggml_type; 3] =
        [sys::GGML_TYPE_F32, sys::GGML_TYPE_F16, sys::GGML_TYPE_BF16];
    (0..sys::GGML_TYPE_COUNT).find(|&kind| {
        // SAFETY: every number below the count is a type, though some were removed: those have no
        // block, and their names match nothing that a file can hold.
        let (block, found) =
            unsafe { (sys::ggml_blck_size(kind), text(sys::ggml_type_name(kind))) };
        // SAFETY: as above.
        let quantised = block > 0 && unsafe { sys::ggml_is_quantized(kind) };
        found.eq_ignore_ascii_case(name)
            && (quantised || FLOATS.contains(&kind))
            && !INTERNAL.contains(&kind)
    })
}

fn test_kind(kind: sys::ggml_type) -> Result<(), Fault> {
    let weights = Weights::random(kind);
    for buffer_type in buffer_types() {
        for rows in ACTIVATIONS {
            test_product(&weights, buffer_type, rows)?;
        }
    }
    Ok(())
}

/// Plain memory, and every rearranged form that the variant has (repacked, AMX tiles).
fn buffer_types() -> Vec<sys::ggml_backend_buffer_type_t> {
    type Extra =
        unsafe extern "C" fn(sys::ggml_backend_dev_t) -> *mut sys::ggml_backend_buffer_type_t;
    // SAFETY: the device is registered once a variant has started, which callers see to.
    let mut types = vec![unsafe { sys::ggml_backend_dev_buffer_type(cpu_device()) }];
    if let Some(function) = cpu_function(c"ggml_backend_dev_get_extra_bufts") {
        // SAFETY: this is the function's type in `ggml-backend.h`; it returns a list that ends
        // with null and lives as long as the module.
        unsafe {
            let function: Extra = std::mem::transmute(function);
            let mut entry = function(cpu_device());
            while !entry.is_null() && !(*entry).is_null() {
                types.push(*entry);
                entry = entry.add(1);
            }
        }
    }
    types
}

/// Weights in their type, and the numbers they stand for.
struct Weights {
    kind: sys::ggml_type,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl Weights {
    fn random(kind: sys::ggml_type) -> Self {
        let source = random(COLUMNS * ROWS, u64::from(kind));
        // Types that want to know what matters are told that everything does.
        let importance = vec![1.0_f32; COLUMNS];
        let (rows, columns) = (ROWS as i64, COLUMNS as i64);
        // SAFETY: the row length is a multiple of every block size; source and importance are as
        // long as ggml reads, and the target as long as ggml says it writes.
        let bytes = unsafe {
            let mut bytes = vec![0_u8; sys::ggml_row_size(kind, columns) * ROWS];
            sys::ggml_quantize_chunk(
                kind,
                source.as_ptr(),
                bytes.as_mut_ptr().cast(),
                0,
                rows,
                columns,
                importance.as_ptr(),
            );
            bytes
        };
        let mut values = source;
        // SAFETY: the table has an entry for every type and lives for ever.
        if let Some(to_float) = unsafe { (*sys::ggml_get_type_traits(kind)).to_float } {
            // SAFETY: as many values as were made from floats above.
            unsafe { to_float(bytes.as_ptr().cast(), values.as_mut_ptr(), rows * columns) }
        }
        Self { kind, bytes, values }
    }
}

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| chance.random_range(-1.0_f32..1.0)).collect()
}

/// Owns what a small graph needs, freed in the order in which it must be.
#[derive(Default)]
struct Owned {
    buffers: Vec<NonNull<sys::ggml_backend_buffer>>,
    backend: Option<NonNull<sys::ggml_backend>>,
    context: Option<NonNull<sys::ggml_context>>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: each is owned and freed once; tensors point into buffers, and both are unused
        // from here on.
        unsafe {
            self.buffers
                .drain(..)
                .for_each(|buffer| sys::ggml_backend_buffer_free(buffer.as_ptr()));
            if let Some(backend) = self.backend {
                sys::ggml_backend_free(backend.as_ptr());
            }
            if let Some(context) = self.context {
                sys::ggml_free(context.as_ptr());
            }
        }
    }
}

fn test_product(
    weights: &Weights,
    buffer_type: sys::ggml_backend_buffer_type_t,
    rows: usize,
) -> Result<(), Fault> {
    let mut owned = Owned::default();
    // SAFETY: `owned` frees everything after the last use; sizes match the tensors they are
    // copied to, as both come from the same constants; null pointers are caught on the way.
    unsafe {
        let params = sys::ggml_init_params {
            mem_size: 1 << 20,
            mem_buffer: ptr::null_mut(),
            no_alloc: true,
        };
        let context = NonNull::new(sys::ggml_init(params)).ok_or(Fault::NoMemory)?;
        owned.context = Some(context);
        let context = context.as_ptr();
        let (columns, count) = (COLUMNS as i64, rows as i64);
        let matrix = sys::ggml_new_tensor_2d(context, weights.kind, columns, ROWS as i64);
        let input = sys::ggml_new_tensor_2d(context, sys::GGML_TYPE_F32, columns, count);
        let product = sys::ggml_mul_mat(context, matrix, input);
        if !supported(matrix, product, buffer_type, &mut owned)? {
            return Ok(());
        }
        place(matrix, buffer_type, &mut owned)?;
        sys::ggml_backend_tensor_set(matrix, weights.bytes.as_ptr().cast(), 0, weights.bytes.len());
        let plain = sys::ggml_backend_dev_buffer_type(cpu_device());
        place(input, plain, &mut owned)?;
        place(product, plain, &mut owned)?;
        let activations = random(COLUMNS * rows, 7);
        let bytes = activations.len() * size_of::<f32>();
        sys::ggml_backend_tensor_set(input, activations.as_ptr().cast(), 0, bytes);

        let graph = sys::ggml_new_graph(context);
        sys::ggml_build_forward_expand(graph, product);
        let backend = NonNull::new(sys::ggml_backend_dev_init(cpu_device(), ptr::null()))
            .ok_or(Fault::NoMemory)?;
        owned.backend = Some(backend);
        set_threads(backend.as_ptr());
        let code = sys::ggml_backend_graph_compute(backend.as_ptr(), graph);
        let names = || {
            let buffer = text(sys::ggml_backend_buft_name(buffer_type));
            (text(sys::ggml_type_name(weights.kind)), buffer)
        };
        if code != sys::GGML_STATUS_SUCCESS {
            let (weights, buffer) = names();
            return Err(Fault::NotComputed { weights, buffer, code });
        }
        let mut result = vec![0.0_f32; ROWS * rows];
        let bytes = result.len() * size_of::<f32>();
        sys::ggml_backend_tensor_get(product, result.as_mut_ptr().cast::<c_void>(), 0, bytes);
        let error = error(&weights.values, &activations, &result);
        if error <= TOLERANCE {
            return Ok(());
        }
        let (weights, buffer) = names();
        Err(Fault::Wrong { weights, buffer, rows, error })
    }
}

/// Whether the CPU multiplies with weights in such a buffer, asked as llama.cpp asks it: with an
/// empty buffer of that type in place.
///
/// # Safety
/// The tensors belong to a living context, and the matrix has no buffer yet.
unsafe fn supported(
    matrix: *mut sys::ggml_tensor,
    product: *mut sys::ggml_tensor,
    buffer_type: sys::ggml_backend_buffer_type_t,
    owned: &mut Owned,
) -> Result<bool, Fault> {
    // SAFETY: as the caller promises; the buffer is owned and outlives the question.
    unsafe {
        let empty = NonNull::new(sys::ggml_backend_buft_alloc_buffer(buffer_type, 0))
            .ok_or(Fault::NoMemory)?;
        owned.buffers.push(empty);
        (*matrix).buffer = empty.as_ptr();
        let supported = sys::ggml_backend_dev_supports_op(cpu_device(), product);
        (*matrix).buffer = ptr::null_mut();
        Ok(supported)
    }
}

/// Gives a tensor memory of that type.
///
/// # Safety
/// The tensor belongs to a living context and has no buffer yet.
unsafe fn place(
    tensor: *mut sys::ggml_tensor,
    buffer_type: sys::ggml_backend_buffer_type_t,
    owned: &mut Owned,
) -> Result<(), Fault> {
    // SAFETY: as the caller promises; the buffer is as large as its type asks for this tensor.
    unsafe {
        let size = sys::ggml_backend_buft_get_alloc_size(buffer_type, tensor);
        let buffer = NonNull::new(sys::ggml_backend_buft_alloc_buffer(buffer_type, size))
            .ok_or(Fault::NoMemory)?;
        owned.buffers.push(buffer);
        let base = sys::ggml_backend_buffer_get_base(buffer.as_ptr());
        match sys::ggml_backend_tensor_alloc(buffer.as_ptr(), tensor, base) {
            sys::GGML_STATUS_SUCCESS => Ok(()),
            _ => Err(Fault::NoMemory),
        }
    }
}

/// # Safety
/// The backend is the CPU's and alive.
unsafe fn set_threads(backend: sys::ggml_backend_t) {
    type SetThreads = unsafe extern "C" fn(sys::ggml_backend_t, i32);
    if let Some(function) = cpu_function(c"ggml_backend_set_n_threads") {
        // SAFETY: this is the function's type in `ggml-backend.h`; the backend is as promised.
        unsafe { std::mem::transmute::<*mut c_void, SetThreads>(function)(backend, THREADS) }
    }
}

/// Squared error over squared result; infinite where a value is not finite.
fn error(weights: &[f32], activations: &[f32], result: &[f32]) -> f64 {
    let (mut wrong, mut right) = (0.0, 0.0);
    for (row, activation) in activations.chunks_exact(COLUMNS).enumerate() {
        for (column, weight) in weights.chunks_exact(COLUMNS).enumerate() {
            let pairs = weight.iter().zip(activation);
            let exact: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            let difference = exact - f64::from(result[row * ROWS + column]);
            wrong += difference * difference;
            right += exact * exact;
        }
    }
    if wrong.is_finite() { wrong / right } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_told_from_what_is_never_multiplied() {
        for name in ["Q4_K", "q4_k", "F16", "bf16", "F32", "MXFP4", "IQ4_XS"] {
            assert!(kind(name).is_some(), "{name}");
        }
        for name in ["I32", "Q8_K", "F64", "", "nonsense"] {
            assert!(kind(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_error_of_a_right_product_is_nothing_and_of_a_wrong_one_is_not() {
        let (weights, activations) = (random(COLUMNS * ROWS, 1), random(COLUMNS, 2));
        let mut result: Vec<f32> = weights
            .chunks_exact(COLUMNS)
            .map(|row| row.iter().zip(&activations).map(|(a, b)| a * b).sum())
            .collect();
        assert!(error(&weights, &activations, &result) < 1e-9);
        result[3] = f32::NAN;
        assert_eq!(error(&weights, &activations, &result), f64::INFINITY);
        let zeros = vec![0.0; ROWS];
        assert!((error(&weights, &activations, &zeros) - 1.0).abs() < 1e-9);
    }
}
