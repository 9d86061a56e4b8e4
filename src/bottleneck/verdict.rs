//! What bounds a stretch, how sure that is, and what would help.
//!
//! Shares of measured peaks decide. Their errors are those of the times and of the peaks; the
//! confidence is the probability of the answer under them.

use autotune_engine::api::{GpuLayers, Stretch};
use statrs::distribution::{ContinuousCDF, Normal};

use super::Evidence;
use super::phases::plain;
use crate::model::{
    Bottleneck, Bound, ComponentTable, FunctionShare, Interval, PhaseProfile, Roofline,
};
use crate::stats::Estimate;

/// Share of a peak from which on it is what bounds. Good kernels reach 60 to 90 % of a memory's
/// peak and half of that of the units, whose peak needs operands in registers.
const BOUND: f64 = 0.5;
/// Share of the threads' time in which they wait, from which on waiting is what bounds where
/// neither peak does, and its error.
const WAITS: (f64, f64) = (0.3, 0.1);
/// Processors busy with loading, from which on no disk is what it waits for, and its error.
const LOADS: (f64, f64) = (0.7, 0.1);
/// Share of the memory's peak above which the weights cannot come from there.
const BEYOND: f64 = 1.15;
/// Least relative error of a share: peaks were measured at another moment.
const LEAST_ERROR: f64 = 0.05;
/// Share of the weights that is read from a disk per token, from which on it is paging.
const PAGED: f64 = 0.02;
/// Share of the way to a card that is used, from which on the way is what bounds.
const CROWDED_WAY: f64 = 0.3;
/// Share of a pass that a card computes, from which on it is the card's.
const ON_CARD: f64 = 0.5;
/// Functions in which ggml's threads wait for each other.
const WAITING: [&str; 4] =
    ["ggml_barrier", "ggml_graph_compute_poll", "ggml_thread_cpu_relax", "gomp_"];

/// What bounds each stretch, the longest first.
pub(super) fn bottlenecks(
    evidence: &Evidence<'_>,
    phases: &[PhaseProfile],
    components: &[ComponentTable],
    rooflines: &[Roofline],
    functions: &[FunctionShare],
) -> Vec<Bottleneck> {
    let request: f64 = phases
        .iter()
        .filter(|phase| phase.stretch != Stretch::Load)
        .map(|phase| phase.elapsed_s.value)
        .sum();
    let mut found = Vec::new();
    for phase in phases {
        let judged = match phase.stretch {
            Stretch::Load => load(evidence, phase),
            stretch => {
                let table = components.iter().find(|table| table.stretch == stretch);
                let roof = rooflines.iter().find(|roof| roof.stretch == stretch);
                let subject = Subject { evidence, phase, table, roof, functions };
                Some(subject.judge(phase.elapsed_s.value / request.max(f64::MIN_POSITIVE)))
            }
        };
        found.extend(judged);
    }
    found.sort_by(|one, other| other.share.total_cmp(&one.share));
    found
}

/// Loading, where a disk was what it waited for.
fn load(evidence: &Evidence<'_>, phase: &PhaseProfile) -> Option<Bottleneck> {
    let read = phase.kernel.read_bytes? as f64;
    let weights = evidence.card.file_bytes.0 as f64;
    let sure = standard((LOADS.0 - phase.cores_busy) / LOADS.1);
    if read < 0.5 * weights || sure < 0.5 {
        return None;
    }
    let rate = read / phase.elapsed_s.value;
    let peak = evidence.ceilings.and_then(|it| it.storage_read_bytes_per_s);
    let mut said = vec![format!(
        "{} of the file was read from the disk at {}",
        percent(read / weights.max(1.0)),
        gigabytes(rate)
    )];
    if let Some(peak) = peak {
        said.push(format!("the disk reads {} at most", gigabytes(peak.value)));
    }
    Some(Bottleneck {
        stretch: Stretch::Load,
        share: 0.0,
        bound: Bound::Io,
        confidence: sure,
        evidence: said,
        remedies: vec![
            "a second start reads from the page cache; a server that stays reads nothing"
                .to_owned(),
        ],
    })
}

