//! Modules that are not this program's, or that this machine has no driver for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use autotune_engine::api::{Engine, Failure, GpuLayers};
use autotune_engine::llama::Modules;

use super::{Model, PATIENCE, engine};

/// The job's outcome with one more module, made by `make` as `libggml-cuda.so`.
fn with_module(make: impl FnOnce(&Path)) -> Result<(), Failure> {
    let model = Model::new("q8_0");
    make(&model.folder.path().join("libggml-cuda.so"));
    let mut engine = engine(vec![("AUTOTUNE_BACKEND_DIR", model.folder.path())]);
    // Without a variant it is chosen first, by processes that no such module can harm.
    let mut job = model.job(Vec::new());
    job.setting.process.isa_variant = None;
    engine.run(&job, PATIENCE).map(drop)
}

fn refusal(outcome: Result<(), Failure>) -> String {
    match outcome {
        Err(Failure::Refused { reason, .. }) => reason,
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn a_module_without_our_stamp_is_refused_in_a_sentence() {
    // A real module of the same ggml: its one integer would pass.
    let real = Modules::find().unwrap().rpc().expect("it is part of the engine");
    let reason = refusal(with_module(|file| {
        fs::copy(&real, file).unwrap();
    }));
    assert!(reason.contains("libggml-cuda.so was not built for this program"), "{reason}");
    assert!(reason.contains("llama-cpp-sys-2") && !reason.contains('\n'), "{reason}");
}

#[test]
fn a_module_of_another_version_is_refused_with_both_versions() {
    let reason = refusal(with_module(|file| {
        let source = file.with_extension("c");
        let stamp = "llama-cpp-sys-2 0.1.1, ggml 0.9.4, headers 0123456789abcdef";
        let text = format!("const char autotune_module_stamp[] = \"{stamp}\";\n");
        fs::write(&source, text).unwrap();
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-o"]).arg(file).arg(&source);
        assert!(command.status().unwrap().success());
    }));
    assert!(reason.contains("was built from llama-cpp-sys-2 0.1.1, ggml 0.9.4"), "{reason}");
    assert!(reason.contains("this program from llama-cpp-sys-2 0.1.161"), "{reason}");
}

#[test]
fn a_module_that_the_system_cannot_load_is_no_error() {
    with_module(|file| fs::write(file, "no library").unwrap()).expect("the CPU is still there");
}

#[test]
fn a_named_folder_that_is_missing_is_refused() {
    let model = Model::new("q8_0");
    let gone = PathBuf::from("/nowhere/at/all");
    let mut engine = engine(vec![("AUTOTUNE_BACKEND_DIR", &gone)]);
    let mut job = model.job(Vec::new());
    job.setting.load.gpu_layers = GpuLayers::Count(0);
    let reason = refusal(engine.run(&job, PATIENCE).map(drop));
    assert!(reason.contains("/nowhere/at/all"), "{reason}");
}
