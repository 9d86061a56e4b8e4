//! What a model says on a device, in a process of its own, since a process has its devices for
//! ever; and how far that is from what it says on the CPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use autotune_engine::api::{GpuLayers, LoadSetting, ProcessSetting, Setting};
use autotune_engine::llama::probe;
use serde::{Deserialize, Serialize};

use super::Model;

/// Names the file with the question, for the process that answers it.
const QUESTION: &str = "AUTOTUNE_TEST_QUESTION";
/// Each ends at another place, in words and in the middle of one.
const TEXTS: [&str; 6] = [
    "The quick brown fox jumps over the lazy dog.",
    "In 1831 the ship left Plymouth with",
    "fn main() { println!(\"",
    "naïve café, 日本語 🦊",
    "a",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
];
/// Squared error over squared logits, of all texts together, that another order of summation and
/// half floats may make.
pub(super) const MOST_ERROR: f64 = 1e-3;
/// The same for K-quants: there the CPU rounds activations to 8 bits in blocks of 256, which is
/// an error of its own of this size (F16 weights agree to 1e-4).
pub(super) const MOST_ERROR_K: f64 = 2e-3;

#[derive(Serialize, Deserialize)]
struct Question {
    model: PathBuf,
    process: ProcessSetting,
    /// Layers on the devices, one answer for each.
    layers: Vec<GpuLayers>,
    answer: PathBuf,
}

/// For each count of layers and each text, the logits of the text's last token.
type Logits = Vec<Vec<Vec<f32>>>;

/// What the model says with so many layers on the devices of such a process.
pub(super) fn logits(model: &Model, process: ProcessSetting, layers: &[GpuLayers]) -> Logits {
    let answer = model.folder.path().join("answer.json");
    let question = Question {
        model: model.path.clone(),
        process,
        layers: layers.to_vec(),
        answer: answer.clone(),
    };
    let file = model.folder.path().join("question.json");
    fs::write(&file, serde_json::to_vec(&question).unwrap()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logits::answer_a_question", "--include-ignored", "--nocapture"])
        .env(QUESTION, &file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    serde_json::from_slice(&fs::read(answer).unwrap()).unwrap()
}

#[test]
#[ignore = "asked by the other tests, in a process of its own"]
fn answer_a_question() {
    let Some(file) = std::env::var_os(QUESTION) else { return };
    let question: Question = serde_json::from_slice(&fs::read(Path::new(&file)).unwrap()).unwrap();
    let said = |layers: &GpuLayers| {
        let setting = Setting {
            process: question.process.clone(),
            load: LoadSetting { gpu_layers: *layers, ..LoadSetting::default() },
            context: autotune_engine::api::ContextSetting {
                context: 256,
                batch: 256,
                ubatch: 256,
                ..autotune_engine::api::ContextSetting::default()
            },
            threads: autotune_engine::api::ThreadSetting::of(1),
        };
        let one = |text: &&str| probe(&question.model, &setting, text).unwrap().logits;
        TEXTS.iter().map(one).collect::<Vec<_>>()
    };
    let answer: Logits = question.layers.iter().map(said).collect();
    fs::write(&question.answer, serde_json::to_vec(&answer).unwrap()).unwrap();
}

/// Holds what a device says against the CPU, and gives the error over all texts.
pub(super) fn hold(what: &str, on_cpu: &[Vec<f32>], on_device: &[Vec<f32>], most: f64) -> f64 {
    assert_eq!(on_cpu.len(), on_device.len());
    let (mut wrong, mut size) = (0.0_f64, 0.0_f64);
    for (text, (right, other)) in TEXTS.iter().zip(on_cpu.iter().zip(on_device)) {
        assert_eq!(right.len(), other.len());
        let pairs = || right.iter().zip(other).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let here: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
        let typical = (here / right.len() as f64).sqrt();
        let (first, second) = top_two(right);
        if f64::from(right[first] - right[second]) > typical {
            assert_eq!(top_two(other).0, first, "{what}, `{text}`: another greedy token");
        }
        wrong += here;
        size += pairs().map(|(a, _)| a * a).sum::<f64>();
    }
    let error = wrong / size;
    assert!(error <= most, "{what}: error {error:e}");
    error
}

/// Places of the largest logit and the one after it.
fn top_two(logits: &[f32]) -> (usize, usize) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    (order[0], order[1])
}
