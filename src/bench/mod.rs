//! One or several settings by hand: llama-bench's grid of tests, its protocol and its words.
//!
//! Answers for lists and ranges as llama-bench reads them, the order of its tests, what its
//! fields mean, and its four output formats. How a test is run is left to the engine, where text
//! goes and what ends the program to `cli`; searching and comparing are `sweep`'s.

mod grid;
mod list;
mod markdown;
mod output;
mod record;
mod run;

pub use grid::{Grid, GridError, Test};
pub use list::{ListError, numbers, pair, words};
pub use output::{Format, Writer};
pub use record::{Record, Surroundings};
pub use run::{Event, Session, run};
