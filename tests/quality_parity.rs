//! `quality`, `quantize` and `imatrix` against llama.cpp's own llama-perplexity, llama-quantize and
//! llama-imatrix, built on the same libraries by `scripts/llama-quality-tools.sh` (`make
//! llama-quality-tools`). Without the variables that it prints, each test says that it was skipped.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use autotune::gguf::{Header, ModelFile};
use autotune::quantize::contents;
use serde_json::Value;
use support::{alone, autotune, run};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/train-tiny");
const TYPES: [&str; 8] = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "iq4_xs", "q3_k_m", "q2_k"];
const CHUNKS: &str = "8";

fn source() -> String {
    format!("{TINY}/tiny-rust-f16.gguf")
}

fn held_out() -> String {
    format!("{TINY}/held-out.txt")
}

/// llama.cpp's own tools; `None`, and a word about it, where they are not named.
struct Tools {
    folder: PathBuf,
    modules: PathBuf,
    variant: String,
}

fn tools(folder: &Path) -> Option<Tools> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let tools = named("AUTOTUNE_LLAMA_QUALITY_TOOLS").zip(named("AUTOTUNE_LLAMA_MODULES"));
    let Some((tools, modules)) = tools else {
        eprintln!("skipped: AUTOTUNE_LLAMA_QUALITY_TOOLS names no folder of llama.cpp's programs");
        return None;
    };
    // The variant that autotune takes here, so that both compute with the same code.
    let mut command = autotune(folder);
    command.args(["quality", &source(), "--chunks", "1", "--format", "json"]);
    let report: Value = serde_json::from_str(&run(&mut command).stdout).unwrap();
    let variant = report["isa_variant"].as_str().unwrap().to_owned();
    Some(Tools { folder: tools, modules, variant })
}

impl Tools {
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        let module = self.modules.join(format!("libggml-cpu-{}.so", self.variant));
        command.env("LLAMA_BENCH_MODULE", module);
        command
    }

    /// Everything that a tool says.
    fn said(&self, name: &str, words: &[&str]) -> String {
        let output = self.command(name).args(words).output().unwrap();
        let (out, err) = (&output.stdout, &output.stderr);
        let text = String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err);
        assert!(output.status.success(), "{name} {words:?}: {text}");
        text
    }
}

/// The number after some words and a colon.
fn number(text: &str, words: &str) -> f64 {
    let found = text.match_indices(words).find_map(|(at, words)| {
        let rest = text[at + words.len()..].trim_start().strip_prefix(':')?.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_digit() && !".-+e".contains(c));
        rest[..end.unwrap_or(rest.len())].parse().ok()
    });
    found.unwrap_or_else(|| panic!("no `{words}` in {text}"))
}

fn quantized(folder: &Path, types: &str, more: &[&str]) {
    let mut command = autotune(folder);
    let printed = run(command.args(["quantize", &source(), "--to", types, "-o", "q"]).args(more));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
}

fn ours(folder: &Path, kind: &str) -> PathBuf {
    folder.join(format!("q/tiny-rust-f16-{kind}.gguf"))
}

#[test]
fn perplexity_and_divergence_are_llama_perplexitys() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let Some(tools) = tools(folder.path()) else { return };
    quantized(folder.path(), &TYPES.join(","), &[]);
    let mut command = autotune(folder.path());
    command.arg("quality").args(TYPES.map(|kind| ours(folder.path(), kind)));
    command.args(["--reference", &source(), "--text", &held_out(), "--chunks", CHUNKS]);
    let report: Value =
        serde_json::from_str(&run(command.args(["--format", "json", "-t", "1"])).stdout).unwrap();
    let base = folder.path().join("base.kld");
    let base = base.to_str().unwrap();
    let text = held_out();
    let common = ["-f", &text, "-c", "512", "--chunks", CHUNKS, "-t", "1"];
    let mut words = vec!["-m", TINY_SOURCE.as_str(), "--save-all-logits", base];
    words.extend(common);
    tools.said("llama-perplexity", &words);
    println!("| type | ours: PPL | theirs | ours: KLD | theirs | ours: top | theirs |");
    for (kind, own) in TYPES.iter().zip(report["candidates"].as_array().unwrap()) {
        let file = ours(folder.path(), kind);
        let mut words = vec!["-m", file.to_str().unwrap()];
        words.extend(common);
        words.extend(["--kl-divergence", "--kl-divergence-base", base]);
        let said = tools.said("llama-perplexity", &words);
        let perplexity = number(&said, "Mean PPL(Q)");
        let divergence = number(&said, "Mean    KLD");
        let top = number(&said, "Same top p") / 100.0;
        let of = |name: &str| own[name].as_f64().unwrap();
        let mean = own["kl_divergence"]["mean"].as_f64().unwrap();
        let own_top = of("top1_agreement");
        println!(
            "| {kind} | {:.4} | {perplexity:.4} | {mean:.6} | {divergence:.6} | {own_top:.5} | \
             {top:.5} |",
            of("perplexity")
        );
        assert!((of("perplexity") / perplexity - 1.0).abs() < 1e-5, "{kind}: {said}");
        // Theirs is printed with six digits, from logits rounded to 16 bits.
        assert!((mean - divergence).abs() < 2e-6 + 1e-4 * divergence, "{kind}: {mean} {said}");
        assert!((own_top - top).abs() < 2e-3, "{kind}: {own_top} {said}");
    }
}

