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
    for verb in [&["bench", "-m"][..], &["sweep", "--model"], &["plan", "--model"]] {
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

/// A run directory of a simulated machine, made in no time.
fn simulated_run(folder: &Path) -> PathBuf {
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds/quiet-8c.toml");
    let out = folder.join("run");
    let mut sweep = autotune(folder);
    sweep.args(["sweep", "--model", "m.gguf", "--budget", "1m", "--engine"]);
    let printed = run(sweep.arg(format!("sim:{}", world.display())).arg("--out").arg(&out));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    out
}

#[test]
fn a_run_directory_that_is_damaged_or_too_new() {
    let folder = tempfile::tempdir().unwrap();
    let out = simulated_run(folder.path());
    // A report shows what is sound and says what is not; a sweep goes on from sound runs only.
    let report = || run(autotune(folder.path()).arg("report").arg(&out));
    let resume = || run(autotune(folder.path()).arg("sweep").arg("--resume").arg(&out));
    let noted = |words: &str| {
        let printed = report();
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        assert!(printed.stderr.contains(words), "`{words}` is not in: {}", printed.stderr);
    };
    noted("");

    let journal = out.join("trials.jsonl");
    let whole = std::fs::read_to_string(&journal).unwrap();
    let mut lines: Vec<&str> = whole.lines().collect();
    lines[1] = "{\"schema\": \"nonsense";
    std::fs::write(&journal, lines.join("\n") + "\n").unwrap();
    assert_refused(&resume(), 2, "line 2");
    noted("line 2 of trials.jsonl");
    std::fs::write(&journal, &whole).unwrap();

    let plan = out.join("plan.json");
    let document = std::fs::read_to_string(&plan).unwrap();
    std::fs::write(&plan, document.replace("autotune.plan/1", "autotune.plan/99")).unwrap();
    assert_refused(&resume(), 2, "autotune.plan/99");
    noted("autotune.plan/99");
    std::fs::write(&plan, "{}").unwrap();
    assert_refused(&report(), 2, "plan.json");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(locked.join("probe"), b"").is_ok() {
        println!("skipped: this user may write everywhere (root)");
        return;
    }
    let mut synth = autotune(folder.path());
    synth.args(["synth", "tiny", "-o"]).arg(locked.join("m.gguf"));
    assert_refused(&run(&mut synth), 5, "locked");
}
