//! The loops for any processor, written so that the compiler can use whatever registers every
//! processor of the architecture has: SSE2 on x86-64, NEON on 64-bit Arm.

use std::hint::black_box;
use std::slice;

use super::stream::BLOCK;

/// What those registers are called.
pub(super) const NAME: &str = if cfg!(target_arch = "x86_64") {
    "sse2"
} else if cfg!(target_arch = "aarch64") {
    "neon"
} else {
    "portable"
};

/// # Safety
/// See [`super::stream`].
pub(super) unsafe fn read(words: *const u64, count: usize) -> u64 {
    // SAFETY: the caller's promise.
    let words = unsafe { slice::from_raw_parts(words, count) };
    let mut sums = [0_u64; 16];
    for block in words.chunks_exact(16) {
        for (sum, word) in sums.iter_mut().zip(block) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
}

/// # Safety
/// See [`super::stream`].
pub(super) unsafe fn copy(target: *mut f64, source: *const f64, count: usize) {
    // SAFETY: the caller's promise.
    let (target, source) =
        unsafe { (slice::from_raw_parts_mut(target, count), slice::from_raw_parts(source, count)) };
    for (to, from) in target.chunks_exact_mut(BLOCK).zip(source.chunks_exact(BLOCK)) {
        to.copy_from_slice(from);
    }
}

/// # Safety
/// See [`super::stream`].
pub(super) unsafe fn triad(
    target: *mut f64,
    first: *const f64,
    second: *const f64,
    factor: f64,
    count: usize,
) {
    // SAFETY: the caller's promise.
    let (target, first, second) = unsafe {
        (
            slice::from_raw_parts_mut(target, count),
            slice::from_raw_parts(first, count),
            slice::from_raw_parts(second, count),
        )
    };
    for ((a, b), c) in target.iter_mut().zip(first).zip(second) {
        *a = b + factor * c;
    }
}

/// Chains of floats that the registers of a small processor hold, eight registers of four.
const CHAINS: usize = 32;
/// Operations of one step of [`multiply_add`].
pub(super) const FLOAT_OPERATIONS: u64 = 2 * CHAINS as u64;
/// Bytes that one step of [`dot`] multiplies.
const DOT: usize = 64;
/// Operations of one step of [`dot`].
pub(super) const BYTE_OPERATIONS: u64 = 2 * DOT as u64;

/// See [`super::arithmetic`].
///
/// # Safety
/// None is needed; the type is that of its siblings.
pub(super) unsafe fn multiply_add(steps: u64) -> f64 {
    let (half, one) = (black_box(0.5_f32), black_box(1.0_f32));
    let mut values: [f32; CHAINS] = std::array::from_fn(|chain| chain as f32);
    for _ in 0..steps {
        for value in &mut values {
            *value = if cfg!(target_arch = "aarch64") {
                value.mul_add(half, one)
            } else {
                *value * half + one
            };
        }
    }
    values.iter().map(|value| f64::from(*value)).sum()
}

/// See [`super::arithmetic`].
///
/// # Safety
/// None is needed; the type is that of its siblings.
pub(super) unsafe fn dot(steps: u64) -> f64 {
    let (unsigned, signed) = super::arithmetic::operands::<DOT>();
    let mut sums = [0_i32; 16];
    for _ in 0..steps {
        // Otherwise the products, which never change, would be formed once.
        let (unsigned, signed) = (black_box(&unsigned), black_box(&signed));
        for (sum, at) in sums.iter_mut().zip((0..DOT).step_by(4)) {
            let product = |at: usize| i32::from(unsigned[at]) * i32::from(signed[at]);
            let four = product(at) + product(at + 1) + product(at + 2) + product(at + 3);
            *sum = sum.wrapping_add(four);
        }
    }
    f64::from(sums.iter().fold(0_i32, |sum, part| sum.wrapping_add(*part)))
}
