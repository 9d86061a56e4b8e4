//! Time as a door: whoever schedules asks a clock, and a simulated machine brings its own.

use std::fmt;
use std::time::{Duration, Instant};

/// A clock that never runs backwards.
pub trait Clock: fmt::Debug {
    /// Time since some fixed moment.
    fn now(&self) -> Duration;
}

/// The monotonic clock of this system, from the moment it was made.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that starts at zero.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
