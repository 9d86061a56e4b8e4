//! What a container leaves of the machine, processor time aside.

use super::{Fault, Look, Rule, Subject, not_applicable};

pub(super) const CONTAINER_LIMITS: Rule = Rule {
    id: "container-limits",
    title: "memory and processors that control groups leave of the machine",
    figure: None,
    look: container_limits,
};

fn container_limits(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let limits = &machine.limits;
    let Some(version) = limits.cgroup_version else {
        return match machine.unseen.get("limits.cgroup_version") {
            Some(why) => Look::Unseen(why.clone()),
            None => not_applicable("there are no control groups"),
        };
    };
    let total = machine.memory.total_bytes;
    let memory = limits.memory_limit_bytes.zip(total);
    let memory = memory.filter(|(limit, total)| limit.0 < total.0 / 2);
    let online = machine.cpu.threads_online;
    let cpus = limits.cpuset.as_ref().filter(|set| online.is_none_or(|all| set.len() < all));
    if memory.is_none() && cpus.is_none() {
        return Look::Fine;
    }
    let mut parts = Vec::new();
    if let Some((limit, total)) = memory {
        parts.push(format!("{limit} of {total} memory"));
    }
    if let Some(set) = cpus {
        let all = online.map(|all| format!(" of {all}")).unwrap_or_default();
        parts.push(format!("{}{all} processors", set.len()));
    }
    let what = format!("control groups leave this process {}", parts.join(" and "));
    let mut fault = Fault::new(what).shown("limits.cgroup_version", version);
    if let Some((limit, _)) = memory {
        fault = fault.shown("limits.memory_limit_bytes", limit);
        fault = fault.remedy("docker update --memory … CONTAINER, or MemoryMax= of a systemd unit");
    }
    if let Some(set) = cpus {
        fault = fault.shown("limits.cpuset", set);
        fault = fault.remedy("docker update --cpuset-cpus … CONTAINER, or AllowedCPUs= of a unit");
    }
    fault.needs_root = true;
    fault.found()
}
