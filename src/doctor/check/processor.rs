//! Threads: how many a program takes by default, and how many may run.

use super::{Fault, Look, Rule, Subject, figure, not_applicable, unseen};
use crate::model::{Condition, CoreKind, CpuList, KindName, Machine};

pub(super) const CPU_QUOTA: Rule = Rule {
    id: "cpu-quota",
    title: "threads that a program takes by default, against those that may run at once",
    figure: Some(&figure::QUOTA),
    look: cpu_quota,
};

pub(super) const HYBRID_THREADS: Rule = Rule {
    id: "hybrid-threads",
    title: "default threads on a processor with several kinds of cores",
    figure: Some(&figure::HYBRID),
    look: hybrid_threads,
};

pub(super) const SMT_SIBLINGS: Rule = Rule {
    id: "smt-siblings",
    title: "default threads that share a core with another",
    figure: None,
    look: smt_siblings,
};

fn cpu_quota(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let Some(default) = machine.fast_cores() else { return unseen(machine, "cpu.cores") };
    let Some(usable) = machine.limits.usable_threads else {
        return unseen(machine, "limits.usable_threads");
    };
    let quota = machine.limits.cpu_quota_cores.filter(|quota| *quota < f64::from(default));
    if default <= usable && quota.is_none() {
        return Look::Fine;
    }
    let takes = format!("llama.cpp takes {default} {} by default", threads(default));
    let fault = if let Some(quota) = quota {
        let what = format!("{takes}, and the control group gives time for {quota:.2}");
        Fault::new(what).shown("limits.cpu_quota_cores", format!("{quota:.2}"))
    } else {
        Fault::new(format!("{takes}, and {usable} may run at once")).unpublished()
    };
    let fault = fault
        .shown("limits.usable_threads", usable)
        .shown("default threads", format!("{default}: physical cores, of a hybrid the fast ones"));
    // The public figure is of threads that a quota could not carry at all.
    let fault = if default > usable { fault } else { fault.unpublished() };
    let carried = carried(machine, usable);
    let fault = if default > carried {
        fault.remedy(format!("llama-server --threads {carried} --threads-batch {carried}"))
    } else {
        fault
    };
    match quota {
        Some(_) => fault.remedy("or give the container more processor time").found(),
        None => fault.found(),
    }
}

/// Threads that can run all the time: a quota's fraction of one more stops every thread for the
/// rest of each period, because all of them wait for the slowest.
fn carried(machine: &Machine, usable: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at 0")]
    let whole = machine.limits.cpu_quota_cores.map(|quota| quota.floor() as u32);
    usable.min(whole.unwrap_or(usable)).max(1)
}

/// For each check of this file whose remedy is a thread count: the check, llama.cpp's default, and
/// the remedy's.
pub(in crate::doctor) fn default_and_wanted(
    machine: &Machine,
    condition: &Condition,
) -> Vec<(&'static str, u32, u32)> {
    let (Some(default), Some(usable)) = (machine.fast_cores(), machine.limits.usable_threads)
    else {
        return Vec::new();
    };
    let mut found = vec![(CPU_QUOTA.id, default, default.min(carried(machine, usable)))];
    let fast = machine.cpu.kinds.iter().find(|kind| kind.name == KindName::Performance);
    if let Some(fast) = fast
        && let Some(counted) = counted_by_twos(machine, &fast.cpus)
    {
        let wanted = fast.cores.min(usable);
        found.push((HYBRID_THREADS.id, counted.min(wanted), wanted));
    }
    if let Some(cores) = condition.allowed_cores {
        let default = default.min(usable);
        found.push((SMT_SIBLINGS.id, default, default.min(cores)));
    }
    found
}

fn threads(count: u32) -> &'static str {
    if count == 1 { "thread" } else { "threads" }
}

