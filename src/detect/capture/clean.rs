//! What of each file may leave the machine.

use super::super::container;
use super::names::Names;
use super::smbios;

/// Keys of `uevent` files that name no single piece of hardware.
const EVENT_KEYS: &[&str] = &[
    "DEVNAME=",
    "DEVTYPE=",
    "DRIVER=",
    "MODALIAS=",
    "OF_COMPATIBLE",
    "OF_NAME=",
    "PCI_CLASS=",
    "PCI_ID=",
    "PCI_SLOT_NAME=",
    "PCI_SUBSYS_ID=",
];
/// Files whose lines with these beginnings are kept.
const LINES: &[(&str, &[&str])] = &[
    ("/proc/self/status", &["Cpus_allowed_list:", "Mems_allowed_list:"]),
    ("/proc/self/limits", &["Max locked memory"]),
    ("/proc/sysinfo", &["VM00 Control Program:", "LPAR Number:"]),
    ("/etc/os-release", &["NAME=", "ID=", "VERSION_ID="]),
    ("/usr/lib/os-release", &["NAME=", "ID=", "VERSION_ID="]),
];
/// Parts of the names of files that are never taken.
const NEVER: &[&str] =
    &["serial", "uuid", "asset_tag", "address", "hostname", "machine-id", "boot_id"];
/// What stands for a number that is one machine's own.
const BLANK: &str = "000000";
/// What stands before the number of each CPU of a mainframe.
const IDENTIFICATION: &str = "identification = ";

/// Whether a file may be taken at all.
pub(super) fn allowed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    !NEVER.iter().any(|word| name.contains(word)) && !path.starts_with("/sys/class/net")
}

/// The bytes of a file without what is private.
pub(super) fn file(path: &str, bytes: &[u8], names: &mut Names) -> Vec<u8> {
    if path.starts_with("/sys/firmware/dmi/tables/DMI") {
        return smbios::blanked(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let name = path.rsplit('/').next().unwrap_or_default();
    if let Some((_, beginnings)) = LINES.iter().find(|(known, _)| *known == path) {
        return lines(&text, beginnings).into_bytes();
    }
    match (path, name) {
        ("/proc/version", _) => version(&text),
        ("/proc/cpuinfo", _) => cpuinfo(&text),
        ("/proc/self/cgroup", _) => membership(&text, names),
        ("/run/systemd/container", _) => text.into_owned(),
        (_, "uevent") => lines(&text, EVENT_KEYS),
        (_, "information") => lines(&text, &["Model:"]),
        _ if path.ends_with("/dm/name") => names.mapping(text.trim()) + "\n",
        _ if container::is_mark(path) => String::new(),
        _ => text.into_owned(),
    }
    .into_bytes()
}

/// Lines with an end each.
fn joined<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn lines(text: &str, beginnings: &[&str]) -> String {
    let kept = text.lines().filter(|line| beginnings.iter().any(|word| line.starts_with(word)));
    joined(kept)
}

/// Without who built the kernel, and where.
fn version(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    let sandbox = if text.contains(container::GVISOR) { container::GVISOR } else { "" };
    format!("{} {sandbox}\n", words.join(" "))
}

/// Without serial numbers; mainframes have one for each CPU in its line.
fn cpuinfo(text: &str) -> String {
    let serial = |line: &&str| {
        line.split(':').next().is_some_and(|key| key.to_lowercase().contains("serial"))
    };
    let cleaned = text.lines().filter(|line| !serial(line)).flat_map(|line| {
        match line.split_once(IDENTIFICATION) {
            Some((before, after)) => {
                let rest = after.find(',').map_or("", |end| &after[end..]);
                [before, IDENTIFICATION, BLANK, rest, "\n"]
            }
            None => [line, "", "", "", "\n"],
        }
    });
    cleaned.collect()
}

fn membership(text: &str, names: &mut Names) -> String {
    let cleaned = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        // A hierarchy without controllers has the name that its maker gave it.
        let controllers = if controllers.starts_with("name=") { "name=group" } else { controllers };
        Some(format!("{number}:{controllers}:{}\n", names.groups(path)))
    });
    cleaned.collect()
}

/// Of the registry of PCI devices the lines of those numbers that some device has.
pub(super) fn registry(text: &str, numbers: &[String]) -> String {
    let mut within = false;
    let kept = text.lines().filter(|line| {
        let number = |line: &str| numbers.iter().any(|number| line.starts_with(number.as_str()));
        if let Some(model) = line.strip_prefix('\t') {
            return within && number(model);
        }
        within = number(line);
        within
    });
    joined(kept)
}
