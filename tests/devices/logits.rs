//! What a model says on a device, in a process of its own, since a process has its devices for
//! ever; and how far that is from what it says on the CPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use autotune_engine::api::{
    ContextSetting, FlashAttention, GpuLayers, KvType, LoadSetting, ProcessSetting, Setting,
    ThreadSetting,
};
use autotune_engine::llama::{probe, widen};
use serde::{Deserialize, Serialize};

use super::{DEVICES, Model, chosen_device};

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
/// Squared error over squared logits, of all texts together, that another order of summation,
/// half floats and activations of 8 bits may make.
pub(super) const MOST_ERROR: f64 = 1e-3;

#[derive(Serialize, Deserialize)]
struct Question {
    model: PathBuf,
    process: ProcessSetting,
    /// Layers on the devices, one answer for each.
    layers: Vec<GpuLayers>,
    /// Whether to compute with the weights as 32-bit numbers, a KV cache of such, and attention
    /// in steps: nothing is rounded then but sums.
    exact: bool,
    answer: PathBuf,
}

/// For each count of layers and each text, the logits of the text's last token.
type Logits = Vec<Vec<Vec<f32>>>;

/// What the model says with so many layers on the devices of such a process.
pub(super) fn logits(model: &Model, process: ProcessSetting, layers: &[GpuLayers]) -> Logits {
    asked(model, process, layers, false)
}

/// What the model's weights say on the CPU when nothing is rounded on the way.
pub(super) fn exact(model: &Model, process: ProcessSetting) -> Vec<Vec<f32>> {
    asked(model, process, &[GpuLayers::Count(0)], true).remove(0)
}

fn asked(model: &Model, process: ProcessSetting, layers: &[GpuLayers], exact: bool) -> Logits {
    let answer = model.folder.path().join("answer.json");
    let question = Question {
        model: model.path.clone(),
        process,
        layers: layers.to_vec(),
        exact,
        answer: answer.clone(),
    };
    let file = model.folder.path().join("question.json");
    fs::write(&file, serde_json::to_vec(&question).unwrap()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "logits::answer_a_question", "--include-ignored", "--nocapture"])
        .env(QUESTION, &file)
        .env(DEVICES, chosen_device())
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
    let model = if question.exact {
        let wide = question.model.with_extension("wide.gguf");
        widen(&question.model, &wide).unwrap();
        wide
    } else {
        question.model.clone()
    };
    let rounded = ContextSetting { context: 256, batch: 256, ubatch: 256, ..Default::default() };
    let context = if question.exact {
        let (type_k, type_v) = (KvType::F32, KvType::F32);
        ContextSetting { type_k, type_v, flash_attention: FlashAttention::Off, ..rounded }
    } else {
        rounded
    };
    let said = |layers: &GpuLayers| {
        let setting = Setting {
            process: question.process.clone(),
            load: LoadSetting { gpu_layers: *layers, ..LoadSetting::default() },
            context: context.clone(),
            threads: ThreadSetting::of(1),
        };
        let one = |text: &&str| probe(&model, &setting, text).unwrap().logits;
        TEXTS.iter().map(one).collect::<Vec<_>>()
    };
    let answer: Logits = question.layers.iter().map(said).collect();
    fs::write(&question.answer, serde_json::to_vec(&answer).unwrap()).unwrap();
}

/// How far one is from the other: squared error over squared logits, over all texts.
pub(super) fn error(right: &[Vec<f32>], other: &[Vec<f32>]) -> f64 {
    assert_eq!(right.len(), other.len());
    let (mut wrong, mut size) = (0.0_f64, 0.0_f64);
    for (right, other) in right.iter().zip(other) {
        assert_eq!(right.len(), other.len());
        for (a, b) in right.iter().zip(other).map(|(a, b)| (f64::from(*a), f64::from(*b))) {
            wrong += (a - b) * (a - b);
            size += a * a;
        }
    }
    wrong / size
}

/// Holds what a device says against what is right, and gives the error over all texts. Where the
/// two largest logits are further apart than the typical error, the same one must lead.
pub(super) fn hold(what: &str, right: &[Vec<f32>], other: &[Vec<f32>], most: f64) -> f64 {
    for (text, (right, other)) in TEXTS.iter().zip(right.iter().zip(other)) {
        let wrong = right.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        let (first, second) = top_two(right);
        if f64::from(right[first] - right[second]) > (wrong / right.len() as f64).sqrt() {
            assert_eq!(top_two(other).0, first, "{what}, `{text}`: another greedy token");
        }
    }
    let error = error(right, other);
    assert!(error <= most, "{what}: error {error:e}");
    error
}

/// Places of the largest logit and the one after it.
fn top_two(logits: &[f32]) -> (usize, usize) {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    (order[0], order[1])
}
