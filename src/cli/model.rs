//! Models as they are typed: a GGUF path.

use std::path::PathBuf;

use super::{Exit, Stop};
use crate::gguf::Header;

/// The file a model's name leads to, with a header that can be read.
pub(super) fn resolve(typed: &str) -> Result<PathBuf, Stop> {
    let path = PathBuf::from(typed);
    Header::read(&path).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    Ok(path)
}
