//! Measured peaks: what memory, units and disks of this machine reach, from a child process that
//! may die.
//!
//! Chooses CPUs, sizes and times, starts the child, and turns its samples into medians with
//! intervals. The loops themselves are the engine package's; keeping the result is left to
//! `store`.

mod background;
mod cells;
mod gpu;
mod instruction;
mod placement;
mod result;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::probe::{Ask, Child, Ended, Line, StorageAsk};
use thiserror::Error;

use self::cells::Layout;
use self::result::Heard;
use super::{Gaps, Host, topology};
use crate::model::{Ceilings, Machine, Provenance};

pub use instruction::{boot, unusable};

/// Rounds, with the making of their memory.
const ROUNDS_MS: u64 = 11_000;
/// The same where graphics cards are measured too.
const ROUNDS_BESIDE_GPU_MS: u64 = 8_000;
/// Each of writing, reading and reading again.
const STORAGE_PHASE_MS: u64 = 1_400;
/// Largest file that is written.
const STORAGE_BYTES: u64 = 1 << 30;
/// The child is ended after this long, whatever is missing.
const DEADLINE: Duration = Duration::from_secs(19);

/// What a measurement is made with.
#[derive(Debug)]
pub struct Means<'a> {
    /// This program, which is its own child.
    pub program: &'a Path,
    /// A folder on the disk that models are kept on.
    pub folder: Option<PathBuf>,
    /// Of the order in which things are measured.
    pub seed: u64,
}

/// Why nothing was measured.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unmeasured {
    /// The machine is not the one this program runs on.
    #[error("peaks are measured on the machine itself, and this one is {0}")]
    Elsewhere(&'static str),
    /// The user does not want to know any more.
    #[error("measuring was interrupted")]
    Interrupted,
    /// The child did not answer.
    #[error("peaks cannot be measured: {0}")]
    Failed(String),
}

/// Measures all peaks in 20 s at most. `progress` hears a share of 1; `wanted` is asked often, and
/// the first no ends everything.
pub fn measure(
    host: &dyn Host,
    machine: &Machine,
    means: &Means<'_>,
    wanted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(f64),
) -> Result<Ceilings, Unmeasured> {
    match machine.provenance {
        Provenance::Live => {}
        Provenance::Captured => return Err(Unmeasured::Elsewhere("captured")),
        Provenance::Simulated => return Err(Unmeasured::Elsewhere("simulated")),
    }
    let topology = topology::find(host, &mut Gaps::default());
    let cpus = placement::order(host, machine, topology.as_ref());
    if cpus.is_empty() {
        return Err(Unmeasured::Failed("the CPUs this process may use are unknown".to_owned()));
    }
    let before = background::watch(wanted);
    let mut layout = Layout::of(machine, &cpus);
    layout.ask.seed = means.seed;
    let gpus = machine.gpus.iter().any(|gpu| gpu.backend.is_some());
    layout.ask.budget_ms = if gpus { ROUNDS_BESIDE_GPU_MS } else { ROUNDS_MS };
    layout.ask.storage = means.folder.clone().map(|folder| StorageAsk {
        folder,
        bytes: STORAGE_BYTES,
        phase_ms: STORAGE_PHASE_MS,
    });
    layout.ask.excluded =
        machine.cpu.isa_unusable.iter().flatten().map(|isa| isa.name.clone()).collect();
    layout.fit();
    let mut caveats = std::mem::take(&mut layout.caveats);
    caveats.extend(before);
    let watch = background::Watch::start();
    let heard = hear(&mut layout, means.program, wanted, &mut caveats, progress)?;
    caveats.extend(watch.stolen());
    let mut ceilings = result::ceilings(&layout, &heard, &mut caveats);
    if gpus {
        ceilings.gpu = gpu::peaks(means.program, wanted, &mut caveats)?;
    }
    ceilings.measured_at = host.now();
    ceilings.caveats = caveats;
    Ok(ceilings)
}

/// Starts children until one says all, each without the instruction set that killed the last.
fn hear(
    layout: &mut Layout,
    program: &Path,
    wanted: &dyn Fn() -> bool,
    caveats: &mut Vec<String>,
    progress: &mut dyn FnMut(f64),
) -> Result<Heard, Unmeasured> {
    loop {
        let ask = Ask::Measure(Box::new(layout.ask.clone()));
        let child = Child::start(program, &ask)
            .map_err(|error| Unmeasured::Failed(format!("{}: {error}", program.display())))?;
        let mut heard = Heard::new(layout.ask.cells.len());
        let expected = f64::from(layout.ask.rounds.max(1));
        let ended = child.hear(DEADLINE, wanted, &mut |line| {
            if let Line::Round(round) = line {
                progress(0.85 * f64::from(round) / expected);
            }
            heard.take(line);
        });
        match (ended, heard.using.take()) {
            (Ended::Interrupted, _) => return Err(Unmeasured::Interrupted),
            (Ended::Died(cause), Some(isa))
                if !layout.ask.excluded.contains(&isa) && heard.rounds == 0 =>
            {
                caveats.push(format!("{isa} was not used: its loop ended the process ({cause})"));
                layout.ask.excluded.push(isa);
                continue;
            }
            (Ended::Died(cause), _) if heard.rounds == 0 => {
                return Err(Unmeasured::Failed(format!("the measuring process died of {cause}")));
            }
            (Ended::Died(cause), _) => {
                caveats.push(format!("the measuring process died of {cause}"));
            }
            (Ended::TimedOut, _) => caveats.push("not everything was measured in time".to_owned()),
            (Ended::Done, _) => {}
        }
        progress(1.0);
        return Ok(heard);
    }
}
