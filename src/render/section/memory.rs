//! Memory by what holds it.

use autotune_engine::api::{BufferUse, Bytes};

use crate::model::Candidate;
use crate::render::format;
use crate::render::view::{BlockView, CellView, SectionView};

use super::Evidence;

/// Weights, KV cache and scratch space by buffer.
pub(super) fn memory(evidence: Evidence<'_>) -> SectionView {
    let findings = evidence.findings;
    let mut blocks = Vec::new();
    if !findings.baseline.buffers.is_empty() {
        blocks.push(table("Default", &findings.baseline));
    }
    if findings.has_tuned() && !findings.best.buffers.is_empty() {
        blocks.push(table("Tuned", &findings.best));
    }
    if blocks.is_empty() {
        return SectionView::missing(
            "memory",
            "Memory by component",
            "The engine reported no buffers for the default or the tuned setting.",
        );
    }
    if let Some(error) = findings.memory_error {
        blocks.push(BlockView::text(format!(
            "What was foreseen of the resident set before each run is within {} of its measured \
             peak (median).",
            format::percent(error)
        )));
    }
    SectionView::of("memory", "Memory by component", blocks)
}

fn table(name: &str, candidate: &Candidate) -> BlockView {
    let cells = |words: &str, of: [Bytes; 3]| {
        let mut row = vec![CellView::plain(words)];
        row.extend(of.map(|bytes| CellView::plain(bytes.to_string())));
        row.push(CellView::plain(of.into_iter().sum::<Bytes>().to_string()));
        row
    };
    let parts =
        |buffer: &BufferUse| [buffer.model_bytes, buffer.context_bytes, buffer.compute_bytes];
    let buffers = &candidate.buffers;
    let mut rows: Vec<_> =
        buffers.iter().map(|buffer| cells(&buffer.name, parts(buffer))).collect();
    if buffers.len() > 1 {
        let sum = |part: usize| buffers.iter().map(|buffer| parts(buffer)[part]).sum();
        rows.push(cells("all", [sum(0), sum(1), sum(2)]));
    }
    let peak = candidate.peak_resident_bytes;
    let peak = peak.map_or(String::new(), |bytes| format!("; largest resident set {bytes}"));
    BlockView::table(
        format!("{name} setting{peak}"),
        &[
            ("Buffer", false),
            ("Weights", true),
            ("KV cache", true),
            ("Compute", true),
            ("Sum", true),
        ],
        rows,
    )
}