struct Subject<'a> {
    evidence: &'a Evidence<'a>,
    phase: &'a PhaseProfile,
    table: Option<&'a ComponentTable>,
    roof: Option<&'a Roofline>,
    functions: &'a [FunctionShare],
}

impl Subject<'_> {
    fn judge(&self, share: f64) -> Bottleneck {
        let stretch = self.phase.stretch;
        let by_disk = self.paging();
        let by_card = || self.card();
        let (bound, confidence, mut evidence) =
            by_disk.or_else(by_card).unwrap_or_else(|| self.by_peaks());
        evidence.extend(self.largest_part());
        evidence.extend(self.waiting().filter(|(share, _)| *share >= 0.1).map(|(_, text)| text));
        Bottleneck { stretch, share, bound, confidence, evidence, remedies: self.remedies(bound) }
    }

    /// Weights that come from a disk while tokens are computed.
    fn paging(&self) -> Option<(Bound, f64, Vec<String>)> {
        let own = plain(self.evidence, self.phase.stretch);
        let read = self.phase.kernel.read_bytes? as f64 / own.len().max(1) as f64;
        let need = self.roof.map_or(0.0, |roof| roof.bytes_per_token * self.phase.tokens as f64);
        if need <= 0.0 || read < PAGED * need {
            return None;
        }
        let idle = 1.0 - self.phase.cores_busy / f64::from(self.threads());
        Some((
            Bound::Paging,
            idle.clamp(0.5, 1.0),
            vec![
                format!(
                    "{} of the {} it needs were read from a disk meanwhile",
                    percent(read / need),
                    bytes(need)
                ),
                format!("{} of {} threads were busy", three(self.phase.cores_busy), self.threads()),
            ],
        ))
    }

    /// Work on a graphics card, and weights on their way to it.
    fn card(&self) -> Option<(Bound, f64, Vec<String>)> {
        let graph = self.evidence.graph(self.phase.stretch)?;
        let all: u64 = graph.pieces.iter().map(|piece| piece.elapsed_ns).sum();
        let on_card: u64 = graph
            .pieces
            .iter()
            .filter(|piece| piece.device.is_some())
            .map(|piece| piece.elapsed_ns)
            .sum();
        let share = on_card as f64 / all.max(1) as f64;
        let copied: f64 = graph.pieces.iter().map(|piece| piece.copied_bytes as f64).sum();
        let passes = self.phase.tokens as f64 / f64::from(graph.tokens.max(1));
        let rate = copied * passes / self.phase.elapsed_s.value;
        if let Some(link) = self.evidence.link_bytes_per_s
            && rate > CROWDED_WAY * link
        {
            return Some((
                Bound::GpuTransfer,
                (rate / link).clamp(0.5, 1.0),
                vec![format!(
                    "{} of weights travel to the card for each pass, {} of the {} that its bus \
                     carries",
                    bytes(copied),
                    percent(rate / link),
                    gigabytes(link)
                )],
            ));
        }
        (share > ON_CARD).then(|| {
            let text = format!("a graphics card computes {} of a pass", percent(share));
            (Bound::Gpu, share, vec![text])
        })
    }

    /// Shares of the peaks of memory and units.
    fn by_peaks(&self) -> (Bound, f64, Vec<String>) {
        let Some(roof) = self.roof else {
            let on_card = self.evidence.setting().load.gpu_layers != GpuLayers::Count(0);
            let said = if on_card {
                "a graphics card computes part of it, whose peaks are others"
            } else {
                "what it needs is not known: the graph could not be looked at"
            };
            return (Bound::Unknown, 1.0, vec![said.to_owned()]);
        };
        let Some(memory) = roof.bandwidth_share else {
            let said = "no peaks of this machine were measured (`autotune detect --ceilings`)";
            return (Bound::Unknown, 1.0, vec![said.to_owned()]);
        };
        let mut said = vec![format!(
            "it reads {} of weights and cache per second, {} of the {} that {} threads read at most",
            gigabytes(roof.bytes_per_s.value).replace("/s", ""),
            percent(memory),
            roof.bandwidth_peak.map_or_else(String::new, |peak| gigabytes(peak.value)),
            self.threads()
        )];
        if let (Some(share), Some(peak), Some(kind)) =
            (roof.arithmetic_share, roof.arithmetic_peak, &roof.arithmetic_kind)
        {
            said.push(format!(
                "it computes {}, {} of the peak of {} for {kind}",
                giga_operations(roof.operations_per_s.value),
                percent(share),
                giga_operations(peak.value)
            ));
        }
        let waits = self.waits();
        said.push(format!("its threads compute in {} of their time", percent(1.0 - waits)));
        let (bound, confidence) = answer(
            share_of(memory, &roof.bytes_per_s, roof.bandwidth_peak),
            roof.arithmetic_share
                .map(|share| share_of(share, &roof.operations_per_s, roof.arithmetic_peak)),
            waits,
            self.fits_a_cache(),
        );
        (bound, confidence, said)
    }

    /// Share of the threads' time in which they have nothing to do: asleep, or spinning until the
    /// others come.
    fn waits(&self) -> f64 {
        let busy = (self.phase.cores_busy / f64::from(self.threads().max(1))).clamp(0.0, 1.0);
        let spinning = self.waiting().map_or(0.0, |(share, _)| share);
        1.0 - busy * (1.0 - spinning)
    }

    /// Whether what a token reads could stay in the last cache.
    fn fits_a_cache(&self) -> bool {
        let need = self.roof.map_or(f64::INFINITY, |roof| match self.phase.stretch {
            // A batch reads the weights once for all its tokens.
            Stretch::Prefill => roof.bytes_per_token * self.phase.tokens as f64,
            _ => roof.bytes_per_token,
        });
        self.evidence.cache_bytes.is_some_and(|cache| need < cache as f64)
    }

    fn threads(&self) -> u32 {
        let threads = &self.evidence.setting().threads;
        match self.phase.stretch {
            Stretch::Decode => threads.threads,
            _ => threads.threads_batch,
        }
    }

    /// Whether there are cores beyond the threads.
    fn has_idle_cores(&self) -> bool {
        self.evidence.cores.is_some_and(|cores| self.threads() < cores)
    }

    fn largest_part(&self) -> Option<String> {
        let table = self.table?;
        let part = table.parts.first()?;
        let pace = if part.bytes > 0 && part.ms > 0.0 {
            format!(", reading {}", gigabytes(part.bytes as f64 / (part.ms / 1e3)))
        } else {
            String::new()
        };
        Some(format!("{} takes {} of it{pace}", part.name, percent(part.share)))
    }

    /// Share of the samples in which threads waited for each other.
    fn waiting(&self) -> Option<(f64, String)> {
        let own = || self.functions.iter().filter(|one| one.stretch == self.phase.stretch);
        own().next()?;
        let waits = |one: &&FunctionShare| WAITING.iter().any(|name| one.function.contains(name));
        let share: f64 = own().filter(waits).map(|one| one.share).sum();
        Some((share, format!("threads wait for each other in {} of the samples", percent(share))))
    }

    fn remedies(&self, bound: Bound) -> Vec<String> {
        let stretch = self.phase.stretch;
        let setting = self.evidence.setting();
        let mut said: Vec<&str> = Vec::new();
        match (bound, stretch) {
            (Bound::Memory, Stretch::Decode) => {
                said.push(
                    "fewer bytes per token: a smaller type of weights (time falls as bytes do; \
                     quality has to be measured)",
                );
                said.push("several sequences at once share one reading of the weights");
                said.push("speculative decoding checks several tokens with one reading");
                if setting.load.gpu_layers == GpuLayers::Count(0) {
                    said.push("a graphics card's memory is several times as fast");
                }
            }
            (Bound::Memory, _) => {
                said.push("a larger physical batch (--ubatch-size) reads the weights less often");
            }
            (Bound::Compute, Stretch::Prefill) => {
                said.push(if self.has_idle_cores() {
                    "more threads for the prompt (--threads-batch): there are cores without one"
                } else {
                    "every core computes already: a machine with more of them, or a graphics card"
                });
                said.push("a prompt that stays the same is computed once (prompt cache)");
            }
            (Bound::Compute, _) => {
                said.push(if self.has_idle_cores() {
                    "more threads (--threads): there are cores without one"
                } else {
                    "every core computes already: a machine with more of them, or a graphics card"
                });
                said.push(
                    "another type of weights or CPU variant, whose kernels need fewer instructions",
                );
            }
            (Bound::Cache, _) => {
                said.push("the model is small enough for the caches: more threads may still help");
            }
            (Bound::Latency, _) => {
                said.push(
                    "fewer threads, each bound to a core (`autotune sweep` tries both), and nothing \
                     else on these cores",
                );
                said.push("more work per step: several sequences, a larger batch");
            }
            (Bound::Paging, _) => {
                said.push("a smaller model or type of weights, or more memory");
                said.push("what else holds memory here (`autotune doctor`)");
            }
            (Bound::Io, _) => said.push("a faster disk, or a file that stays in the page cache"),
            (Bound::GpuTransfer, _) => {
                said.push("weights that stay on one side: other --gpu-layers or --n-cpu-moe");
                said.push("--no-op-offload computes such batches on the processor");
            }
            (Bound::Gpu, _) => said.push("the card's own profiler tells what bounds it there"),
            (Bound::Unknown, _) => said.push("`autotune detect --ceilings` measures the peaks"),
        }
        said.into_iter().map(str::to_owned).collect()
    }
}

