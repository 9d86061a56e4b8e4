//! The operating system, and what it runs in.

use super::cpu::field;
use super::host::line;
use super::{Gaps, Host};
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
    let architecture = line(host, "/proc/sys/kernel/arch").ok().or_else(|| host.architecture());
    OperatingSystem {
        name: gaps.or("os.name", name, why),
        version: gaps.or("os.version", word("VERSION_ID"), why),
        architecture: gaps.or("os.architecture", architecture, "/proc/sys/kernel/arch is missing"),
        hypervisor: hypervisor(host, kernel.as_deref()),
        container: container(host),
        kernel,
    }
}

/// Products that virtual machines show as their mainboard.
const PRODUCTS: &[(&str, &str)] = &[
    ("KVM", "kvm"),
    ("QEMU", "qemu"),
    ("Amazon EC2", "kvm"),
    ("Google", "kvm"),
    ("VMware", "vmware"),
    ("VirtualBox", "virtualbox"),
    ("Microsoft Corporation", "hyper-v"),
    ("Xen", "xen"),
    ("Parallels", "parallels"),
];

/// Who runs this virtual machine; `None` on the bare machine.
fn hypervisor(host: &dyn Host, kernel: Option<&str>) -> Option<String> {
    if kernel.is_some_and(|kernel| kernel.to_lowercase().contains("microsoft")) {
        return Some("wsl".to_owned());
    }
    if let Some(name) = host.registers().and_then(|registers| registers.hypervisor) {
        return Some(name);
    }
    let cpuinfo = host.read("/proc/cpuinfo").unwrap_or_default();
    let announced = field(&cpuinfo, &["flags"])
        .is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor"));
    let x86 = field(&cpuinfo, &["flags"]).is_some();
    let board = ["sys_vendor", "product_name"]
        .iter()
        .filter_map(|name| line(host, &format!("/sys/class/dmi/id/{name}")).ok())
        .collect::<Vec<_>>()
        .join(" ");
    let known = PRODUCTS.iter().find(|(product, _)| board.contains(product));
    let known = known.map(|(_, name)| (*name).to_owned());
    match (x86, announced) {
        // Makers of virtual machines make laptops too: without the flag it is one of those.
        (true, false) => None,
        (true, true) => Some(known.unwrap_or_else(|| "unknown".to_owned())),
        (false, _) => line(host, "/sys/hypervisor/type").ok().or(known),
    }
}

/// What holds this process apart from the system; `None` where nothing does.
fn container(host: &dyn Host) -> Option<String> {
    if let Ok(name) = line(host, "/run/systemd/container") {
        return Some(name);
    }
    for (marker, name) in [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")] {
        if host.read(marker).is_ok() {
            return Some(name.to_owned());
        }
    }
    let groups = host.read("/proc/self/cgroup").unwrap_or_default();
    let known = [("kubepods", "kubernetes"), ("/docker", "docker"), ("/lxc", "lxc")];
    known.iter().find(|(word, _)| groups.contains(word)).map(|(_, name)| (*name).to_owned())
}
