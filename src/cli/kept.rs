//! Models that lie in the cache: listed, or gone.

use std::fmt::Write as _;
use std::path::Path;

use autotune_engine::api::Bytes;

use super::{Exit, Printer, Stop, global};
use crate::synth::Cached;

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Removed,
}

/// Tells of a folder's models. Those that stay are data.
pub(super) fn tell(
    models: &[Cached],
    fate: Fate,
    folder: &Path,
    printer: Printer,
) -> Result<Exit, Stop> {
    if fate == Fate::Kept {
        let mut text = String::new();
        for model in models {
            let name = global::one_line(&model.path.to_string_lossy());
            let _ = writeln!(text, "{:>10}  {name}", model.bytes.to_string());
        }
        printer.data(&text)?;
    }
    let done = match fate {
        Fate::Kept => "kept",
        Fate::Removed => "removed",
    };
    let total: Bytes = models.iter().map(|model| model.bytes).sum();
    let count = match models.len() {
        1 => "1 model".to_owned(),
        count => format!("{count} models"),
    };
    printer.say(format!("{count} {done}, {total}, in {}", folder.display()));
    Ok(Exit::Done)
}
