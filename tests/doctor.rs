//! The program inside of a control group with half a processor of quota: it says so, tries fewer
//! threads, and says what that changes. Needs a group of its own, hence root; says so where it
//! cannot have one.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// A control group that is removed at the end.
struct Group(PathBuf);

impl Group {
    /// Half a processor, by version 1 or 2.
    fn half() -> Option<Self> {
        let name = format!("autotune-doctor-{}", std::process::id());
        let first = PathBuf::from("/sys/fs/cgroup/cpu").join(&name);
        let second = PathBuf::from("/sys/fs/cgroup").join(&name);
        let one = || {
            fs::create_dir(&first).ok()?;
            let group = Self(first.clone());
            fs::write(first.join("cpu.cfs_period_us"), "100000").ok()?;
            fs::write(first.join("cpu.cfs_quota_us"), "50000").ok()?;
            Some(group)
        };
        let two = || {
            fs::create_dir(&second).ok()?;
            let group = Self(second.clone());
            fs::write(second.join("cpu.max"), "50000 100000").ok()?;
            Some(group)
        };
        one().or_else(two)
    }

    /// Runs the program inside.
    fn doctor(&self, arguments: &str) -> Output {
        let script = format!(
            "echo $$ > '{}/cgroup.procs' && exec '{}' doctor {arguments}",
            self.0.display(),
            env!("CARGO_BIN_EXE_autotune")
        );
        Command::new("sh").args(["-c", &script]).output().expect("there is a shell")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn half_a_processor_of_quota_is_named_with_before_and_after() {
    let Some(group) = Group::half() else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let output = group.doctor("--format json --model synth:tiny:q8_0");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let diagnosis: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(diagnosis["schema"], "autotune.doctor/1");
    let findings = diagnosis["findings"].as_array().unwrap();
    let quota = findings.iter().find(|finding| finding["check"] == "cpu-quota");
    let quota = quota.unwrap_or_else(|| panic!("{diagnosis:#}"));
    let evidence = quota["evidence"].to_string();
    assert!(evidence.contains("limits.cpu_quota_cores") && evidence.contains("0.50"), "{quota:#}");
    // One physical core alone runs one thread anyway: nothing to try.
    if std::thread::available_parallelism().unwrap().get() > 1 {
        assert_eq!(quota["cost"]["kind"], "measured", "{quota:#}");
        assert!(quota["cost"]["before_tok_per_s"].as_f64() > Some(0.0), "{quota:#}");
        assert!(quota["cost"]["after_tok_per_s"].as_f64() > Some(0.0), "{quota:#}");
    }
    assert!(quota["remedy"].to_string().contains("--threads 1"), "{quota:#}");
}

#[test]
fn without_trials_it_judges_from_files_and_takes_nothing_for_a_fault() {
    let output = Command::new(env!("CARGO_BIN_EXE_autotune"))
        .args(["doctor", "--no-trials", "--format", "json"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let diagnosis: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checked = diagnosis["checked"].as_array().unwrap();
    assert!(checked.len() >= 30, "{diagnosis:#}");
    for check in checked {
        let reason = check.get("reason").is_some_and(|reason| reason.as_str() != Some(""));
        let plain = ["fine", "found"].iter().any(|word| check["outcome"] == **word);
        assert!(plain || reason, "{check}");
    }
}

#[test]
fn a_machine_that_hwloc_makes_up_is_shown_and_never_measured() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_autotune"))
            .args(arguments)
            .env("HWLOC_SYNTHETIC", "pack:2 numa:2 l3:1 core:4 pu:2")
            .output()
            .unwrap()
    };
    let detected = run(&["detect", "--format", "json"]);
    let machine: Value = serde_json::from_slice(&detected.stdout).unwrap();
    assert_eq!(machine["provenance"], "captured");
    assert_eq!(machine["cpu"]["packages"], 2);
    assert_eq!(machine["cpu"]["threads"], 32);
    assert_eq!(machine["memory"]["total_bytes"], Value::Null);
    for refused in [
        &["bench", "-m", "synth:tiny:q8_0"][..],
        &["sweep", "--model", "synth:tiny:q8_0", "--budget", "1m"],
        &["detect", "--ceilings"],
    ] {
        let output = run(refused);
        assert_eq!(output.status.code(), Some(2), "{refused:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("machine") && said.lines().count() <= 3, "{said}");
    }
}
