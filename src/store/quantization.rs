//! Studies of quantizations as files.

use std::path::Path;

use super::StoreError;
use super::document::{read_document, write_document};
use super::run::{MACHINE, MACHINE_SCHEMA};
use crate::model::{Machine, QuantizationStudy};

/// The name of a study in its folder, and in a run directory that belongs to it.
pub const QUANTIZATION: &str = "quantization.json";

/// Writes a study whole, or not at all.
pub fn write_quantization(path: &Path, study: &QuantizationStudy) -> Result<(), StoreError> {
    write_document(path, study)
}

/// Writes the machine that a study was made on, beside it.
pub fn write_machine(folder: &Path, machine: &Machine) -> Result<(), StoreError> {
    write_document(&folder.join(MACHINE), machine)
}

/// The machine that a study was made on; `None` where that was not kept or cannot be read.
#[must_use]
pub fn read_machine(folder: &Path) -> Option<Machine> {
    read_document(&folder.join(MACHINE), MACHINE_SCHEMA).ok()
}

/// Reads a study of this version.
pub fn read_quantization(path: &Path) -> Result<QuantizationStudy, StoreError> {
    read_document(path, QuantizationStudy::SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_is_read_back_as_it_was_and_only_in_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(QUANTIZATION);
        let golden = include_str!("../../tests/goldens/quantization.json");
        let mut study: QuantizationStudy = serde_json::from_str(golden).unwrap();
        write_quantization(&path, &study).unwrap();
        assert_eq!(read_quantization(&path).unwrap(), study);
        study.schema = "autotune.quantization/9".into();
        write_quantization(&path, &study).unwrap();
        assert!(matches!(read_quantization(&path), Err(StoreError::Newer { .. })));
    }
}
