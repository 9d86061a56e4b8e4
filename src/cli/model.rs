//! Models as they are typed: a GGUF path, or the name of a synthetic model.

use std::path::PathBuf;

use super::{Exit, Printer, Stop, synth};
use crate::gguf::Header;

/// The file a model's name leads to, with a header that can be read.
pub(super) fn resolve(typed: &str, printer: Printer) -> Result<PathBuf, Stop> {
    let path = synth::model_file(typed, printer)?;
    Header::read(&path).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    Ok(path)
}
