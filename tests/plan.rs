//! What fits is told without running anything, and what does not fit is never run.

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{autotune, journal, run, tiny_model};

/// A simulated machine on which a physical batch of 2048 does not fit beside the model.
fn small_world(folder: &Path) -> PathBuf {
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/worlds/quiet-8c.toml");
    let text = std::fs::read_to_string(known).unwrap();
    let small = text.replace("memory_bytes = 16_000_000_000", "memory_bytes = 2_000_000_000");
    assert_ne!(small, text);
    let path = folder.join("small.toml");
    std::fs::write(&path, small).unwrap();
    path
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_document_has_every_cell_with_its_sum() {
    let folder = tempfile::tempdir().unwrap();
    let world = format!("sim:{}", small_world(folder.path()).display());
    let arguments = ["plan", "-m", "m.gguf", "--format", "json", "--context", "4096,8192"];
    let printed = run(autotune(folder.path()).args(arguments).args(["--engine", &world]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let map = document(&printed.stdout);
    assert_eq!(map["schema"], "autotune.plan-map/1");
    let cells = map["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2 * 3 * 3);
    for cell in cells {
        let fits = cell["fits"].as_bool().unwrap();
        assert_eq!(fits, cell["reason"].is_null(), "{cell}");
        assert_eq!(fits, cell["ubatch"] != 2048, "{cell}");
        // A simulated machine tells its peaks; the roof falls as the context fills.
        let [empty, full] =
            ["decode_tok_per_s", "full_decode_tok_per_s"].map(|it| cell[it].as_f64());
        assert!(empty.unwrap() > full.unwrap() && full.unwrap() > 0.0, "{cell}");
    }
    assert!(map["rates_missing"].is_null());
}

#[test]
fn another_machine_is_planned_for_from_its_document() {
    let folder = tempfile::tempdir().unwrap();
    let detected = run(autotune(folder.path()).args(["detect", "--format", "json"]));
    assert_eq!(detected.code, Some(0), "{}", detected.stderr);
    let mut machine = document(&detected.stdout);
    machine["memory"]["available_bytes"] = (700_u64 << 20).into();
    machine["limits"]["memory_limit_bytes"] = Value::Null;
    let path = folder.path().join("machine.json");
    std::fs::write(&path, machine.to_string()).unwrap();
    let mut command = autotune(folder.path());
    command.args(["plan", "--format", "json", "-m"]).arg(tiny_model()).arg("--machine").arg(&path);
    let printed = run(&mut command);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let map = document(&printed.stdout);
    assert_eq!(map["room"]["memory_bytes"], 700_u64 << 20);
    let cells = map["cells"].as_array().unwrap();
    assert!(cells.iter().any(|cell| cell["fits"] == true));
    // The verdicts on the variants were kept, and the second answer is the first.
    assert!(
        std::fs::read_dir(folder.path().join("cache/machine"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("variants-") })
    );
    let again = document(&run(&mut command).stdout);
    assert_eq!(again["baseline"], map["baseline"]);
    assert_eq!(again["axes"], map["axes"]);
}

/// Settings of a physical batch that were run, and that were left alone for a reason.
fn visits(folder: &Path, ubatch: u64) -> (usize, usize) {
    let trials = journal(folder);
    assert!(!trials.is_empty());
    let of = trials.iter().filter(|trial| trial["asked"]["context"]["ubatch"] == ubatch);
    let (left, ran): (Vec<&Value>, Vec<&Value>) =
        of.partition(|trial| trial["outcome"]["kind"] == "not-run");
    (ran.len(), left.len())
}

#[test]
fn a_sweep_runs_nothing_that_the_map_rules_out_unless_it_is_forced() {
    let folder = tempfile::tempdir().unwrap();
    let world = format!("sim:{}", small_world(folder.path()).display());
    let sweep = |out: &str, more: &[&str]| {
        let arguments = ["sweep", "-m", "m.gguf", "--workload", "rag", "--budget", "2m"];
        let printed = run(autotune(folder.path())
            .args(arguments)
            .args(["--engine", &world, "--grid", "ubatch=256,512,2048", "--out", out])
            .args(more));
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let path = folder.path().join(out);
        let plan = document(&std::fs::read_to_string(path.join("plan.json")).unwrap());
        (path, plan)
    };
    let (held, plan) = sweep("held", &[]);
    let sum = plan["rejected"].as_array().unwrap().iter().find(|it| it["level"] == 2048);
    let sum = sum.and_then(|it| it["reason"].as_str()).unwrap_or_default();
    assert!(sum.starts_with("main memory:"), "{plan}");
    assert_eq!(visits(&held, 2048).0, 0);
    assert!(visits(&held, 512).0 > 0);
    let (forced, _) = sweep("forced", &["--force"]);
    assert!(visits(&forced, 2048).0 > 0);
}
