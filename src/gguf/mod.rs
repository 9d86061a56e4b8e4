//! The header of GGUF files, read without believing it, and what identifies a file.
//!
//! Knows the format only. What the numbers mean for speed and memory is left to
//! [`ModelCard`](crate::model::ModelCard), writing files to `synth`, loading them to llama.cpp.

mod error;
mod file;
mod header;
mod source;
#[cfg(test)]
mod tests;
mod types;
mod value;

pub use error::{GgufError, HeaderError};
pub use file::ModelFile;
pub use header::{Header, Tensor};
pub use types::{TENSOR_TYPES, TensorType};
pub use value::Value;
