//! `quantize`, `imatrix` and `quality` as people run them, on the small model that was trained for
//! this (tools/train-tiny) and the real engine. Nothing here asserts how long anything takes.

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Printed, alone, autotune, run};
use tempfile::TempDir;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/train-tiny");

fn trained(name: &str) -> String {
    format!("{TINY}/{name}")
}

fn source() -> String {
    trained("tiny-rust-f16.gguf")
}

fn document(printed: &Printed) -> Value {
    assert_eq!(printed.code, Some(0), "{}{}", printed.stdout, printed.stderr);
    serde_json::from_str(&printed.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", printed.stdout, printed.stderr))
}

/// Quantizations of the trained model, the way to them, and what was said of them.
fn quantized(folder: &Path, types: &str, more: &[&str]) -> Value {
    let mut command = autotune(folder);
    command.args(["quantize", &source(), "--to", types, "-o", "q", "-t", "1"]);
    command.args(["--format", "json"]).args(more);
    document(&run(&mut command))
}

fn file(kind: &str) -> String {
    format!("q/tiny-rust-f16-{kind}.gguf")
}

/// Candidates against the trained model on text that it has not seen.
fn quality(folder: &Path, candidates: &[&str], more: &[&str]) -> Value {
    document(&run(asking(folder, candidates).args(more)))
}

fn asking(folder: &Path, candidates: &[&str]) -> Command {
    let mut command = autotune(folder);
    command.arg("quality").args(candidates.iter().map(|kind| file(kind)));
    command.args(["--reference", &source(), "--text", &trained("held-out.txt")]);
    command.args(["--format", "json", "-t", "1"]);
    command
}

fn mean(candidate: &Value) -> f64 {
    candidate["kl_divergence"]["mean"].as_f64().unwrap()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn fewer_bits_are_further_from_the_source() {
    let _alone = alone();
    let folder = folder();
    let kinds = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q3_k_m", "q2_k"];
    let made = quantized(folder.path(), &kinds.join(","), &[]);
    let report = quality(folder.path(), &kinds, &["--chunks", "10"]);
    let candidates = report["candidates"].as_array().unwrap();
    let means: Vec<f64> = candidates.iter().map(mean).collect();
    assert!(means.is_sorted_by(|one, next| one < next), "{means:?}");
    let agreement = |it: &Value| it["top1_agreement"].as_f64().unwrap();
    let tops: Vec<f64> = candidates.iter().map(agreement).collect();
    assert!(tops.is_sorted_by(|one, next| one > next), "{tops:?}");
    let bits = |it: &Value| it["bits_per_weight"].as_f64().unwrap();
    let sizes: Vec<f64> = candidates.iter().map(bits).collect();
    assert!(sizes.is_sorted_by(|one, next| one > next), "{sizes:?}");
    // What was planned is what the files have.
    for (made, judged) in made["files"].as_array().unwrap().iter().zip(candidates) {
        assert_eq!(made["file_bytes"], judged["file_bytes"]);
        assert!((bits(made) - bits(judged)).abs() < 1e-9);
        assert_eq!(made["fallbacks"], serde_json::json!([]));
    }
    // The same computation twice is the same to the last bit.
    assert_eq!(report["noise_floor"]["kl_divergence"], 0.0);
    assert_eq!(report["noise_floor"]["top1_agreement"], 1.0);
    let quantile = |it: &Value, name: &str| it["kl_divergence"][name].as_f64().unwrap();
    for it in candidates {
        let order = ["median", "p90", "p99", "max"].map(|name| quantile(it, name));
        assert!(order.is_sorted(), "{it}");
        let ratio = it["ln_perplexity_ratio"].as_f64().unwrap();
        let error = it["ln_perplexity_ratio_se"].as_f64().unwrap();
        assert!(ratio.abs() < 2.0 * mean(it) + 4.0 * error, "{it}");
    }
}

#[test]
fn the_trained_model_knows_far_more_than_which_tokens_are_common() {
    let _alone = alone();
    let folder = folder();
    let mut command = autotune(folder.path());
    command.args(["quality", &source(), "--text", &trained("held-out.txt"), "--format", "json"]);
    let report = document(&run(command.args(["--chunks", "12", "-t", "1"])));
    let perplexity = report["candidates"][0]["perplexity"].as_f64().unwrap();
    // One that knows how common each token is has 748 (the training's log).
    assert!((5.0..60.0).contains(&perplexity), "{perplexity}");
    assert_eq!(report["reference"], Value::Null);
    assert!(report["candidates"][0].get("kl_divergence").is_none(), "{report}");
}

#[test]
fn an_importance_matrix_helps_where_bits_are_few() {
    let _alone = alone();
    let folder = folder();
    let matrix = |name: &str, chunks: &str, more: &[&str]| {
        let mut command = autotune(folder.path());
        command.args(["imatrix", &source(), "--text", &trained("calibration.txt")]);
        let printed = run(command.args(["-o", name, "--chunks", chunks, "-t", "1"]).args(more));
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        printed.stderr
    };
    let said = matrix("m.gguf", "24", &[]);
    // Seven products in each of five layers.
    assert!(said.contains("35 tensors over 24 chunks"), "{said}");
    let said = matrix("more.gguf", "2", &["--merge", "m.gguf"]);
    assert!(said.contains("35 tensors over 26 chunks"), "{said}");
    quantized(folder.path(), "q2_k", &[]);
    fs::rename(folder.path().join(file("q2_k")), folder.path().join(file("plain"))).unwrap();
    let made = quantized(folder.path(), "q2_k,iq2_xs", &["--imatrix", "m.gguf"]);
    assert_eq!(made["importance"], "m.gguf");
    let report = quality(folder.path(), &["plain", "q2_k", "iq2_xs"], &["--chunks", "8"]);
    let candidates = report["candidates"].as_array().unwrap();
    assert!(mean(&candidates[1]) < mean(&candidates[0]), "{candidates:?}");
    assert!(mean(&candidates[2]) > mean(&candidates[1]), "{candidates:?}");
}

#[test]
fn a_stored_reference_says_what_a_present_one_does() {
    let _alone = alone();
    let folder = folder();
    quantized(folder.path(), "q4_k_m", &[]);
    let of = |basis: &str| {
        let more = ["--chunks", "3", "--basis", basis, "--no-cache"];
        quality(folder.path(), &["q4_k_m"], &more)
    };
    let (live, stored) = (of("lock-step"), of("stored"));
    let (one, other) = (&live["candidates"][0], &stored["candidates"][0]);
    assert!((mean(one) - mean(other)).abs() < 1e-6, "{one} {other}");
    assert_eq!(one["top1_agreement"], other["top1_agreement"]);
    assert_eq!(one["perplexity"], other["perplexity"]);
    assert!(stored["notes"].to_string().contains("from a file"), "{stored}");
}

#[test]
fn the_cache_and_attention_are_judged_like_weights() {
    let _alone = alone();
    let folder = folder();
    let mut command = autotune(folder.path());
    command.args(["quality", "--reference", &source(), "--text", &trained("held-out.txt")]);
    command.args(["--vary", "ctk,ctv,fa", "--chunks", "3", "--format", "json"]);
    command.args(["-t", "1"]);
    let report = document(&run(&mut command));
    let of = |flags: &str| {
        let all = report["candidates"].as_array().unwrap();
        mean(all.iter().find(|it| it["variation"] == flags).unwrap())
    };
    assert!(of("-ctk q8_0") < of("-ctk q4_0"), "{report}");
    assert!(of("-ctv q8_0") < of("-ctk q4_0 -ctv q4_0"), "{report}");
    // Another order of sums, and nothing else.
    assert!(of("-fa off") < 1e-4, "{report}");
}

#[test]
fn a_text_of_the_references_own_comes_from_its_seed() {
    let _alone = alone();
    let folder = folder();
    quantized(folder.path(), "q3_k_m", &[]);
    let of = |seed: &str| {
        let mut command = autotune(folder.path());
        command.args(["quality", &file("q3_k_m"), "--reference", &source(), "--text", "self"]);
        command.args(["--chunks", "3", "--seed", seed, "--chunk-tokens", "128"]);
        document(&run(command.args(["--format", "json", "-t", "1"])))
    };
    let (one, again, other) = (of("4"), of("4"), of("5"));
    assert_eq!(one["text"]["digest"], again["text"]["digest"]);
    assert_ne!(one["text"]["digest"], other["text"]["digest"]);
    assert_eq!(one["candidates"], again["candidates"]);
    assert!(mean(&one["candidates"][0]) > 0.0);
}

#[test]
fn a_mix_keeps_its_size_and_is_no_worse_than_what_everybody_has() {
    let _alone = alone();
    let folder = folder();
    let mut command = autotune(folder.path());
    command.args(["quantize", &source(), "--mix", "4.2bpw", "-o", "q", "--format", "json"]);
    let made = document(&run(command.args(["--text", &trained("held-out.txt"), "-t", "1"])));
    let made = &made["files"][0];
    assert!(made["bits_per_weight"].as_f64().unwrap() <= 4.2, "{made}");
    let mix = &made["mix"];
    let (own, beside) = (&mix["kl_divergence"], &mix["beside"]["kl_divergence"]);
    assert!(own.as_f64().unwrap() <= beside.as_f64().unwrap(), "{mix}");
    assert!(mix["beside"]["bits_per_weight"].as_f64().unwrap() <= 4.2, "{mix}");
    assert!(mix["groups"].as_array().unwrap().len() >= 8, "{mix}");
    assert!(folder.path().join("q/tiny-rust-f16-mix-4.2bpw.gguf").is_file());
}

#[test]
fn what_cannot_be_compared_or_made_is_refused_by_name() {
    let _alone = alone();
    let folder = folder();
    let at = folder.path();
    let synth = autotune(at)
        .args(["synth", "tiny", "--quant", "f16", "-o", "other.gguf"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(synth.success());
    quantized(at, "q8_0", &[]);
    fs::write(at.join("short.txt"), "too short").unwrap();
    fs::write(at.join("no-text"), [0xff, 0xfe, 0x00, 0x41]).unwrap();
    fs::write(at.join("no.gguf"), "GGUF?").unwrap();
    let own = source();
    let q8 = file("q8_0");
    let cases: [(&[&str], i32, &str); 13] = [
        (&["quality", &q8, "--reference", &own, "--text", "short.txt"], 2, "two chunks of 512"),
        (&["quality", &q8, "--reference", &own, "--text", "no-text"], 2, "not UTF-8"),
        (&["quality", &q8, "--reference", &own, "--text", "gone.txt"], 2, "gone.txt"),
        (&["quality", "other.gguf", "--reference", &own], 2, "its vocabulary has"),
        (&["quality", "no.gguf", "--reference", &own], 2, "no.gguf"),
        (&["quality", "--reference", &own], 2, "no candidate"),
        (&["quality", &q8, "--text", "self"], 2, "--reference"),
        (&["quantize", &q8, "--to", "q4_0"], 2, "quantized already: "),
        (&["quantize", &own, "--to", "q5_9"], 2, "no quantization `q5_9`"),
        (&["quantize", &own, "--to", "iq2_xs"], 2, "needs an importance matrix"),
        (&["quantize", &own, "--to", "q2_k", "--imatrix", "gone"], 2, "no importance matrix gone"),
        (&["quantize", &own, "--mix", "0.2bpw"], 2, "outside of 1 to 32"),
        (&["imatrix", "no.gguf", "-o", "i.gguf"], 2, "no.gguf"),
    ];
    for (words, code, wanted) in cases {
        let printed = run(autotune(at).args(words));
        assert_eq!(printed.code, Some(code), "{words:?}: {}", printed.stderr);
        assert!(printed.stderr.contains(wanted), "{words:?}: {}", printed.stderr);
        assert_eq!(printed.stderr.matches("error:").count(), 1, "{}", printed.stderr);
    }
    // The matrix of another model.
    let mut command = autotune(at);
    let printed = run(command.args(["imatrix", "other.gguf", "-o", "i.gguf", "--chunks", "1"]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let printed = run(autotune(at).args(["quantize", &own, "--to", "q2_k", "--imatrix", "i.gguf"]));
    assert_eq!(printed.code, Some(2), "{}", printed.stderr);
    assert!(printed.stderr.contains("another model"), "{}", printed.stderr);
    assert!(!at.join("i.gguf.tmp").exists() && !at.join("tiny-rust-f16-q2_k.gguf").exists());
}

#[test]
fn a_file_that_is_there_is_kept_or_left_alone() {
    let _alone = alone();
    let folder = folder();
    let first = quantized(folder.path(), "q4_0", &[]);
    assert_eq!(first["files"][0]["kept"], false);
    let again = quantized(folder.path(), "q4_0", &[]);
    assert_eq!(again["files"][0]["kept"], true);
    // Another file under that name.
    fs::copy(source(), folder.path().join(file("q4_0"))).unwrap();
    let mut command = autotune(folder.path());
    let printed = run(command.args(["quantize", &source(), "--to", "q4_0", "-o", "q"]));
    assert_eq!(printed.code, Some(2), "{}", printed.stderr);
    assert!(printed.stderr.contains("--force"), "{}", printed.stderr);
    let forced = quantized(folder.path(), "q4_0", &["--force"]);
    assert_eq!(forced["files"][0]["file_bytes"], first["files"][0]["file_bytes"]);
    // A dry run writes nothing and foresees the size.
    let dry = quantized(folder.path(), "q6_k", &["--dry-run"]);
    assert_eq!(dry["files"][0]["file"], Value::Null);
    assert!(!folder.path().join(file("q6_k")).exists());
    let made = quantized(folder.path(), "q6_k", &[]);
    let bytes = |it: &Value| it["files"][0]["file_bytes"].as_f64().unwrap();
    assert!((bytes(&dry) / bytes(&made) - 1.0).abs() < 1e-3, "{dry} {made}");
    let left: Vec<PathBuf> =
        fs::read_dir(folder.path().join("q")).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let _alone = alone();
    let folder = folder();
    let broken = folder.path().join("q/tiny-rust-f16-broken.gguf");
    fs::create_dir_all(broken.parent().unwrap()).unwrap();
    let mut bytes = fs::read(source()).unwrap();
    // The last tensor is one of a matrix; a row of it becomes NaN in 16 bits.
    let end = bytes.len() - 4096;
    for pair in bytes[end..end + 1024].chunks_exact_mut(2) {
        pair.copy_from_slice(&0x7e00_u16.to_le_bytes());
    }
    fs::write(&broken, bytes).unwrap();
    let printed = run(asking(folder.path(), &["broken"]).args(["--chunks", "2"]));
    assert_eq!(printed.code, Some(4), "{}{}", printed.stdout, printed.stderr);
    let named = printed.stderr.contains("broken.gguf") && printed.stderr.contains("finite");
    assert!(named, "{}", printed.stderr);
}

#[test]
fn an_interrupted_reading_goes_on() {
    let _alone = alone();
    let folder = folder();
    quantized(folder.path(), "q8_0,q2_k", &[]);
    let mut command = asking(folder.path(), &["q8_0", "q2_k"]);
    command.args(["--chunks", "60", "--budget", "1h"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let scores = folder.path().join("cache/scores");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // As soon as something is kept.
    let some = || fs::read_dir(&scores).is_ok_and(|entries| entries.count() > 6);
    while !some() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(rustix::process::test_kill_process(pid).is_ok(), "it ended by itself");
    }
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() != Some(130) {
        assert_eq!(output.status.signal(), None, "{told}");
        assert_eq!(output.status.code(), Some(0), "{told}");
    }
    let before = fs::read_dir(&scores).unwrap().count();
    let report = quality(folder.path(), &["q8_0", "q2_k"], &["--chunks", "4"]);
    assert_eq!(report["text"]["chunks"], 4);
    assert!(before >= 6, "{before}");
}
