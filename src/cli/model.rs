//! Models as they are typed: a GGUF path.

use std::path::PathBuf;

use super::Stop;

/// The file a model's name leads to.
pub(super) fn resolve(typed: &str) -> Result<PathBuf, Stop> {
    let path = PathBuf::from(typed);
    let facts = path
        .metadata()
        .map_err(|error| Stop::usage(format!("cannot read the model {typed}: {error}")))?;
    if facts.is_dir() {
        let stop = Stop::usage(format!("the model {typed} is a directory"));
        return Err(stop.hint("name a .gguf file in it"));
    }
    Ok(path)
}
