//! How it was measured, and what may be doubted.

use crate::render::view::{BlockView, ItemView, SectionView};
use crate::render::{format, verdict};

use super::Evidence;

/// Protocol, noise, caveats.
pub(super) fn method(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let protocol = &plan.protocol;
    let slice = &protocol.slice;
    let mut blocks: Vec<_> = evidence.figures(|name| name == "timeline").into_iter().collect();
    blocks.push(BlockView::text(format!(
        "One visit to a setting is {} prompt and {} generated tokens after a warm-up. Settings \
         take turns, so that a drifting machine slows all of them: {} of screening, {} among the \
         finalists, then {} to {} pairs of candidate and default. A speed-up is the \
         Hodges-Lehmann estimate over the pairs; the interval of each look has {} coverage, so \
         that all looks together have {}. Ratios closer to 1 than {} count as equal. Seed {}.",
        slice.prompt_tokens,
        slice.generate_tokens,
        format::plural(protocol.screen_blocks as usize, "round"),
        format::plural(protocol.finalist_blocks as usize, "round"),
        protocol.confirm_pairs[0],
        protocol.confirm_pairs[1],
        format::confidence(protocol.confirm_confidence()),
        format::confidence(protocol.confidence),
        format::percent(protocol.indifference),
        plan.seed
    )));
    blocks.push(BlockView::text(format!(
        "{} measured, {} failed, {} taken from an earlier sweep (only to steer the search and to \
         fill curves). {}",
        format::plural(findings.trials_measured as usize, "trial"),
        findings.trials_failed,
        findings.trials_cached,
        verdict::sentence(&format!("the sweep ended because {}", ended(&findings.stopped_because)))
    )));
    blocks.push(BlockView::text(match findings.noise {
        Some(noise) => format!(
            "Noise: comparing the default with itself over time scatters by {} per pair.",
            format::percent(noise)
        ),
        None => "Noise: the default ran too seldom to say how much this machine scatters.".into(),
    }));
    let doubts: Vec<_> = plan.baseline_notes.iter().chain(&findings.caveats).collect();
    if doubts.is_empty() {
        blocks.push(BlockView::text("No caveats were recorded."));
    } else {
        blocks.push(BlockView::Heading { text: "Caveats".into() });
        let items = doubts.into_iter().map(|doubt| ItemView {
            label: None,
            text: verdict::sentence(doubt),
            checked: None,
        });
        blocks.push(BlockView::List { items: items.collect() });
    }
    blocks.push(BlockView::text(
        "Valid for this machine, engine, model file and workload. Nothing here was measured under \
         concurrent requests.",
    ));
    SectionView::of("method", "Method and caveats", blocks)
}

/// The reason as the end of a sentence.
fn ended(reason: &str) -> String {
    let mut letters = reason.chars();
    letters.next().map_or_else(
        || "no reason was recorded".to_owned(),
        |first| first.to_lowercase().collect::<String>() + letters.as_str(),
    )
}
