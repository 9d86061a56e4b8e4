//! Bytes and operations that a stretch needs, the rates at which it had them, and the peaks of the
//! machine (Williams, Waterman, Patterson, CACM 52(4), 2009).

use autotune_engine::api::{GpuLayers, Piece, Stretch};

use super::Evidence;
use super::phases::inverse;
use crate::model::{Interval, PhaseProfile, Roofline};

pub(super) fn rooflines(evidence: &Evidence<'_>, phases: &[PhaseProfile]) -> Vec<Roofline> {
    let tokens = phases.iter().filter(|phase| phase.stretch != Stretch::Load);
    tokens.filter_map(|phase| roofline(evidence, phase)).collect()
}

/// What a stretch takes for one token of each sequence, all of it of the processor.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Need {
    bytes: f64,
    operations: f64,
}

fn need(evidence: &Evidence<'_>, stretch: Stretch) -> Option<Need> {
    if let Some(graph) = evidence.graph(stretch).filter(|graph| graph.tokens > 0) {
        // The processor's peaks say nothing of what a card reads.
        if graph.pieces.iter().any(|piece| piece.device.is_some()) {
            return None;
        }
        let sum = |field: fn(&Piece) -> u64| {
            let all: f64 = graph.pieces.iter().map(|piece| field(piece) as f64).sum();
            all / f64::from(graph.tokens)
        };
        return Some(Need {
            bytes: sum(|piece| piece.weight_bytes) + sum(|piece| piece.cache_bytes),
            operations: sum(|piece| piece.arithmetic),
        });
    }
    // Without a graph the header tells what one token of one sequence reads.
    let here = evidence.setting().load.gpu_layers == GpuLayers::Count(0);
    (stretch == Stretch::Decode && evidence.work.sequences() == 1 && here)
        .then_some(Need { bytes: evidence.card.bytes_per_token.0 as f64, operations: 0.0 })
}

fn roofline(evidence: &Evidence<'_>, phase: &PhaseProfile) -> Option<Roofline> {
    let need = need(evidence, phase.stretch).filter(|need| need.bytes > 0.0)?;
    let tokens = phase.tokens as f64;
    let threads = &evidence.setting().threads;
    let count = match phase.stretch {
        Stretch::Decode => threads.threads,
        _ => threads.threads_batch,
    };
    let bandwidth_peak = evidence.ceilings.and_then(|it| it.read_bandwidth(count));
    let (arithmetic_peak, kind) = match evidence.ceilings {
        Some(ceilings) => {
            let integer = ceilings.int8(count).filter(|_| evidence.quantized);
            match integer {
                Some(peak) => (Some(peak), Some("8-bit integers")),
                None => (ceilings.f32(count), Some("32-bit floats")),
            }
        }
        None => (None, None),
    };
    let bytes_per_s = inverse(&phase.elapsed_s, need.bytes * tokens);
    let operations_per_s = inverse(&phase.elapsed_s, need.operations * tokens);
    let share = |rate: f64, peak: Option<Interval>| {
        peak.filter(|peak| peak.value > 0.0).map(|peak| rate / peak.value)
    };
    Some(Roofline {
        stretch: phase.stretch,
        bytes_per_token: need.bytes,
        operations_per_token: need.operations,
        intensity: need.operations / need.bytes,
        bandwidth_share: share(bytes_per_s.value, bandwidth_peak),
        arithmetic_share: share(operations_per_s.value, arithmetic_peak)
            .filter(|_| need.operations > 0.0),
        bytes_per_s,
        operations_per_s,
        bandwidth_peak,
        arithmetic_kind: arithmetic_peak.and(kind).map(str::to_owned),
        arithmetic_peak,
    })
}
