//! `autotune gate` as people run it: on simulated machines, on what other tools wrote, on stored
//! sessions, and once on the real engine. Nothing here asserts how long anything takes.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Printed, alone, autotune, run, tiny_model};

const QUIET: &str = include_str!("worlds/quiet-8c.toml");

/// The program in a folder that knows nothing, outside of any CI.
fn gate(folder: &Path) -> Command {
    let mut command = autotune(folder);
    for name in ["GITHUB_ACTIONS", "GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"] {
        command.env_remove(name);
    }
    command.arg("gate");
    command
}

/// A quiet simulated machine whose memory and arithmetic take so much longer.
fn world(folder: &Path, name: &str, slower: f64) -> String {
    let scaled = |value: f64| format!("{}", value / (1.0 + slower));
    let text = QUIET
        .replace("core_flops = 60e9", &format!("core_flops = {}", scaled(60e9)))
        .replace("= 12e9", &format!("= {}", scaled(12e9)))
        .replace("= 44e9", &format!("= {}", scaled(44e9)))
        .replace("seed = 1", &format!("seed = {}", 1 + name.len()));
    fs::write(folder.join(name), text).unwrap();
    format!("sim:{name}")
}

fn report(printed: &Printed) -> Value {
    serde_json::from_str(&printed.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", printed.stdout, printed.stderr))
}

fn file(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn a_machine_that_is_slower_fails_and_the_cell_is_named_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (base, head) =
        (world(folder.path(), "base.toml", 0.0), world(folder.path(), "head.toml", 0.12));
    let printed = run(gate(folder.path())
        .args(["ab", "--base", &base, "--head", &head, "--model", "m", "--tests", "pp64,tg16"])
        .args(["--json", "g.json", "--junit", "g.xml", "--summary", "s.md", "--badge", "b.json"])
        .args(["--comment", "c.md", "--openmetrics", "m.txt", "--annotations", "github"]));
    assert_eq!(printed.code, Some(1), "{}{}", printed.stdout, printed.stderr);
    let last = printed.stdout.lines().last().unwrap();
    assert!(last.starts_with("gate: FAIL m/"), "{last}");
    let text = fs::read_to_string(folder.path().join("g.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["verdict"], "fail");
    let cell = &document["cells"][0];
    let low = cell["interval"][0].as_f64().unwrap();
    assert!(low > cell["delta"].as_f64().unwrap(), "{cell}");
    for name in ["g.xml", "s.md", "b.json", "c.md", "m.txt"] {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        let named = text.contains("m/tg16") || text.contains("tg16");
        assert!(named || name == "b.json", "{name}: {text}");
    }
    assert!(printed.stdout.contains("::error"), "{}", printed.stdout);
    // What was written can be told again.
    let explained = run(gate(folder.path()).args(["explain", "g.json"]));
    assert_eq!(explained.code, Some(0), "{}", explained.stderr);
    let exported = run(gate(folder.path()).args(["export", "g.json", "--format", "junit"]));
    assert_eq!(exported.stdout, fs::read_to_string(folder.path().join("g.xml")).unwrap());
}

#[test]
fn the_same_machine_twice_never_fails() {
    let folder = tempfile::tempdir().unwrap();
    let same = world(folder.path(), "same.toml", 0.0);
    let printed = run(gate(folder.path())
        .args(["ab", "--base", &same, "--head", &same, "--model", "m", "--tests", "pp64,tg16"])
        .args(["--on-inconclusive", "fail", "--format", "json"]));
    assert_eq!(printed.code, Some(0), "{}{}", printed.stdout, printed.stderr);
    let document = report(&printed);
    assert_ne!(document["verdict"], "fail");
    assert_eq!(document["synthetic"], true);
}

#[test]
fn too_little_time_is_undecided_and_says_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (base, head) =
        (world(folder.path(), "base.toml", 0.0), world(folder.path(), "head.toml", 0.12));
    let ab = |policy: &str| {
        run(gate(folder.path())
            .args(["ab", "--base", &base, "--head", &head, "-m", "m", "--tests", "tg16"])
            .args(["--max-blocks", "3", "--on-inconclusive", policy, "--format", "json"]))
    };
    let warned = ab("warn");
    assert_eq!(warned.code, Some(0), "{}{}", warned.stdout, warned.stderr);
    let document = report(&warned);
    assert_eq!(document["verdict"], "inconclusive");
    assert_eq!(document["reason"], "too-few-blocks");
    assert!(document["cells"][0]["next_action"].is_string(), "{document}");
    assert_eq!(ab("fail").code, Some(3));
}

#[test]
fn a_waiver_holds_up_to_its_ceiling_and_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let (base, head) =
        (world(folder.path(), "base.toml", 0.0), world(folder.path(), "head.toml", 0.12));
    let accept = |ceiling: &str, expires: &str| {
        let _ = fs::remove_dir_all(folder.path().join(".autotune"));
        run(gate(folder.path())
            .args(["accept", "m/tg16", "--ceiling", ceiling, "--reason", "a safer sampler"])
            .args(["--issue", "https://example.org/1", "--expires", expires]))
    };
    let ab = || {
        run(gate(folder.path())
            .args(["ab", "--base", &base, "--head", &head, "-m", "m", "--tests", "tg16"])
            .args(["--format", "json"]))
    };
    assert_eq!(accept("20%", "2099-01-31").code, Some(0));
    let waived = ab();
    assert_eq!(waived.code, Some(0), "{}", waived.stdout);
    assert_eq!(report(&waived)["cells"][0]["waiver"]["issue"], "https://example.org/1");
    assert_eq!(accept("4%", "2099-01-31").code, Some(0));
    assert_eq!(ab().code, Some(1));
    for (ceiling, expires, word) in [
        ("20%", "2001-01-31", "has passed"),
        ("20%", "soon", "is no date"),
        ("200%", "2099-01-31", "at most 100%"),
    ] {
        let printed = accept(ceiling, expires);
        assert_eq!(printed.code, Some(2), "{}", printed.stderr);
        assert!(printed.stderr.contains(word), "{}", printed.stderr);
    }
    // One that has expired is no longer there, and it is told.
    fs::create_dir_all(folder.path().join(".autotune")).unwrap();
    let old = "[[gate.waiver]]\ncell = \"m/tg16\"\nceiling = \"20%\"\nreason = \"r\"\n\
               issue = \"i\"\nexpires = \"2020-01-31\"\n";
    file(folder.path(), ".autotune/gate.toml", old);
    let expired = ab();
    assert_eq!(expired.code, Some(1), "{}", expired.stdout);
    assert!(expired.stdout.contains("has expired"), "{}", expired.stdout);
}

#[test]
fn sessions_of_a_machine_are_a_baseline_and_those_of_another_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let fine = world(folder.path(), "fine.toml", 0.0);
    let check = |side: &str, more: &[&str]| {
        run(gate(folder.path())
            .args(["check", "--head", side, "-m", "m", "--tests", "tg16", "--delta", "3%"])
            .args(["--format", "json"])
            .args(more))
    };
    let first = check(&fine, &[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert_eq!(report(&first)["verdict"], "new");
    for number in 0..3 {
        let side = world(folder.path(), &format!("{}.toml", "x".repeat(number + 2)), 0.0);
        let printed = run(
            gate(folder.path()).args(["record", "--head", &side, "-m", "m", "--tests", "tg16"])
        );
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    }
    let thin = check(&fine, &["--record"]);
    assert_eq!(thin.code, Some(0), "{}", thin.stderr);
    assert_eq!(report(&thin)["reason"], "thin-baseline", "{}", thin.stdout);
    let enough = check(&fine, &[]);
    assert_eq!(enough.code, Some(0), "{}", enough.stderr);
    let slow = world(folder.path(), "slow.toml", 0.25);
    let failed = check(&slow, &[]);
    assert_eq!(failed.code, Some(1), "{}{}", failed.stdout, failed.stderr);
    // The same lines as if another machine had written them.
    let store = folder.path().join(".autotune/history/simulated.jsonl");
    let text = fs::read_to_string(&store).unwrap();
    file(folder.path(), "other.jsonl", &text.replace("\"key\":\"simulated\"", "\"key\":\"other\""));
    let other = check(&fine, &["--baseline", "other.jsonl"]);
    assert_eq!(other.code, Some(3), "{}", other.stdout);
    assert_eq!(report(&other)["reason"], "fingerprint-mismatch");
    let both = check(&fine, &["--baseline", "other.jsonl", "--base", &slow]);
    assert_eq!(both.code, Some(0), "{}{}", both.stdout, both.stderr);
    assert_eq!(report(&both)["mode"], "ab");
    // A last line that was cut is left out; anything else that is no session stops the gate.
    fs::write(&store, format!("{text}{}", &text[..40])).unwrap();
    let cut = check(&fine, &[]);
    assert_eq!(cut.code, Some(0), "{}", cut.stderr);
    assert!(cut.stdout.contains("was cut"), "{}", cut.stdout);
    fs::write(&store, format!("nonsense\n{text}")).unwrap();
    assert_eq!(check(&fine, &[]).code, Some(2));
}

#[test]
fn two_files_of_another_tool_are_judged_cell_by_cell() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |speed: f64| {
        let samples = |scale: f64| {
            let all: Vec<String> = (0..8)
                .map(|at| format!("{}", speed * scale * (1.0 + 0.002 * f64::from(at % 3))))
                .collect();
            all.join(", ")
        };
        format!(
            r#"[{{"model_filename": "m.gguf", "model_type": "llama 1B Q4_0", "n_prompt": 512,
                 "n_gen": 0, "n_depth": 0, "avg_ts": 1, "samples_ts": [{}]}},
                {{"model_filename": "m.gguf", "model_type": "llama 1B Q4_0", "n_prompt": 0,
                 "n_gen": 128, "n_depth": 0, "avg_ts": 1, "samples_ts": [{}]}}]"#,
            samples(100.0),
            samples(10.0)
        )
    };
    file(folder.path(), "a.json", &rows(1.0));
    file(folder.path(), "slower.json", &rows(0.7));
    file(folder.path(), "faster.json", &rows(1.2));
    let judge = |head: &str| {
        run(gate(folder.path()).args([
            "import",
            "--from",
            "llama-bench",
            "a.json",
            head,
            "--format",
            "json",
        ]))
    };
    let slower = judge("slower.json");
    assert_eq!(slower.code, Some(1), "{}{}", slower.stdout, slower.stderr);
    let cell = &report(&slower)["cells"][0];
    for key in ["verdict", "slowdown", "interval", "p_t", "p_guard", "minimum_detectable", "delta"]
    {
        assert!(!cell[key].is_null(), "{key}: {cell}");
    }
    let faster = judge("faster.json");
    assert_eq!(faster.code, Some(0), "{}", faster.stdout);
    assert_eq!(report(&faster)["verdict"], "pass");
    // A test that is gone fails, unless it may be.
    let one = rows(1.0).replace("\"n_gen\": 128", "\"n_gen\": 64");
    file(folder.path(), "other.json", &one);
    assert_eq!(judge("other.json").code, Some(1));
    let allowed = run(gate(folder.path()).args([
        "import",
        "a.json",
        "other.json",
        "--allow-missing",
        "--format",
        "json",
    ]));
    assert_ne!(allowed.code, Some(1), "{}", allowed.stdout);
}

