//! What ends an appraisal.

use std::path::PathBuf;

use autotune_engine::api::Failure;
use thiserror::Error;

use crate::quality::ScoreError;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum AppraiseError {
    /// The engine failed.
    #[error("cannot score chunk {chunk}")]
    Engine {
        /// From 1.
        chunk: usize,
        /// What happened.
        #[source]
        cause: Failure,
    },
    /// The engine's numbers do not fit together.
    #[error("the scores of {model} make no sense")]
    Scores {
        /// Whose.
        model: PathBuf,
        /// Why.
        #[source]
        cause: ScoreError,
    },
    /// The user ended it before there was anything.
    #[error("interrupted before the first chunk was scored")]
    Interrupted,
}
