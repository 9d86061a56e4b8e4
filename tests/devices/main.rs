//! Devices beside the CPU: the modules that bring them, other machines' over loopback, and Vulkan
//! on whatever device there is. What they compute is held against the CPU.

mod logits;
mod modules;
mod rpc;
mod vulkan;
mod vulkan_sweep;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use autotune::synth::{Replace, Request, Shape, file_type, write};
use autotune_engine::api::{
    ContextSetting, Engine, GpuLayers, Job, LoadSetting, ProcessSetting, Setting, ThreadSetting,
    VariantReport, Work,
};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// Names Vulkan's devices; without it ggml looks past those that compute on the processor.
const DEVICES: &str = "GGML_VK_VISIBLE_DEVICES";

/// The device under test: the one that the environment names, or the first, Mesa's too.
fn chosen_device() -> OsString {
    std::env::var_os(DEVICES).unwrap_or_else(|| "0".into())
}

/// The program under test.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_autotune"))
}

/// A small model with a vocabulary, gone with the folder.
struct Model {
    folder: tempfile::TempDir,
    path: PathBuf,
    layers: u32,
}

impl Model {
    fn new(quant: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let shape = Shape::named("tiny").expect("built in");
        let layers = shape.layers;
        let request = Request { shape, file_type: file_type(quant).expect("known"), seed: 11 };
        let done: std::ops::ControlFlow<()> = std::ops::ControlFlow::Continue(());
        write(&request, &path, Replace::Nothing, &mut |_, _| done).unwrap();
        Self { folder, path, layers }
    }

    fn job(&self, rpc: Vec<String>) -> Job {
        Job {
            model: self.path.clone(),
            setting: Setting {
                process: process(rpc),
                load: LoadSetting { gpu_layers: GpuLayers::All, ..LoadSetting::default() },
                context: ContextSetting {
                    context: 256,
                    batch: 128,
                    ubatch: 64,
                    ..ContextSetting::default()
                },
                threads: ThreadSetting::of(1),
            },
            work: Work {
                prompt_tokens: 40,
                generate_tokens: 3,
                depth: 0,
                repetitions: 1,
                warmup: false,
                delay_ms: 0,
                seed: 1,
                parallel: 1,
            },
        }
    }
}

/// A process with a CPU variant that runs here, and those servers.
fn process(rpc: Vec<String>) -> ProcessSetting {
    static VARIANT: OnceLock<String> = OnceLock::new();
    let find = || {
        let types = ["F32", "F16", "Q4_0", "Q8_0", "Q4_K", "Q6_K"].map(str::to_owned);
        let variants = engine(Vec::new()).variants(&types).expect("variants are known");
        let usable = variants.into_iter().find(VariantReport::usable);
        usable.expect("some variant runs here").name
    };
    let isa_variant = Some(VARIANT.get_or_init(find).clone());
    ProcessSetting { isa_variant, rpc, ..ProcessSetting::default() }
}

/// An engine of the program under test, with that environment.
fn engine(environment: Vec<(&str, &Path)>) -> WorkerEngine {
    let environment =
        environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    WorkerEngine::new(program(), WorkerOptions { resident: 2, environment })
}
