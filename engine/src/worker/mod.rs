//! llama.cpp in a child process, whose death is an answer.
//!
//! [`WorkerEngine`] starts workers, asks them one thing at a time, and turns whatever becomes of
//! them into a [`Failure`](crate::api::Failure). [`serve`] is the other side: the whole life of a
//! worker. They speak `protocol`: one line of JSON each way. What a job means is left to
//! [`crate::llama`].

mod cancel;
mod child;
mod engine;
mod language;
mod oom;
mod process;
mod protocol;
mod ring;
mod wait;

pub use cancel::Canceller;
pub use child::serve;
pub use engine::{PASSED, STRIPPED, WorkerEngine, WorkerOptions};
pub use ring::Ring;
pub(crate) use wait::name as signal_name;

/// Begins the last line of an engine that aborts itself.
pub(crate) const ABORT_MARK: &str = "engine aborts: ";