static TINY_SOURCE: std::sync::LazyLock<String> = std::sync::LazyLock::new(source);

#[test]
fn files_are_llama_quantizes() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let Some(tools) = tools(folder.path()) else { return };
    quantized(folder.path(), &TYPES.join(","), &[]);
    for kind in TYPES {
        let theirs = folder.path().join(format!("theirs-{kind}.gguf"));
        let words = [&source(), theirs.to_str().unwrap(), &kind.to_uppercase(), "2"];
        tools.said("llama-quantize", &words.map(|it| it as &str));
        let of = |path: &Path| contents(&ModelFile::open(path).unwrap()).unwrap();
        assert_eq!(of(&theirs), of(&ours(folder.path(), kind)), "{kind}");
    }
}

#[test]
fn importance_matrices_are_read_both_ways() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let Some(tools) = tools(folder.path()) else { return };
    let at = folder.path();
    let mut command = autotune(at);
    let text = format!("{TINY}/calibration.txt");
    command.args(["imatrix", &source(), "--text", &text, "-o", "ours.gguf", "--chunks", CHUNKS]);
    let printed = run(command.args(["-t", "1"]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let theirs = at.join("theirs.gguf");
    let words = ["-m", &source(), "-f", &text, "-c", "512", "--chunks", CHUNKS, "-t", "1", "-o"];
    let mut words = words.to_vec();
    words.push(theirs.to_str().unwrap());
    tools.said("llama-imatrix", &words);
    // The same sums, but for the order they were added in.
    let (own, its) = (sums(&at.join("ours.gguf")), sums(&theirs));
    assert_eq!(own.len(), its.len());
    for ((name, own), (other, its)) in own.iter().zip(&its) {
        assert_eq!(name, other);
        let total: f32 = its.iter().sum();
        let distance: f32 = own.iter().zip(its).map(|(a, b)| (a - b).abs()).sum();
        assert!(distance <= 1e-3 * total, "{name}: {distance} of {total}");
    }
    // A file of theirs made with ours, and one of ours made with ours and with theirs.
    let made = at.join("made.gguf");
    let ours_path = at.join("ours.gguf");
    let words = ["--imatrix", ours_path.to_str().unwrap(), &source(), made.to_str().unwrap()];
    let mut words = words.to_vec();
    words.extend(["Q2_K", "2"]);
    tools.said("llama-quantize", &words);
    quantized(at, "q2_k", &["--imatrix", "ours.gguf"]);
    let of = |path: &Path| contents(&ModelFile::open(path).unwrap()).unwrap();
    assert_eq!(of(&made), of(&ours(at, "q2_k")));
    quantized(at, "iq2_xs", &["--imatrix", "theirs.gguf"]);
}

/// The sums of a matrix by tensor.
fn sums(path: &Path) -> Vec<(String, Vec<f32>)> {
    let header = Header::read(path).unwrap();
    let bytes = fs::read(path).unwrap();
    let mut sums: Vec<(String, Vec<f32>)> = header
        .tensors
        .iter()
        .filter(|tensor| tensor.name.ends_with(".in_sum2"))
        .map(|tensor| {
            let start = usize::try_from(header.data_start + tensor.offset).unwrap();
            let data = &bytes[start..start + usize::try_from(tensor.bytes).unwrap()];
            let float = |it: &[u8]| f32::from_le_bytes([it[0], it[1], it[2], it[3]]);
            (tensor.name.clone(), data.chunks_exact(4).map(float).collect())
        })
        .collect();
    sums.sort_by(|one, other| one.0.cmp(&other.0));
    sums
}
