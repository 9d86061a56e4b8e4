//! A sweep over the layers on a Vulkan device, and the plan that it starts from.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use autotune::model::{Outcome, Plan, Trial};
use autotune_engine::api::{DeviceKind, DeviceReport, GpuLayers};
use serde_json::Value;

use super::vulkan::has_vulkan;
use super::{DEVICES, Model, chosen_device, program};

fn autotune(arguments: &[&str]) -> Vec<u8> {
    let output =
        Command::new(program()).args(arguments).env(DEVICES, chosen_device()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    output.stdout
}

/// Runs a sweep over the layers; what it planned and every trial.
/// It ends with the number of trials, however slow the device.
fn swept(model: &str) -> (Plan, Vec<Trial>) {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let to = run.to_str().unwrap();
    let what = ["sweep", "--model", model, "--knobs", "gpu_layers", "--strategy", "grid"];
    let limits = ["--budget", "20m", "--max-trials", "60", "--no-curves"];
    autotune(&[&what[..], &limits, &["--no-cache", "--out", to]].concat());
    assert!(run.join("findings.json").exists() && run.join("report.html").exists());
    let read = |name: &str| fs::read_to_string(run.join(name)).unwrap();
    let trials = read("trials.jsonl");
    let trials = trials.lines().map(|line| serde_json::from_str(line).unwrap());
    (serde_json::from_str(&read("plan.json")).unwrap(), trials.collect())
}

/// All layers were run first, then none and some; each where it was to be and as large as foreseen.
fn hold(plan: &Plan, trials: &[Trial]) {
    assert_eq!(plan.baseline.load.gpu_layers, GpuLayers::All, "{:?}", plan.baseline_notes);
    assert_eq!(trials[0].asked.load.gpu_layers, GpuLayers::All);
    let all = plan.model.layers + 1;
    let mut weights: BTreeMap<u32, u64> = BTreeMap::new();
    for trial in trials {
        let Outcome::Measured(measured) = &trial.outcome else { panic!("{:?}", trial.outcome) };
        let ran = trial.effective.as_ref().unwrap().load.gpu_layers;
        let GpuLayers::Count(count) = ran else { panic!("{ran}") };
        let graph = measured.graph.expect("llama.cpp has one");
        // Counted from the end, where the output is.
        assert_eq!(graph.layers_on_devices, count.saturating_sub(1), "{graph:?}");
        assert_eq!(graph.attention_left_behind, 0, "{graph:?}");
        assert_eq!(graph.output_on_device, count > 0, "{graph:?}");
        assert_eq!(graph.splits == 1, count == 0, "{count} layers: {graph:?}");
        let own = measured.memory.buffers.iter().filter(|it| it.name.starts_with("Vulkan"));
        weights.insert(count, own.map(|buffer| buffer.model_bytes.0).sum());
        for device in &measured.devices {
            let (foreseen, got) = (device.foreseen_bytes.0 as f64, device.allocated_bytes.0 as f64);
            assert!((foreseen - got).abs() <= 0.03 * got, "{count} layers: {device:?}");
        }
        assert_eq!(measured.devices.is_empty(), count == 0, "{count} layers");
    }
    // How many of a grid fit into its share of the trials is the search's to say.
    let levels = &plan.axes.iter().find(|axis| axis.knob == "gpu_layers").unwrap().levels;
    let between = weights.keys().filter(|count| (1..all).contains(*count)).count();
    assert!(weights.contains_key(&0) && weights.contains_key(&all), "{weights:?} of {levels:?}");
    assert!(between >= 2, "{weights:?} of {levels:?}");
    let sizes: Vec<u64> = weights.values().copied().collect();
    assert!(sizes.is_sorted_by(|few, more| few < more), "{weights:?}");
    assert_eq!(sizes[0], 0);
}

#[test]
fn a_sweep_runs_all_layers_first_then_none_and_some() {
    let model = Model::new("q8_0");
    if !has_vulkan(&model) {
        return;
    }
    let (plan, trials) = swept(model.path.to_str().unwrap());
    hold(&plan, &trials);
    eprintln!("{} trials over {:?}", trials.len(), plan.axes[0].levels);
}

#[test]
#[ignore = "takes minutes: make test-full"]
fn a_sweep_over_a_larger_model_completes() {
    if !has_vulkan(&Model::new("q8_0")) {
        return;
    }
    let (plan, trials) = swept("synth:smollm2-135m:q8_0:layers=8");
    hold(&plan, &trials);
    eprintln!("{} trials over {:?}", trials.len(), plan.axes[0].levels);
}

/// The device under test as the engine lists it.
fn device() -> DeviceReport {
    let document = autotune(&["detect", "--backends", "--format", "json"]);
    let machine: Value = serde_json::from_slice(&document).unwrap();
    let devices: Vec<DeviceReport> = serde_json::from_value(machine["devices"].clone()).unwrap();
    let card = |it: &DeviceReport| {
        it.name == "Vulkan0" && matches!(it.kind, DeviceKind::Gpu | DeviceKind::IntegratedGpu)
    };
    devices.into_iter().find(card).expect("layers were put on it")
}

#[test]
fn the_plan_ends_at_the_edge_of_the_devices_memory() {
    if !has_vulkan(&Model::new("q8_0")) {
        return;
    }
    let free = device().free_bytes.expect("Vulkan tells").0;
    // About four times what is free: some layers fit and others do not.
    let name = if free > 16 << 30 { "llama-3.3-70b" } else { "llama-3.1-8b" };
    let model = format!("synth:{name}:q8_0");
    let what = ["plan", "--model", &model, "--context", "4096", "--format", "json"];
    let map: Value = serde_json::from_slice(&autotune(&what)).unwrap();
    let find = |list: &str| -> Vec<Value> {
        let own = |it: &&Value| it["knob"] == "gpu_layers";
        map[list].as_array().unwrap().iter().filter(own).cloned().collect()
    };
    let (axes, out) = (find("axes"), find("rejected"));
    let levels = axes.first().expect("some layers fit")["levels"].as_array().unwrap().clone();
    if levels.contains(&Value::from("all")) {
        assert_eq!(out, Vec::<Value>::new());
        eprintln!("skipped: all of {model} fits, so this device has no edge");
        return;
    }
    let edge = levels.iter().filter_map(Value::as_u64).max().unwrap();
    eprintln!("{model}: {edge} layers in {} MiB, levels {levels:?}", free >> 20);
    assert!(edge > 0 && edge < map["model"]["layers"].as_u64().unwrap(), "{levels:?}");
    for level in [Value::from(edge + 1), Value::from("all")] {
        let why = out.iter().find(|it| it["level"] == level).expect("it has a reason");
        let reason = why["reason"].as_str().unwrap();
        assert!(reason.starts_with("Vulkan0: ") && reason.contains(" > "), "{reason}");
    }
}
