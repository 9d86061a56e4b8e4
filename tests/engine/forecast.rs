//! What is foreseen is what is allocated, to the byte, and foreseeing survives every file.

use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

use autotune::synth;
use autotune_engine::api::{
    BufferForecast, Bytes, Engine, Failure, FlashAttention, KvType, LoadMode, Place, RestKind,
    Toggle,
};

use super::Bench;

/// A model with heads wide enough for every type of KV cache.
fn write_model(bench: &Bench, name: &str) -> PathBuf {
    synth::resolve(name, bench.folder.path(), &mut |_, _| ControlFlow::Continue(())).unwrap()
}

/// KV cache and scratch, foreseen and allocated.
fn both(bench: &mut Bench, model: &str, change: impl Fn(&mut super::Job)) -> [(Bytes, Bytes); 2] {
    let mut job = bench.job();
    job.model = write_model(bench, model);
    change(&mut job);
    let foreseen = bench.engine.forecast(&job.model, &job.setting).unwrap();
    let run = bench.run(&job);
    let weights: Bytes = foreseen.buffers.iter().map(|buffer| buffer.model_bytes).sum();
    // A rearranged form pads: AMX tiles of this model by a tenth.
    let most = Bytes(run.model.size_bytes.0 / 4 * 5);
    assert!(weights <= most, "{weights} {}", run.model.size_bytes);
    assert_eq!(foreseen.effective.ubatch, run.effective.context.ubatch);
    assert_eq!(foreseen.effective.flash_attention, run.effective.context.flash_attention);
    let of = |pick: fn(&BufferForecast) -> Bytes| foreseen.buffers.iter().map(pick).sum();
    let made = run.memory.buffers;
    [
        (of(|buffer| buffer.context_bytes), made.iter().map(|buffer| buffer.context_bytes).sum()),
        (of(|buffer| buffer.compute_bytes), made.iter().map(|buffer| buffer.compute_bytes).sum()),
    ]
}

#[test]
fn every_cache_type_length_and_batch_is_foreseen_to_the_byte() {
    let mut bench = Bench::new();
    let mut seen = std::collections::BTreeSet::new();
    for kind in KvType::ALL {
        for (context, ubatch) in [(512, 32), (1024, 64), (300, 7)] {
            let [kv, compute] = both(&mut bench, "synth:tiny:q4_k_m", |job| {
                let setting = &mut job.setting.context;
                (setting.type_k, setting.type_v) = (*kind, *kind);
                (setting.context, setting.ubatch) = (context, ubatch);
            });
            assert_eq!(kv.0, kv.1, "KV cache of {kind} at {context}");
            assert_eq!(compute.0, compute.1, "scratch of {kind} at {context} and {ubatch}");
            seen.insert((kv.0, compute.0));
        }
    }
    assert!(seen.len() > 12, "they hardly differ: {seen:?}");
}

#[test]
fn several_sequences_are_foreseen() {
    let mut bench = Bench::new();
    for sequences in [2, 8, 32] {
        let [kv, compute] = both(&mut bench, "synth:tiny:q4_k_m", |job| {
            job.setting.context.sequences = sequences;
            job.setting.context.context = 256 * sequences;
        });
        assert_eq!(kv.0, kv.1, "KV cache of {sequences} sequences");
        assert_eq!(compute.0, compute.1, "scratch of {sequences} sequences");
    }
}

#[test]
fn attention_with_and_without_its_matrix_is_foreseen() {
    let mut bench = Bench::new();
    for model in ["synth:tiny:q8_0", "synth:tiny:q4_0"] {
        for flash_attention in [FlashAttention::On, FlashAttention::Off, FlashAttention::Auto] {
            for repack in [Toggle::On, Toggle::Off] {
                let [kv, compute] = both(&mut bench, model, |job| {
                    job.setting.context.flash_attention = flash_attention;
                    job.setting.load.repack = repack;
                });
                assert_eq!((kv.0, compute.0), (kv.1, compute.1), "{model} {flash_attention}");
            }
        }
    }
}

#[test]
fn mapped_weights_lie_in_the_file_and_read_ones_do_not() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    let mut of = |mode| {
        job.setting.load.load_mode = mode;
        bench.engine.forecast(&job.model, &job.setting).unwrap().resident()
    };
    let (mapped, read) = (of(LoadMode::Mmap), of(LoadMode::None));
    assert!(mapped.file_bytes > read.file_bytes, "{mapped:?} {read:?}");
    assert!(mapped.anonymous_bytes < read.anonymous_bytes, "{mapped:?} {read:?}");
    assert!(of(LoadMode::Auto).file_bytes > read.file_bytes);
}

#[test]
fn what_the_engine_leaves_out_has_its_names() {
    let mut bench = Bench::new();
    let job = bench.job();
    let foreseen = bench.engine.forecast(&job.model, &job.setting).unwrap();
    for what in [RestKind::Logits, RestKind::Work, RestKind::Process, RestKind::Libraries] {
        assert!(foreseen.rest_of(what).unwrap() > Bytes(0), "{what:?}");
    }
    assert!(foreseen.buffers.iter().all(|buffer| !matches!(buffer.place, Place::Device(_))));
    assert_eq!(foreseen.devices().count(), 0);
}

