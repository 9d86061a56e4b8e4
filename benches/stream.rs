//! Measured memory bandwidth against a reference of STREAM's kind, on the same machine, in turns:
//! the program's own probe and `stream/reference.c`, compiled here with `cc -O3 -march=native`.
//! Each block is probe, reference, reference, probe; its ratio is the mean of logarithms.
//!
//!     cargo bench --profile release --locked --bench stream -- [BLOCKS] [MIB]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use autotune::stats::{hodges_lehmann, median, median_estimate, student_t_interval};
use autotune_engine::probe::{Ask, Cell, Child, Ended, Kernel, Line, Measure};

/// Blocks for each row of the table.
const BLOCKS: usize = 12;
/// All arrays of all threads together.
const MIB: u64 = 420;
/// How long either side measures in one turn.
const TURN_MS: u64 = 500;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let blocks = words.next().and_then(|word| word.parse().ok()).unwrap_or(BLOCKS);
    let bytes = words.next().and_then(|word| word.parse().ok()).unwrap_or(MIB) << 20;
    let Some(reference) = compile() else {
        println!("stream: no C compiler here, so nothing is compared");
        return ExitCode::SUCCESS;
    };
    let all =
        std::thread::available_parallelism().map_or(1, |all| u32::try_from(all.get()).unwrap_or(1));
    println!("{blocks} blocks each, {} MiB, GB/s; ratio with 95 % interval", bytes >> 20);
    println!(
        "| kernel | threads | autotune | reference | ratio | interval |\n|---|---|---|---|---|---|"
    );
    for (kernel, name) in [(Kernel::Read, "read"), (Kernel::Copy, "copy"), (Kernel::Triad, "triad")]
    {
        for threads in if all > 1 { vec![1, all] } else { vec![1] } {
            let row = compare(&reference, kernel, name, threads, bytes, blocks);
            println!("| {name} | {threads} | {row} |");
        }
    }
    ExitCode::SUCCESS
}

fn compile() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/stream/reference.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stream-reference");
    let mut command = Command::new("cc");
    command.args(["-O3", "-march=native", "-pthread"]).arg(source).arg("-o").arg(&program);
    command.status().is_ok_and(|status| status.success()).then_some(program)
}

fn compare(
    reference: &Path,
    kernel: Kernel,
    name: &str,
    threads: u32,
    bytes: u64,
    blocks: usize,
) -> String {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..blocks {
        let first = probe(kernel, threads, bytes);
        let second = run(reference, name, threads, bytes);
        let third = run(reference, name, threads, bytes);
        let fourth = probe(kernel, threads, bytes);
        ratios.push((first.ln() + fourth.ln() - second.ln() - third.ln()) / 2.0);
        ours.extend([first, fourth]);
        theirs.extend([second, third]);
    }
    let middle = hodges_lehmann(&ratios).unwrap_or(f64::NAN);
    let interval = student_t_interval(&ratios, 0.95).or_else(|| {
        let estimate = median_estimate(&ratios, 0.95)?;
        estimate.low.zip(estimate.high)
    });
    let (low, high) = interval.unwrap_or((f64::NAN, f64::NAN));
    let gigabytes = |samples: &[f64]| median(samples).unwrap_or(f64::NAN) / 1e9;
    format!(
        "{:.2} | {:.2} | {:.3} | {:.3} to {:.3}",
        gigabytes(&ours),
        gigabytes(&theirs),
        middle.exp(),
        low.exp(),
        high.exp()
    )
}

/// The probe's median, as `detect --ceilings` measures it.
fn probe(kernel: Kernel, threads: u32, bytes: u64) -> f64 {
    let each = bytes / u64::from(threads);
    let ask = Measure {
        cpus: (0..threads).collect(),
        buffer_bytes: vec![each; threads as usize],
        cells: vec![Cell {
            kernel,
            threads: (0..threads).collect(),
            memory: Vec::new(),
            bytes: each,
            warm: false,
            visit_us: 25_000,
        }],
        rounds: u32::try_from(TURN_MS / 25).expect("a few"),
        budget_ms: 60_000,
        ..Measure::default()
    };
    let program = Path::new(env!("CARGO_BIN_EXE_autotune"));
    let child = Child::start(program, &Ask::Measure(Box::new(ask))).expect("the program starts");
    let mut samples = Vec::new();
    let ended = child.hear(Duration::from_secs(60), &|| true, &mut |line| {
        if let Line::Sample { per_second, .. } = line {
            samples.push(per_second);
        }
    });
    assert_eq!(ended, Ended::Done);
    median(&samples).expect("at least one sample")
}

fn run(reference: &Path, name: &str, threads: u32, bytes: u64) -> f64 {
    let mut command = Command::new(reference);
    command.args([threads.to_string(), bytes.to_string()]);
    command.args([format!("{:.3}", TURN_MS as f64 / 1000.0), name.to_owned()]);
    let output = command.output().expect("the reference starts");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("the reference prints one number")
}
