//! `profile --model` on the real engine: parts, bytes, functions and pictures of a model written by
//! `synth`.
//!
//! Nothing here asserts how long anything takes.

mod support;

use std::fs;

use serde_json::Value;
use support::{alone, autotune, run, tiny_model};

/// A small profile as JSON, in a folder of its own.
fn profiled(arguments: &[&str]) -> (tempfile::TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    let printed = run(autotune(folder.path())
        .args(["profile", "--no-peaks", "--format", "json", "--model"])
        .arg(tiny_model())
        .args(["-p", "64", "-n", "24", "-r", "4"])
        .args(arguments)
        .env("AUTOTUNE_CACHE", folder.path().join("cache")));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let profile = serde_json::from_str(&printed.stdout).unwrap();
    (folder, profile)
}

fn list<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().unwrap_or_else(|| panic!("{name} is no list: {value}"))
}

#[test]
fn a_model_is_taken_to_its_parts_with_the_bytes_that_they_read() {
    let _alone = alone();
    let (_folder, profile) = profiled(&[]);
    assert_eq!(profile["schema"], "autotune.profile/1");
    let model = &profile["subject"];
    assert_eq!(model["kind"], "model");
    let stretches: Vec<&Value> = list(model, "phases").iter().map(|it| &it["stretch"]).collect();
    assert_eq!(stretches, ["load", "prefill", "decode"]);
    for phase in list(model, "phases") {
        assert!(phase["elapsed_s"]["value"].as_f64() > Some(0.0), "{phase}");
    }
    let tables = list(model, "components");
    assert_eq!(tables.len(), 2, "prefill and decode");
    for table in tables {
        let parts = list(table, "parts");
        let shares: f64 = parts.iter().map(|part| part["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-9, "{shares}");
        for name in ["attention-qkv", "attention-scores", "feed-forward-up", "output-head"] {
            let part = parts.iter().find(|part| part["part"] == name);
            let part = part.unwrap_or_else(|| panic!("{name} is missing: {table}"));
            assert!(part["bytes"].as_u64() > Some(0), "{part}");
        }
    }
    // Every generated token reads all weights but the rows of the embedding, and some cache.
    let decode = list(model, "rooflines").iter().find(|roof| roof["stretch"] == "decode").unwrap();
    let bytes = decode["bytes_per_token"].as_f64().unwrap();
    let weights = model["weight_bytes"].as_f64().unwrap();
    assert!(bytes > 0.3 * weights && bytes < 1.5 * weights, "{bytes} of {weights}");
    assert!(decode["operations_per_token"].as_f64() > Some(bytes), "{decode}");
    let latency = &model["latency"];
    assert_eq!(list(latency, "tokens_s").len(), 4 * 24);
    assert!(latency["ttft_s"]["value"].as_f64() > Some(0.0));
    assert!(latency["token_p99_s"].is_null(), "96 tokens have no 99th percentile: {latency}");
    // Without peaks nothing is claimed.
    for bottleneck in list(model, "bottlenecks") {
        assert_eq!(bottleneck["bound"], "unknown", "{bottleneck}");
    }
}

#[test]
fn kernels_are_named_in_the_table_and_in_the_flame_graph() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("profile");
    let printed = run(autotune(folder.path())
        .args(["profile", "--no-peaks", "--hz", "2000", "-p", "256", "-n", "64", "-r", "8"])
        .arg("--model")
        .arg(tiny_model())
        .arg("--out")
        .arg(&out));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.lines().all(|line| line.chars().count() <= 80), "{}", printed.stdout);
    let profile: Value =
        serde_json::from_str(&fs::read_to_string(out.join("profile.json")).unwrap()).unwrap();
    let model = &profile["subject"];
    assert!(fs::read_to_string(out.join("profile.md")).unwrap().contains("Where decode goes"));
    assert!(fs::read_to_string(out.join("token-times.svg")).unwrap().contains("<svg"));
    if model["sampling"].is_null() {
        let unseen = list(model, "unseen");
        let told = unseen.iter().any(|why| why.as_str().unwrap().contains("not sampled"));
        assert!(told, "there are no functions, and nobody says why: {unseen:?}");
        return;
    }
    let kernel = list(model, "functions").iter().find(|one| {
        one["stretch"] == "decode" && one["module"].as_str().unwrap().starts_with("libggml-cpu")
    });
    let kernel = kernel.unwrap_or_else(|| panic!("no kernel: {}", model["functions"]));
    let name = kernel["function"].as_str().unwrap();
    assert_ne!(name, "[no name]");
    let flame = fs::read_to_string(out.join("flame.svg")).unwrap();
    let word = name.split(['(', '<', ':', ' ']).find(|word| word.len() > 5).unwrap();
    assert!(flame.contains(word), "{word} is not in the flame graph");
}

#[test]
fn every_operation_of_every_layer_is_told_where_that_is_asked_for() {
    let _alone = alone();
    let (_folder, profile) = profiled(&["--detail", "--hz", "0"]);
    let model = &profile["subject"];
    assert!(model["sampling"].is_null());
    let decode =
        list(model, "components").iter().find(|table| table["stretch"] == "decode").unwrap();
    let detail = list(decode, "detail");
    let layers: std::collections::BTreeSet<u64> =
        detail.iter().filter_map(|row| row["layer"].as_u64()).collect();
    assert!(layers.len() > 1, "{detail:?}");
    assert!(detail.iter().any(|row| row["operation"] == "MUL_MAT"), "{detail:?}");
}

#[test]
fn a_setting_with_several_sequences_is_observed_as_such() {
    let _alone = alone();
    let (_folder, profile) = profiled(&["--fix", "sequences=2", "--hz", "0"]);
    let model = &profile["subject"];
    assert_eq!(model["work"]["parallel"], 2);
    let decode = list(model, "phases").iter().find(|phase| phase["stretch"] == "decode").unwrap();
    assert_eq!(decode["tokens"], 48);
    let tables = list(model, "components");
    assert_eq!(tables.len(), 2, "{}", model["unseen"]);
    assert_eq!((&tables[0]["tokens"], &tables[1]["tokens"]), (&128.into(), &2.into()));
}

#[test]
fn a_sweeps_recommendation_is_profiled_into_its_report() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let printed = run(autotune(folder.path())
        .args(["sweep", "--budget", "1m", "--max-trials", "12", "--model"])
        .arg(tiny_model())
        .arg("--out")
        .arg(&out));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let before = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(before.contains("autotune profile --run"), "the report does not say how to fill it");
    let printed = run(autotune(folder.path())
        .args(["profile", "--no-peaks", "-p", "32", "-n", "16", "-r", "4", "--run"])
        .arg(&out)
        .env("AUTOTUNE_CACHE", folder.path().join("cache")));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(out.join("profile.json").is_file());
    let after = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(after.contains("feed-forward"), "the report has no components");
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("feed-forward"));
}

#[test]
fn wrong_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["profile"][..], "nothing to profile"),
        (&["profile", "--model", "nowhere.gguf"], "nowhere.gguf"),
        (&["profile", "--perf-stat", "nowhere.csv"], "nowhere.csv"),
        (&["profile", "--run", "nowhere"], "nowhere"),
        (&["profile", "--compare", "a.json", "b.json"], "a.json"),
    ] {
        let printed = run(autotune(folder.path()).args(arguments));
        assert_eq!(printed.code, Some(2), "{arguments:?}: {}", printed.stderr);
        assert!(printed.stderr.contains(wanted), "{arguments:?}: {}", printed.stderr);
    }
}
