//! Temporary.
mod sensor;
pub use sensor::{ProcessorTimes, processor_times};
use crate::model::Machine;
/// Temporary.
#[must_use]
pub fn live() -> Machine {
    let mut machine = Machine { schema: Machine::SCHEMA.into(), provenance: crate::model::Provenance::Live, ..Machine::default() };
    machine.cpu.cores = Some(2);
    machine.cpu.threads_online = Some(2);
    machine.limits.usable_threads = Some(2);
    machine.memory.available_bytes = Some(autotune_engine::api::Bytes(20 << 30));
    machine
}
