//! A sweep as JSON lines, for other programs to follow; `docs/FORMATS.md` describes them.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::{Exit, Stop};
use crate::model::{Outcome, Purpose, Trial, TriedSetting};
use crate::search::Ask;
use crate::sweep::Progress;

/// Version of the lines.
const SCHEMA: &str = "autotune.event/1";

/// The file that events go to. Where it can no longer be written the sweep goes on without it.
pub(in crate::cli) struct Events {
    path: PathBuf,
    file: Option<File>,
}

/// What every line has.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    at: String,
    event: &'static str,
    #[serde(flatten)]
    rest: &'a Value,
}

impl Events {
    /// Begins the file anew, or goes on at its end; a pipe or a device is opened as it is.
    pub(in crate::cli) fn open(path: &Path, go_on: bool) -> Result<Self, Stop> {
        let mut how = OpenOptions::new();
        how.create(true).write(true).append(go_on).truncate(!go_on);
        let file = how.open(path).map_err(|error| Stop {
            exit: Exit::Failure,
            message: format!("cannot write events to {}: {error}", path.display()),
            hint: None,
        })?;
        Ok(Self { path: path.to_owned(), file: Some(file) })
    }

    /// A phase begins. Like all below it answers with a warning where the file failed.
    pub(super) fn phase(&mut self, purpose: Purpose) -> Option<String> {
        self.write("phase", &json!({ "purpose": purpose }))
    }

    /// A visit begins.
    pub(super) fn asked(&mut self, ask: &Ask, id: u32, words: &str) -> Option<String> {
        let rest = json!({
            "trial": id,
            "purpose": ask.purpose,
            "block": ask.block,
            "setting": words,
        });
        self.write("asked", &rest)
    }

    /// A trial has been journaled.
    pub(super) fn finished(
        &mut self,
        trial: &Trial,
        progress: &Progress,
        words: &str,
        best: Option<&TriedSetting>,
    ) -> Option<String> {
        let rate = |seconds: Option<f64>| seconds.map(|seconds| 1.0 / seconds);
        let failure = match &trial.outcome {
            Outcome::Failed(failure) => Some(failure.to_string()),
            Outcome::NotRun(skipped) => Some(skipped.reason.clone()),
            Outcome::Measured(_) => None,
        };
        let rest = json!({
            "trial": trial.id,
            "purpose": trial.purpose,
            "setting": words,
            "outcome": trial.outcome.kind(),
            "reason": failure,
            "prefill_tok_per_s": rate(trial.prefill_seconds_per_token()),
            "decode_tok_per_s": rate(trial.decode_seconds_per_token()),
            "caveats": trial.caveats,
            "trials": progress.trials,
            "expected_trials": progress.expected_trials,
            "elapsed_ms": millis(progress.elapsed),
            "remaining_ms": millis(progress.remaining),
            "best": best.map(|best| json!({
                "setting": best.setting,
                "speed_over_default": best.speed.value,
                "visits": best.speed.n,
            })),
        });
        self.write("finished", &rest)
    }

    /// The sweep has ended.
    pub(super) fn ended(&mut self, reason: &str, trials: usize) -> Option<String> {
        self.write("ended", &json!({ "reason": reason, "trials": trials }))
    }

    fn write(&mut self, event: &'static str, rest: &Value) -> Option<String> {
        let file = self.file.as_mut()?;
        let at = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let line = Line { schema: SCHEMA, at, event, rest };
        let mut json = serde_json::to_vec(&line).expect("events have string keys only");
        json.push(b'\n');
        let error = file.write_all(&json).err()?;
        self.file = None;
        Some(format!("no more events in {}: {error}", self.path.display()))
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
