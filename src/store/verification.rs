//! Verifications as files.

use std::path::Path;

use super::StoreError;
use super::document::{read_document, write_document};
use crate::model::Verification;

/// The name of a verification in a run directory.
pub const VERIFICATION: &str = "verification.json";

/// Writes a verification whole, or not at all.
pub fn write_verification(path: &Path, verification: &Verification) -> Result<(), StoreError> {
    write_document(path, verification)
}

/// Reads a verification of this version.
pub fn read_verification(path: &Path) -> Result<Verification, StoreError> {
    read_document(path, Verification::SCHEMA)
}
