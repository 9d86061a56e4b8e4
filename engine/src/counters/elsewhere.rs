//! Systems whose counters we do not know.

use super::Whom;
use crate::api::{Count, KernelUse};

/// No counters.
#[derive(Debug)]
pub struct Counters;

impl Counters {
    /// Opens none.
    #[must_use]
    pub fn open(_whom: Whom) -> Self {
        Self
    }

    /// Begins to count nothing.
    pub fn start(&mut self) {}

    /// Nothing.
    pub fn read(&mut self) -> Vec<Count> {
        Vec::new()
    }

    /// Why.
    #[must_use]
    pub fn unseen(&self) -> &[String] {
        &[]
    }
}

/// Nothing.
#[must_use]
pub fn kernel_use(_process: Option<u32>) -> KernelUse {
    KernelUse::default()
}
