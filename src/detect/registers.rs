//! What an x86 processor says of itself through CPUID, live or from a `cpuid.txt`. Other processors
//! have files alone.

use raw_cpuid::{CpuId, CpuIdReader, Hypervisor};

use super::cpuid::{self, Replay};

/// Facts from the processor's own registers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registers {
    /// For example `GenuineIntel`.
    pub vendor: Option<String>,
    /// As the processor names itself.
    pub model: Option<String>,
    /// Family and model numbers, extended ones added.
    pub family_and_model: Option<(u32, u32)>,
    /// Clock without turbo.
    pub base_hz: Option<u64>,
    /// Who runs the virtual machine.
    pub hypervisor: Option<String>,
    /// Instruction sets that processor and operating system offer, in Linux's spelling.
    pub flags: Vec<String>,
}

/// Asks the processor.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[expect(clippy::unnecessary_wraps, reason = "other processors have none")]
pub(super) fn read() -> Option<Registers> {
    Some(of(raw_cpuid::CpuIdReaderNative))
}

/// No such registers.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
pub(super) fn read() -> Option<Registers> {
    None
}

/// What the processors of a `cpuid.txt` said, on whatever machine it is read.
pub(super) fn replayed(text: &str) -> Option<Registers> {
    let processors = cpuid::parse(text);
    let mut all = processors.iter().map(|leaves| of(Replay(leaves)));
    let mut first = all.next()?;
    // Cores of one chip may differ, and code has to run on each.
    for other in all {
        first.flags.retain(|flag| other.flags.contains(flag));
    }
    Some(first)
}

fn of<R: CpuIdReader>(reader: R) -> Registers {
    let flags = flags(&reader);
    let cpuid = CpuId::with_cpuid_reader(reader);
    let hypervisor = cpuid.get_hypervisor_info().map(|info| match info.identify() {
        Hypervisor::Xen => "xen".to_owned(),
        Hypervisor::VMware => "vmware".to_owned(),
        Hypervisor::HyperV => "hyper-v".to_owned(),
        Hypervisor::KVM => "kvm".to_owned(),
        Hypervisor::QEMU => "qemu".to_owned(),
        Hypervisor::Bhyve => "bhyve".to_owned(),
        Hypervisor::QNX => "qnx".to_owned(),
        Hypervisor::ACRN => "acrn".to_owned(),
        Hypervisor::Unknown(..) => "unknown".to_owned(),
    });
    let base = cpuid.get_processor_frequency_info().map(|info| info.processor_base_frequency());
    Registers {
        vendor: cpuid.get_vendor_info().map(|vendor| vendor.as_str().to_owned()),
        model: cpuid
            .get_processor_brand_string()
            .map(|brand| brand.as_str().trim().to_owned())
            .filter(|brand| !brand.is_empty()),
        family_and_model: cpuid
            .get_feature_info()
            .map(|info| (u32::from(info.family_id()), u32::from(info.model_id()))),
        base_hz: base.filter(|mhz| *mhz > 0).map(|mhz| u64::from(mhz) * 1_000_000),
        hypervisor,
        flags,
    }
}

/// A register of an answer.
#[derive(Debug, Clone, Copy)]
enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// What the operating system must save for an instruction set to work: the number of the
/// extended state's component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saved {
    /// Nothing that is not always saved.
    Nothing,
    /// The upper halves of the 256-bit registers.
    Avx,
    /// The upper sixteen 512-bit registers.
    Avx512,
    /// The tiles.
    Amx,
}

use Register::{Eax, Ebx, Ecx, Edx};
use Saved::{Amx, Avx, Avx512, Nothing};

/// Leaf, subleaf, register and bit of each flag, in Linux's spelling; from Intel's and AMD's manuals.
const FLAGS: &[(u32, u32, Register, u32, &str, Saved)] = &[
    (1, 0, Ecx, 0, "pni", Nothing),
    (1, 0, Ecx, 9, "ssse3", Nothing),
    (1, 0, Ecx, 12, "fma", Avx),
    (1, 0, Ecx, 13, "cx16", Nothing),
    (1, 0, Ecx, 19, "sse4_1", Nothing),
    (1, 0, Ecx, 20, "sse4_2", Nothing),
    (1, 0, Ecx, 22, "movbe", Nothing),
    (1, 0, Ecx, 23, "popcnt", Nothing),
    (1, 0, Ecx, 26, "xsave", Nothing),
    (1, 0, Ecx, 28, "avx", Avx),
    (1, 0, Ecx, 29, "f16c", Avx),
    (7, 0, Ebx, 3, "bmi1", Nothing),
    (7, 0, Ebx, 5, "avx2", Avx),
    (7, 0, Ebx, 8, "bmi2", Nothing),
    (7, 0, Ebx, 16, "avx512f", Avx512),
    (7, 0, Ebx, 17, "avx512dq", Avx512),
    (7, 0, Ebx, 28, "avx512cd", Avx512),
    (7, 0, Ebx, 30, "avx512bw", Avx512),
    (7, 0, Ebx, 31, "avx512vl", Avx512),
    (7, 0, Ecx, 1, "avx512vbmi", Avx512),
    (7, 0, Ecx, 11, "avx512_vnni", Avx512),
    (7, 0, Edx, 22, "amx_bf16", Amx),
    (7, 0, Edx, 23, "avx512_fp16", Avx512),
    (7, 0, Edx, 24, "amx_tile", Amx),
    (7, 0, Edx, 25, "amx_int8", Amx),
    (7, 1, Eax, 4, "avx_vnni", Avx),
    (7, 1, Eax, 5, "avx512_bf16", Avx512),
    (7, 1, Eax, 21, "amx_fp16", Amx),
    (7, 1, Edx, 4, "avx_vnni_int8", Avx),
    (7, 1, Edx, 19, "avx10", Avx512),
    (0x8000_0001, 0, Ecx, 0, "lahf_lm", Nothing),
    (0x8000_0001, 0, Ecx, 5, "abm", Nothing),
    (0x8000_0001, 0, Edx, 29, "lm", Nothing),
];
/// The operating system uses the extended state: a bit of leaf 1's ECX.
const SYSTEM_SAVES: u32 = 1 << 27;
/// The leaf of the extended state.
const STATE: u32 = 0xd;

