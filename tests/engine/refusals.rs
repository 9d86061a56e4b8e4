//! What cannot be run is refused in one line that names the thing, and costs no worker.

use std::fs;

use autotune_engine::api::{Engine, Failure, Job};
use autotune_engine::worker::WorkerOptions;

use super::{Bench, PATIENCE};

fn refusal(bench: &mut Bench, job: &Job) -> String {
    match bench.engine.run(job, PATIENCE).unwrap_err() {
        Failure::Refused { reason, .. } => reason,
        failure => panic!("not a refusal: {failure}"),
    }
}

#[test]
fn a_file_that_is_no_model_is_named() {
    let mut bench = Bench::new();
    let whole = fs::read(bench.file("tiny.gguf")).unwrap();
    fs::write(bench.file("text.gguf"), "this is not a model, but it is long enough").unwrap();
    fs::write(bench.file("empty.gguf"), "").unwrap();
    fs::write(bench.file("header.gguf"), &whole[..600]).unwrap();
    fs::write(bench.file("cut.gguf"), &whole[..whole.len() / 2]).unwrap();
    fs::create_dir(bench.file("folder.gguf")).unwrap();
    let known = bench.engine.best_variant(&bench.file("tiny.gguf")).unwrap();
    for name in
        ["text.gguf", "empty.gguf", "header.gguf", "cut.gguf", "folder.gguf", "missing.gguf"]
    {
        for variant in [None, Some(known.clone())] {
            let mut job = bench.job();
            job.model = bench.file(name);
            job.setting.process.isa_variant = variant;
            let reason = refusal(&mut bench, &job);
            assert!(reason.contains(name) && !reason.contains('\n'), "{reason}");
        }
    }
    let run = bench.run(&bench.job());
    assert_eq!(run.transition.process_ns, None, "the worker survived every refusal");
}

#[test]
fn an_unknown_architecture_is_refused_in_llama_cpps_words() {
    let mut bench = Bench::new();
    let mut bytes = fs::read(bench.file("tiny.gguf")).unwrap();
    let key = b"general.architecture";
    let place = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len() + 12;
    bytes[place..place + 5].copy_from_slice(b"lynxx");
    fs::write(bench.file("other.gguf"), bytes).unwrap();
    let mut job = bench.job();
    job.model = bench.file("other.gguf");
    let reason = refusal(&mut bench, &job);
    assert!(reason.contains("lynxx"), "{reason}");
}

#[test]
fn a_variant_that_does_not_exist_is_refused_with_those_that_do() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    job.setting.process.isa_variant = Some("pentium".into());
    let reason = refusal(&mut bench, &job);
    assert!(reason.contains("`pentium`"), "{reason}");
}

#[test]
fn a_folder_without_modules_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let folder = ("AUTOTUNE_ENGINE_DIR".into(), empty.path().into());
    let mut bench =
        Bench::with(WorkerOptions { environment: vec![folder], ..WorkerOptions::default() });
    let job = bench.job();
    let reason = refusal(&mut bench, &job);
    assert!(reason.contains(&empty.path().display().to_string()), "{reason}");
    bench.engine.identity().expect("who answers is known without modules");
}
