//! The regression gate: two sides measured in turn, a session against stored ones, or numbers of
//! other tools, and one report of what they allow to say.
//!
//! [`Race`] is the loop; it tells what it does by [`Progress`] and never prints. A side is an
//! [`Arm`]: this program's worker, another build's, a llama-bench, or a simulator. What numbers
//! mean is decided by `judge`, how a report looks by `render`, where sessions lie by `store`.

mod arm;
mod canary;
mod evidence;
mod imported;
mod load;
mod machine;
mod noise;
mod program;
mod race;
mod report;
mod sessions;
mod solo;
mod suite;
#[cfg(test)]
mod tests;

pub use arm::{Arm, EngineArm, Visit};
pub use canary::{Arithmetic, Canary, Silent};
pub use evidence::{Evidence, canary, evidence};
pub use imported::{Foreign, imported};
pub use machine::{differences, facts};
pub use noise::{limit, noise, noise_floor, session_noise};
pub use program::ProgramArm;
pub use race::{Arms, Finish, Progress, Race, RaceError};
pub use report::{Circumstances, confirmed, hidden, raced, session};
pub use sessions::{OverTime, WINDOW, answers_of, checked, over_time, session_of};
pub use solo::Solo;
pub use suite::{Quantity, Subject, Suite, Wanted, WrongQuantity};
