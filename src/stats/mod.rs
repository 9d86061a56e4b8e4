//! From samples to an estimate with an interval, and from paired samples to a change.
//!
//! Pure and seeded: no I/O, no clock, no knowledge of tokens. What is compared with what is left
//! to `analysis`; when to stop is left to `search`.

mod estimate;

pub use estimate::{Change, Estimate, Separation};