/// llama.cpp counts the fast cores of an Intel hybrid one after another and leaves out the CPU
/// behind each, which it takes for the core's second thread. `None` where it does not count so.
fn counted_by_twos(machine: &Machine, fast: &CpuList) -> Option<u32> {
    let counts = machine.os.architecture.as_deref() == Some("x86_64")
        && machine.cpu.vendor.as_deref() == Some("GenuineIntel")
        && machine.limits.cpuset.is_none();
    if !counts {
        return None;
    }
    let (mut count, mut skipped) = (0, None);
    for cpu in fast.iter() {
        if skipped != Some(cpu) {
            count += 1;
            skipped = cpu.checked_add(1);
        }
    }
    Some(count)
}

fn hybrid_threads(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    let kinds = &machine.cpu.kinds;
    if kinds.is_empty() {
        return unseen(machine, "cpu.cores");
    }
    let Some(fast) = kinds.iter().find(|kind| kind.name == KindName::Performance) else {
        return not_applicable("all cores are of one kind");
    };
    let slow: u32 = kinds
        .iter()
        .filter(|kind| kind.name != KindName::Performance)
        .fold(0, |sum, kind| sum.saturating_add(kind.cores));
    if slow == 0 {
        return not_applicable("all cores are of one kind");
    }
    let usable = machine.limits.usable_threads.unwrap_or(fast.cores);
    let wanted = fast.cores.min(usable).max(1);
    let remedy =
        format!("llama-server --threads {wanted} --cpu-mask {} --cpu-strict 1", mask(fast));
    let shown = |fault: Fault| {
        let list = format!("{} fast cores on CPUs {}, {slow} slower ones", fast.cores, fast.cpus);
        fault.shown("cpu.kinds", list).remedy(remedy.clone())
    };
    match counted_by_twos(machine, &fast.cpus) {
        Some(count) if count < wanted => shown(Fault::new(format!(
            "llama.cpp takes {count} {} by default where {wanted} fast cores may run: it takes \
             every other fast core for a second thread",
            threads(count)
        )))
        .found(),
        Some(_) => Look::Fine,
        None => shown(Fault::new(format!(
            "llama.cpp may take slow cores beside the {} fast ones by default, and every step \
             waits for the slowest",
            fast.cores
        )))
        .unpublished()
        .found(),
    }
}

/// One bit for the first CPU of each fast core, as `--cpu-mask` wants it.
fn mask(kind: &CoreKind) -> String {
    let per_core = kind.threads.checked_div(kind.cores).unwrap_or(1).max(1);
    let mut digits = Vec::new();
    for cpu in kind.cpus.iter().step_by(per_core as usize) {
        let place = (cpu / 4) as usize;
        if digits.len() <= place {
            digits.resize(place + 1, 0_u32);
        }
        digits[place] |= 1 << (cpu % 4);
    }
    let digits = digits.iter().rev().filter_map(|digit| char::from_digit(*digit, 16));
    format!("0x{}", digits.collect::<String>())
}

fn smt_siblings(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    match machine.cpu.smt {
        None => return unseen(machine, "cpu.smt"),
        Some(0 | 1) => return not_applicable("each core runs one thread"),
        Some(_) => {}
    }
    let Some(default) = machine.fast_cores() else { return unseen(machine, "cpu.cores") };
    let Some(usable) = machine.limits.usable_threads else {
        return unseen(machine, "limits.usable_threads");
    };
    let Some(cores) = subject.condition.allowed_cores else {
        return super::unseen_now(subject.condition, "allowed_cores");
    };
    // Threads above those that may run at once are the quota's matter.
    if default.min(usable) <= cores {
        return Look::Fine;
    }
    Fault::new(format!(
        "{} threads by default share {cores} cores that this process may use",
        default.min(usable)
    ))
    .shown("/proc/self/status: Cpus_allowed_list", allowed(subject))
    .shown("cores of these CPUs", cores)
    .shown("limits.usable_threads", usable)
    .remedy(format!("llama-server --threads {cores}"))
    .found()
}

fn allowed(subject: &Subject<'_>) -> String {
    subject.condition.allowed_cpus.as_ref().map(ToString::to_string).unwrap_or_default()
}