/// A table of 40 sessions with a step of 8 % at one of them.
fn table(step_at: usize) -> String {
    let row = |at: usize| {
        let wobble = 1.0 + 0.004 * (((at * 7) % 5) as f64 - 2.0) / 2.0;
        let level = if at >= step_at { 1.08 } else { 1.0 };
        format!("c{at},{}\n", level * wobble)
    };
    "commit,seconds\n".to_owned() + &(0..40).map(row).collect::<String>()
}

#[test]
fn a_step_in_a_table_is_found_at_its_place_and_fails_while_it_is_young() {
    let folder = tempfile::tempdir().unwrap();
    let history = |text: &str| {
        file(folder.path(), "h.csv", text);
        run(gate(folder.path())
            .args(["history", "--from", "csv", "h.csv", "--column", "seconds"])
            .args(["--label-column", "commit", "--format", "json"]))
    };
    let young = history(&table(33));
    assert_eq!(young.code, Some(1), "{}{}", young.stdout, young.stderr);
    let change = &report(&young)["change_points"][0];
    assert_eq!((change["index"].as_u64(), change["label"].as_str()), (Some(33), Some("c33")));
    assert!((change["change"].as_f64().unwrap() - 0.08).abs() < 0.01, "{change}");
    assert!(change["before"].as_f64() < change["after"].as_f64());
    let old = history(&table(20));
    assert_eq!(report(&old)["change_points"][0]["index"], 20);
    let none = history(&table(40));
    assert_eq!(none.code, Some(0), "{}", none.stdout);
    assert_eq!(report(&none)["change_points"].as_array().unwrap().len(), 0);
    let short = table(40).lines().take(9).collect::<Vec<_>>().join("\n");
    assert_eq!(report(&history(&short))["reason"], "thin-baseline");
}

