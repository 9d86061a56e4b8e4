//! The parts of a model: their share of the time that an undisturbed pass takes.
//!
//! Looking at a piece costs a start and a stop of all threads, the same for each. How much longer a
//! pass takes that is taken to pieces is known from passes that nobody stopped, run in turns with
//! them; that difference is taken off the pieces evenly. What is left of the pass belongs to no
//! piece (building the graph, handing out its work, copies to and from devices). Then everything is scaled to the pass of the
//! observed work.

use std::collections::BTreeMap;

use autotune_engine::api::{GraphTimes, Part, Piece, Stretch};

use super::phases::plain;
use super::{Evidence, seconds};
use crate::model::{ComponentShare, ComponentTable, DetailShare};
use crate::stats::median;

pub(super) fn tables(evidence: &Evidence<'_>) -> Vec<ComponentTable> {
    let graphs = evidence.graphs.iter().flat_map(|observed| &observed.graphs);
    graphs.filter_map(|graph| table(evidence, graph)).collect()
}

/// Milliseconds of one undisturbed pass of the observed work.
fn undisturbed_ms(evidence: &Evidence<'_>, stretch: Stretch) -> Option<f64> {
    let samples = &evidence.program.run.samples;
    let times: Vec<f64> = match stretch {
        Stretch::Decode => {
            samples.iter().flat_map(|it| &it.token_ns).map(|it| seconds(*it)).collect()
        }
        _ => plain(evidence, stretch).iter().map(|phase| seconds(phase.elapsed_ns)).collect(),
    };
    median(&times).map(|time| time * 1e3)
}

fn table(evidence: &Evidence<'_>, graph: &GraphTimes) -> Option<ComponentTable> {
    let clean = undisturbed_ms(evidence, graph.stretch)?;
    let (quiet, timed) = (median_ms(&graph.quiet_ns)?, median_ms(&graph.timed_ns)?);
    let disturbance = if quiet > 0.0 { timed / quiet - 1.0 } else { 0.0 };
    // Pieces are summed over all passes, so they go with the mean of these very passes.
    let all: f64 = graph.timed_ns.iter().map(|it| seconds(*it) * 1e3).sum();
    let pass = all / graph.timed_ns.len().max(1) as f64 / (1.0 + disturbance.max(0.0));
    let corrected = undisturbed(graph, pass, disturbance.max(0.0));
    let scale = if pass > 0.0 { clean / pass } else { 0.0 };
    let mut sums: BTreeMap<Part, ComponentShare> = BTreeMap::new();
    for (piece, ms) in graph.pieces.iter().zip(&corrected) {
        let sum =
            sums.entry(piece.part).or_insert_with(|| row(piece.part.words(), Some(piece.part)));
        sum.ms += ms * scale;
        sum.bytes = sum.bytes.saturating_add(piece.weight_bytes + piece.cache_bytes);
        sum.arithmetic = sum.arithmetic.saturating_add(piece.arithmetic);
    }
    let mut parts: Vec<ComponentShare> = sums.into_values().collect();
    let inside: f64 = parts.iter().map(|part| part.ms).sum();
    parts.push(ComponentShare {
        ms: (clean - inside).max(0.0),
        ..row("building the graph, copies", None)
    });
    parts.extend(around(evidence, graph.stretch));
    let pass_ms: f64 = parts.iter().map(|part| part.ms).sum();
    for part in &mut parts {
        part.share = if pass_ms > 0.0 { part.ms / pass_ms } else { 0.0 };
    }
    parts.sort_by(|one, other| other.ms.total_cmp(&one.ms));
    Some(ComponentTable {
        stretch: graph.stretch,
        tokens: graph.tokens,
        pass_ms,
        disturbance,
        passes: graph.passes,
        parts,
        detail: detail(graph, &corrected, scale),
    })
}

/// The median of times in nanoseconds, in milliseconds.
fn median_ms(times: &[u64]) -> Option<f64> {
    median(&times.iter().map(|time| seconds(*time) * 1e3).collect::<Vec<_>>())
}

fn row(name: &str, part: Option<Part>) -> ComponentShare {
    ComponentShare { name: name.to_owned(), part, ms: 0.0, share: 0.0, bytes: 0, arithmetic: 0 }
}

