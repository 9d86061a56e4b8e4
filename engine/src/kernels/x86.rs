//! The loops in AVX2 and AVX-512, by intrinsics: what the compiler would make of plain code for
//! these registers changes with its version, and a ceiling should not.

use std::arch::asm;
use std::arch::is_x86_feature_detected as announced;
#[allow(clippy::wildcard_imports, reason = "an instruction set is its intrinsics")]
use std::arch::x86_64::*;
use std::array::from_fn;
use std::hint::black_box;

use super::arithmetic::{Arithmetic, Element, operands};
use super::stream::{BLOCK, Stream};

/// Loops over memory that this processor announces, widest first.
pub(super) fn streams() -> Vec<Stream> {
    let wide = Stream { isa: "avx512f", read: read_512, copy: copy_512, triad: triad_512 };
    let narrow = Stream { isa: "avx2", read: read_256, copy: copy_256, triad: triad_256 };
    let mut sets = Vec::new();
    sets.extend(announced!("avx512f").then_some(wide));
    sets.extend((announced!("avx2") && announced!("fma")).then_some(narrow));
    sets
}

/// Multiply-adds that this processor announces, fastest first.
pub(super) fn arithmetic(element: Element) -> Vec<Arithmetic> {
    let set = |announced: bool, isa, operations: usize, run| {
        announced.then_some(Arithmetic { isa, operations: operations as u64, run })
    };
    let vnni = announced!("avx512f") && announced!("avx512vnni");
    let sets: Vec<Option<Arithmetic>> = match element {
        Element::Float32 => vec![
            set(announced!("avx512f"), "avx512f", 2 * 16 * CHAINS_512, fma_512),
            set(announced!("avx2") && announced!("fma"), "avx2", 2 * 8 * CHAINS_256, fma_256),
        ],
        Element::Int8 => vec![
            super::amx::int8(),
            set(vnni, "avx512_vnni", 2 * 64 * CHAINS_512, dot_512),
            set(announced!("avxvnni"), "avx_vnni", 2 * 32 * CHAINS_256, dot_vnni_256),
            set(announced!("avx2"), "avx2", 2 * 32 * PAIRS_256, dot_pairs_256),
        ],
    };
    sets.into_iter().flatten().collect()
}

/// Two units of four cycles and of five (the dot product) need ten chains; all of the 32 registers
/// but the operands' hold twice that.
const CHAINS_512: usize = 20;
/// All of the 16 registers but the operands' and two spare ones.
const CHAINS_256: usize = 12;
/// The products of bytes need a register on their way.
const PAIRS_256: usize = 8;

/// Four streams of loads, so that the sum's latency is never waited for.
macro_rules! stream {
    ($feature:literal, $lanes:literal, $read:ident, $copy:ident, $triad:ident, $zero:ident,
     $load:ident, $add:ident, $store:ident, $float_load:ident, $float_store:ident,
     $splat:ident, $fused:ident, $vector:ty) => {
        /// # Safety
        /// See [`super::stream`]; the processor has the feature.
        #[target_feature(enable = $feature)]
        unsafe fn $read(mut words: *const u64, count: usize) -> u64 {
            // SAFETY: pointers stay within the words that the caller promises: every turn takes
            // 64 of them, and their count is a multiple of that.
            unsafe {
                let end = words.add(count);
                let mut sums = [$zero(); BLOCK / $lanes];
                while words < end {
                    for (at, sum) in sums.iter_mut().enumerate() {
                        *sum = $add(*sum, $load(words.add(at * $lanes).cast()));
                    }
                    words = words.add(BLOCK);
                }
                let mut lanes = [0_u64; BLOCK];
                for (at, sum) in sums.iter().enumerate() {
                    $store(lanes.as_mut_ptr().add(at * $lanes).cast(), *sum);
                }
                lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
            }
        }

        /// # Safety
        /// See [`super::stream`]; the processor has the feature.
        #[target_feature(enable = $feature)]
        unsafe fn $copy(mut target: *mut f64, mut source: *const f64, count: usize) {
            // SAFETY: as in the loop that reads.
            unsafe {
                let end = source.add(count);
                while source < end {
                    let loaded: [$vector; 4] =
                        [0, 1, 2, 3].map(|at| $float_load(source.add(at * $lanes)));
                    for (at, vector) in loaded.into_iter().enumerate() {
                        $float_store(target.add(at * $lanes), vector);
                    }
                    (target, source) = (target.add(4 * $lanes), source.add(4 * $lanes));
                }
            }
        }

        /// # Safety
        /// See [`super::stream`]; the processor has the feature and FMA.
        #[target_feature(enable = $feature)]
        unsafe fn $triad(
            mut target: *mut f64,
            mut first: *const f64,
            mut second: *const f64,
            factor: f64,
            count: usize,
        ) {
            // SAFETY: as in the loop that reads.
            unsafe {
                let (end, factor) = (first.add(count), $splat(factor));
                while first < end {
                    for at in [0, $lanes, 2 * $lanes, 3 * $lanes] {
                        let (b, c) = ($float_load(first.add(at)), $float_load(second.add(at)));
                        $float_store(target.add(at), $fused(factor, c, b));
                    }
                    target = target.add(4 * $lanes);
                    (first, second) = (first.add(4 * $lanes), second.add(4 * $lanes));
                }
            }
        }
    };
}

