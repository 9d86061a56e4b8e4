//! The machine document.

use serde::{Deserialize, Serialize};

/// What a machine is: the document of `autotune detect --format json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Version of the document.
    pub schema: String,
    /// Everything that was seen.
    #[serde(flatten)]
    pub facts: serde_json::Map<String, serde_json::Value>,
}
