//! Asks models how likely they find a text and how far candidates are from a reference, chunk by
//! chunk, until that is known well enough.
//!
//! What the numbers say is left to `quality`, showing them to `cli` and `render`. Every chunk that
//! was scored is kept in a cache, so that an interrupted run goes on where it was.

mod error;
mod groups;
mod run;
mod setting;
#[cfg(test)]
mod tests;
mod text;

pub use error::AppraiseError;
pub use groups::{Basis, Fit};
pub use run::{Appraised, Asked, Candidate, Kept, Looking, appraise};
pub use setting::{Speech, speaking};
pub use text::{
    BUILTIN_CALIBRATION, BUILTIN_EVALUATION, Chunks, ScoredFrom, TextError, chunks, read_text,
    tokenize_alike,
};
