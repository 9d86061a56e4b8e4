//! Tiles (AMX): permission, a configuration, products of bytes. By assembler, since the compiler's
//! intrinsics for it are not stable. Announced is not usable: ask [`super::instructions`] first, in
//! a process that may die.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use super::arithmetic::{Arithmetic, operands};

/// Bytes of one full tile: 16 rows of 64.
pub(super) const TILE: usize = 1024;
/// Accumulators of the loop.
const SUMS: u64 = 4;
/// Multiply-adds of one product of tiles: 16 rows, 16 columns, 64 deep.
const PRODUCTS: u64 = 16 * 16 * 64;

/// The products of bytes, where they are announced and the kernel gives leave.
pub(super) fn int8() -> Option<Arithmetic> {
    // Leaf 7: bit 24 are the tiles, bit 25 their products of bytes (Intel SDM, CPUID).
    let announced = __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx >> 24 & 0b11 == 0b11;
    let set = Arithmetic { isa: "amx_int8", operations: 2 * SUMS * PRODUCTS, run: dot };
    (announced && permitted()).then_some(set)
}

/// Asks the kernel to keep the tiles of this process; without it the first use is fatal.
pub(super) fn permitted() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const REQUEST_PERMISSION: u64 = 0x1023;
    const TILE_DATA: u64 = 18;
    if !cfg!(target_os = "linux") {
        return false;
    }
    let mut result = ARCH_PRCTL;
    // SAFETY: the kernel's calling convention; the call takes two numbers and touches no memory
    // of ours (Documentation/arch/x86/xstate.rst).
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") REQUEST_PERMISSION, in("rsi") TILE_DATA,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

/// All eight tiles with 16 rows of 64 bytes. A tile that is left out is no tile: its first use is
/// an invalid instruction.
pub(super) fn configuration() -> [u8; 64] {
    let mut bytes = [0_u8; 64];
    bytes[0] = 1;
    for tile in 0..8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
    }
    bytes
}

/// # Safety
/// The processor has the tiles and the kernel has given leave.
unsafe fn dot(steps: u64) -> f64 {
    let configuration = configuration();
    let (first, second) = operands::<TILE>();
    let mut sums = [0_i32; TILE / 4];
    let mut sum = 0.0;
    // SAFETY: every load and store covers one tile of 1024 bytes at 64 a row, which the arrays
    // have; the tiles are given back before the end.
    unsafe {
        asm!(
            "ldtilecfg [{configuration}]",
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "tileloadd tmm4, [{first} + {stride}*1]",
            "tileloadd tmm5, [{first} + {stride}*1]",
            "tileloadd tmm6, [{second} + {stride}*1]",
            "tileloadd tmm7, [{second} + {stride}*1]",
            configuration = in(reg) &raw const configuration,
            first = in(reg) first.as_ptr(),
            second = in(reg) second.as_ptr(),
            stride = in(reg) 64_u64,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
        if steps > 0 {
            asm!(
                "2:",
                "tdpbusd tmm0, tmm4, tmm6", "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6", "tdpbusd tmm3, tmm5, tmm7",
                "dec {steps}",
                "jnz 2b",
                steps = inout(reg) steps => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                options(nostack),
            );
        }
        asm!("tilestored [{sums} + {stride}*1], tmm0", "tilerelease",
             sums = in(reg) sums.as_mut_ptr(), stride = in(reg) 64_u64, options(nostack));
    }
    for lane in sums {
        sum += f64::from(lane);
    }
    sum * SUMS as f64
}
