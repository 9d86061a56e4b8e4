//! One real instruction of each extension that virtual machines or kernels may announce and not
//! run, with its result checked.
//!
//! A processor that does not know an instruction ends the process: ask in one that may die. Names
//! are Linux's.

/// What an executed instruction showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Its result was right.
    Right,
    /// Its result was wrong.
    Wrong,
    /// The kernel did not give leave to use it.
    Forbidden,
}

/// Ends the process as an instruction does that the processor lacks; for tests.
const FATAL: &str = "ud2";

/// Executes one instruction of an extension; `None` for a name that nothing is known of.
#[must_use]
pub fn execute(name: &str) -> Option<Found> {
    #[cfg(target_arch = "x86_64")]
    return x86::execute(name);
    #[cfg(target_arch = "aarch64")]
    return arm::execute(name);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return {
        let _ = name;
        None
    };
}

/// Whether a name can be executed on this architecture.
#[must_use]
pub fn known(name: &str) -> bool {
    #[cfg(target_arch = "x86_64")]
    return name == FATAL || x86::TILES.contains(&name) || x86::vector(name).is_some();
    #[cfg(target_arch = "aarch64")]
    return name == FATAL || arm::KNOWN.contains(&name);
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return {
        let _ = name;
        false
    };
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn found(right: bool) -> Found {
    if right { Found::Right } else { Found::Wrong }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::asm;

    use super::super::amx;
    use super::{FATAL, Found, found};

    /// A vector register's bytes.
    type Vector = [u8; 64];

    /// `third = op(third, first, second)`, on the first bytes of each.
    pub(super) struct Test {
        run: unsafe fn(&Vector, &Vector, &mut Vector),
        first: Vector,
        second: Vector,
        /// The third operand's bytes afterwards, as many as the register has; it begins as zero.
        wanted: Vec<u8>,
    }

    macro_rules! instruction {
        ($load:literal, $register:literal, $op:literal, $operands:literal) => {{
            /// # Safety
            /// The process may die of it.
            unsafe fn run(first: &Vector, second: &Vector, third: &mut Vector) {
                // SAFETY: loads and stores of at most 64 bytes from arrays of that size.
                unsafe {
                    asm!(
                        concat!($load, " ", $register, "0, [{first}]"),
                        concat!($load, " ", $register, "1, [{second}]"),
                        concat!($load, " ", $register, "2, [{third}]"),
                        concat!($op, $operands),
                        concat!($load, " [{third}], ", $register, "2"),
                        "vzeroupper",
                        first = in(reg) first.as_ptr(),
                        second = in(reg) second.as_ptr(),
                        third = in(reg) third.as_mut_ptr(),
                        out("xmm0") _, out("xmm1") _, out("xmm2") _,
                        options(nostack),
                    );
                }
            }
            run as unsafe fn(&Vector, &Vector, &mut Vector)
        }};
    }

    /// 512 bits wide.
    macro_rules! zmm {
        ($op:literal) => {
            instruction!("vmovdqu64", "zmm", $op, " zmm2, zmm0, zmm1")
        };
    }

    /// 256 bits wide, in the encoding from before AVX-512.
    macro_rules! ymm {
        ($op:literal) => {
            instruction!("vmovdqu", "ymm", $op, " ymm2, ymm0, ymm1")
        };
    }

    fn fill<const N: usize>(value: impl Fn(usize) -> [u8; N]) -> Vector {
        std::array::from_fn(|at| value(at / N)[at % N])
    }

    fn small(lane: usize) -> u8 {
        u8::try_from(lane % 7 + 1).expect("below 8")
    }

    /// The test of one extension.
    pub(super) fn vector(name: &str) -> Option<Test> {
        let bytes = (fill(|at| [small(at)]), fill(|at| [small(at + 3)]));
        let sums = |width: usize, op: fn(u8, u8) -> u8| -> Vec<u8> {
            (0..width).map(|at| op(bytes.0[at], bytes.1[at])).collect()
        };
        let dots = |width: usize| -> Vec<u8> {
            let four = |at: usize| -> i32 {
                (at..at + 4).map(|at| i32::from(bytes.0[at]) * i32::from(bytes.1[at])).sum()
            };
            (0..width).step_by(4).flat_map(|at| four(at).to_le_bytes()).collect()
        };
        let integers = |run, wanted| Test { run, first: bytes.0, second: bytes.1, wanted };
        let add = |width| sums(width, u8::wrapping_add);
        // 1.5 and 2.0, as floats of 32 and of 16 bits.
        let floats = |run, width: usize, wanted: f32| Test {
            run,
            first: fill(|_| 1.5_f32.to_le_bytes()),
            second: fill(|_| 2.0_f32.to_le_bytes()),
            wanted: wanted.to_le_bytes().repeat(width / 4),
        };
        let halves = |run, width: usize, first: u16, second: u16, wanted: &[u8]| Test {
            run,
            first: fill(|_| first.to_le_bytes()),
            second: fill(|_| second.to_le_bytes()),
            wanted: wanted.repeat(width / wanted.len()),
        };
        Some(match name {
            "avx" => floats(ymm!("vaddps"), 32, 3.5),
            "avx2" => integers(ymm!("vpaddb"), add(32)),
            "fma" => floats(ymm!("vfmadd231ps"), 32, 3.0),
            "f16c" => Test {
                run: instruction!("vmovdqu", "ymm", "vcvtph2ps", " ymm2, xmm0"),
                first: fill(|_| 0x3e00_u16.to_le_bytes()),
                second: [0; 64],
                wanted: 1.5_f32.to_le_bytes().repeat(8),
            },
            "avx_vnni" => integers(ymm!("{{vex}} vpdpbusd"), dots(32)),
            "avx_vnni_int8" => integers(ymm!("vpdpbssd"), dots(32)),
            "avx512f" => floats(zmm!("vaddps"), 64, 3.5),
            "avx512bw" => integers(zmm!("vpaddb"), add(64)),
            "avx512dq" => integers(zmm!("vandps"), sums(64, |a, b| a & b)),
            "avx512vl" => integers(
                instruction!("vmovdqu64", "ymm", "vpaddd", " ymm2, ymm0, ymm1"),
                // No carry leaves a byte.
                add(32),
            ),
            "avx512cd" => Test {
                run: instruction!("vmovdqu64", "zmm", "vplzcntd", " zmm2, zmm0"),
                first: fill(|at| (1_u32 << (at % 32)).to_le_bytes()),
                second: [0; 64],
                wanted: (0..16_u32).flat_map(|at| (31 - at % 32).to_le_bytes()).collect(),
            },
            "avx512vbmi" => Test {
                run: zmm!("vpermb"),
                first: fill(|at| [63 - u8::try_from(at).expect("below 64")]),
                second: bytes.1,
                wanted: bytes.1.iter().rev().copied().collect(),
            },
            "avx512_vnni" => integers(zmm!("vpdpbusd"), dots(64)),
            // 1.5 and 2.0 as the upper halves of their 32 bits; two products a lane.
            "avx512_bf16" => halves(zmm!("vdpbf16ps"), 64, 0x3fc0, 0x4000, &6.0_f32.to_le_bytes()),
            "avx512_fp16" => halves(zmm!("vaddph"), 64, 0x3e00, 0x4000, &0x4300_u16.to_le_bytes()),
            _ => return None,
        })
    }

    /// Those that need tiles, and the kernel's leave.
    pub(super) const TILES: [&str; 4] = ["amx_tile", "amx_int8", "amx_bf16", "amx_fp16"];

    /// Three tiles: `third += first * second`.
    macro_rules! tiles {
        ($op:literal) => {{
            /// # Safety
            /// The process may die of it.
            unsafe fn run(first: &[u8; 1024], second: &[u8; 1024], third: &mut [u8; 1024]) {
                let configuration = amx::configuration();
                // SAFETY: every load and store covers a tile of 1024 bytes, 64 a row.
                unsafe {
                    asm!(
                        "ldtilecfg [{configuration}]",
                        "tileloadd tmm0, [{third} + {stride}*1]",
                        "tileloadd tmm1, [{first} + {stride}*1]",
                        "tileloadd tmm2, [{second} + {stride}*1]",
                        $op,
                        "tilestored [{third} + {stride}*1], tmm0",
                        "tilerelease",
                        configuration = in(reg) &raw const configuration,
                        first = in(reg) first.as_ptr(),
                        second = in(reg) second.as_ptr(),
                        third = in(reg) third.as_mut_ptr(),
                        stride = in(reg) 64_u64,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _,
                        options(nostack),
                    );
                }
            }
            run as unsafe fn(&[u8; 1024], &[u8; 1024], &mut [u8; 1024])
        }};
    }

    fn tile(name: &str) -> Option<bool> {
        let small: [u8; 1024] = std::array::from_fn(|at| small(at * 5 / 3));
        let repeat =
            |half: u16| -> [u8; 1024] { std::array::from_fn(|at| half.to_le_bytes()[at % 2]) };
        let zero = [0_u8; 1024];
        let (run, first, second, mut third): (unsafe fn(_, _, _), _, _, _) = match name {
            "amx_tile" => (tiles!("/* loads and stores alone */"), small, small, small),
            "amx_int8" => (tiles!("tdpbssd tmm0, tmm1, tmm2"), small, small, zero),
            "amx_bf16" => {
                (tiles!("tdpbf16ps tmm0, tmm1, tmm2"), repeat(0x3fc0), repeat(0x4000), zero)
            }
            "amx_fp16" => {
                (tiles!("tdpfp16ps tmm0, tmm1, tmm2"), repeat(0x3e00), repeat(0x4000), zero)
            }
            _ => return None,
        };
        // SAFETY: whoever asks has seen the extension announced and may die of it.
        unsafe { run(&first, &second, &mut third) };
        let wanted: Vec<u8> = match name {
            "amx_tile" => small.to_vec(),
            "amx_int8" => products(&small),
            // 32 products of 1.5 and 2.0 in each of 256 sums.
            _ => 96.0_f32.to_le_bytes().repeat(256),
        };
        Some(third[..] == wanted)
    }

    /// A tile times itself, the second one in groups of four rows as the instruction has it.
    fn products(tile: &[u8; 1024]) -> Vec<u8> {
        let product = |row: usize, column: usize| -> i32 {
            let pair = |k: usize| (tile[row * 64 + k], tile[k / 4 * 64 + column * 4 + k % 4]);
            (0..64).map(pair).map(|(a, b)| i32::from(a) * i32::from(b)).sum()
        };
        (0..256).flat_map(|at| product(at / 16, at % 16).to_le_bytes()).collect()
    }

    pub(super) fn execute(name: &str) -> Option<Found> {
        if name == FATAL {
            // SAFETY: it touches nothing; the process ends here.
            unsafe { asm!("ud2", options(nostack)) };
        }
        if TILES.contains(&name) {
            return if amx::permitted() { tile(name).map(found) } else { Some(Found::Forbidden) };
        }
        let test = vector(name)?;
        let mut third = [0_u8; 64];
        // SAFETY: whoever asks has seen the extension announced and may die of it.
        unsafe { (test.run)(&test.first, &test.second, &mut third) };
        Some(found(third[..test.wanted.len()] == test.wanted))
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::asm;

    use super::super::arithmetic::{Arithmetic, Element};
    use super::{FATAL, Found, found};

    /// What can be executed.
    pub(super) const KNOWN: [&str; 5] = ["neon", "dotprod", "i8mm", "sve", "sme"];

    pub(super) fn execute(name: &str) -> Option<Found> {
        Some(match name {
            FATAL => {
                // SAFETY: it touches nothing; the process ends here.
                unsafe { asm!("udf #0", options(nostack)) };
                Found::Wrong
            }
            // The compiler's own code uses it everywhere.
            "neon" => Found::Right,
            // One register of sixteen products, in sixteen accumulators: 1..7 times -2..2.
            "dotprod" | "i8mm" => {
                let set = Arithmetic::all(Element::Int8).find(|set| set.isa() == name)?;
                let (once, twice) = (set.run(1), set.run(2));
                let wanted = if name == "dotprod" { dot() } else { matrix() };
                found((once - wanted).abs() < 0.5 && (twice - 2.0 * once).abs() < 0.5)
            }
            "sve" => {
                let bytes: u64;
                // SAFETY: `cntb x0`, the bytes of a register, as a word, because the assembler
                // refuses it where the compiler's target has no SVE.
                unsafe { asm!(".inst 0x0420e3e0", out("x0") bytes, options(nostack, nomem)) };
                found((16..=256).contains(&bytes) && bytes % 16 == 0)
            }
            "sme" => {
                let bytes: u64;
                // SAFETY: `rdsvl x0, #1`, the same of the streaming mode.
                unsafe { asm!(".inst 0x04bf5820", out("x0") bytes, options(nostack, nomem)) };
                found((16..=256).contains(&bytes) && bytes.is_power_of_two())
            }
            _ => return None,
        })
    }

    fn operands() -> ([i32; 16], [i32; 16]) {
        let (first, second) = super::super::arithmetic::operands::<16>();
        (first.map(i32::from), second.map(i32::from))
    }

    /// Sixteen accumulators of sixteen products.
    fn dot() -> f64 {
        let (first, second) = operands();
        let sum: i32 = first.iter().zip(&second).map(|(a, b)| a * b).sum();
        16.0 * f64::from(sum)
    }

    /// Sixteen accumulators of the four products of two rows with two rows.
    fn matrix() -> f64 {
        let (first, second) = operands();
        let sum: i32 =
            (0..8).map(|k| (first[k] + first[k + 8]) * (second[k] + second[k + 8])).sum();
        16.0 * f64::from(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_the_standard_library_finds_gives_right_results() {
        use std::arch::is_x86_feature_detected as has;
        // Those that no machine is known to announce without running them.
        for (name, there) in [
            ("avx", has!("avx")),
            ("avx2", has!("avx2")),
            ("fma", has!("fma")),
            ("f16c", has!("f16c")),
            ("avx_vnni", has!("avxvnni")),
            ("avx512f", has!("avx512f")),
            ("avx512bw", has!("avx512bw")),
            ("avx512dq", has!("avx512dq")),
            ("avx512vl", has!("avx512vl")),
            ("avx512cd", has!("avx512cd")),
            ("avx512vbmi", has!("avx512vbmi")),
            ("avx512_vnni", has!("avx512vnni")),
            ("avx512_bf16", has!("avx512bf16")),
        ] {
            assert!(known(name), "{name}");
            if there {
                assert_eq!(execute(name), Some(Found::Right), "{name}");
            }
        }
        assert!(!known("ssse3") && execute("nonsense").is_none());
    }
}
