//! llama.cpp for real, in a worker of the program under test.

mod contract;
mod deaths;
mod forecast;
mod knobs;
mod model;
mod refusals;
mod reuse;

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{
    ContextSetting, CpuMask, Engine, FlashAttention, GpuLayers, Job, KvType, LoadMode, LoadSetting,
    ProcessSetting, Run, Setting, ThreadSetting, Toggle, VariantReport, VariantVerdict, Work,
};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};
use rustix::process::Pid;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tiny model and an engine to run it.
struct Bench {
    folder: tempfile::TempDir,
    engine: WorkerEngine,
}

impl Bench {
    fn new() -> Self {
        Self::with(WorkerOptions::default())
    }

    fn with(options: WorkerOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_autotune"));
        model::write(&folder.path().join("tiny.gguf"), false);
        Self { folder, engine: WorkerEngine::new(program, options) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn job(&self) -> Job {
        let load = LoadSetting {
            gpu_layers: GpuLayers::Count(0),
            load_mode: LoadMode::Auto,
            repack: Toggle::On,
            ..LoadSetting::default()
        };
        let context =
            ContextSetting { context: 512, batch: 64, ubatch: 32, ..ContextSetting::default() };
        Job {
            model: self.file("tiny.gguf"),
            setting: Setting {
                process: ProcessSetting::default(),
                load,
                context,
                threads: ThreadSetting::of(1),
            },
            work: Work {
                prompt_tokens: 100,
                generate_tokens: 5,
                depth: 0,
                repetitions: 2,
                warmup: true,
                delay_ms: 0,
                seed: 1,
                parallel: 1,
            },
        }
    }

    fn run(&mut self, job: &Job) -> Run {
        self.engine.run(job, PATIENCE).unwrap()
    }

    fn worker(&self) -> Pid {
        let id = self.engine.worker_ids().last().expect("a worker is resident");
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }
}

#[test]
fn the_worker_engine_keeps_the_promises_of_every_engine() {
    let mut bench = Bench::new();
    let job = bench.job();
    contract::hold(&mut bench.engine, &job);
}

#[test]
fn a_run_says_what_was_really_done() {
    let mut bench = Bench::new();
    let run = bench.run(&bench.job());
    let effective = &run.effective;
    assert_eq!(effective.context.context, 512);
    assert_eq!((effective.context.batch, effective.context.ubatch), (64, 32));
    assert_ne!(effective.context.flash_attention, FlashAttention::Auto);
    assert_ne!(effective.load.load_mode, LoadMode::Auto);
    assert_eq!(effective.load.gpu_layers, GpuLayers::Count(0));
    assert_eq!(run.caveats, [""; 0]);
    assert_eq!(run.model.layers, 2);
    assert!(run.model.description.contains("llama"), "{}", run.model.description);
    let used = |bytes: fn(&autotune_engine::api::BufferUse) -> u64| {
        run.memory.buffers.iter().map(bytes).sum::<u64>()
    };
    // 2 layers, K and V, 512 cells of 128 halves.
    assert_eq!(used(|buffer| buffer.context_bytes.0), 2 * 2 * 512 * 128 * 2);
    assert!(used(|buffer| buffer.model_bytes.0) >= run.model.size_bytes.0);
    assert!(used(|buffer| buffer.compute_bytes.0) > 0);
    #[cfg(target_os = "linux")]
    assert!(run.memory.peak_resident_bytes.unwrap() > run.model.size_bytes);
}

#[test]
fn what_llama_cpp_clamps_is_told() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    job.setting.context.ubatch = 4096;
    let run = bench.run(&job);
    assert_eq!(run.effective.context.ubatch, 64);
    assert_eq!(run.caveats.len(), 1, "{:?}", run.caveats);
}

#[test]
fn every_kind_of_setting_runs() {
    let mut bench = Bench::new();
    let cases: [fn(&mut Job); 8] = [
        |job| job.work.depth = 150,
        |job| (job.work.prompt_tokens, job.work.warmup) = (0, false),
        |job| (job.setting.threads.threads, job.setting.threads.threads_batch) = (1, 2),
        |job| job.setting.context.flash_attention = FlashAttention::Off,
        |job| {
            job.setting.context.flash_attention = FlashAttention::On;
            (job.setting.context.type_k, job.setting.context.type_v) = (KvType::Q8_0, KvType::Q4_0);
        },
        |job| job.setting.load.repack = Toggle::Off,
        |job| job.setting.load.load_mode = LoadMode::None,
        |job| {
            job.setting.threads.cpu_mask = CpuMask::new([0]);
            job.setting.threads.strict = Toggle::On;
            job.setting.threads.poll = 0;
        },
    ];
    for change in cases {
        let mut job = bench.job();
        change(&mut job);
        let run = bench.run(&job);
        assert_eq!(run.samples.len(), 2);
        assert_eq!(run.effective.context.type_k, job.setting.context.type_k);
    }
}

#[test]
fn a_variant_that_is_called_usable_runs_a_job_and_the_best_of_them_is_the_default() {
    let mut bench = Bench::new();
    let types = bench.engine.weight_types(&bench.file("tiny.gguf")).unwrap();
    assert_eq!(types, ["F32", "Q4_0"]);
    let variants = bench.engine.variants(&types).unwrap();
    let usable: Vec<_> = variants.iter().filter(|variant| variant.usable()).collect();
    let default = bench.run(&bench.job()).effective.process.isa_variant.unwrap();
    assert_eq!(default, usable[0].name);
    for variant in &variants {
        let mut job = bench.job();
        job.setting.process.isa_variant = Some(variant.name.clone());
        let outcome = bench.engine.run(&job, PATIENCE);
        match &variant.verdict {
            VariantVerdict::Usable => assert!(outcome.is_ok(), "{variant:?}: {outcome:?}"),
            VariantVerdict::Unsupported => assert!(outcome.is_err(), "{variant:?}"),
            // What fails a small product may still survive a small model.
            VariantVerdict::Failed { reason, .. } => assert!(!reason.is_empty()),
        }
    }
}

/// Types of weights that are quickly made; one of each family of kernels.
const WEIGHT_TYPES: [&str; 16] = [
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "TQ1_0", "MXFP4",
];

#[test]
fn some_variant_multiplies_every_family_of_types_rightly() {
    let mut bench = Bench::new();
    let types: Vec<String> = WEIGHT_TYPES.iter().map(ToString::to_string).collect();
    let variants = bench.engine.variants(&types).unwrap();
    assert!(variants.iter().any(VariantReport::usable), "{variants:#?}");
    for variant in &variants {
        if let VariantVerdict::Failed { reason, .. } = &variant.verdict {
            // A crash is the machine's matter; a wrong product or tolerance is ours.
            assert!(reason.contains("died of"), "{}: {reason}", variant.name);
        }
    }
}
