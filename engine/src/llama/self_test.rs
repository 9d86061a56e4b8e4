//! Multiplies small matrices with the loaded CPU variant and compares with arithmetic done here.
//!
//! What a processor announces is not always what a variant can do with it: GCC 12 builds one that
//! dies at its first tile where AMX itself works. Ask in a process that may die.

use llama_cpp_sys_2 as sys;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::backend::{Backend, cpu_device};
use super::product::{COLUMNS, EXPERTS, NoMemory, ROWS, Scene, Shape, buffer_types, length};
use super::text;
use crate::api::{Failure, ProcessSetting, VariantFault, VariantVerdict};

/// Rows that differ before they come again: some types take milliseconds to make one. No divisor
/// of the rows of a matrix, so that no two matrices are equal.
const DISTINCT: usize = 20;
/// Activation rows: one as in generation, and enough for the kernels of prompts, with a remainder.
const ACTIVATIONS: [usize; 2] = [1, 67];
/// Squared error over squared result. Activations are rounded to 8 bits on the way, which costs
/// about 1e-4 at worst; a wrong product is off by about 1.
const TOLERANCE: f64 = 1e-3;

/// Why a variant is not usable, found without it crashing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Fault {
    #[error("a product of {weights} weights in {buffer} with {rows} rows is off by {error:.1e}")]
    Wrong { weights: String, buffer: String, rows: usize, error: f64 },
    #[error("a product of {weights} weights in {buffer} could not be computed: code {code}")]
    NotComputed { weights: String, buffer: String, code: i32 },
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
}

/// Starts a variant in this process and multiplies with it.
pub fn self_test(variant: &str, weight_types: &[String]) -> Result<VariantVerdict, Failure> {
    let setting =
        ProcessSetting { isa_variant: Some(variant.to_owned()), ..ProcessSetting::default() };
    Backend::start_without_devices(&setting)?;
    Ok(verdict(weight_types))
}

/// Multiplies with the variant this process has started.
pub(super) fn verdict(weight_types: &[String]) -> VariantVerdict {
    let kinds = weight_types.iter().filter_map(|name| kind(name));
    match kinds.map(test_kind).find_map(Result::err) {
        Some(fault) => VariantVerdict::Failed {
            fault: match fault {
                Fault::Wrong { .. } => VariantFault::WrongProduct,
                Fault::NotComputed { .. } | Fault::NoMemory(_) => VariantFault::Untested,
            },
            reason: fault.to_string(),
        },
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
            for shape in [Shape::Plain, Shape::Experts] {
                test_product(&weights, shape, buffer_type, rows)?;
            }
        }
    }
    Ok(())
}

/// Weights in their type, and the numbers they stand for.
struct Weights {
    kind: sys::ggml_type,
    bytes: Vec<u8>,
    values: Vec<f32>,
}

impl Weights {
    fn random(kind: sys::ggml_type) -> Self {
        let source = random(COLUMNS * DISTINCT, u64::from(kind));
        // Types that want to know what matters are told that everything does.
        let importance = vec![1.0_f32; COLUMNS];
        let (rows, columns) = (length(DISTINCT), length(COLUMNS));
        // SAFETY: the row length is a multiple of every block size; source and importance are as
        // long as ggml reads, and the target as long as ggml says it writes.
        let bytes = unsafe {
            let mut bytes = vec![0_u8; sys::ggml_row_size(kind, columns) * DISTINCT];
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
        let row_bytes = bytes.len() / DISTINCT * ROWS * EXPERTS;
        let bytes = bytes.into_iter().cycle().take(row_bytes).collect();
        let values = values.into_iter().cycle().take(COLUMNS * ROWS * EXPERTS).collect();
        Self { kind, bytes, values }
    }
}

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..count).map(|_| chance.random_range(-1.0_f32..1.0)).collect()
}

fn test_product(
    weights: &Weights,
    shape: Shape,
    buffer_type: sys::ggml_backend_buffer_type_t,
    rows: usize,
) -> Result<(), Fault> {
    let mut scene = Scene::new(weights.kind, shape, rows)?;
    if !scene.supports(buffer_type)? {
        return Ok(());
    }
    // SAFETY: the device is registered once a variant has started, which callers see to.
    let plain = unsafe { sys::ggml_backend_dev_buffer_type(cpu_device()) };
    let activations = random(COLUMNS * rows, 7);
    let (matrix, input, product) = (scene.matrix, scene.input, scene.product);
    let weight_bytes = &weights.bytes[..weights.bytes.len() / EXPERTS * shape.matrices()];
    scene.fill(matrix, buffer_type, weight_bytes)?;
    scene.fill(input, plain, &bytes(&activations, f32::to_ne_bytes))?;
    scene.fill(product, plain, &[])?;
    if let Some(choice) = scene.choice {
        let experts: Vec<usize> = (0..rows).map(|row| shape.expert(row)).collect();
        let experts = bytes(&experts, |expert| i32::try_from(expert).unwrap_or(0).to_ne_bytes());
        scene.fill(choice, plain, &experts)?;
    }
    // SAFETY: both are names of things that exist as long as the module.
    let (kind, buffer) = unsafe {
        let kind = sys::ggml_type_name(weights.kind);
        (text(kind), text(sys::ggml_backend_buft_name(buffer_type)))
    };
    match scene.compute(ROWS * rows) {
        Err(code) => Err(Fault::NotComputed { weights: kind, buffer, code }),
        Ok(result) => {
            let error = error(&weights.values, shape, &activations, &result);
            let right = error <= TOLERANCE;
            if right { Ok(()) } else { Err(Fault::Wrong { weights: kind, buffer, rows, error }) }
        }
    }
}

fn bytes<T: Copy>(values: &[T], of: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| of(*value)).collect()
}

/// Squared error over squared result; infinite where a value is not finite.
fn error(weights: &[f32], shape: Shape, activations: &[f32], result: &[f32]) -> f64 {
    let (mut wrong, mut right) = (0.0, 0.0);
    for (row, activation) in activations.chunks_exact(COLUMNS).enumerate() {
        let matrix = &weights[shape.expert(row) * COLUMNS * ROWS..][..COLUMNS * ROWS];
        for (column, weight) in matrix.chunks_exact(COLUMNS).enumerate() {
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
        assert!(error(&weights, Shape::Plain, &activations, &result) < 1e-9);
        result[3] = f32::NAN;
        assert!(error(&weights, Shape::Plain, &activations, &result).is_infinite());
        let zeros = vec![0.0; ROWS];
        assert!((error(&weights, Shape::Plain, &activations, &zeros) - 1.0).abs() < 1e-9);
    }
}
