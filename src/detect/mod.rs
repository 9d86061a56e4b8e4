//! What a machine is: [`Host`] → [`Machine`].
//!
//! Reads files and asks the drivers' libraries through one door, [`Host`], so that every probe
//! runs the same over a directory of captured files. Changes nothing, measures nothing; what the
//! facts are good for is left to `plan` and `render`.

mod amd;
mod arm;
mod backends;
mod cache;
pub mod capture;
mod card_series;
mod card_watch;
pub mod ceiling;
mod cgroup;
mod clock;
mod condition;
mod container;
mod cpu;
mod cpuid;
mod drm;
mod firmware;
mod gpu;
mod host;
mod hwloc;
mod hypervisor;
mod intel;
mod isa;
mod kinds;
mod limits;
mod live;
mod memory;
mod mounts;
mod names;
mod node_kind;
mod numa;
mod nvidia;
#[cfg(all(test, unix))]
mod nvidia_tests;
mod pci;
mod portable;
mod recommend;
mod registers;
mod sensor;
mod storage;
mod system;
#[cfg(test)]
mod tests;
mod topology;
mod tree;
mod x86;

use std::collections::BTreeMap;
use std::fmt::Display;

pub use backends::add_devices;
pub use card_series::CardRecorder;
pub use card_watch::CardWatch;
pub use condition::condition;
pub use gpu::Card;
pub use host::{Host, Unread};
pub use live::{Live, live};
pub use nvidia::{GpuProcess, gpu_processes};
pub use registers::Registers;
pub use sensor::{ProcessorTimes, own_processor_time, processor_times};
pub use topology::Topology;
pub use tree::Tree;

use crate::model::{Machine, Provenance};

/// Looks at everything.
#[must_use]
pub fn machine(host: &dyn Host) -> Machine {
    let mut gaps = Gaps::default();
    let topology = topology::find(host, &mut gaps);
    // hwloc can be told by its environment to describe another machine. Nothing of this one must
    // leak into it.
    let described = topology.as_ref().is_some_and(|found| !found.this_system);
    let elsewhere = Elsewhere { now: host.now() };
    let host: &dyn Host = if described { &elsewhere } else { host };
    let mut machine = Machine {
        schema: Machine::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        captured_at: host.now(),
        provenance: host.provenance(),
        os: system::find(host, &mut gaps),
        cpu: cpu::find(host, topology.as_ref(), &mut gaps),
        memory: memory::find(host, &mut gaps),
        gpus: gpu::find(host, &mut gaps),
        storage: storage::find(host, &mut gaps),
        ..Machine::default()
    };
    machine.numa = numa::find(host, topology.as_ref(), &machine.cpu, &mut gaps);
    machine.limits = limits::find(host, &mut machine.cpu, &mut gaps);
    if described {
        gaps.missing("gpus", "hwloc describes another machine");
    }
    gaps.missing("ceilings", "they were not measured; --ceilings measures them");
    gaps.missing("devices", gpu::NOT_ASKED);
    gaps.missing("cpu.isa_unusable", "instructions are executed on the machine itself only");
    machine.unseen = gaps.0;
    if host.provenance() == Provenance::Live {
        portable::fill(&mut machine);
    }
    machine.recommendation = recommend::find(&machine);
    machine
}

/// Why facts are missing, by their path.
#[derive(Debug, Default)]
struct Gaps(BTreeMap<String, String>);

impl Gaps {
    fn missing(&mut self, path: impl Into<String>, why: impl Display) {
        self.0.insert(path.into(), why.to_string());
    }

    /// The fact, or a note why there is none.
    fn or<T>(&mut self, path: &str, fact: Option<T>, why: impl Display) -> Option<T> {
        if fact.is_none() {
            self.missing(path, why);
        }
        fact
    }

    /// The fact, or a note which file did not give it.
    fn read<T>(&mut self, path: &str, fact: Result<T, Unread>) -> Option<T> {
        fact.map_err(|why| self.missing(path, why)).ok()
    }
}

/// A machine of which hwloc's description is all there is.
struct Elsewhere {
    now: String,
}

impl Host for Elsewhere {
    fn read(&self, path: &str) -> Result<String, Unread> {
        let why = "hwloc describes another machine".to_owned();
        Err(Unread::Broken { path: path.to_owned(), why })
    }

    fn read_bytes(&self, path: &str) -> Result<Vec<u8>, Unread> {
        self.read(path).map(String::into_bytes)
    }

    fn list(&self, _path: &str) -> Vec<String> {
        Vec::new()
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn now(&self) -> String {
        self.now.clone()
    }
}
