//! Bad input ends in one line that names the thing, a hint where one helps, the right exit code,
//! and nothing lost.

mod support;

use std::path::{Path, PathBuf};

use support::{Printed, autotune, run, tiny_model};

/// Exactly one error line, in lower case, naming `thing`, without a backtrace.
fn assert_refused(printed: &Printed, code: i32, thing: &str) {
    let Printed { stderr, .. } = printed;
    assert_eq!(printed.code, Some(code), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{stderr}");
    assert!(stderr.contains(thing), "`{thing}` is not named in: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"), "{stderr}");
}

fn file(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Every verb that reads a model, on one file.
fn refused_by_every_reader(path: &Path, code: i32, thing: &str) {
    let folder = tempfile::tempdir().unwrap();
    for verb in [&["bench", "-m"][..], &["sweep", "--model"]] {
        let printed = run(autotune(folder.path()).args(verb).arg(path));
        assert_refused(&printed, code, thing);
    }
}

#[test]
fn a_file_that_is_no_gguf() {
    let folder = tempfile::tempdir().unwrap();
    refused_by_every_reader(&file(folder.path(), "notes.txt", b"hello, world"), 2, "notes.txt");
    refused_by_every_reader(&file(folder.path(), "empty.gguf", b""), 2, "empty.gguf");
}

#[test]
fn a_truncated_model() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(tiny_model()).unwrap();
    for (name, length) in [("data.gguf", whole.len() - 1000), ("header.gguf", 5000)] {
        refused_by_every_reader(&file(folder.path(), name, &whole[..length]), 2, name);
    }
}

#[test]
fn an_unknown_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(tiny_model()).unwrap();
    // Every key of the architecture's own carries its name, so the whole header changes with it.
    let known = b"llama";
    let end = bytes.len().min(200_000);
    for at in 0..end - known.len() {
        if &bytes[at..at + known.len()] == known {
            bytes[at..at + known.len()].copy_from_slice(b"nosuc");
        }
    }
    let path = file(folder.path(), "odd.gguf", &bytes);
    let printed =
        run(autotune(folder.path()).args(["bench", "-p", "8", "-n", "0", "-m"]).arg(path));
    assert!(matches!(printed.code, Some(2 | 4)), "{}", printed.stderr);
    assert!(
        printed.stderr.contains("nosuc") || printed.stdout.contains("nosuc"),
        "{}",
        printed.stderr
    );
}

#[test]
fn a_folder_and_a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    refused_by_every_reader(folder.path(), 2, &folder.path().display().to_string());
    refused_by_every_reader(&folder.path().join("nowhere.gguf"), 2, "nowhere.gguf");
}

#[test]
fn values_out_of_range_and_unknown_names() {
    let folder = tempfile::tempdir().unwrap();
    let model = tiny_model().display().to_string();
    for (words, thing) in [
        (&["bench", "-m", &model, "-t", "0"][..], "-t"),
        (&["bench", "-m", &model, "-t", "100000"], "100000"),
        (&["bench", "-m", &model, "-ctk", "q99"], "q99"),
        (&["sweep", "--model", &model, "--budget", "5s"], "budget"),
        (&["sweep", "--model", &model, "--knobs", "colour"], "colour"),
        (&["sweep", "--model", &model, "--workload", "dancing"], "dancing"),
        (&["sweep", "--model", "synth:nosuch:q8_0"], "nosuch"),
        (&["sweep", "--model", "synth:tiny:q99"], "q99"),
        (&["synth", "nosuch", "--quant", "q8_0", "-o", "x.gguf"], "nosuch"),
        (&["report", "nowhere"], "nowhere"),
    ] {
        assert_refused(&run(autotune(folder.path()).args(words)), 2, thing);
    }
}

#[test]
fn an_existing_output_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    std::fs::create_dir(&out).unwrap();
    let precious = file(&out, "precious.txt", b"keep me");
    let mut sweep = autotune(folder.path());
    sweep.args(["sweep", "--budget", "1m", "--model"]).arg(tiny_model()).arg("--out").arg(&out);
    assert_refused(&run(&mut sweep), 2, "run");
    let mut synth = autotune(folder.path());
    synth.args(["synth", "tiny", "--quant", "q8_0", "-o"]).arg(&precious);
    assert_refused(&run(&mut synth), 2, "precious.txt");
    assert_eq!(std::fs::read(&precious).unwrap(), b"keep me");
}
