//! Measured peaks of a machine: what its memory, units and disks can do at most.
//!
//! Measuring is left to `detect`; what a peak means for a model is left to `plan` and `analysis`.

use autotune_engine::api::Bytes;
use serde::{Deserialize, Serialize};

/// Measured peaks. A list is empty where its peak could not be measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ceilings {
    /// When they were measured, RFC 3339 in UTC.
    pub measured_at: String,
    /// Reading memory, by threads and node.
    pub read_bandwidth_bytes_per_s: Vec<Peak>,
    /// Copying: bytes read plus bytes written, without the line that a store fetches first.
    pub copy_bandwidth_bytes_per_s: Vec<Peak>,
    /// `a[i] = b[i] + s * c[i]`: counted like the copy.
    pub triad_bandwidth_bytes_per_s: Vec<Peak>,
    /// Reading from caches.
    pub cache_bandwidth_bytes_per_s: Vec<CachePeak>,
    /// Fused multiply-adds of 32-bit floats, two operations each.
    pub f32_flops: Vec<Peak>,
    /// Multiply-adds of 8-bit integers into 32-bit sums, two operations each.
    pub int8_ops: Vec<Peak>,
    /// Time of one dependent load, by the size of what is walked through.
    pub latency_s: Vec<Latency>,
    /// Reading the model folder's disk past the page cache.
    pub storage_read_bytes_per_s: Option<Interval>,
    /// Reading a file that is in the page cache.
    pub storage_cached_read_bytes_per_s: Option<Interval>,
    /// Graphics cards, through the engine's backend.
    pub gpu: Vec<GpuPeak>,
    /// Doubts about the numbers, and what could not be measured and why.
    pub caveats: Vec<String>,
}

/// A median with its 95 % interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What some threads reach together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// How many threads.
    pub threads: u32,
    /// The node on whose CPUs they ran; `None`: spread over all.
    pub node: Option<u32>,
    /// The node whose memory they used; `None`: each thread its own.
    #[serde(default)]
    pub memory_node: Option<u32>,
    /// The instruction set used.
    #[serde(default)]
    pub isa: Option<String>,
    /// The rate.
    #[serde(flatten)]
    pub rate: Interval,
}

/// What some threads read from one level of cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CachePeak {
    /// 1 is nearest to the core.
    pub level: u32,
    /// How many threads.
    pub threads: u32,
    /// The rate, all threads together.
    #[serde(flatten)]
    pub rate: Interval,
}

/// How long a dependent load takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Size of what is walked through.
    pub size_bytes: Bytes,
    /// Seconds for one load.
    #[serde(flatten)]
    pub time: Interval,
}

/// What a graphics card reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GpuPeak {
    /// The engine's name of the device, for example `CUDA0`.
    pub device: String,
    /// Reading its memory.
    pub read_bandwidth_bytes_per_s: Option<Interval>,
    /// Products of 16-bit float matrices, two operations a multiply-add.
    pub f16_flops: Option<Interval>,
}

impl Ceilings {
    /// Memory reads of this many threads: the measured count that is nearest, all nodes together.
    #[must_use]
    pub fn read_bandwidth(&self, threads: u32) -> Option<Interval> {
        nearest(&self.read_bandwidth_bytes_per_s, threads)
    }

    /// The highest rate of memory reads at any thread count.
    #[must_use]
    pub fn best_read_bandwidth(&self) -> Option<Interval> {
        best(&self.read_bandwidth_bytes_per_s)
    }

    /// 8-bit multiply-adds of this many threads: the measured count that is nearest.
    #[must_use]
    pub fn int8(&self, threads: u32) -> Option<Interval> {
        nearest(&self.int8_ops, threads)
    }

    /// 32-bit multiply-adds of this many threads: the measured count that is nearest.
    #[must_use]
    pub fn f32(&self, threads: u32) -> Option<Interval> {
        nearest(&self.f32_flops, threads)
    }

    /// The highest rate of 8-bit multiply-adds at any thread count.
    #[must_use]
    pub fn best_int8(&self) -> Option<Interval> {
        best(&self.int8_ops)
    }

    /// The highest rate of 32-bit multiply-adds at any thread count.
    #[must_use]
    pub fn best_f32(&self) -> Option<Interval> {
        best(&self.f32_flops)
    }
}

fn whole(peaks: &[Peak]) -> impl Iterator<Item = &Peak> {
    peaks.iter().filter(|peak| peak.node.is_none())
}

fn nearest(peaks: &[Peak], threads: u32) -> Option<Interval> {
    whole(peaks).min_by_key(|peak| peak.threads.abs_diff(threads)).map(|peak| peak.rate)
}

fn best(peaks: &[Peak]) -> Option<Interval> {
    whole(peaks).max_by(|a, b| a.rate.value.total_cmp(&b.rate.value)).map(|peak| peak.rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_the_contracts_fields_alone_is_read() {
        let json = r#"{"read_bandwidth_bytes_per_s":
            [{"threads": 1, "node": null, "value": 1e10, "low": 9e9, "high": 1.1e10},
             {"threads": 4, "node": null, "value": 3e10, "low": 2e10, "high": 4e10},
             {"threads": 4, "node": 0, "value": 9e10, "low": 2e10, "high": 4e10}]}"#;
        let ceilings: Ceilings = serde_json::from_str(json).unwrap();
        assert_eq!(ceilings.read_bandwidth(3).unwrap().value.to_bits(), 3e10_f64.to_bits());
        assert_eq!(ceilings.best_read_bandwidth().unwrap().value.to_bits(), 3e10_f64.to_bits());
        assert_eq!(ceilings.best_int8(), None);
        let back = serde_json::to_value(&ceilings).unwrap();
        assert_eq!(back["read_bandwidth_bytes_per_s"][0]["low"], 9e9);
    }
}
