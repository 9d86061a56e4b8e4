//! What `quality` found, as files.

use std::path::Path;

use super::StoreError;
use super::document::{read_document, write_document};
use crate::model::QualityReport;

/// Its name in a folder of documents.
pub const QUALITY: &str = "quality.json";

/// Writes a report whole, or not at all.
pub fn write_quality(path: &Path, report: &QualityReport) -> Result<(), StoreError> {
    write_document(path, report)
}

/// Reads a report of this version.
pub fn read_quality(path: &Path) -> Result<QualityReport, StoreError> {
    read_document(path, QualityReport::SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_back_as_it_was_and_only_in_its_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(QUALITY);
        let golden = include_str!("../../tests/goldens/quality.json");
        let mut report: QualityReport = serde_json::from_str(golden).unwrap();
        write_quality(&path, &report).unwrap();
        assert_eq!(read_quality(&path).unwrap(), report);
        report.schema = "autotune.quality/9".into();
        write_quality(&path, &report).unwrap();
        assert!(matches!(read_quality(&path), Err(StoreError::Newer { .. })));
    }
}
