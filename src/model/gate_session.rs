//! `autotune.gate-session/1`: what one session measured, kept to compare later ones with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::gate::{Better, GateClass, GateMachine};

/// What one session measured on one machine: a line of the gate's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSession {
    /// [`StoredSession::SCHEMA`].
    pub schema: String,
    /// Version of `autotune` that measured.
    pub tool_version: String,
    /// When it ended, RFC 3339 in UTC.
    pub recorded_at: String,
    /// The commit that was measured, where somebody said.
    pub commit: Option<String>,
    /// The release that it is, where it is one: levels are held against it.
    pub tag: Option<String>,
    /// Says that levels begin anew here, and why: a new driver, another compiler.
    pub epoch: Option<String>,
    /// The machine.
    pub machine: GateMachine,
    /// Digest of what was measured: sessions of other suites are not compared.
    pub suite_digest: String,
    /// The engine's own words.
    pub engine: Option<String>,
    /// Whether the times are made up.
    #[serde(default)]
    pub synthetic: bool,
    /// Of each group, a digest of what the model said: equal where the same was computed.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// What was measured.
    pub cells: Vec<StoredCell>,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
}

impl StoredSession {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.gate-session/1";

    /// What the session is called: its tag, its commit, or its date.
    #[must_use]
    pub fn label(&self) -> &str {
        self.tag.as_deref().or(self.commit.as_deref()).unwrap_or(&self.recorded_at)
    }
}

/// One quantity of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCell {
    /// Its name.
    pub name: String,
    /// The part of the suite it belongs to.
    pub group: String,
    /// The quantity: `tg`, `pp`, ….
    pub metric: String,
    /// Unit of `values`.
    pub unit: String,
    /// Whether more is better.
    pub better: Better,
    /// What kind of quantity.
    pub class: GateClass,
    /// One per process.
    pub values: Vec<f64>,
}
