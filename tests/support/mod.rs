//! What the tests of the whole program share: the program in a folder of its own, and a small model.
#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The program with an empty cache and configuration of its own.
pub fn autotune(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autotune"));
    command
        .current_dir(folder)
        .env("AUTOTUNE_CACHE", folder.join("cache"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("NO_COLOR", "1")
        .env_remove("AUTOTUNE_CONFIG");
    command
}

/// What the program printed, as text, with its exit code.
pub struct Printed {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Printed {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Printed {
    command.output().expect("the program starts").into()
}

/// A model of a few MB, written once per test program.
pub fn tiny_model() -> &'static Path {
    static MODEL: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = MODEL.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tiny.gguf");
        let printed = run(autotune(folder.path())
            .args(["synth", "tiny", "--quant", "q4_k_m", "-o"])
            .arg(&path));
        assert_eq!(printed.code, Some(0), "synth: {}", printed.stderr);
        (folder, path)
    });
    path
}

/// The lines of a journal that are whole.
pub fn journal(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("trials.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Held while an engine works: two at once on few processors take each other's threads away, and
/// every barrier then waits for a whole time slice.
pub fn alone() -> MutexGuard<'static, ()> {
    static ENGINE: Mutex<()> = Mutex::new(());
    ENGINE.lock().unwrap_or_else(PoisonError::into_inner)
}
