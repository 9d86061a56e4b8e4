//! Where power comes from and what limits it.

use super::keep;
use crate::detect::Host;
use crate::detect::host::{line, value};
use crate::model::{Condition, PowerCap, PowerSource};

const CAPS: &str = "/sys/class/powercap";
const SOURCES: &str = "/sys/class/power_supply";
const PROFILE: &str = "/sys/firmware/acpi/platform_profile";
/// Most constraints of one zone: the kernel's drivers have at most three.
const CONSTRAINTS: u32 = 4;
/// Most zones, and sources of power, that are looked at.
const MOST: usize = 256;

/// Fills everything about power.
pub(super) fn fill(host: &dyn Host, found: &mut Condition) {
    let zones = host.list(CAPS);
    found.power_caps = zones.iter().take(MOST).flat_map(|zone| caps(host, zone)).collect();
    if found.power_caps.is_empty() {
        let why = format!("no limit below {CAPS} tells what the processor is made for");
        found.unseen.insert("power_caps".to_owned(), why);
    }
    let sources = host.list(SOURCES);
    found.power_sources = sources.iter().take(MOST).filter_map(|name| source(host, name)).collect();
    if found.power_sources.is_empty() {
        let why = format!("nothing is listed below {SOURCES}");
        found.unseen.insert("power_sources".to_owned(), why);
    }
    found.platform_profile = keep(&mut found.unseen, "platform_profile", line(host, PROFILE));
    let choices = line(host, &format!("{PROFILE}_choices")).unwrap_or_default();
    found.platform_profiles = choices.split_whitespace().map(str::to_owned).collect();
}

/// Limits of one zone that tell both what holds and what the processor is made for.
fn caps(host: &dyn Host, zone: &str) -> Vec<PowerCap> {
    let folder = format!("{CAPS}/{zone}");
    let zone_name = line(host, &format!("{folder}/name")).unwrap_or_else(|_| zone.to_owned());
    // A zone that is switched off holds nothing down.
    if value::<u32>(host, &format!("{folder}/enabled")) == Ok(0) {
        return Vec::new();
    }
    let cap = |constraint: u32| {
        let file = |name: &str| format!("{folder}/constraint_{constraint}_{name}");
        let microwatts =
            |name: &str| value::<u64>(host, &file(name)).ok().filter(|value| *value > 0);
        let name = line(host, &file("name")).unwrap_or_else(|_| constraint.to_string());
        Some(PowerCap {
            zone: zone.to_owned(),
            constraint,
            name: format!("{zone_name} {name}"),
            limit_microwatts: microwatts("power_limit_uw")?,
            maximum_microwatts: microwatts("max_power_uw")?,
        })
    };
    (0..CONSTRAINTS).filter_map(cap).collect()
}

/// Batteries of mice and headsets power no processor.
fn source(host: &dyn Host, name: &str) -> Option<PowerSource> {
    let file = |file: &str| format!("{SOURCES}/{name}/{file}");
    if line(host, &file("scope")).as_deref() == Ok("Device") {
        return None;
    }
    Some(PowerSource {
        name: name.to_owned(),
        kind: line(host, &file("type")).ok()?,
        status: line(host, &file("status")).ok(),
        online: value(host, &file("online")).ok(),
    })
}