/// A share of a peak and its relative error.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share {
    log: f64,
    error: f64,
}

fn share_of(share: f64, rate: &Estimate, peak: Option<Interval>) -> Share {
    let half = |low: f64, high: f64| {
        if low > 0.0 && high > low { (high / low).ln() / (2.0 * 1.96) } else { 0.0 }
    };
    let of_rate = rate.low.zip(rate.high).map_or(0.1, |(low, high)| half(low, high));
    let of_peak = peak.map_or(0.1, |peak| half(peak.low, peak.high));
    let error = of_rate.hypot(of_peak).max(LEAST_ERROR);
    Share { log: share.max(f64::MIN_POSITIVE).ln(), error }
}

/// What bounds, and the probability of that under normal errors of the logarithms.
///
/// Where neither peak is near, threads that compute all the time are bound by their instructions,
/// and threads that wait are bound by waiting.
fn answer(memory: Share, compute: Option<Share>, waits: f64, fits_a_cache: bool) -> (Bound, f64) {
    let above = |share: Share, limit: f64| standard((share.log - limit.ln()) / share.error);
    if fits_a_cache && memory.log.exp() > BEYOND {
        return (Bound::Cache, above(memory, BEYOND));
    }
    // The probability that the memory's share is above the limit and above the units' share: a sum
    // over the memory's distribution in steps of a twentieth of its error.
    let both = |one: Share, other: Option<Share>| {
        let mut sum = 0.0;
        let mut weights = 0.0;
        for step in -100..=100 {
            let z = f64::from(step) / 20.0;
            let weight = (-z * z / 2.0).exp();
            let log = one.log + z * one.error;
            weights += weight;
            if log < BOUND.ln() {
                continue;
            }
            let below = other.map_or(1.0, |other| standard((log - other.log) / other.error));
            sum += weight * below;
        }
        sum / weights
    };
    let of_memory = both(memory, compute);
    let of_peak = compute.map_or(0.0, |compute| both(compute, Some(memory)));
    let neither = (1.0 - of_memory - of_peak).max(0.0);
    let of_latency = neither * standard((waits - WAITS.0) / WAITS.1);
    let of_compute = of_peak + neither - of_latency;
    let mut all =
        [(Bound::Memory, of_memory), (Bound::Compute, of_compute), (Bound::Latency, of_latency)];
    all.sort_by(|one, other| other.1.total_cmp(&one.1));
    all[0]
}

