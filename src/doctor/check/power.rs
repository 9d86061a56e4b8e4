//! Heat and power that hold clocks down.

use super::{Fault, Look, Rule, Subject, not_applicable, unseen_now};

pub(super) const THROTTLED: Rule = Rule {
    id: "throttled",
    title: "times that heat made the processor slower, now and since the start",
    figure: None,
    look: throttled,
};

pub(super) const POWER_LIMITED: Rule = Rule {
    id: "power-limited",
    title: "power limits of the processor below what it is made for",
    figure: None,
    look: power_limited,
};

pub(super) const BATTERY: Rule = Rule {
    id: "battery",
    title: "whether a battery powers the machine",
    figure: None,
    look: battery,
};

pub(super) const LOW_POWER_MODE: Rule = Rule {
    id: "low-power-mode",
    title: "the firmware's profile of power",
    figure: None,
    look: low_power_mode,
};

/// Profiles that the kernel's documents describe as slower for less power, heat or noise.
const SLOW_PROFILES: &[&str] = &["low-power", "cool", "quiet"];

fn throttled(subject: &Subject<'_>) -> Look {
    let Some(events) = subject.condition.throttled else {
        return unseen_now(subject.condition, "throttled");
    };
    if (events.core, events.package) == (0, 0) {
        return Look::Fine;
    }
    let what = if events.now > 0 {
        "heat makes the processor slower at this moment"
    } else {
        "heat has made the processor slower since the system started"
    };
    let folder = "/sys/devices/system/cpu/cpu*/thermal_throttle";
    Fault::new(what)
        .shown(format!("{folder}/core_throttle_count"), format!("{} at most", events.core))
        .shown(format!("{folder}/package_throttle_count"), format!("{} at most", events.package))
        .shown("between two readings", events.now)
        .remedy("look after fans, dust and paste, or take fewer threads for long runs")
        .found()
}

fn power_limited(subject: &Subject<'_>) -> Look {
    let caps = &subject.condition.power_caps;
    if caps.is_empty() {
        return unseen_now(subject.condition, "power_caps");
    }
    let low: Vec<_> =
        caps.iter().filter(|cap| cap.limit_microwatts < cap.maximum_microwatts).collect();
    if low.is_empty() {
        return Look::Fine;
    }
    let watts = |microwatts: u64| format!("{:.0} W", microwatts as f64 / 1e6);
    let fault = Fault::new("the processor's power is limited below what it is made for");
    let fault = low.into_iter().fold(fault, |fault, cap| {
        let file = format!(
            "/sys/class/powercap/{}/constraint_{}_power_limit_uw",
            cap.zone, cap.constraint
        );
        let (limit, maximum) = (watts(cap.limit_microwatts), watts(cap.maximum_microwatts));
        fault
            .shown(file.clone(), format!("{limit} of {maximum}, {}", cap.name))
            .root_remedy(format!("echo {} | sudo tee {file}", cap.maximum_microwatts))
    });
    fault.found()
}

fn battery(subject: &Subject<'_>) -> Look {
    let sources = &subject.condition.power_sources;
    let Some(battery) = sources.iter().find(|source| source.kind == "Battery") else {
        return not_applicable("no battery is listed below /sys/class/power_supply");
    };
    let Some(status) = &battery.status else {
        return Look::Unseen(format!("{} does not tell its status", battery.name));
    };
    let plugged = sources.iter().any(|source| source.kind != "Battery" && source.online == Some(1));
    if status != "Discharging" || plugged {
        return Look::Fine;
    }
    Fault::new("the machine runs on its battery")
        .shown(format!("/sys/class/power_supply/{}/status", battery.name), status)
        .remedy("plug it in")
        .found()
}

fn low_power_mode(subject: &Subject<'_>) -> Look {
    let condition = subject.condition;
    let Some(profile) = &condition.platform_profile else {
        return match condition.unseen.get("platform_profile") {
            Some(why) if !why.ends_with("does not exist") => Look::Unseen(why.clone()),
            _ => not_applicable("the firmware has no profiles of power"),
        };
    };
    if !SLOW_PROFILES.contains(&profile.as_str()) {
        return Look::Fine;
    }
    let file = "/sys/firmware/acpi/platform_profile";
    let fault = Fault::new(format!("the firmware's profile of power is {profile}"));
    let fault = fault.shown(file, profile);
    let choices = &condition.platform_profiles;
    let faster = ["performance", "balanced"]
        .into_iter()
        .find(|name| choices.iter().any(|choice| choice == name));
    match faster {
        Some(name) => fault.root_remedy(format!("echo {name} | sudo tee {file}")).found(),
        None => fault.remedy("choose a faster profile in the firmware's setup").found(),
    }
}
