//! Synthetic models in llama.cpp itself: every architecture and the main types load, tokenize and
//! compute.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use autotune::gguf::ModelFile;
use autotune::model::ModelCard;
use autotune::synth::{
    Architecture, Output, Replace, Request, RopeScaling, Shape, file_type, write,
};
use autotune_engine::api::{ContextSetting, LoadSetting, ProcessSetting, Setting, ThreadSetting};
use autotune_engine::llama::{Probe, probe};
use autotune_engine::worker::{WorkerEngine, WorkerOptions};

const TEXT: &str = "The quick brown fox — naïve, 42 jumps!\n\tif (x < 3) { return \"日本語\"; } 🦊";

struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn written(shape: Shape, quant: &str) -> Written {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("m.gguf");
    let request = Request { shape, file_type: file_type(quant).expect("known"), seed: 11 };
    write(&request, &path, Replace::Nothing, &mut |_, _| ControlFlow::Continue(()))
        .expect("it is written");
    Written { _folder: folder, path }
}

/// The best CPU variant that passes its self-test here.
fn variant(model: &Path) -> String {
    static VARIANT: OnceLock<String> = OnceLock::new();
    let find = || {
        let program = Path::new(env!("CARGO_BIN_EXE_autotune"));
        let mut engine = WorkerEngine::new(program, WorkerOptions::default());
        engine.best_variant(model).expect("some variant runs here")
    };
    VARIANT.get_or_init(find).clone()
}

fn probed(path: &Path) -> Probe {
    let setting = Setting {
        process: ProcessSetting { isa_variant: Some(variant(path)), ..ProcessSetting::default() },
        load: LoadSetting::default(),
        context: ContextSetting {
            context: 256,
            batch: 256,
            ubatch: 256,
            ..ContextSetting::default()
        },
        threads: ThreadSetting::of(2),
    };
    probe(path, &setting, TEXT).expect("llama.cpp takes the file")
}

fn holds(shape: Shape, quant: &str) {
    let name = format!("{} {quant}", shape.architecture.name());
    let vocabulary = shape.vocabulary as usize;
    let file = written(shape, quant);
    let probe = probed(&file.path);
    assert_eq!(probe.text, TEXT, "{name}: the text survives its tokens");
    assert_eq!(probe.logits.len(), vocabulary);
    assert!(probe.logits.iter().all(|logit| logit.is_finite()), "{name}");
    let distinct: HashSet<u32> = probe.logits.iter().map(|logit| logit.to_bits()).collect();
    assert!(distinct.len() > 64, "{name}: {} distinct logits", distinct.len());
    let largest = probe.logits.iter().fold(0.0_f32, |most, logit| most.max(logit.abs()));
    assert!((0.1..100.0).contains(&largest), "{name}: the largest logit is {largest}");
}

fn tiny() -> Shape {
    Shape { layers: 2, ..Shape::named("tiny").expect("built in") }
}

fn mixture(architecture: Architecture) -> Shape {
    Shape { architecture, experts: 8, experts_used: 2, expert_feed_forward: 256, ..tiny() }
}

#[test]
fn plain_and_quantized_weights_run() {
    for quant in ["f32", "f16", "bf16", "q8_0", "q4_k_m", "q4_0", "q2_k", "iq4_xs", "iq2_xs"] {
        holds(tiny(), quant);
    }
}

#[test]
fn rows_that_fit_no_k_quant_fall_back_and_run() {
    let narrow = Shape { embedding: 288, heads: 9, kv_heads: 3, head_length: 32, ..tiny() };
    holds(narrow, "q4_k_m");
}

#[test]
fn every_dense_architecture_runs() {
    for architecture in [Architecture::Qwen2, Architecture::Qwen3] {
        holds(Shape { architecture, ..tiny() }, "q4_k_m");
    }
}

#[test]
fn mixtures_of_experts_run() {
    holds(mixture(Architecture::Qwen3Moe), "q4_k_m");
    let oss = Shape {
        sliding_window: 128,
        rope_scaling: RopeScaling::Yarn { factor: 32.0, original_context: 4096 },
        ..mixture(Architecture::GptOss)
    };
    holds(oss, "mxfp4");
}

#[test]
fn the_vocabularies_of_the_families_run_at_their_real_size() {
    for shape in ["llama-3.2-1b", "qwen3-0.6b", "gpt-oss-20b"] {
        let real = Shape::named(shape).expect("built in");
        let expert_feed_forward = if real.experts > 0 { 64 } else { 0 };
        let small = Shape {
            layers: 1,
            embedding: 64,
            heads: 2,
            kv_heads: 1,
            head_length: 32,
            feed_forward: 64,
            experts: real.experts.min(2),
            experts_used: real.experts_used.min(2),
            expert_feed_forward,
            ..real
        };
        holds(small, "q8_0");
    }
}

#[test]
fn the_card_says_what_was_written() {
    let shape = mixture(Architecture::Qwen3Moe);
    let file = written(shape.clone(), "q8_0");
    let card = ModelCard::of(&ModelFile::open(&file.path).expect("our own")).expect("complete");
    assert!(card.synthetic);
    assert_eq!(card.name.as_deref(), Some("tiny (random weights, autotune synth)"));
    assert_eq!((card.layers, card.embedding, card.experts, card.experts_used), (2, 256, 8, 2));
    assert_eq!((card.vocabulary, card.trained_context), (4096, 8192));
    assert_eq!((card.feed_forward, card.sliding_window), (256, None));
    // Two of eight experts, one row of the embedding, all of the output.
    let q8_0 = |weights: u64| weights / 32 * 34;
    let expert = q8_0(3 * 256 * 256);
    let attention = q8_0(256 * (256 + 2 * 128) + 256 * 256);
    let plain = 4 * (256 + 64 + 64 + 256 + 256 * 8);
    let layer = 2 * expert + attention + plain;
    let once = q8_0(4096 * 256) + q8_0(256) + 4 * 256;
    assert_eq!(card.bytes_per_token.0, 2 * layer + once);
    assert_eq!(card.file_bytes.0, file.path.metadata().expect("it is there").len());

    let tied = written(Shape { output: Output::Tied, ..tiny() }, "f16");
    let tied = ModelCard::of(&ModelFile::open(&tied.path).expect("our own")).expect("complete");
    let tensors: u64 = tied.types.iter().map(|share| share.bytes.0).sum();
    assert_eq!(tied.bytes_per_token.0, tensors, "a tied embedding is read whole");
    assert_ne!(tied.digest, card.digest);
}
