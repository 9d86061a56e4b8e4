//! Writing a synthetic model against copying the same file: the writer is meant to be about as fast
//! as the disk. Both end with the data on the disk; rounds alternate, medians are compared.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use autotune::synth::{Replace, Request, Shape, file_type, write};
use autotune_engine::api::Bytes;

const ROUNDS: usize = 5;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's own folder");
    let (model, copy) = (folder.path().join("model.gguf"), folder.path().join("copy.gguf"));
    println!("{:<28} {:>12} {:>12} {:>12} {:>7}", "model", "size", "write", "copy", "ratio");
    for (shape, layers, quant) in
        [("smollm2-135m", 30, "q4_k_m"), ("smollm2-135m", 30, "f16"), ("llama-3.2-1b", 4, "q8_0")]
    {
        let request = Request {
            shape: Shape::named(shape).and_then(|shape| shape.with_layers(layers)).expect("known"),
            file_type: file_type(quant).expect("a known type"),
            seed: 1,
        };
        let mut written = Vec::new();
        let mut copied = Vec::new();
        for _ in 0..ROUNDS {
            written.push(timed(&model, || {
                let progress = &mut |_, _| ControlFlow::Continue(());
                write(&request, &model, Replace::Existing, progress).expect("room on the disk");
            }));
            copied.push(timed(&copy, || {
                std::fs::copy(&model, &copy).expect("room on the disk");
            }));
        }
        let size = std::fs::metadata(&model).expect("just written").len();
        let (write, copy) = (median(written), median(copied));
        let rate = |time: Duration| {
            let bytes = u128::from(size) * 1_000_000 / time.as_micros().max(1);
            format!("{}/s", Bytes(u64::try_from(bytes).unwrap_or(u64::MAX)))
        };
        let ratio = copy.as_secs_f64() / write.as_secs_f64();
        let name = format!("{shape} x{layers} {quant}");
        let size = Bytes(size).to_string();
        println!("{name:<28} {size:>12} {:>12} {:>12} {ratio:>7.2}", rate(write), rate(copy));
    }
}

/// How long it takes until the file is on the disk.
fn timed(path: &Path, make: impl FnOnce()) -> Duration {
    let started = Instant::now();
    make();
    File::open(path).and_then(|file| file.sync_all()).expect("just written");
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
