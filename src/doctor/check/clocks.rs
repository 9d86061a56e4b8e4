//! Who sets the clocks, and how willingly.

use super::{Fault, Look, Rule, Subject, not_applicable, unseen};
use crate::model::{Condition, Turbo};

const CPUS: &str = "/sys/devices/system/cpu";

pub(super) const GOVERNOR: Rule =
    Rule { id: "governor", title: "the kernel's governor of clocks", figure: None, look: governor };

pub(super) const ENERGY_PREFERENCE: Rule = Rule {
    id: "energy-preference",
    title: "the processor's wish between speed and energy",
    figure: None,
    look: energy_preference,
};

pub(super) const TURBO: Rule = Rule {
    id: "turbo",
    title: "whether clocks above the base are allowed",
    figure: None,
    look: turbo,
};

/// Whether the processor sets its clocks itself and the governor's name says little: then the
/// wish between speed and energy decides.
fn sets_itself(condition: &Condition) -> bool {
    let clocks = &condition.clocks;
    let own = |driver: &String| driver == "intel_pstate" || driver.starts_with("amd-pstate");
    clocks.driver_mode.as_deref() == Some("active") && clocks.drivers.iter().any(own)
}

fn governor(subject: &Subject<'_>) -> Look {
    let Some(governor) = &subject.machine.cpu.governor else {
        return unseen(subject.machine, "cpu.governor");
    };
    let condition = subject.condition;
    let mut names = governor.split(", ");
    let wished = !condition.clocks.energy_preferences.is_empty();
    let left_to_wish = sets_itself(condition) && wished;
    if names.all(|name| name == "performance" || (name == "powersave" && left_to_wish)) {
        return Look::Fine;
    }
    let fault = Fault::new(format!("the governor of clocks is {governor}"))
        .shown(format!("{CPUS}/cpu*/cpufreq/scaling_governor"), governor);
    let choices = &condition.clocks.governors;
    if !choices.is_empty() && !choices.iter().any(|name| name == "performance") {
        return fault
            .shown(format!("{CPUS}/cpu*/cpufreq/scaling_available_governors"), choices.join(" "))
            .remedy("the kernel offers no governor `performance` here; choose one of those it has")
            .found();
    }
    let file = format!("{CPUS}/cpu*/cpufreq/scaling_governor");
    fault.root_remedy(format!("echo performance | sudo tee {file}")).found()
}

fn energy_preference(subject: &Subject<'_>) -> Look {
    let wishes = &subject.condition.clocks.energy_preferences;
    if wishes.is_empty() {
        let why = subject.condition.unseen.get("clocks.energy_preferences");
        return match why {
            Some(why) if !why.ends_with("does not exist") => Look::Unseen(why.clone()),
            _ => not_applicable("the kernel has no such wish for this processor"),
        };
    }
    // 0 is how the kernel writes the strongest wish for speed as a number.
    if wishes.iter().all(|wish| wish == "performance" || wish == "0") {
        return Look::Fine;
    }
    let file = format!("{CPUS}/cpu*/cpufreq/energy_performance_preference");
    Fault::new(format!("the wish between speed and energy is {}", wishes.join(", ")))
        .shown(file.clone(), wishes.join(", "))
        .root_remedy(format!("echo performance | sudo tee {file}"))
        .found()
}

fn turbo(subject: &Subject<'_>) -> Look {
    match subject.machine.cpu.turbo {
        None => return unseen(subject.machine, "cpu.turbo"),
        Some(Turbo::On) => return Look::Fine,
        Some(Turbo::Off) => {}
    }
    let intel = |driver: &String| driver == "intel_pstate" || driver == "intel_cpufreq";
    let command = if subject.condition.clocks.drivers.iter().any(intel) {
        format!("echo 0 | sudo tee {CPUS}/intel_pstate/no_turbo")
    } else {
        format!("echo 1 | sudo tee {CPUS}/cpufreq/boost")
    };
    Fault::new("clocks above the base are switched off")
        .shown("cpu.turbo", "off")
        .root_remedy(command)
        .remedy("or allow turbo in the firmware's setup, where the kernel refuses")
        .found()
}
