//! Why a document could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a document could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The system did not let a file or folder be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system did not let a file or folder be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A new run would mix with what is there.
    #[error("the folder {path} exists and is not empty")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// What is there is no run of this tool.
    #[error("{path} is not a run directory: {missing} is missing")]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The file that a run would have.
        missing: &'static str,
    },
    /// Another sweep holds the folder.
    #[error("another sweep is running in {path}")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A document is not what it should be.
    #[error("{place} is not a valid document: {reason}")]
    Corrupt {
        /// The file, with the line in a journal.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A document was written by a later version of this tool.
    #[error("{place} has version {found}, and this version of autotune reads {known}")]
    Newer {
        /// The file, with the line in a journal.
        place: String,
        /// The document's version.
        found: String,
        /// The newest version that is understood.
        known: String,
    },
    /// A file would grow beyond what this tool reads.
    #[error("{path} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
}

impl StoreError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Some("free some space, then continue with --resume".to_owned())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("name a folder that you may write with --out".to_owned())
                }
                _ => None,
            },
            Self::NotEmpty { path } => Some(format!(
                "name another folder with --out, or continue it with --resume {}",
                path.display()
            )),
            Self::NotARun { .. } | Self::Read { .. } => {
                Some("a run directory holds machine.json, plan.json and trials.jsonl".to_owned())
            }
            Self::Busy { .. } => Some("wait for it to end, or name another folder".to_owned()),
            Self::Corrupt { .. } => {
                Some("put the file aside or repair it; nothing in it was changed".to_owned())
            }
            Self::Newer { .. } => Some("use the version of autotune that wrote it".to_owned()),
            Self::TooLarge { .. } => None,
        }
    }

    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
