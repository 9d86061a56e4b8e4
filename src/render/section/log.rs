//! How the default became the tuned setting.

use crate::model::{Effect, Verdict};
use crate::render::view::{BlockView, CellView, SectionView};
use crate::render::{format, summary, verdict};
use crate::stats::Separation;

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
        .zip(&findings.effects)
        .map(|(step, effect)| {
            let way = format!("{} → {}", step.from, step.to);
            let [cumulative, withdrawn] = [&effect.cumulative, &effect.withdrawn]
                .map(|change| verdict::cell_or_none(change.as_ref()));
            vec![
                CellView::plain(step.knob),
                CellView::plain(way),
                step.change,
                cumulative,
                withdrawn,
            ]
        })
        .collect();
    if let Verdict::Confirmed { turn, evidence, .. } = &findings.verdict {
        let cell = verdict::cell(turn);
        rows.push(vec![
            CellView::plain("all together"),
            CellView::plain("default → tuned, confirmed"),
            CellView::none(),
            cell.citing(evidence),
            CellView::none(),
        ]);
    }
    let mut blocks: Vec<_> =
        evidence.figures(|name| name == "optimization-log").into_iter().collect();
    blocks.push(BlockView::table(
        "Changes from the default, speed of whole turns",
        &[
            ("Knob", false),
            ("Change", false),
            ("Alone", true),
            ("Cumulative", true),
            ("Best over best without it", true),
        ],
        rows,
    ));
    blocks.push(BlockView::text(lesson(&findings.effects)));
    blocks.push(BlockView::text(
        "Every cell was measured in interleaved blocks: the default with this change alone, the \
         default with it and all changes above, the best setting with it taken back. Effects need \
         not multiply to the whole, which has a measurement of its own.",
    ));
    SectionView::of("log", "Optimization log", blocks)
}

/// The change that does most, and those that do nothing.
fn lesson(effects: &[Effect]) -> String {
    let told = |effect: &&Effect, wanted: Separation| {
        effect.alone.is_some_and(|change| change.separation == wanted)
    };
    let most = effects.iter().find(|effect| told(effect, Separation::Faster));
    let first = most.map_or_else(
        || "No single change is faster alone beyond doubt; only together they are.".to_owned(),
        |effect| {
            let change = effect.alone.as_ref().map(|change| format::change(change).text);
            format!(
                "The most effective single change is {} {} → {} ({}).",
                effect.knob,
                effect.from,
                effect.to,
                change.unwrap_or_default()
            )
        },
    );
    let idle: Vec<&str> = effects
        .iter()
        .filter(|effect| told(effect, Separation::NotSeparated))
        .map(|effect| effect.knob.as_str())
        .collect();
    if idle.is_empty() {
        return first;
    }
    format!("{first} Alone nothing can be told of {}: it may go back.", idle.join(", "))
}
