//! The operating system, and what it runs in.

use super::host::line;
use super::{Gaps, Host, container, hypervisor};
use crate::model::OperatingSystem;

/// What system this is.
pub(super) fn find(host: &dyn Host, gaps: &mut Gaps) -> OperatingSystem {
    let release = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| host.read(path).ok())
        .unwrap_or_default();
    let word = |key: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    let name = word("NAME").or_else(|| word("ID"));
    let why = "/etc/os-release does not tell";
    let kernel = gaps.read("os.kernel", line(host, "/proc/sys/kernel/osrelease"));
    let cpuinfo = host.read("/proc/cpuinfo").unwrap_or_default();
    let architecture = line(host, "/proc/sys/kernel/arch")
        .ok()
        .or_else(|| host.architecture())
        .or_else(|| by_release(kernel.as_deref()?))
        .or_else(|| by_cpuinfo(&cpuinfo).map(str::to_owned));
    OperatingSystem {
        name: gaps.or("os.name", name, why),
        version: gaps.or("os.version", word("VERSION_ID"), why),
        architecture: gaps.or("os.architecture", architecture, "/proc/sys/kernel/arch is missing"),
        hypervisor: hypervisor::find(host, kernel.as_deref(), &cpuinfo),
        container: container::find(host),
        kernel,
    }
}

/// Distributions end the kernel's release with the architecture: `5.14.0-427.el9.ppc64le`,
/// `6.12.9-arm64`.
fn by_release(release: &str) -> Option<String> {
    let words = [
        ("x86_64", "x86_64"),
        ("amd64", "x86_64"),
        ("aarch64", "aarch64"),
        ("arm64", "aarch64"),
        ("ppc64le", "ppc64le"),
        ("powerpc64le", "ppc64le"),
        ("s390x", "s390x"),
        ("riscv64", "riscv64"),
        ("loongarch64", "loongarch64"),
        ("loong64", "loongarch64"),
    ];
    let end = release.rsplit(['.', '-', '+']).next()?;
    words.iter().find(|(word, _)| *word == end).map(|(_, name)| (*name).to_owned())
}

/// Architectures differ in which keys they write. POWER runs with either order of bytes, of which
/// nothing is written.
fn by_cpuinfo(cpuinfo: &str) -> Option<&'static str> {
    let has = |key: &str, word: &str| {
        cpuinfo.lines().any(|line| {
            let found = line.split_once(':').filter(|(name, _)| name.trim() == key);
            found.is_some_and(|(_, value)| {
                value.split_whitespace().any(|part| part.starts_with(word))
            })
        })
    };
    [
        ("flags", "lm", "x86_64"),
        ("CPU architecture", "8", "aarch64"),
        ("vendor_id", "IBM/S390", "s390x"),
        ("isa", "rv64", "riscv64"),
        ("CPU Family", "Loongson-64bit", "loongarch64"),
    ]
    .into_iter()
    .find(|(key, word, _)| has(key, word))
    .map(|(_, _, name)| name)
}