#[test]
fn what_cannot_be_judged_is_never_green() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "good.csv", "name,seconds\na,1.0\na,1.1\n");
    for (name, text) in [
        ("empty.csv", ""),
        ("heading.csv", "name,seconds\n"),
        ("nan.csv", "name,seconds\na,NaN\na,1\n"),
        ("infinite.csv", "name,seconds\na,inf\na,1\n"),
        ("zero.csv", "name,seconds\na,0\na,1\n"),
        ("negative.csv", "name,seconds\na,-1\na,1\n"),
        ("words.csv", "name,seconds\na,fast\n"),
        ("binary.csv", "\u{0}\u{1}\u{2}"),
    ] {
        file(folder.path(), name, text);
        for arguments in [
            vec!["import", "--from", "csv", "good.csv", name, "--column", "seconds"],
            vec!["history", "--from", "csv", name, "--column", "seconds"],
        ] {
            let printed = run(gate(folder.path()).args(&arguments));
            assert_eq!(printed.code, Some(2), "{arguments:?}: {}", printed.stdout);
            assert!(printed.stderr.starts_with("error: "), "{}", printed.stderr);
        }
    }
    let one = "name,seconds\na,1.0\n";
    file(folder.path(), "one.csv", one);
    let printed = run(gate(folder.path()).args([
        "import",
        "--from",
        "csv",
        "one.csv",
        "one.csv",
        "--column",
        "seconds",
        "--on-inconclusive",
        "fail",
    ]));
    assert_eq!(printed.code, Some(3), "{}", printed.stdout);
}