stream!(
    "avx512f",
    8,
    read_512,
    copy_512,
    triad_512,
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_add_epi64,
    _mm512_storeu_si512,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_set1_pd,
    _mm512_fmadd_pd,
    __m512d
);
stream!(
    "avx2,fma",
    4,
    read_256,
    copy_256,
    triad_256,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_add_epi64,
    _mm256_storeu_si256,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_set1_pd,
    _mm256_fmadd_pd,
    __m256d
);

/// Chains of fused multiply-adds: `x = x / 2 + 1`.
macro_rules! multiply_add {
    ($name:ident, $feature:literal, $lanes:literal, $chains:ident, $splat:ident, $fused:ident,
     $store:ident) => {
        /// # Safety
        /// The processor has the feature.
        #[target_feature(enable = $feature)]
        unsafe fn $name(steps: u64) -> f64 {
            let (half, one) = (black_box($splat(0.5)), black_box($splat(1.0)));
            let mut chains: [_; $chains] = from_fn(|chain| $splat(chain as f32));
            for _ in 0..steps {
                for chain in &mut chains {
                    *chain = $fused(*chain, half, one);
                }
            }
            let mut sum = 0.0;
            for chain in chains {
                let mut lanes = [0.0_f32; $lanes];
                // SAFETY: as many lanes as the register has.
                unsafe { $store(lanes.as_mut_ptr(), chain) };
                sum += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
            }
            sum
        }
    };
}

multiply_add!(
    fma_512,
    "avx512f",
    16,
    CHAINS_512,
    _mm512_set1_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps
);
multiply_add!(
    fma_256,
    "avx2,fma",
    8,
    CHAINS_256,
    _mm256_set1_ps,
    _mm256_fmadd_ps,
    _mm256_storeu_ps
);

/// Chains of dot products of bytes. `$step` is one of them.
macro_rules! dot {
    ($name:ident, $feature:literal, $bytes:literal, $chains:ident, $zero:ident, $load:ident,
     $store:ident, |$sum:ident, $unsigned:ident, $signed:ident| $step:expr) => {
        /// # Safety
        /// The processor has the feature.
        #[target_feature(enable = $feature)]
        unsafe fn $name(steps: u64) -> f64 {
            let (unsigned, signed) = operands::<$bytes>();
            // SAFETY: the operands are as long as the register.
            let (mut $unsigned, $signed) =
                unsafe { ($load(unsigned.as_ptr().cast()), $load(signed.as_ptr().cast())) };
            let mut chains = [$zero(); $chains];
            for _ in 0..steps {
                for $sum in &mut chains {
                    *$sum = $step;
                }
            }
            $unsigned = black_box($unsigned);
            let _ = $unsigned;
            let mut sum = 0.0;
            for chain in chains {
                let mut lanes = [0_i32; $bytes / 4];
                // SAFETY: as many lanes as the register has.
                unsafe { $store(lanes.as_mut_ptr().cast(), chain) };
                sum += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
            }
            sum
        }
    };
}

dot!(
    dot_512,
    "avx512f,avx512vnni",
    64,
    CHAINS_512,
    _mm512_setzero_si512,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    |sum, unsigned, signed| _mm512_dpbusd_epi32(*sum, unsigned, signed)
);
dot!(
    dot_vnni_256,
    "avx2,avxvnni",
    32,
    CHAINS_256,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    |sum, unsigned, signed| _mm256_dpbusd_avx_epi32(*sum, unsigned, signed)
);
dot!(
    dot_pairs_256,
    "avx2",
    32,
    PAIRS_256,
    _mm256_setzero_si256,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    |sum, unsigned, signed| {
        // The products never change. Without this the compiler would form them once.
        // SAFETY: no instruction at all; it only says that the register may have changed.
        unsafe {
            asm!("/* {0} */", inout(ymm_reg) unsigned, options(nomem, nostack, preserves_flags));
        };
        let pairs = _mm256_maddubs_epi16(unsigned, signed);
        _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
    }
);
