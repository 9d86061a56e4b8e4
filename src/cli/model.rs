//! Models as they are typed, and the cache folder that made ones and earlier results lie in.

use std::path::PathBuf;

use etcetera::BaseStrategy;

use super::{Exit, Printer, Stop, synth};
use crate::gguf::ModelFile;
use crate::model::ModelCard;

/// The card of the model that a name leads to: a GGUF path, or `synth:SHAPE:QUANT`, which is
/// written into the cache if it is not there.
pub(super) fn card(typed: &str, printer: Printer) -> Result<ModelCard, Stop> {
    let path = synth::model_file(typed, printer)?;
    let file = ModelFile::open(&path).map_err(|error| {
        let stop = Stop::from_error(Exit::Usage, &error);
        match path.extension() {
            Some(extension) if extension == "gguf" => stop,
            _ => stop.hint(
                "a model is a .gguf file, or synth:SHAPE:QUANT (see `autotune synth --help`)",
            ),
        }
    })?;
    ModelCard::of(&file).map_err(|error| Stop::from_error(Exit::Usage, &error))
}

/// Where models and results of earlier sweeps are kept: `AUTOTUNE_CACHE`, or `autotune` in the
/// user's cache folder.
pub(super) fn cache_folder() -> Result<PathBuf, Stop> {
    if let Some(folder) = std::env::var_os("AUTOTUNE_CACHE").filter(|folder| !folder.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let base = etcetera::choose_base_strategy().map_err(|error| {
        Stop::from_error(Exit::Failure, &error).hint("set AUTOTUNE_CACHE to a folder")
    })?;
    Ok(base.cache_dir().join("autotune"))
}

/// Where the quantizations are kept that sweeps make for themselves.
pub(super) fn quantized_folder() -> Result<PathBuf, Stop> {
    Ok(cache_folder()?.join("quantized"))
}
