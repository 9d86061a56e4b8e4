//! How a study began: enough to go on with the folder alone.

use std::fs;
use std::path::Path;

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::cli::sweep::Arguments;
use crate::cli::{Global, Stop, global};
use crate::store;

/// The file that says how a study began.
const BEGUN: &str = "study.json";

/// The words that were typed after `sweep`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Begun {
    schema: String,
    words: Vec<String>,
}

/// The words, read again.
#[derive(Debug, Parser)]
struct Again {
    #[command(flatten)]
    _global: Global,
    #[command(flatten)]
    arguments: Arguments,
}

impl Begun {
    const SCHEMA: &'static str = "autotune.study/1";

    /// What was typed now.
    pub(super) fn now() -> Self {
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let words: Vec<String> = words.collect();
        // The verb is not an argument of itself.
        let verb = words.iter().position(|word| word == "sweep").unwrap_or(0);
        let words = words.into_iter().skip(verb + 1);
        let words = std::iter::once("autotune".to_owned()).chain(words).collect();
        Self { schema: Self::SCHEMA.to_owned(), words }
    }

    /// What began in a folder; `None` where no study did.
    pub(super) fn read(folder: &Path) -> Option<Result<Self, String>> {
        let text = fs::read_to_string(folder.join(BEGUN)).ok()?;
        let begun = serde_json::from_str::<Self>(&text).map_err(|error| error.to_string());
        Some(begun.and_then(|begun| match begun.schema.as_str() {
            Self::SCHEMA => Ok(begun),
            other => Err(format!("it is of another version: {other}")),
        }))
    }

    /// The arguments that the words mean.
    pub(super) fn arguments(self) -> Result<Arguments, String> {
        match Again::try_parse_from(self.words) {
            Ok(Again { arguments, .. }) => Ok(arguments),
            Err(error) => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
        }
    }

    /// Keeps the words.
    pub(super) fn keep(&self, folder: &Path) -> Result<(), Stop> {
        store::write_file(folder, BEGUN, &global::json(self))
            .map_err(|error| Stop::from_store(&error))
    }

    /// Takes the words away, and the folder, where there is nothing but them.
    pub(super) fn forget(folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        if entries.flatten().all(|entry| entry.file_name() == BEGUN) {
            let _ = fs::remove_file(folder.join(BEGUN));
            let _ = fs::remove_dir(folder);
        }
    }
}
