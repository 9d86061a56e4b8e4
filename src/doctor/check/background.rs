//! Processor time that goes to others.

use super::{Fault, Look, Rule, Subject, not_applicable, percent, unseen_now};

/// Share of stolen time from which on it is a finding. A single thread that waits makes every
/// other one wait at the end of each step.
const STOLEN: f64 = 0.01;
/// Busy processors from which on the load is a finding, whatever the machine's size: one thread
/// that shares its processor half of the time slows all of them.
const BUSY: f64 = 0.5;

pub(super) const STEAL: Rule = Rule {
    id: "steal",
    title: "processor time that the hypervisor gives to others",
    figure: None,
    look: steal,
};

pub(super) const BACKGROUND_LOAD: Rule = Rule {
    id: "background-load",
    title: "processors that other programs keep busy",
    figure: None,
    look: background_load,
};

fn steal(subject: &Subject<'_>) -> Look {
    let Some(share) = subject.condition.stolen_share else {
        return unseen_now(subject.condition, "stolen_share");
    };
    if share < STOLEN {
        return match &subject.machine.os.hypervisor {
            None if share <= 0.0 => not_applicable("no hypervisor was seen, and no time is stolen"),
            _ => Look::Fine,
        };
    }
    Fault::new(format!("the hypervisor gives {} of the processor time to others", percent(share)))
        .shown("/proc/stat, between two readings: steal", percent(share))
        .remedy("take an instance with processors of its own, or measure at a quieter hour")
        .found()
}

fn background_load(subject: &Subject<'_>) -> Look {
    let condition = subject.condition;
    let Some(busy) = condition.busy_processors else {
        return unseen_now(condition, "busy_processors");
    };
    if busy < BUSY {
        return Look::Fine;
    }
    let fault = Fault::new(format!("other programs keep {busy:.1} processors busy"))
        .shown("/proc/stat, between two readings: busy processors", format!("{busy:.1}"));
    let fault = match condition.processor_pressure {
        Some(waiting) => fault.shown("/proc/pressure/cpu: some avg10", format!("{waiting} %")),
        None => fault,
    };
    fault.remedy("top -o %CPU    # names them; stop what is not needed").found()
}
