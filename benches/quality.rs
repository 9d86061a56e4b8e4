//! `quality` and `quantize` against llama.cpp's own tools on the same libraries, whole programs with
//! their start and end: reference and candidate in lock-step against two runs of llama-perplexity,
//! one file against llama-quantize; and the memory of the process that holds the numbers. Rounds
//! alternate and begin in turn; printed are medians, and the median of the rounds' ratios with its
//! 95 % interval (above 1 autotune is faster). Wants the variables of
//! `scripts/llama-quality-tools.sh`, and about fifteen minutes on two cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use autotune::stats::median_estimate;

/// Fewer have no interval.
const ROUNDS: usize = 6;
/// Of what takes seconds.
const MANY_ROUNDS: usize = 12;
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
        let chunks = if model.is_some() { "16" } else { "64" };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
        let own = || {
            let words = ["quality", &candidate, "--reference", &source, "--text", &text];
            let more = ["--chunks", chunks, "--no-cache", "--format", "json"];
            self.ours(&[&words[..], &more].concat());
        };
        let its = || {
            let common = ["-f", &text, "-c", "512", "--chunks", chunks, "-t", &threads];
            let words = ["-m", &source, "--save-all-logits", "base.kld"];
            self.theirs(variant, "llama-perplexity", &[&words[..], &common].concat());
            let words = ["-m", &candidate, "--kl-divergence", "--kl-divergence-base", "base.kld"];
            self.theirs(variant, "llama-perplexity", &[&words[..], &common].concat());
        };
        in_turn(name, if model.is_some() { ROUNDS } else { MANY_ROUNDS }, own, its);
    }

    fn quantize(&self, variant: &str) {
        let own = || {
            self.ours(&["quantize", "m.gguf", "--to", "q4_k_m", "-o", ".", "--force"]);
        };
        let its = || {
            self.theirs(variant, "llama-quantize", &["m.gguf", "theirs.gguf", "Q4_K_M"]);
        };
        in_turn("quantize smollm2-135m to q4_k_m", MANY_ROUNDS, own, its);
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

fn in_turn(name: &str, rounds: usize, own: impl Fn(), its: impl Fn()) {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (a, b) = if round % 2 == 0 {
            let a = timed(&own);
            (a, timed(&its))
        } else {
            let b = timed(&its);
            (timed(&own), b)
        };
        ours.push(a);
        theirs.push(b);
        ratios.push(b / a);
    }
    let ratio = median_estimate(&ratios, 0.95).expect("there are rounds");
    let ends = ratio.low.zip(ratio.high);
    let ends = ends.map_or_else(String::new, |(low, high)| format!(" [{low:.2}, {high:.2}]"));
    let middle = |all| median_estimate(all, 0.95).expect("there are rounds").value;
    println!(
        "{name:<34} {:>8.2} s {:>8.2} s {:>7.2}{ends}, {rounds} rounds",
        middle(&ours),
        middle(&theirs),
        ratio.value
    );
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}
