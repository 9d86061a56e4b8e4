//! One question to a worker and its answer: what the process boundary costs per trial. The
//! question names a model that is not there, so that nothing but the way is measured.

use std::path::Path;
use std::time::Duration;

use autotune_engine::api::{
    ContextSetting, Engine, Failure, Job, LoadSetting, ProcessSetting, Setting, ThreadSetting,
    VariantReport, Work,
};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};
use divan::Bencher;

/// Longer than any answer takes.
const DEADLINE: Duration = Duration::from_secs(60);

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 200)]
fn round_trip(bencher: Bencher<'_, '_>) {
    let mut engine = engine();
    let job = job(&mut engine);
    // The first question starts the worker.
    refused(&engine.run(&job, DEADLINE).expect_err("there is no such model"));
    bencher.bench_local(|| engine.run(&job, DEADLINE));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn start_and_round_trip(bencher: Bencher<'_, '_>) {
    let mut engine = engine();
    let job = job(&mut engine);
    bencher.bench_local(|| {
        engine.release();
        engine.run(&job, DEADLINE)
    });
}

fn engine() -> WorkerEngine {
    WorkerEngine::new(Path::new(env!("CARGO_BIN_EXE_autotune")), WorkerOptions::default())
}

/// A job for the best variant that works here.
fn job(engine: &mut WorkerEngine) -> Job {
    let variants = engine.variants(&[]).expect("the engine's modules");
    let usable = variants.iter().find(|variant| VariantReport::usable(variant));
    let isa_variant = usable.map(|variant| variant.name.clone());
    Job {
        model: "/no/such/model.gguf".into(),
        setting: Setting {
            process: ProcessSetting { isa_variant, ..ProcessSetting::default() },
            load: LoadSetting::default(),
            context: ContextSetting::default(),
            threads: ThreadSetting::of(1),
        },
        work: Work {
            prompt_tokens: 1,
            generate_tokens: 0,
            depth: 0,
            repetitions: 1,
            warmup: false,
            delay_ms: 0,
            seed: 1,
            parallel: 1,
        },
    }
}

/// Anything but a refusal would be another question than the one measured here.
fn refused(failure: &Failure) {
    assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
}
