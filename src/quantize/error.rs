//! What keeps a quantization from being made.

use std::io;
use std::path::PathBuf;

use autotune_engine::api::{Bytes, Failure};
use thiserror::Error;

use crate::appraise::AppraiseError;
use crate::gguf::GgufError;
use crate::mix::{MixError, TargetError};

/// Why there is no file.
#[derive(Debug, Error)]
pub enum QuantizeError {
    /// No such type.
    #[error("there is no quantization `{0}`")]
    UnknownType(String),
    /// The source lost already what a new quantization would start from.
    #[error("{path} is quantized already: {share:.0} % of its weights are {kind}")]
    Quantized {
        /// The source.
        path: PathBuf,
        /// Its commonest quantized type.
        kind: String,
        /// Its share of all weights in percent.
        share: f64,
    },
    /// The source or a result cannot be read.
    #[error(transparent)]
    Read(#[from] GgufError),
    /// An importance matrix is missing for a type that needs one.
    #[error("{name} needs an importance matrix: {tensor} would be {kind}")]
    NeedsImportance {
        /// The file type.
        name: String,
        /// A tensor of such a type.
        tensor: String,
        /// The type.
        kind: String,
    },
    /// An importance matrix of another model.
    #[error("{path} is the importance matrix of another model: {why}")]
    OtherImportance {
        /// The matrix.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The engine failed.
    #[error("cannot make {what}")]
    Engine {
        /// What was to be made.
        what: String,
        /// What happened.
        #[source]
        cause: Failure,
    },
    /// The disk is too full.
    #[error("{folder} has {free} free, and {needed} are needed")]
    NoSpace {
        /// Where.
        folder: PathBuf,
        /// What is there.
        free: Bytes,
        /// What it would take.
        needed: Bytes,
    },
    /// The file is there already, and may be another.
    #[error("{0} is there already, and is not known to be the same")]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file that is there cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What was written is not what was planned.
    #[error("{path} is not what was planned: {why}")]
    Unplanned {
        /// The file.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// The size that was asked for cannot be kept.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Types cannot be chosen.
    #[error(transparent)]
    Mix(#[from] MixError),
    /// A file that was made cannot be judged.
    #[error("cannot measure what was made")]
    Appraise(#[from] AppraiseError),
    /// The user ended it.
    #[error("interrupted; files that were finished stay")]
    Interrupted,
}
