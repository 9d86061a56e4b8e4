//! CPUID leaves as text that travels: `cpuid.txt` in the raw form of the `cpuid` program.
//!
//! ```text
//! CPU 0:
//!    0x00000007 0x00: eax=0x00000001 ebx=0xf1bf07ab ecx=0x1b415f6e edx=0xbfc10410
//! ```

use std::collections::BTreeMap;

use raw_cpuid::{CpuIdReader, CpuIdResult};

/// Lines that are looked at: a thousand CPUs of sixty leaves each.
const MOST_LINES: usize = 100_000;
/// Leaf 3 held a serial number once.
const SERIAL_NUMBER: u32 = 3;
/// What a leaf's subleaves are asked for at most.
const MOST_SUBLEAVES: u32 = 64;
/// The last of a range of leaves that is believed.
const MOST_LEAVES: u32 = 0x40;

/// The leaves of one processor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Leaves(BTreeMap<(u32, u32), CpuIdResult>);

/// Answers from a dump.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replay<'a>(pub(super) &'a Leaves);

impl CpuIdReader for Replay<'_> {
    fn cpuid2(&self, eax: u32, ecx: u32) -> CpuIdResult {
        let nothing = CpuIdResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
        self.0.0.get(&(eax, ecx)).copied().unwrap_or(nothing)
    }
}

/// The processors of a dump; none where it holds no leaf.
pub(super) fn parse(text: &str) -> Vec<Leaves> {
    let mut processors: Vec<Leaves> = Vec::new();
    for line in text.lines().take(MOST_LINES) {
        let line = line.trim();
        if line.starts_with("CPU") && line.ends_with(':') {
            processors.push(Leaves::default());
        } else if let Some((place, result)) = leaf(line) {
            if processors.is_empty() {
                processors.push(Leaves::default());
            }
            let last = processors.last_mut().expect("one was put there");
            // The first answer counts, as it does for who asks a processor once.
            last.0.entry(place).or_insert(result);
        }
    }
    processors.retain(|leaves| !leaves.0.is_empty());
    processors
}

/// `0x00000007 0x00: eax=0x… ebx=0x… ecx=0x… edx=0x…`
fn leaf(line: &str) -> Option<((u32, u32), CpuIdResult)> {
    let (place, registers) = line.split_once(':')?;
    let mut place = place.split_whitespace().map(hexadecimal);
    let (leaf, subleaf) = (place.next()??, place.next()??);
    let mut words = registers.split_whitespace();
    let mut register = |name: &str| hexadecimal(words.next()?.strip_prefix(name)?);
    let (eax, ebx) = (register("eax=")?, register("ebx=")?);
    let (ecx, edx) = (register("ecx=")?, register("edx=")?);
    Some(((leaf, subleaf), CpuIdResult { eax, ebx, ecx, edx }))
}

fn hexadecimal(word: &str) -> Option<u32> {
    u32::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// The text of `cpuid.txt` for the processor that this runs on; `None` where it has no CPUID.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[expect(clippy::unnecessary_wraps, reason = "other processors have none")]
pub(super) fn dump() -> Option<String> {
    Some(written(&raw_cpuid::CpuIdReaderNative))
}

/// There is no CPUID.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
pub(super) fn dump() -> Option<String> {
    None
}

#[cfg(any(test, target_arch = "x86", target_arch = "x86_64"))]
fn written(reader: &impl CpuIdReader) -> String {
    use std::fmt::Write as _;

    let mut text = String::from("CPU 0:\n");
    for range in [0_u32, 0x4000_0000, 0x8000_0000] {
        let last = reader.cpuid2(range, 0).eax;
        let last = if last < range { range } else { last.min(range + MOST_LEAVES) };
        for leaf in (range..=last).filter(|leaf| *leaf != SERIAL_NUMBER) {
            for subleaf in 0..MOST_SUBLEAVES {
                let found = reader.cpuid2(leaf, subleaf);
                if subleaf > 0 && ends(leaf, subleaf, &found, reader) {
                    // Components of the extended state are numbered with gaps.
                    if leaf == 0xd {
                        continue;
                    }
                    break;
                }
                let CpuIdResult { eax, ebx, ecx, edx } = found;
                let _ = writeln!(
                    text,
                    "   {leaf:#010x} {subleaf:#04x}: eax={eax:#010x} ebx={ebx:#010x} \
                     ecx={ecx:#010x} edx={edx:#010x}"
                );
            }
        }
    }
    text
}

/// Whether a leaf has no such subleaf. The vendors' manuals say how each leaf ends; leaves that
/// are not among them have one.
#[cfg(any(test, target_arch = "x86", target_arch = "x86_64"))]
fn ends(leaf: u32, subleaf: u32, found: &CpuIdResult, reader: &impl CpuIdReader) -> bool {
    match leaf {
        4 | 0x8000_001d => found.eax.trailing_zeros() >= 5,
        7 | 0x14 | 0x17 | 0x18 | 0x1d | 0x24 => subleaf > reader.cpuid2(leaf, 0).eax,
        0xb | 0x1f => found.ecx & 0xff00 == 0,
        0xd => found.eax == 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_dump_answers_as_the_processor_did() {
        let text = "CPU 0:\n   0x00000000 0x00: eax=0x00000007 ebx=0x756e6547 ecx=0x6c65746e \
                    edx=0x49656e69\n   0x00000007 0x00: eax=0x00000001 ebx=0x2 ecx=0x3 edx=0x4\n\
                    \u{20}  0x00000007 0x01: eax=0x00000010 ebx=0x0 ecx=0x0 edx=0x0\n";
        let processors = parse(text);
        let [leaves] = processors.as_slice() else { panic!("{processors:?}") };
        let replay = Replay(leaves);
        assert_eq!(replay.cpuid2(7, 1).eax, 0x10);
        assert_eq!(replay.cpuid2(7, 2).eax, 0);
        assert_eq!(parse(&written(&replay))[0].0.get(&(7, 1)), leaves.0.get(&(7, 1)));
        assert!(!written(&replay).contains("0x00000003 0x00"));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn this_processor_survives_being_written() {
        let text = dump().unwrap();
        let first = parse(&text);
        assert_eq!(first.len(), 1);
        assert!(text.lines().count() < 2_000, "{}", text.lines().count());
        assert_eq!(parse(&written(&Replay(&first[0])))[0], first[0]);
    }

    proptest! {
        #[test]
        fn garbage_is_no_panic(text in "(\\PC|\n|0x[0-9a-f]{0,9} |CPU 0:|eax=|:){0,80}") {
            for leaves in parse(&text) {
                let _ = written(&Replay(&leaves));
            }
        }
    }
}
