//! The Vulkan module on whatever device `GGML_VK_VISIBLE_DEVICES` names; without it, on a GPU.
//! `make test-full` names Mesa's software device.

use std::path::PathBuf;
use std::process::Command;

use autotune_engine::api::{Engine, GpuLayers};

use super::logits::{MOST_ERROR, error, exact, hold, logits};
use super::{DEVICES, Model, PATIENCE, chosen_device, engine, process, program};

/// Whether layers can be put on a Vulkan device here; if not, it is said.
pub(super) fn has_vulkan(model: &Model) -> bool {
    let device = PathBuf::from(chosen_device());
    let mut engine = engine(vec![(DEVICES, &device)]);
    let run = engine.run(&model.job(Vec::new()), PATIENCE).expect("the CPU is always there");
    let on_vulkan = run.memory.buffers.iter().any(|buffer| buffer.name.starts_with("Vulkan"));
    if !on_vulkan {
        eprintln!("skipped: no Vulkan module (make vulkan), no driver or no device here");
    }
    on_vulkan
}

#[test]
fn any_share_of_the_layers_gives_the_cpus_logits() {
    for quant in ["f16", "q8_0", "q4_k_m"] {
        let model = Model::new(quant);
        if !has_vulkan(&model) {
            return;
        }
        let mut counts: Vec<GpuLayers> = (0..=model.layers).map(GpuLayers::Count).collect();
        counts.push(GpuLayers::All);
        let said = logits(&model, process(Vec::new()), &counts);
        let exact = exact(&model, process(Vec::new()));
        let on_cpu = said[0].clone();
        let own = error(&exact, &on_cpu);
        for (count, on_device) in counts.iter().zip(&said) {
            let what = format!("{quant}, {count} layers");
            let from_exact = hold(&what, &exact, on_device, MOST_ERROR);
            let from_cpu = error(&on_cpu, on_device);
            eprintln!("{what} on Vulkan: from exact {from_exact:.1e}, from the CPU {from_cpu:.1e}");
            // Where the CPU has spent the bound itself, being near it says nothing of the device.
            if own <= MOST_ERROR / 2.0 {
                hold(&what, &on_cpu, on_device, MOST_ERROR);
            }
        }
    }
}

#[test]
fn bench_measures_with_and_without_the_device() {
    let model = Model::new("q8_0");
    if !has_vulkan(&model) {
        return;
    }
    let output = Command::new(program())
        .env(DEVICES, chosen_device())
        .args(["bench", "-ngl", "0,all", "-p", "64", "-n", "8", "-r", "1", "-o", "json", "-m"])
        .arg(&model.path)
        .output()
        .unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = rows.as_array().unwrap();
    let backends: Vec<_> = rows.iter().map(|row| row["backends"].as_str().unwrap()).collect();
    // Without layers on it the processor's own names stand there, AMX among them.
    assert!(backends[..2].iter().all(|name| *name != "Vulkan"), "{backends:?}");
    assert_eq!(backends[2..], ["Vulkan", "Vulkan"]);
    for row in rows {
        assert_eq!(row["outcome"], "measured");
        eprintln!(
            "{} ngl {}: pp{} tg{} {} tokens/s",
            row["backends"], row["n_gpu_layers"], row["n_prompt"], row["n_gen"], row["avg_ts"]
        );
    }
}
