//! `quality` and `quantize` against llama.cpp's own tools on the same libraries, whole programs with
//! their start and end: reference and candidate in lock-step against two runs of llama-perplexity,
//! one file against llama-quantize; and the memory of the process that holds the numbers. Rounds
//! alternate, medians are compared. Wants the variables of `scripts/llama-quality-tools.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 3;
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/train-tiny");

fn main() {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let tools = named("AUTOTUNE_LLAMA_QUALITY_TOOLS").zip(named("AUTOTUNE_LLAMA_MODULES"));
    let Some((tools, modules)) = tools else {
        println!("skipped: AUTOTUNE_LLAMA_QUALITY_TOOLS names no folder of llama.cpp's programs");
        return;
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's own folder");
    let scene = Scene { folder: folder.path().to_owned(), tools, modules };
    scene.ours(&["synth", "smollm2-135m", "--quant", "f16", "-o", "m.gguf"]);
    scene.ours(&["quantize", "m.gguf", "--to", "q4_k_m", "-o", "."]);
    let variant = scene.variant();
    println!("{:<34} {:>10} {:>10} {:>7}", "", "autotune", "llama.cpp", "ratio");
    scene.divergence("KL divergence, trained model", &variant, None);
    scene.divergence("KL divergence, smollm2-135m shape", &variant, Some("m.gguf"));
    scene.quantize(&variant);
    scene.memory();
}

struct Scene {
    folder: PathBuf,
    tools: PathBuf,
    modules: PathBuf,
}

impl Scene {
    fn autotune(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autotune"));
        command.args(words).current_dir(&self.folder);
        command.env("AUTOTUNE_CACHE", self.folder.join("cache"));
        command
    }

    fn ours(&self, words: &[&str]) -> String {
        let output = self.autotune(words).output().expect("the program starts");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn theirs(&self, variant: &str, tool: &str, words: &[&str]) {
        let mut command = Command::new(self.tools.join(tool));
        command.args(words).current_dir(&self.folder);
        command
            .env("LLAMA_BENCH_MODULE", self.modules.join(format!("libggml-cpu-{variant}.so")))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(command.status().expect("the tool starts").success(), "{tool} {words:?}");
    }

    /// The CPU variant that autotune takes.
    fn variant(&self) -> String {
        let source = format!("{TINY}/tiny-rust-f16.gguf");
        let text = self.ours(&["quality", &source, "--chunks", "1", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&text).expect("a document");
        report["isa_variant"].as_str().expect("a name").to_owned()
    }

    fn divergence(&self, name: &str, variant: &str, model: Option<&str>) {
        let tiny = format!("{TINY}/tiny-rust-f16.gguf");
        let source = model.map_or(tiny, str::to_owned);
        let stem = Path::new(&source).file_stem().expect("a name").to_string_lossy().into_owned();
        self.ours(&["quantize", &source, "--to", "q4_k_m", "-o", "."]);
        let candidate = format!("{stem}-q4_k_m.gguf");
        let text = format!("{TINY}/held-out.txt");
        let chunks = if model.is_some() { "8" } else { "64" };
        let (mut own, mut its) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(timed(|| {
                let words = ["quality", &candidate, "--reference", &source, "--text", &text];
                let more = ["--chunks", chunks, "--no-cache", "--format", "json"];
                self.ours(&[&words[..], &more].concat());
            }));
            its.push(timed(|| {
                let common = ["-f", &text, "-c", "512", "--chunks", chunks, "-t", "2"];
                let words = ["-m", &source, "--save-all-logits", "base.kld"];
                self.theirs(variant, "llama-perplexity", &[&words[..], &common].concat());
                let words =
                    ["-m", &candidate, "--kl-divergence", "--kl-divergence-base", "base.kld"];
                self.theirs(variant, "llama-perplexity", &[&words[..], &common].concat());
            }));
        }
        row(name, own, its);
    }

    fn quantize(&self, variant: &str) {
        let (mut own, mut its) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            own.push(timed(|| {
                let words = ["quantize", "m.gguf", "--to", "q4_k_m", "-o", ".", "--force"];
                self.ours(&words);
            }));
            let words = ["m.gguf", "theirs.gguf", "Q4_K_M"];
            its.push(timed(|| self.theirs(variant, "llama-quantize", &words)));
        }
        row("quantize smollm2-135m to q4_k_m", own, its);
    }

    /// The largest memory of the process that the user started, with a large vocabulary.
    fn memory(&self) {
        let words = ["synth", "qwen3-0.6b", "--quant", "f16", "--layers", "1", "-o", "v.gguf"];
        self.ours(&words);
        self.ours(&["quantize", "v.gguf", "--to", "q8_0", "-o", "."]);
        let words = ["quality", "v-q8_0.gguf", "--reference", "v.gguf", "--chunks", "2"];
        let mut command = self.autotune(&words);
        command.args(["--no-cache", "--format", "json"]);
        let mut child = command.stdout(Stdio::null()).spawn().expect("the program starts");
        let mut most = 0_u64;
        while child.try_wait().expect("it is ours").is_none() {
            let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
            let line = status.unwrap_or_default();
            let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:").map(str::to_owned));
            let kib = line.and_then(|it| it.trim().split(' ').next()?.parse::<u64>().ok());
            most = most.max(kib.unwrap_or(0));
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("memory of the parent, 151 936 tokens: {} MiB", most / 1024);
    }
}

fn row(name: &str, own: Vec<Duration>, its: Vec<Duration>) {
    let (own, its) = (median(own).as_secs_f64(), median(its).as_secs_f64());
    println!("{name:<34} {own:>8.2} s {its:>8.2} s {:>7.2}", its / own);
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
