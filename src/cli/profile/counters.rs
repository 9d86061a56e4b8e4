//! `profile --perf-stat FILE`.

use std::path::Path;

use super::{Arguments, deliver};
use crate::bottleneck;
use crate::cli::global::{bounded_text, now};
use crate::cli::{Exit, Printer, Stop};
use crate::model::{Profile, Subject};

/// Bytes of a file that is read: thousands of times what `perf stat` writes.
const LIMIT_BYTES: u64 = 16 << 20;

/// Reads the counters and prints what follows from them.
pub(super) fn run(file: &Path, arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let name = file.display().to_string();
    let text = bounded_text(file, LIMIT_BYTES)
        .map_err(|reason| Stop::usage(format!("cannot read {name}: {reason}")))?;
    let counters = bottleneck::perf_stat(&name, &text).map_err(|error| {
        Stop::usage(format!("cannot use {name}: {error}"))
            .hint("`perf stat -x, -o FILE …` or `perf stat -j -o FILE …` writes such a file")
    })?;
    let profile = Profile {
        schema: Profile::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        captured_at: now(),
        machine: None,
        subject: Subject::Counters(counters),
        caveats: Vec::new(),
    };
    deliver(&profile, arguments, printer)?;
    Ok(Exit::Done)
}
