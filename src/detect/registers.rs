//! What an x86 processor says of itself through CPUID. Other processors have files alone.

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
    use raw_cpuid::{CpuId, Hypervisor};
    let cpuid = CpuId::new();
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
    Some(Registers {
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
        flags: flags(),
    })
}

/// No such registers.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
pub(super) fn read() -> Option<Registers> {
    None
}

/// The standard library asks CPUID and whether the operating system keeps the wide registers.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn flags() -> Vec<String> {
    macro_rules! present {
        ($($rust:tt => $linux:literal),* $(,)?) => {
            [$(($linux, std::arch::is_x86_feature_detected!($rust))),*]
        };
    }
    let seen = present![
        "sse3" => "pni", "ssse3" => "ssse3", "sse4.1" => "sse4_1", "sse4.2" => "sse4_2",
        "popcnt" => "popcnt", "cmpxchg16b" => "cx16", "lzcnt" => "abm", "movbe" => "movbe",
        "bmi1" => "bmi1", "bmi2" => "bmi2", "avx" => "avx", "avx2" => "avx2", "f16c" => "f16c",
        "fma" => "fma", "xsave" => "xsave", "avx512f" => "avx512f", "avx512bw" => "avx512bw",
        "avx512cd" => "avx512cd", "avx512dq" => "avx512dq", "avx512vl" => "avx512vl",
        "avx512vnni" => "avx512_vnni", "avx512vbmi" => "avx512vbmi",
        "avx512bf16" => "avx512_bf16",
    ];
    // Every 64-bit processor since 2005 has it, and the standard library does not ask.
    let mut flags = vec!["lahf_lm".to_owned()];
    flags.extend(seen.iter().filter(|(_, present)| *present).map(|(name, _)| (*name).to_owned()));
    flags
}
