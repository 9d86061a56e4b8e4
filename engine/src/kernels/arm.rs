//! Multiply-adds of bytes on 64-bit Arm. The other loops are those of [`super::portable`]: NEON
//! belongs to the architecture, and so does its fused multiply-add.

use std::arch::{asm, is_aarch64_feature_detected as announced};

use super::arithmetic::{Arithmetic, Element, operands};

/// Accumulators: four units of four cycles.
const CHAINS: u64 = 16;

/// Multiply-adds that this processor announces, fastest first.
pub(super) fn arithmetic(element: Element) -> Vec<Arithmetic> {
    let matrix = Arithmetic { isa: "i8mm", operations: 2 * 32 * CHAINS, run: matrix };
    let dot = Arithmetic { isa: "dotprod", operations: 2 * 16 * CHAINS, run: dot };
    let mut sets = Vec::new();
    if element == Element::Int8 {
        sets.extend(announced!("i8mm").then_some(matrix));
        sets.extend(announced!("dotprod").then_some(dot));
    }
    sets
}

/// One loop over sixteen accumulators, `v0` to `v15`, with the operands in `v16` and `v17`.
macro_rules! chains {
    ($name:ident, $feature:literal, $instruction:literal) => {
        /// # Safety
        /// The processor has the feature.
        #[target_feature(enable = $feature)]
        unsafe fn $name(steps: u64) -> f64 {
            let (first, second) = operands::<16>();
            let mut lanes = [0_i32; 4 * CHAINS as usize];
            if steps == 0 {
                return 0.0;
            }
            // SAFETY: the operands are one register long each, and the lanes sixteen registers.
            unsafe {
                asm!(
                    "ldr q16, [{first}]",
                    "ldr q17, [{second}]",
                    "movi v0.4s, #0", "movi v1.4s, #0", "movi v2.4s, #0", "movi v3.4s, #0",
                    "movi v4.4s, #0", "movi v5.4s, #0", "movi v6.4s, #0", "movi v7.4s, #0",
                    "movi v8.4s, #0", "movi v9.4s, #0", "movi v10.4s, #0", "movi v11.4s, #0",
                    "movi v12.4s, #0", "movi v13.4s, #0", "movi v14.4s, #0", "movi v15.4s, #0",
                    "2:",
                    concat!($instruction, " v0.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v1.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v2.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v3.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v4.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v5.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v6.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v7.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v8.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v9.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v10.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v11.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v12.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v13.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v14.4s, v16.16b, v17.16b"),
                    concat!($instruction, " v15.4s, v16.16b, v17.16b"),
                    "subs {steps}, {steps}, #1",
                    "b.ne 2b",
                    "st1 {{v0.4s, v1.4s, v2.4s, v3.4s}}, [{lanes}], #64",
                    "st1 {{v4.4s, v5.4s, v6.4s, v7.4s}}, [{lanes}], #64",
                    "st1 {{v8.4s, v9.4s, v10.4s, v11.4s}}, [{lanes}], #64",
                    "st1 {{v12.4s, v13.4s, v14.4s, v15.4s}}, [{lanes}]",
                    first = in(reg) first.as_ptr(),
                    second = in(reg) second.as_ptr(),
                    steps = inout(reg) steps => _,
                    lanes = inout(reg) lanes.as_mut_ptr() => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _,
                    out("v6") _, out("v7") _, out("v8") _, out("v9") _, out("v10") _,
                    out("v11") _, out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _,
                    options(nostack),
                );
            }
            lanes.iter().map(|lane| f64::from(*lane)).sum()
        }
    };
}

chains!(dot, "neon,dotprod", "sdot");
chains!(matrix, "neon,i8mm", "smmla");
