//! How it was measured, and what may be doubted.

use crate::model::Findings;
use crate::render::view::{BlockView, ItemView, SectionView};
use crate::render::{format, verdict};

use super::Evidence;

/// The claims that were earned, and those that were not.
fn claims(findings: &Findings) -> Vec<ItemView> {
    let item =
        |label: &str, text: String| ItemView { label: Some(label.to_owned()), text, checked: None };
    let fitness = findings.fitness.as_ref().map_or_else(
        || "the default ran too seldom to say how much this machine scatters.".to_owned(),
        |fit| {
            format!(
                "grade {:?}: a comparison of the default with itself scatters by {} per pair; {} \
                 pairs show differences of {} in four of five cases ({}).",
                fit.grade,
                format::percent(fit.spread),
                fit.pairs,
                format::percent(fit.resolves),
                fit.grade.sentence()
            )
        },
    );
    let finalists = findings.claims.among_finalists.as_ref().map_or_else(
        || "no race among the last few settings was run to its first look.".to_owned(),
        |claim| {
            format!(
                "with {} confidence none of {} settings is more than {} faster than the one that \
                 leads ({} complete interleaved blocks).",
                format::confidence(claim.confidence),
                claim.finalists,
                format::percent(claim.within),
                claim.blocks
            )
        },
    );
    let ceiling = findings.claims.ceiling.as_ref().map_or_else(
        || {
            "no roof for this model here: peaks were not measured (`autotune detect --ceilings` \
             measures them), or caches and devices make the sum meaningless."
                .to_owned()
        },
        |claim| {
            format!(
                "generation runs at {} of the read bandwidth ({} tokens/s at most); no setting of \
                 these knobs can make it more than {} faster.",
                format::percent(claim.share),
                format::three(claim.roof_tok_per_s),
                format::percent(1.0 / claim.share - 1.0)
            )
        },
    );
    let space = findings.claims.space.as_ref().map_or_else(
        || {
            format!(
                "{} of a space of {} were looked at; nothing is claimed about the others \
                 (`autotune sweep --audit 30` looks at some by chance).",
                format::plural(findings.looked_at as usize, "setting"),
                format::count(findings.space)
            )
        },
        |claim| match claim.share {
            Some(share) => format!(
                "of {} by chance none was more than {} faster: with {} confidence at most {} of \
                 the space is.",
                format::plural(claim.looked as usize, "setting"),
                format::percent(claim.by_more_than),
                format::confidence(claim.confidence),
                format::percent(share)
            ),
            None => format!(
                "{} of {} by chance were more than {} faster: the search missed something, a \
                 longer one is worth its time.",
                claim.better,
                claim.looked,
                format::percent(claim.by_more_than)
            ),
        },
    );
    let soak = findings.soak.as_ref().map_or_else(
        || "no soak: a confirmed winner and a budget of 15 minutes have one.".to_owned(),
        |soak| {
            format!(
                "the tuned setting ran for {} s on end; in the last third a turn took {} than in \
                 the first.",
                soak.seconds.round(),
                match soak.slower_at_end {
                    by if by >= 0.0 => format!("{} longer", format::percent(by)),
                    by => format!("{} less", format::percent(-by)),
                }
            )
        },
    );
    vec![
        item("Noise", fitness),
        item("Among the finalists", finalists),
        item("Against the machine's peaks", ceiling),
        item("Over the space", space),
        item("Over time", soak),
    ]
}

/// Protocol, noise, caveats.
pub(super) fn method(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let protocol = &plan.protocol;
    let slice = &protocol.slice;
    let mut blocks: Vec<_> = evidence.figures(|name| name == "timeline").into_iter().collect();
    blocks.push(BlockView::text(format!(
        "One visit to a setting is {} prompt and {} generated tokens after a warm-up. Settings \
         take turns with the default, so that a drifting machine slows all of them: one look each \
         while searching, {} among the finalists, then {} to {} pairs of candidate and default. A speed-up is the \
         Hodges-Lehmann estimate over the pairs; the interval of each look has {} coverage, so \
         that all looks together have {}. Ratios closer to 1 than {} count as equal. Seed {}.",
        slice.prompt_tokens,
        slice.generate_tokens,
        format::plural(protocol.finalist_blocks as usize, "round"),
        protocol.confirm_pairs[0],
        protocol.confirm_pairs[1],
        format::confidence(protocol.confirm_confidence()),
        format::confidence(protocol.confidence),
        format::percent(protocol.indifference),
        plan.seed
    )));
    blocks.push(BlockView::text(format!(
        "{} measured, {} failed, {} taken from an earlier sweep (only to steer the search). \
         {}",
        format::plural(findings.trials_measured as usize, "trial"),
        findings.trials_failed,
        findings.trials_cached,
        verdict::sentence(&format!("the sweep ended because {}", ended(&findings.stopped_because)))
    )));
    blocks.push(BlockView::Heading { text: "What may be claimed".into() });
    blocks.push(BlockView::List { items: claims(findings) });
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