#[test]
fn an_outline_is_foreseen_like_the_model_and_a_large_one_at_all() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    let whole = write_model(&bench, "synth:tiny:q4_k_m");
    let outline = synth::outline("synth:tiny:q4_k_m", bench.folder.path()).unwrap();
    let mut of =
        |path: &std::path::Path| bench.engine.forecast(path, &job.setting).unwrap().buffers;
    assert_eq!(of(outline.path()), of(&whole));
    job.setting.context.context = 4096;
    let large = synth::outline("synth:gpt-oss-20b:mxfp4", bench.folder.path()).unwrap();
    let foreseen = bench.engine.forecast(large.path(), &job.setting).unwrap();
    assert!(foreseen.memory().weights_bytes > Bytes(10 << 30), "{:?}", foreseen.memory());
}

#[test]
fn a_file_that_ends_the_engine_is_an_answer_and_the_next_question_gets_one() {
    let mut bench = Bench::new();
    let job = bench.job();
    let mut damaged = 0;
    let whole = fs::read(&job.model).unwrap();
    for place in (0..whole.len().min(4000)).step_by(97) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0xff;
        let path = bench.file("damaged.gguf");
        fs::write(&path, &bytes).unwrap();
        match bench.engine.forecast(&path, &job.setting) {
            Ok(_) | Err(Failure::Refused { .. } | Failure::OutOfMemory { .. }) => {}
            Err(Failure::Crashed { .. }) => damaged += 1,
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
    eprintln!("{damaged} headers ended the worker");
    let missing = bench.file("nowhere.gguf");
    assert!(matches!(bench.engine.forecast(&missing, &job.setting), Err(Failure::Refused { .. })));
    assert!(bench.engine.forecast(&job.model, &job.setting).is_ok());
}

#[test]
fn settings_that_would_end_the_engine_are_refused_first() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    job.setting.context.type_v = KvType::Q8_0;
    job.setting.context.flash_attention = FlashAttention::Off;
    let failure = bench.engine.forecast(&job.model, &job.setting).unwrap_err();
    assert!(failure.to_string().contains("flash attention"), "{failure}");
}

/// The table of docs/METHODOLOGY.md.
#[test]
#[ignore = "writes models of hundreds of megabytes and runs them; `cargo test --release --workspace \
            --test engine the_peak -- --ignored --nocapture` prints the table"]
fn the_peak_of_real_runs_is_foreseen() {
    let mut bench = Bench::new();
    let mut errors = Vec::new();
    for model in ["synth:smollm2-135m:q4_k_m", "synth:llama-3.2-1b:q4_k_m:layers=4"] {
        let path = write_model(&bench, model);
        for (context, ubatch, kind) in [
            (1024, 512, KvType::F16),
            (4096, 512, KvType::F16),
            (4096, 128, KvType::F16),
            (8192, 512, KvType::Q8_0),
            (8192, 256, KvType::Q4_0),
            (16_384, 512, KvType::F16),
        ] {
            let mut job = bench.job();
            job.model.clone_from(&path);
            let setting = &mut job.setting.context;
            (setting.context, setting.batch, setting.ubatch) = (context, 512, ubatch);
            (setting.type_k, setting.type_v) = (kind, kind);
            (job.work.prompt_tokens, job.work.generate_tokens) = (512, 4);
            let whole = bench.engine.forecast(&job.model, &job.setting).unwrap();
            let mut short = job.setting.clone();
            short.context.context = 768;
            let short = bench.engine.forecast(&job.model, &short).unwrap();
            let foreseen = whole.resident_after(&short).total().0 as f64;
            let peak = bench.run(&job).memory.peak_resident_bytes.unwrap().0 as f64;
            let error = (foreseen - peak) / peak;
            println!(
                "| {model} | {context} | {ubatch} | {kind} | {:.1} | {:.1} | {:+.2} % |",
                foreseen / 1_048_576.0,
                peak / 1_048_576.0,
                100.0 * error
            );
            errors.push(error.abs());
        }
    }
    errors.sort_by(f64::total_cmp);
    assert!(errors[errors.len() / 2] < 0.03, "{errors:?}");
}

#[test]
fn many_settings_are_counted_as_each_alone_and_a_refusal_costs_no_other() {
    let mut bench = Bench::new();
    let mut job = bench.job();
    job.model = write_model(&bench, "synth:tiny:q4_k_m");
    let mut settings = Vec::new();
    for (context, ubatch) in [(512, 64), (4096, 64), (4096, 512), (131_072, 512)] {
        let mut setting = job.setting.clone();
        setting.context.context = context;
        (setting.context.batch, setting.context.ubatch) = (512, ubatch);
        settings.push(setting);
    }
    // llama.cpp wants flash attention for a quantized V cache.
    settings[2].context.type_v = KvType::Q8_0;
    settings[2].context.flash_attention = FlashAttention::Off;
    let found = bench.engine.reservations(&job.model, &settings).unwrap();
    assert_eq!(found.len(), settings.len());
    for (setting, found) in settings.iter().zip(found) {
        let alone = bench.engine.forecast(&job.model, setting);
        let (Ok(found), Ok(alone)) = (&found, &alone) else {
            assert_eq!(setting.context.flash_attention, FlashAttention::Off, "{found:?}");
            assert!(found.is_err() && alone.is_err());
            continue;
        };
        let reserved =
            |it: &BufferForecast| BufferForecast { touched_bytes: it.compute_bytes, ..it.clone() };
        let alone: Vec<BufferForecast> = alone.buffers.iter().map(reserved).collect();
        assert_eq!(found.buffers, alone);
    }
    let missing = bench.folder.path().join("missing.gguf");
    let failure = bench.engine.reservations(&missing, &settings).unwrap_err();
    assert!(matches!(failure, Failure::Refused { .. }), "{failure:?}");
}
