//! The door to a llama-server: what is asked, and what comes back.

use super::{AskError, ServeError};
use crate::model::Side;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The prompt as token ids.
    pub prompt: Vec<u32>,
    /// Tokens to generate, at least one.
    pub generate: u32,
    /// The server's slot, which keeps its KV cache between two requests.
    pub slot: u32,
    /// Whether the beginning of the prompt that the slot holds already is used again.
    pub reuse: bool,
}

/// The server's own account of one request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reply {
    /// Prompt tokens processed, without those that were in the cache.
    pub prompt_tokens: u32,
    /// Seconds it took.
    pub prompt_s: f64,
    /// Tokens generated.
    pub generated_tokens: u32,
    /// Seconds that took.
    pub generate_s: f64,
}

/// Replies to requests that were sent at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// In the order of the requests.
    pub replies: Vec<Reply>,
    /// Seconds from the first request to the last reply.
    pub wall_s: f64,
}

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// `build_info` of `/props`.
    pub build: Option<String>,
    /// Requests that it answers at once.
    pub slots: Option<u32>,
    /// Tokens that one slot has room for.
    pub context_tokens: Option<u32>,
}

/// A server that is ready. Dropping it stops what was started for it.
pub trait Server {
    /// What it says of itself.
    fn about(&self) -> &About;

    /// Sends requests at once and waits for all replies.
    fn ask(&mut self, asks: &[Ask]) -> Result<Answers, AskError>;
}

/// Where servers come from.
pub trait Servers {
    /// The server of a side, ready for requests. The one opened before must be dropped first.
    fn open(&mut self, side: Side) -> Result<Box<dyn Server>, ServeError>;
}
