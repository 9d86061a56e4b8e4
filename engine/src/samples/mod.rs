//! Which functions the threads of this process are in, looked at some hundred times a second.
//!
//! The kernel interrupts each thread and writes down where it was; a thread of our own fetches
//! what it wrote. Names come from the files that the code is in.

#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod sampler;
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod sampler;

pub use sampler::Sampler;

use crate::api::{FunctionUse, Stretch};

/// What a sample marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampled {
    /// Time on a processor: by its cycles, or by the clock where it counts none.
    Time,
    /// Loads that the last cache did not have, where the processor counts them.
    CacheMisses,
}

/// A stretch of work on the clock that samples have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// What was done.
    pub stretch: Stretch,
    /// From when, in nanoseconds.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: u64,
}

/// What was collected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Samples {
    /// Functions by stretch, the most frequent first.
    pub functions: Vec<FunctionUse>,
    /// Samples that nobody fetched in time.
    pub lost: u64,
}

/// The clock of samples, in nanoseconds.
#[must_use]
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
