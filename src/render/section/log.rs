//! How the default became the tuned setting, and what else could be chosen.

use crate::model::Verdict;
use crate::render::view::{BlockView, CellView, SectionView};
use crate::render::{format, summary, trial, verdict};

use super::Evidence;

/// Each change with its impact and interval.
pub(super) fn log(evidence: Evidence<'_>) -> SectionView {
    let findings = evidence.findings;
    let steps = summary::steps(findings);
    if steps.is_empty() {
        return SectionView::missing(
            "log",
            "Optimization log",
            "The recommended setting is the default: there is no change to explain.",
        );
    }
    let mut rows: Vec<_> = steps
        .into_iter()
        .map(|step| {
            let way = format!("{} → {}", step.from, step.to);
            vec![CellView::plain(step.knob), CellView::plain(way), step.change]
        })
        .collect();
    if let Verdict::Confirmed { turn, evidence, .. } = &findings.verdict {
        let cell = CellView { tone: Some(verdict::tone(turn)), ..format::change(turn).into() };
        rows.push(vec![
            CellView::plain("all together"),
            CellView::plain("default → tuned, confirmed"),
            cell.citing(evidence),
        ]);
    }
    let mut blocks: Vec<_> =
        evidence.figures(|name| name == "optimization-log").into_iter().collect();
    blocks.push(BlockView::table(
        "Changes from the default, speed of whole turns",
        &[("Knob", false), ("Change", false), ("Effect alone", true)],
        rows,
    ));
    blocks.push(BlockView::text(
        "Each effect is from trials that differ in this knob only, seen from the default; effects \
         need not multiply to the whole, which has a measurement of its own.",
    ));
    SectionView::of("log", "Optimization log", blocks)
}

/// Settings that are as good, and what was left out.
pub(super) fn options(evidence: Evidence<'_>) -> SectionView {
    let (plan, findings) = (evidence.plan, evidence.findings);
    let mut blocks = Vec::new();
    if !findings.tied_with.is_empty() {
        let rows = findings.tied_with.iter().map(|setting| {
            vec![
                CellView::plain(trial::difference(&plan.baseline, setting)),
                CellView::plain("~"),
                CellView::plain("none known: as good within what was measured"),
            ]
        });
        blocks.push(BlockView::table(
            "Finalists that could not be told apart from the best",
            &[
                ("Setting, against the default", false),
                ("Gain over the best", true),
                ("Trade-off", false),
            ],
            rows.collect(),
        ));
    }
    if !plan.rejected.is_empty() {
        let rows = plan.rejected.iter().map(|rejected| {
            let level = rejected.level.as_ref().map_or("all".to_owned(), ToString::to_string);
            vec![
                CellView::plain(&rejected.knob),
                CellView::plain(level),
                CellView::plain(&rejected.reason),
            ]
        });
        blocks.push(BlockView::table(
            "Left out of the search",
            &[("Knob", false), ("Level", false), ("Why", false)],
            rows.collect(),
        ));
    }
    if !findings.failures.is_empty() {
        let rows = findings.failures.iter().map(|failed| {
            let setting = trial::difference(&plan.baseline, &failed.setting);
            vec![
                CellView::plain(setting).citing(&failed.evidence),
                CellView::plain(&failed.kind),
                CellView::plain(&failed.reason),
            ]
        });
        blocks.push(BlockView::table(
            "Settings that did not run",
            &[("Setting", false), ("Outcome", false), ("Why", false)],
            rows.collect(),
        ));
    }
    if blocks.is_empty() {
        return SectionView::missing(
            "options",
            "Other options",
            "No finalist tied with the best, nothing was left out and every setting ran.",
        );
    }
    SectionView::of("options", "Other options", blocks)
}
