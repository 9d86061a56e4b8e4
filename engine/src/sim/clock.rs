//! Time that passes only when simulated work is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::api::Clock;

/// A clock that stands still until somebody moves it. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub struct VirtualClock {
    nanoseconds: Arc<AtomicU64>,
}

impl VirtualClock {
    /// Lets this much time pass; beyond 584 years it stands still.
    pub fn advance(&self, duration: Duration) {
        let step = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let add = |now: u64| Some(now.saturating_add(step));
        self.nanoseconds
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .expect("the update always gives a value");
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_time_and_it_never_wraps() {
        let clock = VirtualClock::default();
        let other = clock.clone();
        clock.advance(Duration::from_millis(3));
        other.advance(Duration::from_millis(4));
        assert_eq!(clock.now(), Duration::from_millis(7));
        clock.advance(Duration::MAX);
        clock.advance(Duration::from_secs(1));
        assert_eq!(other.now(), Duration::from_nanos(u64::MAX));
    }
}
