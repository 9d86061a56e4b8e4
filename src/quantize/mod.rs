//! Files of other quantizations: what they would be, writing them whole or not at all, importance
//! matrices, and types chosen tensor by tensor.
//!
//! The quantizer is llama.cpp's own, in a worker. How far the answers of what it wrote are from the
//! source's is left to `appraise`, which types to choose to `mix`.

pub mod cache;
mod contents;
mod error;
mod importance;
mod instruments;
mod mixing;
mod plan;
mod write;

pub use contents::{Contents, contents};
pub use error::QuantizeError;
pub use importance::{Calibration, calibrate, fits};
pub use instruments::{Instrument, UNIFORM};
pub use mixing::{MixTarget, MixWish, Mixed, Paced, Probed, Rival, Step, mix};
pub use plan::{Planned, Recipe, Source, plan, recipe};
pub use write::{Existing, Placed, Written, write};
