//! Why no synthetic model was written.

use std::io;
use std::path::PathBuf;

use autotune_engine::api::Bytes;
use autotune_engine::llama::quantize::QuantizeError;

use crate::gguf::GgufError;

/// Why no synthetic model was written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// No such shape.
    #[error("unknown shape `{0}`")]
    UnknownShape(String),
    /// No such quantization.
    #[error("unknown quantization `{0}`")]
    UnknownQuant(String),
    /// A name that is not `synth:SHAPE:QUANT`.
    #[error("`{name}` is not a synthetic model's name: {what}")]
    BadName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Hyperparameters no model has.
    #[error("the shape {name} cannot be written: it has {what}")]
    BadShape {
        /// The shape.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A model configuration that cannot be used.
    #[error("cannot use the model configuration {}: {what}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A model configuration that cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A GGUF file that cannot be read.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A GGUF file whose architecture or keys do not suffice.
    #[error("cannot take the shape of {}: {what}", path.display())]
    BadSource {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The quantizer will not.
    #[error("cannot quantize {tensor}")]
    Quantize {
        /// What was to be quantized.
        tensor: String,
        /// Why not.
        #[source]
        cause: QuantizeError,
    },
    /// The disk is too small, seen before anything was written.
    #[error("{} needs {needed}, and {free} are free there", path.display())]
    NoSpace {
        /// The file to be.
        path: PathBuf,
        /// Its size.
        needed: Bytes,
        /// What is free.
        free: Bytes,
    },
    /// The output is there already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The system refuses.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file to be.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The caller asked to stop.
    #[error("stopped while writing {}; nothing is left behind", .0.display())]
    Stopped(PathBuf),
}
