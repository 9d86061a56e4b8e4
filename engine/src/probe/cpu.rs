//! Binding a thread to a CPU.

use std::io;

/// Binds the calling thread to one CPU.
#[cfg(target_os = "linux")]
pub(super) fn bind(cpu: u32) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let cpu = cpu as usize;
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// This system has no such call.
#[cfg(not(target_os = "linux"))]
pub(super) fn bind(_cpu: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
