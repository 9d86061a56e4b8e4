//! Rows of random weights, really quantized once per type and width and then dealt out in pieces.

use std::collections::HashMap;

use autotune_engine::llama::quantize::{QuantizeError, quantize_rows};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::shape::{RopeScaling, Shape};

/// Weights of one block of rows.
const WEIGHTS: usize = 1 << 19;
/// The same for `IQ2_*` and `IQ3_*`, whose search over a grid takes fifty times as long per weight.
const WEIGHTS_ON_A_GRID: usize = 1 << 15;
const ON_A_GRID: [u32; 5] = [16, 17, 18, 21, 22];
/// The same for `IQ1_*`, which search a hundred times longer still.
const WEIGHTS_OF_ONE_BIT: usize = 1 << 12;
const OF_ONE_BIT: [u32; 2] = [19, 29];
/// Fewest rows of a block.
const LEAST_ROWS: usize = 4;
/// Smallest weight: half precision is exact and normal down to 6.1e-5.
const SMALLEST: f32 = 1e-4;

/// A block of rows of one type and width.
pub(super) struct Rows {
    pub(super) bytes: Vec<u8>,
    pub(super) row_bytes: usize,
}

/// Blocks made so far, and the chance they come from.
pub(super) struct RowMaker {
    chance: Xoshiro256PlusPlus,
    made: HashMap<(u32, usize), Rows>,
}

impl RowMaker {
    pub(super) fn new(seed: u64) -> Self {
        Self { chance: Xoshiro256PlusPlus::seed_from_u64(seed), made: HashMap::new() }
    }

    /// The block of this type and width, made on first demand.
    pub(super) fn rows(&mut self, id: u32, width: usize) -> Result<&Rows, QuantizeError> {
        if !self.made.contains_key(&(id, width)) {
            let weights = match id {
                _ if ON_A_GRID.contains(&id) => WEIGHTS_ON_A_GRID,
                _ if OF_ONE_BIT.contains(&id) => WEIGHTS_OF_ONE_BIT,
                _ => WEIGHTS,
            };
            let count = (weights / width).max(LEAST_ROWS);
            let values = self.normal(count * width, 1.0 / (width as f64).sqrt());
            let bytes = quantize_rows(id, &values, width)?;
            let row_bytes = bytes.len() / count;
            self.made.insert((id, width), Rows { bytes, row_bytes });
        }
        Ok(&self.made[&(id, width)])
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = limit.max(1) as u64;
        usize::try_from(self.chance.next_u64() % limit).expect("below a usize")
    }

    /// Nearly normal numbers of this spread: three uniform ones added, which bounds them to three
    /// spreads, and none so small that a narrow type would make it denormal.
    #[expect(clippy::cast_possible_truncation, reason = "weights are 32-bit floats")]
    pub(super) fn normal(&mut self, count: usize, spread: f64) -> Vec<f32> {
        let mut one = || f64::from(self.chance.next_u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
        let mut number = || {
            let value = ((one() + one() + one()) * spread) as f32;
            if value.abs() < SMALLEST { SMALLEST.copysign(value) } else { value }
        };
        (0..count).map(|_| number()).collect()
    }
}

/// Llama 3.1's divisor for each rotary frequency: 1 for the fast, the whole factor for the slow,
/// between them on a line over the turns a frequency makes in the original context.
#[expect(clippy::cast_possible_truncation, reason = "the factors are stored as 32-bit floats")]
pub(super) fn rope_factors(shape: &Shape) -> Vec<f32> {
    let RopeScaling::Llama3 { factor, low, high, original_context } = shape.rope_scaling else {
        return vec![1.0; shape.head_length as usize / 2];
    };
    let factor_of = |pair: u32| {
        let exponent = f64::from(2 * pair) / f64::from(shape.head_length);
        let wavelength = 2.0 * std::f64::consts::PI * shape.rope_base.powf(exponent);
        let turns = f64::from(original_context) / wavelength;
        if turns > high {
            1.0
        } else if turns < low {
            factor
        } else {
            let smooth = (turns - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    (0..shape.head_length / 2).map(|pair| factor_of(pair) as f32).collect()
}