#[test]
fn wrong_usage_measures_nothing() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "not.json", "{}");
    file(folder.path(), "bad.toml", "[gate]\naplha = 1\n");
    for arguments in [
        vec!["ab"],
        vec!["ab", "--base", "nowhere/at/all", "-m", "m"],
        vec!["ab", "--base", "sim:gone.toml", "--head", "sim:gone.toml", "-m", "m"],
        vec!["ab", "--base", "threads=0", "-m", "synth:tiny:q8_0"],
        vec!["ab", "--base", "no_knob=1", "-m", "synth:tiny:q8_0"],
        vec!["check"],
        vec!["check", "-m", "gone.gguf"],
        vec!["check", "-m", "synth:tiny:q8_0", "--baseline", "gone.jsonl"],
        vec!["check", "-m", "synth:tiny:q8_0", "--delta", "0%"],
        vec!["check", "-m", "synth:tiny:q8_0", "--delta", "nan%"],
        vec!["check", "-m", "synth:tiny:q8_0", "--delta", "2"],
        vec!["check", "-m", "synth:tiny:q8_0", "--alpha", "2"],
        vec!["check", "-m", "synth:tiny:q8_0", "--tests", "pp0"],
        vec!["check", "-m", "synth:tiny:q8_0", "--tests", "tg8,tg8"],
        vec!["check", "-m", "synth:tiny:q8_0", "--cells", "nothing*"],
        vec!["check", "-m", "synth:tiny:q8_0", "--suite", "bad.toml"],
        vec!["history", "--from", "csv", "gone.csv"],
        vec!["history"],
        vec!["explain", "not.json"],
        vec!["export", "not.json", "--format", "sarif"],
        vec!["import", "gone.json", "gone.json"],
    ] {
        let printed = run(gate(folder.path()).args(&arguments));
        assert_eq!(printed.code, Some(2), "{arguments:?}: {}{}", printed.stdout, printed.stderr);
        assert!(printed.stderr.contains("error: "), "{}", printed.stderr);
    }
}

