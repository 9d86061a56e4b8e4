//! Whether a run can be looked at: this costs no speed, but the reason of a slow run stays hidden.

use super::{Fault, Look, Rule, Subject, capable, not_applicable, unseen_now};
use crate::model::CounterUnit;

/// Above this a user may not count events of processes of their own.
const OWN_PROCESSES: i32 = 2;
/// `CAP_PERFMON`, and `CAP_SYS_ADMIN`, which includes it.
const MAY_COUNT: [u32; 2] = [38, 21];

pub(super) const PERF_COUNTERS: Rule = Rule {
    id: "perf-counters",
    title: "whether the processor's event counters may be read",
    figure: None,
    look: perf_counters,
};

fn perf_counters(subject: &Subject<'_>) -> Look {
    let condition = subject.condition;
    match condition.counter_unit {
        None => return unseen_now(condition, "counter_unit"),
        Some(CounterUnit::Absent) => {
            return not_applicable("the kernel drives no event counters of the processor here");
        }
        Some(CounterUnit::Present) => {}
    }
    let Some(level) = condition.perf_event_paranoid else {
        return unseen_now(condition, "perf_event_paranoid");
    };
    if level <= OWN_PROCESSES || MAY_COUNT.iter().any(|number| capable(condition, *number)) {
        return Look::Fine;
    }
    Fault::new("event counters are locked: what bounds a run cannot be counted")
        .shown("/proc/sys/kernel/perf_event_paranoid", level)
        .root_remedy(format!("sudo sysctl kernel.perf_event_paranoid={OWN_PROCESSES}"))
        .found()
}
