//! `profile --compare BEFORE AFTER`.

use std::path::Path;

use super::{Arguments, Format, write};
use crate::cli::{Exit, Printer, Stop};
use crate::model::Profile;
use crate::render::profile as render;
use crate::store;

/// Puts two profiles beside each other.
pub(super) fn run(
    before: &Path,
    after: &Path,
    arguments: &Arguments,
    printer: Printer,
) -> Result<Exit, Stop> {
    let read = |path: &Path| -> Result<Profile, Stop> {
        store::read_profile(path).map_err(|error| {
            let stop = Stop::from_error(Exit::Usage, &error);
            stop.hint("`autotune profile --format json -o FILE …` writes such a file")
        })
    };
    let (before, after) = (read(before)?, read(after)?);
    let comparison = crate::bottleneck::compare(&before, &after).map_err(Stop::usage)?;
    let text = match arguments.format {
        Format::Text => render::comparison_text(&comparison),
        Format::Md => render::comparison_markdown(&comparison),
        Format::Json => {
            let json = serde_json::to_string_pretty(&comparison);
            json.expect("documents have string keys only") + "\n"
        }
    };
    match &arguments.output {
        None => printer.data(&text)?,
        Some(path) => write(path, &text, printer)?,
    }
    Ok(Exit::Done)
}
