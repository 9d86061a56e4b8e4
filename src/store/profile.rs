//! Profiles as files.

use std::path::Path;

use super::StoreError;
use super::document::{read_document, write_document};
use crate::model::Profile;

/// The name of a profile in a run directory.
pub const PROFILE: &str = "profile.json";

/// Writes a profile whole, or not at all.
pub fn write_profile(path: &Path, profile: &Profile) -> Result<(), StoreError> {
    write_document(path, profile)
}

/// Reads a profile of this version.
pub fn read_profile(path: &Path) -> Result<Profile, StoreError> {
    read_document(path, Profile::SCHEMA)
}
