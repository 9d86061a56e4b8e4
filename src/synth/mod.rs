//! Models without a download: GGUF files of known models' exact shapes and types with seeded
//! random weights, written at once or kept in a cache.
//!
//! The mixture of types and the quantization are llama.cpp's own. Reading files is left to `gguf`;
//! what the weights would say is left to nobody: they are noise.

mod cache;
mod error;
mod from_config;
mod from_gguf;
mod metadata;
mod outline;
mod rows;
mod shape;
mod tensors;
#[cfg(test)]
mod tests;
mod vocabulary;
mod write;

pub use autotune_engine::llama::quantize::{FILE_TYPES, FileType};
pub use cache::{Cached, Depth, Name, clear, list, resolve};
pub use error::SynthError;
pub use outline::{Outline, outline};
pub use shape::{Architecture, Output, RopeScaling, SHAPES, Shape};
pub use write::{Progress, Replace, Request, free_bytes, size, write};

/// The file type of this name; `mxfp4` is short for `mxfp4_moe`.
pub fn file_type(name: &str) -> Result<FileType, SynthError> {
    let small = name.to_ascii_lowercase();
    let full = if small == "mxfp4" { "mxfp4_moe" } else { &small };
    FILE_TYPES
        .iter()
        .find(|file_type| file_type.name == full)
        .copied()
        .ok_or_else(|| SynthError::UnknownQuant(name.into()))
}
