//! The kernel's own end of memory: a sweep's machine is full, a container is small. Made for real
//! with a memory group of this test, where one can be made.
#![cfg(target_os = "linux")]

#[path = "engine/model.rs"]
mod model;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the group may use: more than the engine, less than the large model.
const LIMIT: u64 = 128 << 20;
/// Entries of a vocabulary whose weights take 230 MB.
const LARGE: u64 = 800_000;

/// A memory group that goes away with this value.
struct Group {
    folder: PathBuf,
}

impl Group {
    /// A group of the first or second version with a limit, or why there is none.
    fn new() -> Result<Self, String> {
        let name = format!("autotune-test-{}", std::process::id());
        let (parent, file) = if Path::new("/sys/fs/cgroup/memory/memory.limit_in_bytes").exists() {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            ("/sys/fs/cgroup", "memory.max")
        };
        let folder = Path::new(parent).join(name);
        fs::create_dir(&folder).map_err(|error| format!("no memory group: {error}"))?;
        let group = Self { folder };
        fs::write(group.folder.join(file), LIMIT.to_string())
            .map_err(|error| format!("no limit for a memory group: {error}"))?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

#[test]
fn a_kill_for_memory_is_told_from_a_crash_and_costs_one_row() {
    let group = match Group::new() {
        Ok(group) => group,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let (large, tiny) = (folder.path().join("large.gguf"), folder.path().join("tiny.gguf"));
    model::write_with(&large, false, LARGE);
    model::write(&tiny, false);
    // Without a map, every page of the weights is the process's own and cannot be given back.
    let script = r#"echo $$ > "$1" && shift && exec "$@" -lm none -p 8 -n 2 -r 1 -t 1 -o json"#;
    let output = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(group.folder.join("cgroup.procs"))
        .args([env!("CARGO_BIN_EXE_autotune"), "bench", "-m"])
        .arg(&large)
        .arg("-m")
        .arg(&tiny)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).expect(&said);
    let outcomes: Vec<(&str, &str)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["outcome"].as_str().unwrap(), row["reason"].as_str().unwrap_or_default()))
        .collect();
    let [large_pp, large_tg, tiny_pp, tiny_tg] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    for (outcome, reason) in [large_pp, large_tg] {
        assert_eq!(*outcome, "out-of-memory", "{outcomes:?}");
        assert!(reason.contains("while the kernel killed for memory"), "{reason}");
    }
    assert_eq!((tiny_pp.0, tiny_tg.0), ("measured", "measured"), "{outcomes:?}");
    assert_eq!(output.status.code(), Some(0), "{said}");
}
