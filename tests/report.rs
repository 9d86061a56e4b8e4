//! `autotune report` on whole run directories: two of them side by side, one's own templates, runs
//! that somebody broke, and the events of a sweep.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Printed, autotune, run};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reports").join(name)
}

/// A copy of an example that may be changed.
fn copied(name: &str, to: &Path) -> PathBuf {
    let copy = to.join("run");
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(example(name)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    copy
}

fn reported(folder: &Path, arguments: &[&str]) -> Printed {
    run(autotune(folder).arg("report").args(arguments))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn two_runs_stand_side_by_side_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let (quiet, busy) = (example("chat-2-core-vm"), example("chat-busy-2-core-vm"));
    let pair = [text(&quiet), text(&busy)];
    let markdown = reported(folder.path(), &pair);
    assert_eq!(markdown.code, Some(0), "{}", markdown.stderr);
    assert!(
        markdown.stdout.contains("| Metric | A | B | Speed, B over A |"),
        "{}",
        markdown.stdout
    );
    assert!(markdown.stdout.contains("not paired"), "{}", markdown.stdout);
    let json = reported(folder.path(), &[pair[0], pair[1], "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["schema"], "autotune.comparison/1");
    let ratio = &json["decode"]["speed_ratio"];
    let rate =
        |side: &str| json[side]["recommended"]["decode_tok_per_s"]["value"].as_f64().unwrap();
    let expected = rate("second") / rate("first");
    assert!((ratio["value"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9, "{ratio}");
    let page = folder.path().join("both.html");
    let html = reported(folder.path(), &[pair[0], pair[1], "-o", text(&page)]);
    assert_eq!(html.code, Some(0), "{}", html.stderr);
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("id=\"differences\"") && !html.contains("id=\"trials\""));
    let csv = reported(folder.path(), &[pair[0], pair[1], "--format", "csv"]);
    assert_eq!(csv.code, Some(2));
}

#[test]
fn other_work_has_no_ratio() {
    let folder = tempfile::tempdir().unwrap();
    let (chat, batch) = (example("chat-2-core-vm"), example("batch-2-core-vm"));
    let json = reported(folder.path(), &[text(&chat), text(&batch), "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(json["not_comparable"].as_str().unwrap().contains("the second"), "{json}");
    assert!(json["turn"].is_null() && json["decode"].is_null());
}

#[test]
fn the_ejected_templates_are_the_built_in_ones_and_can_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("mine");
    let ejected = reported(folder.path(), &["--eject", text(&mine)]);
    assert_eq!(ejected.code, Some(0), "{}", ejected.stderr);
    let run = example("batch-2-core-vm");
    let without_time = |printed: Printed| {
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let lines = printed.stdout.lines().filter(|line| !line.contains("Rendered"));
        lines.collect::<Vec<_>>().join("\n")
    };
    let own = reported(folder.path(), &[text(&run), "--template", text(&mine)]);
    let built_in = reported(folder.path(), &[text(&run)]);
    assert_eq!(without_time(own), without_time(built_in));
    fs::write(mine.join("report.md"), "# Mine: {{ report.summary.headline | md }}\n").unwrap();
    let own = reported(folder.path(), &[text(&run), "--template", text(&mine)]);
    assert!(own.stdout.starts_with("# Mine: "), "{}", own.stdout);
    let page = folder.path().join("page.html");
    let html = reported(folder.path(), &[text(&run), "--template", text(&mine), "-o", text(&page)]);
    assert_eq!(html.code, Some(0), "{}", html.stderr);
    assert!(fs::read_to_string(&page).unwrap().starts_with("<!doctype html>"));
    let again = reported(folder.path(), &["--eject", text(&mine)]);
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
}

#[test]
fn a_broken_run_renders_what_is_sound_and_says_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let broken = copied("batch-2-core-vm", folder.path());
    fs::write(broken.join("machine.json"), "{\"schema\": \"autotune.machine/1\"").unwrap();
    fs::remove_file(broken.join("findings.json")).unwrap();
    let journal = fs::read_to_string(broken.join("trials.jsonl")).unwrap();
    let mut lines: Vec<&str> = journal.lines().collect();
    lines[2] = "{\"hello\": 1}";
    fs::write(broken.join("trials.jsonl"), lines.join("\n")).unwrap();
    let html = reported(folder.path(), &[text(&broken), "--format", "html"]);
    assert_eq!(html.code, Some(0), "{}", html.stderr);
    for words in ["machine.json is left out", "line 3 of trials.jsonl"] {
        assert!(html.stderr.contains(words), "{}", html.stderr);
        // A sentence on the page, with a capital letter.
        let page = html.stdout.to_lowercase();
        assert!(page.contains(&words.to_lowercase()), "the page does not say `{words}`");
    }
    let plan = fs::read_to_string(broken.join("plan.json")).unwrap();
    fs::write(broken.join("plan.json"), &plan[..plan.len() / 2]).unwrap();
    let lost = reported(folder.path(), &[text(&broken)]);
    assert_eq!(lost.code, Some(2));
    assert!(lost.stderr.contains("plan.json"), "{}", lost.stderr);
}

#[test]
fn a_run_is_rendered_anew_in_its_own_directory() {
    let folder = tempfile::tempdir().unwrap();
    let copy = copied("chat-2-core-vm", folder.path());
    for name in ["report.html", "findings.json", "trials.csv"] {
        fs::remove_file(copy.join(name)).unwrap();
    }
    let printed = reported(folder.path(), &[text(&copy), "--in-place"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for name in ["report.html", "findings.json", "trials.csv"] {
        assert!(copy.join(name).exists(), "{name}");
    }
    let plots: Vec<_> = fs::read_dir(copy.join("plots")).unwrap().map(|it| it.unwrap()).collect();
    let ends = |end: &str| {
        plots.iter().filter(|it| it.path().extension().is_some_and(|own| own == end)).count()
    };
    assert!(ends("svg") >= 5, "{}", ends("svg"));
    assert_eq!(ends("svg"), ends("csv"), "each picture has its numbers");
}

#[test]
fn a_sweep_tells_what_happens_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds/quiet-8c.toml");
    let events = folder.path().join("events.jsonl");
    let printed = run(autotune(folder.path())
        .args([
            "sweep",
            "--model",
            "m.gguf",
            "--max-trials",
            "12",
            "--no-cache",
            "--out",
            "run",
            "--engine",
        ])
        .arg(format!("sim:{}", world.display()))
        .arg("--events")
        .arg(&events));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let lines: Vec<Value> = fs::read_to_string(&events)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |kind: &str| lines.iter().filter(|line| line["event"] == kind).collect::<Vec<_>>();
    assert!(lines.iter().all(|line| line["schema"] == "autotune.event/1"));
    let finished = of("finished");
    assert_eq!(finished.len(), support::journal(&folder.path().join("run")).len());
    assert_eq!(finished.len(), of("asked").len());
    assert!(finished.iter().all(|line| line["decode_tok_per_s"].as_f64() > Some(0.0)));
    assert!(finished.last().unwrap()["best"]["speed_over_default"].as_f64() >= Some(1.0));
    assert_eq!(lines.last().unwrap()["event"], "ended");
    assert_eq!(lines[0]["event"], "phase");
}
