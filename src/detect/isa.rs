//! Which instruction sets the processor announces, and its x86-64 level.

use std::collections::BTreeSet;

/// Linux's word for an instruction set that matters to matrix products, and ours where it differs.
/// In the order in which people look for them.
const WORDS: &[(&str, &str)] = &[
    ("ssse3", "ssse3"),
    ("sse4_1", "sse4_1"),
    ("sse4_2", "sse4_2"),
    ("avx", "avx"),
    ("f16c", "f16c"),
    ("fma", "fma"),
    ("bmi2", "bmi2"),
    ("avx2", "avx2"),
    ("avx_vnni", "avx_vnni"),
    ("avx_vnni_int8", "avx_vnni_int8"),
    ("avx512f", "avx512f"),
    ("avx512cd", "avx512cd"),
    ("avx512bw", "avx512bw"),
    ("avx512dq", "avx512dq"),
    ("avx512vl", "avx512vl"),
    ("avx512vbmi", "avx512vbmi"),
    ("avx512_vnni", "avx512_vnni"),
    ("avx512_bf16", "avx512_bf16"),
    ("avx512_fp16", "avx512_fp16"),
    ("avx10", "avx10"),
    ("amx_tile", "amx_tile"),
    ("amx_int8", "amx_int8"),
    ("amx_bf16", "amx_bf16"),
    ("amx_fp16", "amx_fp16"),
    // Arm
    ("neon", "neon"),
    ("asimd", "neon"),
    ("asimdhp", "fp16"),
    ("asimddp", "dotprod"),
    ("i8mm", "i8mm"),
    ("bf16", "bf16"),
    ("sve", "sve"),
    ("sve2", "sve2"),
    ("svei8mm", "svei8mm"),
    ("svebf16", "svebf16"),
    ("sme", "sme"),
    ("sme2", "sme2"),
    // RISC-V
    ("v", "v"),
    ("zfh", "zfh"),
    ("zvfh", "zvfh"),
    ("zvfhmin", "zvfhmin"),
    ("zvfbfwma", "zvfbfwma"),
    // s390
    ("vx", "vx"),
    ("vxe", "vxe"),
    ("vxe2", "vxe2"),
    ("nnpa", "nnpa"),
];

/// What each x86-64 level adds to the one below, in Linux's words, from the x86-64 psABI.
const LEVELS: [(&str, &[&str]); 4] = [
    ("x86-64-v1", &[]),
    ("x86-64-v2", &["cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"]),
    ("x86-64-v3", &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]),
    ("x86-64-v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
];

/// The words of interest among the announced flags.
pub(super) fn words(flags: &BTreeSet<String>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (linux, ours) in WORDS {
        if flags.contains(*linux) && !words.iter().any(|word| word == ours) {
            words.push((*ours).to_owned());
        }
    }
    words
}

/// The highest level whose flags are all there, with those of every level below.
pub(super) fn x86_level(flags: &BTreeSet<String>) -> &'static str {
    let whole = |(_, needed): &&(&str, &[&str])| needed.iter().all(|flag| flags.contains(*flag));
    let reached = LEVELS.iter().take_while(whole).last();
    reached.expect("the first level needs nothing").0
}

/// Flags of every CPU that `/proc/cpuinfo` describes: what all of them have. Cores of one chip
/// may differ, and code has to run on each.
pub(super) fn flags(cpuinfo: &str) -> Option<BTreeSet<String>> {
    let mut common: Option<BTreeSet<String>> = None;
    for line in cpuinfo.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let seen: BTreeSet<String> = match key.trim() {
            "flags" | "Features" | "features" => {
                value.split_whitespace().map(str::to_owned).collect()
            }
            "isa" => riscv(value.trim()),
            _ => continue,
        };
        common = Some(match common {
            None => seen,
            Some(common) => common.intersection(&seen).cloned().collect(),
        });
    }
    common.filter(|flags| !flags.is_empty())
}

/// `rv64imafdcv_zicbom_zfh`: single letters, then longer names.
fn riscv(isa: &str) -> BTreeSet<String> {
    let mut parts = isa.split('_');
    let letters = parts.next().unwrap_or_default();
    let letters = letters.trim_start_matches("rv").trim_start_matches(char::is_numeric);
    letters.chars().map(String::from).chain(parts.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_level_needs_all_flags_of_the_levels_below_too() {
        let v2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3";
        let v3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave";
        let v4 = "avx512f avx512bw avx512cd avx512dq avx512vl";
        for (flags, level) in [
            (String::new(), "x86-64-v1"),
            (v2.to_owned(), "x86-64-v2"),
            (format!("{v2} {v3}"), "x86-64-v3"),
            (format!("{v2} {v3} {v4}"), "x86-64-v4"),
            (format!("{v3} {v4}"), "x86-64-v1"),
            (format!("{v2} {}", v3.replace("movbe", "")), "x86-64-v2"),
            (format!("{v2} {v3} avx512f"), "x86-64-v3"),
        ] {
            assert_eq!(x86_level(&set(&flags)), level, "{flags}");
        }
    }

    #[test]
    fn what_one_core_lacks_the_machine_lacks() {
        let cpuinfo = "Features\t: fp asimd asimddp i8mm sve\n\nFeatures\t: fp asimd asimddp\n";
        assert_eq!(words(&flags(cpuinfo).unwrap()), ["neon", "dotprod"]);
        assert_eq!(words(&flags("isa : rv64imafdcv_zfh\n").unwrap()), ["v", "zfh"]);
        assert_eq!(flags("model name : x\n"), None);
    }
}
