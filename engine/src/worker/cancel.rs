//! Ends whatever an engine is doing, from another thread.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::process::Event;

/// Ends the job that a [`WorkerEngine`](super::WorkerEngine) waits for, and refuses all later
/// ones. For a thread that hears of Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct Canceller(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    waiting: Option<Sender<Event>>,
}

impl Canceller {
    /// Ends the job, if there is one: its worker is killed and the job refused.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        if let Some(waiting) = state.waiting.take() {
            // Whoever waited may have gone on meanwhile.
            let _ = waiting.send(Event::Cancel);
        }
    }

    /// Has the next [`Self::cancel`] heard here; false if there was one already.
    pub(super) fn listen(&self, waiting: &Sender<Event>) -> bool {
        let mut state = self.state();
        state.waiting = Some(waiting.clone());
        !state.cancelled
    }

    /// Whether there was a [`Self::cancel`].
    pub(super) fn cancelled(&self) -> bool {
        self.state().cancelled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