#[test]
fn a_github_job_gets_its_summary_and_its_outputs_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "h.csv", &table(33));
    file(folder.path(), "summary.md", "before\n");
    let printed = run(gate(folder.path())
        .args(["history", "--from", "csv", "h.csv", "--column", "seconds"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", folder.path().join("summary.md"))
        .env("GITHUB_OUTPUT", folder.path().join("output")));
    assert_eq!(printed.code, Some(1), "{}", printed.stderr);
    let summary = fs::read_to_string(folder.path().join("summary.md")).unwrap();
    assert!(summary.starts_with("before\n") && summary.len() > 100, "{summary}");
    let outputs = fs::read_to_string(folder.path().join("output")).unwrap();
    assert!(outputs.contains("verdict=fail"), "{outputs}");
    assert!(printed.stdout.contains("::error"), "{}", printed.stdout);
    let last = printed.stdout.lines().last().unwrap();
    assert!(last.starts_with("gate: FAIL"), "{last}");
}

#[test]
fn a_report_that_cannot_be_written_is_said_and_the_verdict_too() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "h.csv", &table(40));
    let printed = run(gate(folder.path())
        .args(["history", "--from", "csv", "h.csv", "--column", "seconds"])
        .args(["--json", "nowhere/at/all/g.json"]));
    assert_eq!(printed.code, Some(5), "{}", printed.stdout);
    assert!(printed.stdout.contains("gate: PASS"), "{}", printed.stdout);
}

#[test]
fn the_real_engine_is_compared_with_itself() {
    let _held = alone();
    let folder = tempfile::tempdir().unwrap();
    let printed = run(gate(folder.path())
        .args(["ab", "--base", env!("CARGO_BIN_EXE_autotune"), "-m"])
        .arg(tiny_model())
        .args(["--tests", "pp16,tg4,memory", "-r", "1", "--max-blocks", "6", "--format", "json"])
        .args(["--confirm", "none"]));
    assert_eq!(printed.code, Some(0), "{}{}", printed.stdout, printed.stderr);
    let document = report(&printed);
    assert_eq!(document["base"]["digest"], document["head"]["digest"]);
    assert_eq!(document["cells"].as_array().unwrap().len(), 3, "{document}");
    assert_ne!(document["verdict"], "fail");
}

#[test]
fn a_side_that_dies_ends_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "llama-bench-broken", "#!/bin/sh\necho dying >&2\nexit 7\n");
    let path = folder.path().join("llama-bench-broken");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&path, mode).unwrap();
    let printed = run(gate(folder.path())
        .args(["ab", "--base", "./llama-bench-broken", "-m"])
        .arg(tiny_model())
        .args(["--tests", "tg4"]));
    assert_eq!(printed.code, Some(4), "{}", printed.stderr);
    assert!(printed.stderr.contains("the base"), "{}", printed.stderr);
    assert!(printed.stderr.contains("dying"), "{}", printed.stderr);
}
