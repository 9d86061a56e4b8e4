//! The whole program on the real engine: a model written by `synth` runs through llama.cpp, a sweep
//! survives what kills its processes, and no finished trial is lost or run again.
//!
//! Nothing here asserts how long anything takes.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::{alone, autotune, journal, run, tiny_model};

#[test]
fn bench_measures_prompt_and_generation_at_each_thread_count() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let printed = run(autotune(folder.path())
        .args(["bench", "-p", "64", "-n", "8", "-t", "1,2", "-r", "2", "-o", "json", "-m"])
        .arg(tiny_model()));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let tests: Vec<serde_json::Value> = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(tests.len(), 4);
    for test in &tests {
        let samples = test["samples_ts"].as_array().unwrap();
        assert_eq!(samples.len(), 2);
        assert!(samples.iter().all(|rate| rate.as_f64().unwrap() > 0.0));
        assert!(test["n_prompt"] == 64 || test["n_gen"] == 8, "{test}");
    }
}

#[test]
fn a_sweep_leaves_everything_its_contract_names() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let printed = run(autotune(folder.path())
        .args(["sweep", "--budget", "1m", "--max-trials", "40", "--model"])
        .arg(tiny_model())
        .arg("--out")
        .arg(&out));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for file in ["machine.json", "plan.json", "trials.jsonl", "findings.json", "trials.csv"] {
        assert!(out.join(file).is_file(), "{file} is missing");
    }
    let report = std::fs::read_to_string(out.join("report.md")).unwrap();
    assert!(report.contains("llama-server"), "the report carries no command");
    assert!(std::fs::read_to_string(out.join("report.html")).unwrap().contains("<svg"));
    assert!(std::fs::read_dir(out.join("plots")).unwrap().next().is_some(), "there is no plot");
    assert!(journal(&out).len() <= 40);
}

#[test]
fn a_sweep_killed_in_the_middle_resumes_without_repeating_a_trial() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut parent = start_sweep(folder.path(), &out);
    wait_for_trials(&out, 5, &mut parent);
    let second = run(autotune(folder.path()).arg("sweep").arg("--resume").arg(&out));
    assert_eq!(second.code, Some(2), "two sweeps in one folder: {}", second.stderr);
    parent.kill().unwrap(); // SIGKILL: nothing can be tidied up
    parent.wait().unwrap();
    let before = journal(&out);

    let printed = run(autotune(folder.path()).arg("sweep").arg("--resume").arg(&out));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let after = journal(&out);
    assert_eq!(after[..before.len()], before[..], "a finished trial changed");
    assert!(after.len() > before.len());
    let visits: Vec<String> = after
        .iter()
        .map(|trial| {
            format!(
                "{} {} {} {}",
                trial["purpose"], trial["block"], trial["session"], trial["asked"]
            )
        })
        .collect();
    let ids: BTreeSet<u64> = after.iter().map(|trial| trial["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), visits.len(), "an id was given twice");
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_worker_is_an_outcome_and_the_sweep_goes_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut parent = start_sweep(folder.path(), &out);
    wait_for_trials(&out, 3, &mut parent);
    let seen = journal(&out).len();
    kill_children(&parent);
    wait_for_trials(&out, seen + 3, &mut parent);
    let kinds: Vec<String> = journal(&out)
        .iter()
        .map(|trial| trial["outcome"]["kind"].as_str().unwrap().to_owned())
        .collect();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let died = kinds.iter().position(|kind| kind == "crashed" || kind == "out-of-memory");
    let died = died.unwrap_or_else(|| panic!("no trial says that its worker died: {kinds:?}"));
    assert!(kinds[died..].iter().any(|kind| kind == "measured"), "{kinds:?}");
}

/// A sweep long enough to be disturbed.
fn start_sweep(folder: &Path, out: &Path) -> Child {
    autotune(folder)
        .args(["sweep", "--budget", "2m", "--max-trials", "60", "--model"])
        .arg(tiny_model())
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits for work to be done, not for time to pass; the limit only ends a hopeless wait.
fn wait_for_trials(out: &Path, count: usize, parent: &mut Child) {
    let hopeless = Instant::now() + Duration::from_secs(300);
    while journal(out).len() < count {
        assert!(Instant::now() < hopeless, "only {} trials came", journal(out).len());
        if let Some(status) = parent.try_wait().unwrap() {
            assert!(journal(out).len() >= count, "the sweep ended early: {status}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills the workers of a sweep, as the kernel does when memory runs out.
#[cfg(target_os = "linux")]
fn kill_children(parent: &Child) {
    let tasks = format!("/proc/{}/task", parent.id());
    let mut killed = 0;
    for task in std::fs::read_dir(tasks).unwrap() {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        for child in children.split_whitespace() {
            let pid = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            killed += 1;
        }
    }
    assert!(killed > 0, "the sweep has no worker");
}
