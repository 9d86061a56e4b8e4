//! Whether the gain of a run holds on a llama-server: the default and the tuned setting are served
//! in turn, the same requests are sent to both, and the times are compared in pairs.
//!
//! [`Verify`] is the loop; it tells what it does by [`Event`]s and never prints. Where servers come
//! from is behind [`Servers`]: [`Programs`] starts the user's own, one at a time, and [`Running`]
//! asks those that run already. What the pairs mean is [`judge`], a pure function. Which setting is
//! recommended is left to `analysis`, how a setting is spelled to `export`.

mod address;
mod door;
mod error;
mod http;
mod judge;
mod line;
mod pairs;
mod process;
mod programs;
mod running;
mod shape;
#[cfg(test)]
mod tests;
mod visit;

pub use address::{Address, WrongAddress};
pub use door::{About, Answers, Ask, Reply, Server, Servers};
pub use error::{AskError, ServeError};
pub use judge::{Judged, fits, fits_sentence, judge, sentence};
pub use pairs::{Ending, Event, Verify};
pub use process::{GUARD, Patience};
pub use programs::{Launch, Programs};
pub use running::Running;
pub use shape::{Room, Shape};
pub use visit::served;