/// Milliseconds of each piece in one pass, without what looking at it cost: `disturbance` times
/// the undisturbed pass, shared by all.
fn undisturbed(graph: &GraphTimes, pass_ms: f64, disturbance: f64) -> Vec<f64> {
    let passes = f64::from(graph.passes.max(1));
    let raw = |piece: &Piece| seconds(piece.elapsed_ns) * 1e3 / passes;
    let extra = pass_ms * disturbance / graph.pieces.len().max(1) as f64;
    let mut left: Vec<f64> =
        graph.pieces.iter().map(|piece| (raw(piece) - extra).max(0.0)).collect();
    // Short pieces cannot give back all that they cost; the long ones do it for them.
    let sum: f64 = left.iter().sum();
    if sum > pass_ms && sum > 0.0 {
        for piece in &mut left {
            *piece *= pass_ms / sum;
        }
    }
    left
}

/// What stands around the graph: a tokenizer before the prompt, a choice after each token.
fn around(evidence: &Evidence<'_>, stretch: Stretch) -> Vec<ComponentShare> {
    let Some(text) = &evidence.program.text else { return Vec::new() };
    let of = |name: &str, ms: Option<f64>| ms.map(|ms| ComponentShare { ms, ..row(name, None) });
    let sequences = f64::from(evidence.work.sequences());
    if stretch == Stretch::Decode {
        let each = |list: &[u64]| median_ms(list).map(|ms| ms * sequences);
        let chosen = of("sampling", each(&text.sample_ns));
        chosen.into_iter().chain(of("token to text", each(&text.detokenize_ns))).collect()
    } else {
        let tokens = evidence.work.all_prompt_tokens() as f64 / text.tokens.max(1) as f64;
        let whole = median_ms(&text.tokenize_ns).filter(|_| text.tokens > 0).map(|ms| ms * tokens);
        of("tokenizer", whole).into_iter().collect()
    }
}

/// By layer and operation, where each operation was timed for itself.
fn detail(graph: &GraphTimes, corrected: &[f64], scale: f64) -> Vec<DetailShare> {
    let coarse = graph.pieces.iter().any(|piece| piece.operations.len() > 1);
    if coarse {
        return Vec::new();
    }
    let mut sums: BTreeMap<(Option<u32>, Part, &str), f64> = BTreeMap::new();
    for (piece, ms) in graph.pieces.iter().zip(corrected) {
        let operation = piece.operations.first().map_or("", String::as_str);
        *sums.entry((piece.layer, piece.part, operation)).or_insert(0.0) += ms * scale;
    }
    sums.into_iter()
        .map(|((layer, part, operation), ms)| DetailShare {
            part,
            layer,
            operation: operation.to_owned(),
            ms,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(part: Part, elapsed_ns: u64) -> Piece {
        Piece {
            part,
            layer: None,
            operations: vec!["MUL_MAT".to_owned()],
            nodes: 1,
            device: None,
            weight_bytes: 10,
            copied_bytes: 0,
            cache_bytes: 0,
            arithmetic: 0,
            elapsed_ns,
        }
    }

    fn graph(pieces: Vec<Piece>) -> GraphTimes {
        GraphTimes {
            stretch: Stretch::Decode,
            tokens: 1,
            passes: 2,
            quiet_ns: vec![10_000_000; 2],
            timed_ns: vec![12_000_000; 2],
            pieces,
        }
    }

    #[test]
    fn what_looking_costs_is_taken_off_every_piece() {
        // Two passes of 5 + 4 + 2 ms, of which 2 ms are the price of looking at four pieces.
        let graph = graph(vec![
            piece(Part::Experts, 10_000_000),
            piece(Part::AttentionQkv, 8_000_000),
            piece(Part::AttentionScores, 3_000_000),
            piece(Part::OutputHead, 1_000_000),
        ]);
        let left = undisturbed(&graph, 10.0, 0.2);
        for (got, wanted) in left.iter().zip([4.5, 3.5, 1.0, 0.0]) {
            assert!((got - wanted).abs() < 1e-9, "{left:?}");
        }
    }

    #[test]
    fn pieces_never_take_longer_than_the_pass() {
        let pieces = vec![piece(Part::Experts, 30_000_000), piece(Part::OutputHead, 10_000_000)];
        let left = undisturbed(&graph(pieces), 10.0, 0.0);
        assert!((left.iter().sum::<f64>() - 10.0).abs() < 1e-9, "{left:?}");
        assert!((left[0] / left[1] - 3.0).abs() < 1e-9, "{left:?}");
    }
}
