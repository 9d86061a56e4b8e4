//! The Vulkan module on whatever device `GGML_VK_VISIBLE_DEVICES` names; without it, on a GPU.
//! `make test-full` names Mesa's software device.

use std::process::Command;

use autotune_engine::api::{Engine, GpuLayers};

use super::logits::{MOST_ERROR, MOST_ERROR_K, hold, logits};
use super::{Model, PATIENCE, engine, process, program};

/// Whether layers can be put on a Vulkan device here; if not, it is said.
fn has_vulkan(model: &Model) -> bool {
    let mut engine = engine(Vec::new());
    let run = engine.run(&model.job(Vec::new()), PATIENCE).expect("the CPU is always there");
    let on_vulkan = run.memory.buffers.iter().any(|buffer| buffer.name.starts_with("Vulkan"));
    if !on_vulkan {
        eprintln!("skipped: no Vulkan module (make vulkan), no driver or no device here");
    }
    on_vulkan
}

#[test]
#[ignore = "needs the Vulkan module and a device: make test-full"]
fn any_share_of_the_layers_gives_the_cpus_logits() {
    for (quant, most) in [("f16", MOST_ERROR), ("q8_0", MOST_ERROR), ("q4_k_m", MOST_ERROR_K)] {
        let model = Model::new(quant);
        if !has_vulkan(&model) {
            return;
        }
        let mut counts: Vec<GpuLayers> = (0..=model.layers).map(GpuLayers::Count).collect();
        counts.push(GpuLayers::All);
        let said = logits(&model, process(Vec::new()), &counts);
        let on_cpu = said[0].clone();
        for (count, on_device) in counts.iter().zip(&said) {
            let error = hold(&format!("{quant}, {count} layers"), &on_cpu, on_device, most);
            eprintln!("{quant}, {count} layers on Vulkan: error {error:.1e}");
        }
    }
}

#[test]
#[ignore = "needs the Vulkan module and a device: make test-full"]
fn bench_measures_with_and_without_the_device() {
    let model = Model::new("q8_0");
    if !has_vulkan(&model) {
        return;
    }
    let output = Command::new(program())
        .args(["bench", "-ngl", "0,all", "-p", "64", "-n", "8", "-r", "1", "-o", "json", "-m"])
        .arg(&model.path)
        .output()
        .unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let backends: Vec<_> = rows.iter().map(|row| row["backends"].as_str().unwrap()).collect();
    assert_eq!(backends, ["CPU", "CPU", "Vulkan", "Vulkan"]);
    for row in rows {
        assert_eq!(row["outcome"], "measured");
        eprintln!(
            "{} ngl {}: pp{} tg{} {} tokens/s",
            row["backends"], row["n_gpu_layers"], row["n_prompt"], row["n_gen"], row["avg_ts"]
        );
    }
}
