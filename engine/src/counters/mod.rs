//! Events counted by the processor and the kernel, of threads or of the whole machine.
//!
//! Counting costs nothing that could be measured: the units count by themselves, and a reading is a
//! system call per event. What cannot be counted is said in one sentence with its remedy; what the
//! counts mean is left to callers.

#[cfg(target_os = "linux")]
mod events;
#[cfg(target_os = "linux")]
mod kernel;
#[cfg(target_os = "linux")]
mod units;
#[cfg(target_os = "linux")]
mod linux {
    pub use super::events::Counters;
    pub use super::kernel::kernel_use;
}
#[cfg(not(target_os = "linux"))]
#[path = "elsewhere.rs"]
mod linux;

pub use linux::{Counters, kernel_use};

/// Whom to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The calling thread, and every thread and process that it starts from now on.
    Caller,
    /// A process with the threads it has, and every one they start from now on.
    Process(u32),
}
