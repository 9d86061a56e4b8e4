//! The checks, a file for each part of the machine.

mod background;
mod clocks;
mod counters;
mod gpu;
mod isa;
mod limits;
mod memory;
mod numa;
mod pages;
mod power;
mod processor;
mod storage;

pub(super) use self::processor::default_and_wanted;
use super::{
    Bytes, Check, Condition, Cost, Evidence, Figure, Finding, Machine, StorageKind, Subject,
    Verdict, figure,
};

/// Every check, in the order in which they are listed.
pub const CHECKS: &[&dyn Check] = &[
    &processor::CPU_QUOTA,
    &processor::HYBRID_THREADS,
    &processor::SMT_SIBLINGS,
    &isa::ISA_UNUSABLE,
    &isa::ENGINE_VARIANT,
    &clocks::GOVERNOR,
    &clocks::ENERGY_PREFERENCE,
    &clocks::TURBO,
    &power::THROTTLED,
    &power::POWER_LIMITED,
    &power::BATTERY,
    &power::LOW_POWER_MODE,
    &background::STEAL,
    &background::BACKGROUND_LOAD,
    &memory::MEMORY_SHORT,
    &memory::SWAP_IN_USE,
    &memory::MEMORY_CHANNELS,
    &memory::MEMORY_SPEED,
    &pages::TRANSPARENT_HUGE_PAGES,
    &pages::LOCKED_MEMORY,
    &numa::SINGLE_NODE,
    &numa::NUMA_BALANCING,
    &limits::CONTAINER_LIMITS,
    &storage::MODEL_STORAGE,
    &gpu::GPU_NO_BACKEND,
    &gpu::GRAPH_SPLITS,
    &gpu::GPU_MEMORY_TAKEN,
    &gpu::PCIE_LINK,
    &gpu::GPU_THROTTLED,
    &gpu::GPU_POWER_LIMIT,
    &gpu::GPU_PERSISTENCE,
    &counters::PERF_COUNTERS,
];

/// A check that is a function.
struct Rule {
    id: &'static str,
    title: &'static str,
    figure: Option<&'static Figure>,
    look: fn(&Subject<'_>) -> Look,
}

/// What a rule sees.
enum Look {
    Fine,
    NotApplicable(String),
    Unseen(String),
    Found(Fault),
}

/// What is the matter, before it has a name and a cost.
struct Fault {
    what: String,
    evidence: Vec<Evidence>,
    remedy: Vec<String>,
    needs_root: bool,
    /// Whether it is the fault of which the rule's figure tells.
    as_published: bool,
}

impl Check for Rule {
    fn id(&self) -> &'static str {
        self.id
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn figure(&self) -> Option<&'static Figure> {
        self.figure
    }

    fn examine(&self, subject: &Subject<'_>) -> Verdict {
        let fault = match (self.look)(subject) {
            Look::Fine => return Verdict::Fine,
            Look::NotApplicable(why) => return Verdict::NotApplicable(why),
            Look::Unseen(why) => return Verdict::Unseen(why),
            Look::Found(fault) => fault,
        };
        let figure = self.figure.filter(|_| fault.as_published);
        Verdict::Found(Finding {
            check: self.id.to_owned(),
            what: fault.what,
            evidence: fault.evidence,
            cost: figure.map_or(Cost::Unknown, Figure::cost),
            remedy: fault.remedy,
            needs_root: fault.needs_root,
        })
    }
}

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            evidence: Vec::new(),
            remedy: Vec::new(),
            needs_root: false,
            as_published: true,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers, sizes and texts alike are shown")]
    fn shown(mut self, source: impl Into<String>, value: impl ToString) -> Self {
        self.evidence.push(Evidence { source: source.into(), value: value.to_string() });
        self
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.push(remedy.into());
        self
    }

    fn root_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.needs_root = true;
        self.remedy(remedy)
    }

    /// The rule's figure tells of another fault than this one.
    fn unpublished(mut self) -> Self {
        self.as_published = false;
        self
    }

    fn found(self) -> Look {
        Look::Found(self)
    }
}

fn not_applicable(why: impl Into<String>) -> Look {
    Look::NotApplicable(why.into())
}

/// With the reason that the machine document gives for a missing fact.
fn unseen(machine: &Machine, path: &str) -> Look {
    Look::Unseen(machine.unseen.get(path).cloned().unwrap_or_else(|| format!("{path} is unknown")))
}

/// With the reason that the state's document gives.
fn unseen_now(condition: &Condition, name: &str) -> Look {
    let why = condition.unseen.get(name).cloned();
    Look::Unseen(why.unwrap_or_else(|| format!("{name} is unknown")))
}

/// Whether this process has a capability, by its number in `capabilities(7)`.
fn capable(condition: &Condition, number: u32) -> bool {
    condition.capabilities.is_some_and(|bits| bits & (1 << number) != 0)
}

/// `12.5 %`.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
