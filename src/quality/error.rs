//! What keeps the scores of a chunk from being taken.

use thiserror::Error;

/// Scores of a chunk that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScoreError {
    /// The numbers do not belong to the same tokens.
    #[error(
        "cannot pair the scores of a chunk: {reference} tokens of the reference, {nll} likelihoods, \
         {divergence} divergences and {same_top} likeliest tokens of the candidate"
    )]
    Lengths {
        /// Likelihoods of the reference.
        reference: usize,
        /// Likelihoods of the candidate.
        nll: usize,
        /// Divergences of the candidate.
        divergence: usize,
        /// Comparisons of the likeliest token.
        same_top: usize,
    },
    /// No token was scored.
    #[error("no token of a chunk was scored")]
    Empty,
    /// A model answered with something that is no number.
    #[error("the score of token {token} of a chunk is not a finite number")]
    NotFinite {
        /// Its place among the chunk's scored tokens, from 0.
        token: usize,
    },
}