fn flags(reader: &impl CpuIdReader) -> Vec<String> {
    let last = |range: u32| reader.cpuid2(range, 0).eax;
    let (basic, extended) = (last(0), last(0x8000_0000));
    // The size of all that the system saves now: a component that lies within it is saved.
    let size = reader.cpuid2(STATE, 0).ebx;
    let saves = reader.cpuid2(1, 0).ecx & SYSTEM_SAVES != 0;
    let component = |number: u32| {
        let part = reader.cpuid2(STATE, number);
        part.eax > 0 && part.ebx.checked_add(part.eax).is_some_and(|end| end <= size)
    };
    let kept = |saved: Saved| match saved {
        Nothing => true,
        Avx => saves && component(2),
        Avx512 => saves && component(7),
        Amx => saves && component(18),
    };
    let there = |leaf: u32| leaf <= if leaf >= 0x8000_0000 { extended } else { basic };
    let present = FLAGS.iter().filter(|(leaf, subleaf, register, bit, _, saved)| {
        let found = reader.cpuid2(*leaf, *subleaf);
        let value = match register {
            Eax => found.eax,
            Ebx => found.ebx,
            Ecx => found.ecx,
            Edx => found.edx,
        };
        there(*leaf) && value & (1 << bit) != 0 && kept(*saved)
    });
    present.map(|(.., name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small Intel part with AVX2 whose system saves what `size` says.
    fn dump(size: u32) -> String {
        format!(
            "CPU 0:\n\
             0x00000000 0x00: eax=0x0000000d ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69\n\
             0x00000001 0x00: eax=0x000306c3 ebx=0x0 ecx=0x1c181200 edx=0x0\n\
             0x00000007 0x00: eax=0x0 ebx=0x00000128 ecx=0x0 edx=0x0\n\
             0x0000000d 0x00: eax=0x7 ebx={size:#x} ecx=0x340 edx=0x0\n\
             0x0000000d 0x02: eax=0x100 ebx=0x240 ecx=0x0 edx=0x0\n\
             0x40000000 0x00: eax=0x40000001 ebx=0x4b4d564b ecx=0x564b4d56 edx=0x4d\n"
        )
    }

    #[test]
    fn wide_registers_count_only_where_the_system_saves_them() {
        let whole = replayed(&dump(0x340)).unwrap();
        assert_eq!(whole.vendor.as_deref(), Some("GenuineIntel"));
        assert_eq!(whole.family_and_model, Some((6, 60)));
        assert!(whole.flags.iter().any(|flag| flag == "avx2"), "{:?}", whole.flags);
        let narrow = replayed(&dump(0x240)).unwrap();
        assert!(narrow.flags.iter().any(|flag| flag == "bmi1"), "{:?}", narrow.flags);
        assert!(!narrow.flags.iter().any(|flag| flag == "avx2"), "{:?}", narrow.flags);
    }

    #[test]
    fn what_one_processor_lacks_the_machine_lacks() {
        let both = format!("{}{}", dump(0x340), dump(0x240).replace("CPU 0", "CPU 1"));
        let seen = replayed(&both).unwrap();
        assert!(!seen.flags.iter().any(|flag| flag == "avx2"), "{:?}", seen.flags);
        assert_eq!(replayed("nothing of the kind"), None);
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn leaves_and_kernel_agree_on_this_machine() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let line = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap();
        let kernel: Vec<&str> = line.split_whitespace().collect();
        let seen = read().unwrap().flags;
        for (.., name, _) in FLAGS {
            let ours = seen.iter().any(|flag| flag == name);
            // The kernel may hide what it does not use; what it shows is there.
            assert!(ours || !kernel.contains(name), "{name} is hidden from us");
        }
        assert_eq!(replayed(&cpuid::dump().unwrap()), read());
    }
}
