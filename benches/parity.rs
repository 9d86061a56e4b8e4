//! `autotune bench` against llama.cpp's own llama-bench: the same file, the same flags, the same
//! libraries and the same CPU module, in blocks of fresh processes (ours, theirs, theirs, ours).
//!
//! `benches/parity/build.sh FOLDER` makes that llama-bench and prints the variables to set;
//! without them nothing is compared. Prints the ratio of speeds with its 95 % interval.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use autotune::stats::paired_change;
use serde_json::Value;

const CONFIDENCE: f64 = 0.95;
/// Intervals inside of this zone show parity; wider ones show nothing.
const ZONE: f64 = 0.02;

/// Logarithms of tokens per second of one visit.
#[derive(Debug, Clone, Copy)]
struct Speeds {
    prefill: f64,
    decode: f64,
}

/// What both programs are asked.
struct Question {
    llama_bench: PathBuf,
    modules: PathBuf,
    model: String,
    flags: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (Some(llama_bench), Some(modules)) =
        (env::var_os("LLAMA_BENCH"), env::var_os("LLAMA_BENCH_MODULES"))
    else {
        println!("LLAMA_BENCH and LLAMA_BENCH_MODULES are not set: nothing to compare with");
        println!("hint: benches/parity/build.sh target/parity builds it and names them");
        return Ok(());
    };
    let or = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let question = Question {
        llama_bench: llama_bench.into(),
        modules: modules.into(),
        model: or("PARITY_MODEL", "synth:smollm2-135m:q4_k_m"),
        flags: or("PARITY_FLAGS", "-p 256 -n 32 -t 1 -r 2").split(' ').map(str::to_owned).collect(),
    };
    let blocks: u32 = or("PARITY_BLOCKS", "30").parse()?;
    let (model, variant, _) = question.ours(&question.model)?;
    let module = question.modules.join(format!("libggml-cpu-{variant}.so"));
    println!("model {model}, CPU variant {variant}, {}", question.flags.join(" "));
    let mut differences = (Vec::new(), Vec::new());
    for block in 1..=blocks {
        let first = question.ours(&model)?.2;
        let theirs = [question.theirs(&model, &module)?, question.theirs(&model, &module)?];
        let ours = [first, question.ours(&model)?.2];
        let part = |of: fn(&Speeds) -> f64| {
            ours.iter().zip(&theirs).map(|(ours, theirs)| of(ours) - of(theirs)).sum::<f64>() / 2.0
        };
        differences.0.push(part(|speeds| speeds.prefill));
        differences.1.push(part(|speeds| speeds.decode));
        eprintln!("block {block} of {blocks}");
    }
    verdict("prefill", &differences.0);
    verdict("decode", &differences.1);
    Ok(())
}

fn verdict(part: &str, differences: &[f64]) {
    let change = paired_change(differences, CONFIDENCE, 0.0).expect("speeds are finite");
    let ratio = change.speed_ratio;
    let (low, high) = (ratio.low.unwrap_or(0.0), ratio.high.unwrap_or(f64::INFINITY));
    let word = if high / low > (1.0 + ZONE) / (1.0 - ZONE) {
        "not resolved here: the interval is wider than ±2 %"
    } else if low <= 1.0 + ZONE && high >= 1.0 - ZONE {
        "agrees"
    } else {
        "differs"
    };
    let (value, blocks) = (ratio.value, ratio.n);
    println!(
        "{part}: autotune / llama-bench {value:.4} [{low:.4}, {high:.4}], {blocks} blocks: {word}"
    );
}

impl Question {
    /// The model's file, the CPU variant and the speeds by `autotune bench`.
    fn ours(&self, model: &str) -> Result<(String, String, Speeds), Box<dyn Error>> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autotune"));
        let rows = rows(command.args(["bench", "-q"]), model, &self.flags)?;
        let word = |name: &str| rows[0][name].as_str().unwrap_or_default().to_owned();
        Ok((word("model_filename"), word("isa_variant"), speeds(&rows)?))
    }

    /// The speeds by llama-bench.
    fn theirs(&self, model: &str, module: &Path) -> Result<Speeds, Box<dyn Error>> {
        let mut command = Command::new(&self.llama_bench);
        speeds(&rows(command.env("LLAMA_BENCH_MODULE", module), model, &self.flags)?)
    }
}

/// The lines that one of the programs prints.
fn rows(
    command: &mut Command,
    model: &str,
    flags: &[String],
) -> Result<Vec<Value>, Box<dyn Error>> {
    let output = command.args(["-m", model, "-o", "jsonl"]).args(flags).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let rows = lines.map(serde_json::from_slice).collect::<Result<Vec<Value>, _>>()?;
    if rows.is_empty() { Err("it printed nothing".into()) } else { Ok(rows) }
}

fn speeds(rows: &[Value]) -> Result<Speeds, Box<dyn Error>> {
    let of = |tokens: &str| {
        let row = rows.iter().find(|row| row[tokens].as_u64() > Some(0));
        row.and_then(|row| row["avg_ts"].as_f64()).map(f64::ln).ok_or(format!("no {tokens}"))
    };
    Ok(Speeds { prefill: of("n_prompt")?, decode: of("n_gen")? })
}
