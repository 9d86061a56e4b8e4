//! From samples to medians with intervals.

use autotune_engine::api::Bytes;
use autotune_engine::probe::{Kernel, Line, Measured};

use super::cells::{Layout, Subject};
use crate::model::{CachePeak, Ceilings, Interval, Latency, Peak};
use crate::stats::median_estimate;

/// Of every interval.
const CONFIDENCE: f64 = 0.95;

/// What a child has said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    samples: Vec<Vec<f64>>,
    cold: Vec<f64>,
    cached: Vec<f64>,
    stream: String,
    float32: String,
    int8: String,
    caveats: Vec<String>,
    /// The set that it was about to use when it was last heard of.
    pub(super) using: Option<String>,
    pub(super) rounds: u32,
}

impl Heard {
    pub(super) fn new(cells: usize) -> Self {
        Self { samples: vec![Vec::new(); cells], ..Self::default() }
    }

    pub(super) fn take(&mut self, line: Line) {
        match line {
            Line::Begins(isa) => self.using = Some(isa),
            Line::Sets { stream, float32, int8 } => {
                (self.stream, self.float32, self.int8) = (stream, float32, int8);
            }
            Line::Sample { cell, per_second } => {
                if let Some(samples) = self.samples.get_mut(cell as usize) {
                    samples.push(per_second);
                }
            }
            Line::Round(round) => {
                self.rounds = round;
                self.using = None;
            }
            Line::Disk { measured: Measured::Cold, bytes_per_s } => self.cold.push(bytes_per_s),
            Line::Disk { measured: Measured::Cached, bytes_per_s } => self.cached.push(bytes_per_s),
            Line::Caveat(text) => self.caveats.push(text),
            Line::Ready | Line::Executed { .. } | Line::End => {}
        }
    }

    fn set(&self, kernel: Kernel) -> Option<String> {
        let name = match kernel {
            Kernel::Read | Kernel::Copy | Kernel::Triad => &self.stream,
            Kernel::Float32 => &self.float32,
            Kernel::Int8 => &self.int8,
            Kernel::Walk => return None,
        };
        Some(name.clone()).filter(|name| !name.is_empty())
    }
}

/// The median of samples with its interval; `None` where there are too few for one.
pub(super) fn interval(samples: &[f64]) -> Option<Interval> {
    let estimate = median_estimate(samples, CONFIDENCE)?;
    Some(Interval { value: estimate.value, low: estimate.low?, high: estimate.high? })
}

/// The document without its date.
pub(super) fn ceilings(layout: &Layout, heard: &Heard, caveats: &mut Vec<String>) -> Ceilings {
    let mut ceilings = Ceilings::default();
    let mut short = 0;
    for (place, (subject, cell)) in layout.subjects.iter().zip(&layout.ask.cells).enumerate() {
        let samples = &heard.samples[place];
        let Some(rate) = interval(samples) else {
            short += 1;
            continue;
        };
        let isa = heard.set(cell.kernel);
        let peak = |threads: u32, node, memory_node| Peak { threads, node, memory_node, isa, rate };
        match *subject {
            Subject::Memory { threads, node, memory_node } => {
                let list = match cell.kernel {
                    Kernel::Copy => &mut ceilings.copy_bandwidth_bytes_per_s,
                    Kernel::Triad => &mut ceilings.triad_bandwidth_bytes_per_s,
                    _ => &mut ceilings.read_bandwidth_bytes_per_s,
                };
                list.push(peak(threads, node, memory_node));
            }
            Subject::Arithmetic { threads } => {
                let list = match cell.kernel {
                    Kernel::Int8 => &mut ceilings.int8_ops,
                    _ => &mut ceilings.f32_flops,
                };
                list.push(peak(threads, None, None));
            }
            Subject::Cache { level, threads } => {
                ceilings.cache_bandwidth_bytes_per_s.push(CachePeak { level, threads, rate });
            }
            Subject::Walk { bytes } => {
                let seconds: Vec<f64> = samples.iter().map(|rate| 1.0 / rate).collect();
                let time = interval(&seconds).expect("as many samples as above, none zero");
                ceilings.latency_s.push(Latency { size_bytes: Bytes(bytes), time });
            }
        }
    }
    if short > 0 {
        let all = layout.subjects.len();
        caveats.push(format!("{short} of {all} peaks have too few samples for an interval"));
    }
    caveats.extend(heard.caveats.iter().cloned());
    ceilings.storage_read_bytes_per_s = interval(&heard.cold);
    ceilings.storage_cached_read_bytes_per_s = interval(&heard.cached);
    ceilings
}
