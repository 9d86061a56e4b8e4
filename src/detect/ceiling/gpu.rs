//! Peaks of graphics cards, through the engine's own backends in a worker.

use std::path::Path;
use std::thread;
use std::time::Duration;

use autotune_engine::worker::{WorkerEngine, WorkerOptions};

use super::Unmeasured;
use super::result::interval;
use crate::model::GpuPeak;

/// Loading a driver, then a second for each of a few cards.
const DEADLINE: Duration = Duration::from_secs(15);
/// Between two looks at whether the answer is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// One entry per card that a backend drives.
pub(super) fn peaks(
    program: &Path,
    wanted: &dyn Fn() -> bool,
    caveats: &mut Vec<String>,
) -> Result<Vec<GpuPeak>, Unmeasured> {
    let mut engine = WorkerEngine::new(program, WorkerOptions::default());
    let canceller = engine.canceller();
    let asking = thread::spawn(move || engine.device_rates(false, DEADLINE));
    while !asking.is_finished() {
        if !wanted() {
            canceller.cancel();
        }
        thread::sleep(LOOK);
    }
    let answer = asking.join();
    if !wanted() {
        return Err(Unmeasured::Interrupted);
    }
    let rates = match answer {
        Ok(Ok(rates)) => rates,
        Ok(Err(failure)) => {
            caveats.push(format!("graphics cards could not be measured: {failure}"));
            return Ok(Vec::new());
        }
        Err(_) => return Err(Unmeasured::Failed("a thread ended".to_owned())),
    };
    if rates.is_empty() {
        caveats.push("no backend of the engine drives the graphics cards".to_owned());
    }
    Ok(rates
        .into_iter()
        .map(|rates| GpuPeak {
            read_bandwidth_bytes_per_s: interval(&rates.bytes_per_s),
            f16_flops: interval(&rates.operations_per_s),
            device: rates.device,
        })
        .collect())
}
