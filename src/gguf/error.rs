//! Why a file's header cannot be used.

use std::io;
use std::path::PathBuf;

/// A file whose header cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the GGUF header of {}", path.display())]
pub struct GgufError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub cause: HeaderError,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The system refuses.
    #[error("{0}")]
    Read(io::Error),
    /// A folder was named.
    #[error("it is a directory")]
    Directory,
    /// A pipe, a device, a socket.
    #[error("it is not a regular file")]
    NotAFile,
    /// The file starts with something else.
    #[error("it is not a GGUF file (it starts with {found})")]
    NotGguf {
        /// The first bytes.
        found: String,
    },
    /// Written for a machine of the other byte order.
    #[error("it is a big-endian GGUF file, which llama.cpp does not load on this machine")]
    BigEndian,
    /// A layout this reader does not know.
    #[error("GGUF version {0} is not supported, only 2 and 3")]
    Version(u32),
    /// Shorter than it says.
    #[error("the file is truncated: at least {missing} bytes are missing ({what})")]
    Truncated {
        /// Where it was noticed.
        what: String,
        /// How many bytes are missing, at least.
        missing: u64,
    },
    /// A count beyond anything sane.
    #[error("{count} {what}, more than the {limit} a model can have")]
    TooMany {
        /// Of what.
        what: String,
        /// How many the file announces.
        count: u64,
        /// How many are believed.
        limit: u64,
    },
    /// Something in it contradicts the format.
    #[error("{0}")]
    Malformed(String),
    /// A key that the model card needs.
    #[error("the header has no {0}")]
    MissingKey(String),
    /// A key whose value is of no use.
    #[error("{key} is {value}")]
    BadValue {
        /// The key.
        key: String,
        /// What it holds.
        value: String,
    },
}
