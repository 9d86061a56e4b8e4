//! What this machine can do at most, measured in a child process of this program, whose death is
//! an answer.
//!
//! [`Child`] starts the hidden verb `probe` and reads what it says line by line; [`serve`] is the
//! other side: it executes announced instructions, or runs the loops of [`crate::kernels`] on
//! bound threads, in rounds. Which loops on which CPUs, and what the samples mean, is left to the
//! caller.

mod child;
mod cpu;
mod message;
mod rounds;
mod sample;
mod serve;
mod storage;
mod team;

pub use child::{Child, Ended};
pub use message::{Ask, Cell, Instructions, Kernel, Line, Measure, Measured, Outcome, StorageAsk};
pub use serve::serve;
