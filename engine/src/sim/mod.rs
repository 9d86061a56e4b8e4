//! A machine made of formulas and seeded noise, behind the same trait as llama.cpp.
//!
//! [`World`] is the machine, the model and their accidents, read from TOML; [`World::truth`] is
//! what a setting really takes on it, free of noise, so that a test can ask whether a search found
//! the best; [`Simulator`] runs jobs on it in virtual time. Results are marked
//! [`synthetic`](crate::api::Identity::synthetic).
//!
//! The formulas have the shape of the real thing (bandwidth roof, compute roof, barriers, SMT, a
//! best ubatch), not its numbers: nothing here predicts a machine.

mod check;
mod clock;
mod noise;
mod pace;
mod parts;
mod simulator;
mod spec;
mod split;
mod team;
#[cfg(test)]
mod tests;
mod trace;
mod truth;
mod weather;
mod world;

pub use clock::VirtualClock;
pub use parts::{
    AttentionSpec, BackgroundSpec, ExpertSpec, GpuSpec, HybridSpec, LoadModeSpec, NumaSpec,
    PollingSpec, RepackSpec, StudySpec,
};
pub use simulator::Simulator;
pub use spec::{
    BurstSpec, Crash, CrashKind, CrashWhen, FlashAttentionSpec, MachineSpec, ModelSpec, NoiseSpec,
    SelfTest, StepCosts, ThrottleSpec, VariantSpec,
};
pub use team::{Peak, SimulatedCpu};
pub use truth::{Switch, Truth};
pub use world::{World, WorldError};
