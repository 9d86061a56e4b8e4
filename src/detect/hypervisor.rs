//! Who runs this virtual machine, on every architecture.

use super::Host;
use super::cpu::field;
use super::host::line;

/// Products that virtual machines show as their mainboard, by a part of maker and product.
const PRODUCTS: &[(&str, &str)] = &[
    ("KVM", "kvm"),
    ("Amazon EC2", "kvm"),
    ("Google Compute Engine", "kvm"),
    ("OpenStack", "kvm"),
    ("DigitalOcean", "kvm"),
    ("Hetzner vServer", "kvm"),
    ("Alibaba Cloud", "kvm"),
    ("Scaleway", "kvm"),
    ("Vultr", "kvm"),
    ("Akamai", "kvm"),
    ("Nutanix AHV", "kvm"),
    ("Cloud Hypervisor", "kvm"),
    ("RHEV", "kvm"),
    ("oVirt", "kvm"),
    ("QEMU", "qemu"),
    ("VMware", "vmware"),
    ("VirtualBox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("Microsoft Corporation Virtual Machine", "hyper-v"),
    ("Xen", "xen"),
    ("HVM domU", "xen"),
    ("Parallels", "parallels"),
    ("Apple Virtualization", "apple"),
    ("BHYVE", "bhyve"),
];
/// Clocks that a guest of each hypervisor is offered.
const CLOCKS: &[(&str, &str)] = &[("kvm-clock", "kvm"), ("hyperv_clocksource", "hyper-v")];

/// `None` on the bare machine.
pub(super) fn find(host: &dyn Host, kernel: Option<&str>, cpuinfo: &str) -> Option<String> {
    if kernel.is_some_and(|kernel| kernel.to_lowercase().contains("microsoft")) {
        return Some("wsl".to_owned());
    }
    let board = board(host);
    let flags = field(cpuinfo, &["flags"]);
    let found = match &flags {
        Some(flags) => x86(host, cpuinfo, &board, flags),
        None => mainframe(host)
            .or_else(|| power(host, cpuinfo))
            .or_else(|| line(host, "/sys/hypervisor/type").ok())
            .or_else(|| device_tree(host))
            // Makers of virtual machines sell whole machines too, and name those so.
            .or_else(|| by_board(&board).filter(|_| !board.contains(".metal"))),
    };
    found.or_else(|| flags.is_none().then(|| host.registers()?.hypervisor).flatten())
}

fn board(host: &dyn Host) -> String {
    ["sys_vendor", "product_name"]
        .iter()
        .filter_map(|name| line(host, &format!("/sys/class/dmi/id/{name}")).ok())
        .collect::<Vec<_>>()
        .join(" ")
}

fn by_board(board: &str) -> Option<String> {
    let known = PRODUCTS.iter().find(|(product, _)| board.contains(product));
    known.map(|(_, name)| (*name).to_owned())
}

/// The processor announces whether there is one at all: makers of virtual machines make laptops
/// too.
fn x86(host: &dyn Host, cpuinfo: &str, board: &str, flags: &str) -> Option<String> {
    let registers = host.registers().and_then(|registers| registers.hypervisor);
    if registers.is_none() && !flags.split(' ').any(|flag| flag == "hypervisor") {
        return None;
    }
    let by_board = by_board(board);
    let clocks = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
    let clocks = line(host, clocks).unwrap_or_default();
    let clock = CLOCKS.iter().find(|(clock, _)| clocks.contains(clock));
    let clock = clock.map(|(_, name)| (*name).to_owned());
    let emulated = field(cpuinfo, &["model name"]).is_some_and(|model| model.contains("TCG"));
    // KVM can show itself as Hyper-V to please Windows; its board or its clock gives it away.
    let disguised = |name: &String| name == "hyper-v" && by_board.as_deref() != Some("hyper-v");
    let board_or_clock = || match by_board.clone() {
        Some(name) if name == "qemu" && !emulated => Some(clock.clone().unwrap_or(name)),
        Some(name) => Some(name),
        None => clock.clone(),
    };
    match registers.filter(|name| name != "unknown") {
        Some(name) if disguised(&name) => board_or_clock().or(Some(name)),
        Some(name) => Some(name),
        None => line(host, "/sys/hypervisor/type")
            .ok()
            .or_else(board_or_clock)
            .or(Some("unknown".to_owned())),
    }
}

/// Mainframes: `VM00 Control Program: z/VM    7.3.0`, and above every system a partition.
fn mainframe(host: &dyn Host) -> Option<String> {
    let text = host.read("/proc/sysinfo").ok()?;
    let program = field(&text, &["VM00 Control Program"]);
    match program {
        Some(program) if program.contains("KVM") => Some("kvm".to_owned()),
        Some(program) if program.contains("z/VM") => Some("z/vm".to_owned()),
        Some(_) => Some("unknown".to_owned()),
        None => field(&text, &["LPAR Number"]).map(|_| "pr/sm".to_owned()),
    }
}

/// POWER: partitions of `PowerVM` and guests of QEMU both are `pSeries`.
fn power(host: &dyn Host, cpuinfo: &str) -> Option<String> {
    let machine = field(cpuinfo, &["machine"])?;
    if field(cpuinfo, &["platform"]).as_deref() != Some("pSeries") {
        return None;
    }
    let compatible = tree_file(host, "hypervisor/compatible");
    if compatible.contains("linux,kvm") {
        Some("kvm".to_owned())
    } else if machine.contains("qemu") {
        Some("qemu".to_owned())
    } else {
        Some("powervm".to_owned())
    }
}

/// Machines that are described by a device tree.
fn device_tree(host: &dyn Host) -> Option<String> {
    let hypervisor = tree_file(host, "hypervisor/compatible");
    let machine = format!("{} {}", tree_file(host, "compatible"), tree_file(host, "model"));
    let known = [("xen", "xen"), ("kvm", "kvm"), ("vmware", "vmware")];
    if let Some((_, name)) = known.iter().find(|(word, _)| hypervisor.contains(word)) {
        return Some((*name).to_owned());
    }
    if machine.contains("qemu") || machine.contains("riscv-virtio") {
        return Some("qemu".to_owned());
    }
    // The board that QEMU, Firecracker and others share.
    machine.contains("linux,dummy-virt").then(|| "unknown".to_owned())
}

fn tree_file(host: &dyn Host, name: &str) -> String {
    ["/proc/device-tree", "/sys/firmware/devicetree/base"]
        .iter()
        .find_map(|folder| host.read(&format!("{folder}/{name}")).ok())
        .unwrap_or_default()
        .replace('\0', " ")
}