/// The standard normal distribution.
fn standard(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 9.95 { format!("{percent:.1} %") } else { format!("{percent:.0} %") }
}

fn three(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn gigabytes(rate: f64) -> String {
    format!("{} GB/s", three(rate / 1e9))
}

fn giga_operations(rate: f64) -> String {
    format!("{} Gop/s", three(rate / 1e9))
}

fn bytes(count: f64) -> String {
    if count < 999.5e6 {
        format!("{} MB", three(count / 1e6))
    } else {
        format!("{} GB", three(count / 1e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(value: f64, error: f64) -> Share {
        Share { log: value.ln(), error }
    }

    #[test]
    fn the_larger_share_of_a_peak_bounds_and_its_confidence_is_its_probability() {
        let (bound, sure) = answer(share(0.85, 0.05), Some(share(0.1, 0.05)), 0.1, false);
        assert_eq!(bound, Bound::Memory);
        assert!(sure > 0.999, "{sure}");
        let (bound, sure) = answer(share(0.2, 0.05), Some(share(0.7, 0.05)), 0.1, false);
        assert_eq!(bound, Bound::Compute);
        assert!(sure > 0.999, "{sure}");
    }

    #[test]
    fn far_from_both_peaks_it_is_instructions_or_waiting() {
        let (bound, sure) = answer(share(0.2, 0.05), Some(share(0.1, 0.05)), 0.8, false);
        assert_eq!(bound, Bound::Latency);
        assert!(sure > 0.999, "{sure}");
        let (bound, sure) = answer(share(0.2, 0.05), Some(share(0.1, 0.05)), 0.02, false);
        assert_eq!(bound, Bound::Compute);
        assert!(sure > 0.99, "{sure}");
        let (_, sure) = answer(share(0.2, 0.05), None, 0.3, false);
        assert!((0.49..0.51).contains(&sure), "{sure}");
    }

    #[test]
    fn close_calls_are_unsure() {
        let (bound, sure) = answer(share(0.7, 0.1), Some(share(0.7, 0.1)), 0.1, false);
        assert!(matches!(bound, Bound::Memory | Bound::Compute));
        assert!((0.45..0.55).contains(&sure), "{sure}");
        let (_, sure) = answer(share(0.5, 0.1), None, 0.1, false);
        assert!((0.45..0.56).contains(&sure), "{sure}");
        // A peak that scatters by half leaves more doubt than one that does not.
        let loud = answer(share(0.8, 0.5), None, 0.1, false).1;
        assert!(loud < answer(share(0.8, 0.05), None, 0.1, false).1, "{loud}");
    }

    #[test]
    fn more_than_memory_delivers_comes_out_of_a_cache() {
        let (bound, sure) = answer(share(3.0, 0.05), Some(share(0.2, 0.05)), 0.1, true);
        assert_eq!(bound, Bound::Cache);
        assert!(sure > 0.99);
        let (bound, _) = answer(share(1.2, 0.05), Some(share(0.2, 0.05)), 0.1, false);
        assert_eq!(bound, Bound::Memory, "a peak that was measured too low stays the memory's");
    }

    #[test]
    fn the_error_of_a_share_holds_that_of_time_and_peak() {
        let rate =
            Estimate { value: 10.0, low: Some(9.0), high: Some(11.0), confidence: 0.95, n: 8 };
        let peak = Interval { value: 20.0, low: 16.0, high: 25.0 };
        let share = share_of(0.5, &rate, Some(peak));
        let wanted = ((11.0_f64 / 9.0).ln() / 3.92).hypot((25.0_f64 / 16.0).ln() / 3.92);
        assert!((share.error - wanted).abs() < 1e-9);
        assert!(share_of(0.5, &Estimate { low: None, ..rate }, None).error > 0.1);
    }
}
