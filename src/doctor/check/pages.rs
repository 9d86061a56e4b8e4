//! Pages: how large, and whether they may be held.

use super::{Bytes, Fault, Look, Rule, Subject, capable, unseen};

/// `CAP_IPC_LOCK`: the limit of locked memory does not hold for those who have it.
const MAY_LOCK: u32 = 14;
/// Below this no model can be locked, whatever it is.
const TINY: Bytes = Bytes(64 << 20);
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

pub(super) const TRANSPARENT_HUGE_PAGES: Rule = Rule {
    id: "transparent-huge-pages",
    title: "whether ordinary memory gets huge pages",
    figure: None,
    look: transparent_huge_pages,
};

pub(super) const LOCKED_MEMORY: Rule = Rule {
    id: "locked-memory",
    title: "whether --mlock may hold the model in memory",
    figure: None,
    look: locked_memory,
};

fn transparent_huge_pages(subject: &Subject<'_>) -> Look {
    let Some(mode) = &subject.machine.memory.transparent_huge_pages else {
        return unseen(subject.machine, "memory.transparent_huge_pages");
    };
    let what = match mode.as_str() {
        "always" => return Look::Fine,
        // Its loader and its buffers advise the kernel about reading alone.
        "madvise" => "huge pages are for programs that ask for them, and llama.cpp does not",
        "never" => "huge pages are switched off",
        other => return Look::Unseen(format!("{HUGE_PAGES} says {other}")),
    };
    Fault::new(what)
        .shown(HUGE_PAGES, mode)
        .root_remedy(format!("echo always | sudo tee {HUGE_PAGES}"))
        .remedy("llama-server --load-mode none    # weights in a mapped file get none")
        .found()
}

fn locked_memory(subject: &Subject<'_>) -> Look {
    let machine = subject.machine;
    if capable(subject.condition, MAY_LOCK) {
        return Look::Fine;
    }
    let Some(limit) = machine.limits.locked_memory_bytes else {
        let path = "limits.locked_memory_bytes";
        let unknown = machine.unseen.contains_key(path);
        return if unknown { unseen(machine, path) } else { Look::Fine };
    };
    let what = match subject.model {
        Some(model) if limit < model.file_bytes => {
            format!("--mlock may hold {limit} of the model's {}", model.file_bytes)
        }
        None if limit < TINY => format!("--mlock may hold {limit}, less than any model has"),
        _ => return Look::Fine,
    };
    Fault::new(what)
        .shown("/proc/self/limits: Max locked memory", limit)
        .root_remedy("sudo prlimit --pid $$ --memlock=unlimited    # for this shell")
        .remedy("docker run --ulimit memlock=-1 …, or LimitMEMLOCK=infinity in a systemd unit")
        .found()
}
