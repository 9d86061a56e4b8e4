//! `profile --perf-stat FILE`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{Arguments, deliver};
use crate::bottleneck;
use crate::cli::global::now;
use crate::cli::{Exit, Printer, Stop};
use crate::model::{Profile, Subject};

/// Bytes of a file that is read: thousands of times what `perf stat` writes.
const LIMIT_BYTES: u64 = 16 << 20;

/// Reads the counters and prints what follows from them.
pub(super) fn run(file: &Path, arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let text = text(file)?;
    let name = file.display().to_string();
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

fn text(file: &Path) -> Result<String, Stop> {
    let wrong = |reason: String| Stop::usage(format!("cannot read {}: {reason}", file.display()));
    let open = File::open(file).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    open.take(LIMIT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(wrong(format!("it is larger than {} MiB", LIMIT_BYTES >> 20)));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is no text".to_owned()))
}
