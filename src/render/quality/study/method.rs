//! How quality was measured, and what its numbers do not say.

use super::super::super::machine::clean;
use super::super::super::verdict::sentence;
use super::super::super::view::{BlockView, ItemView};
use super::super::words;
use super::remarks;
use crate::model::{QualityReport, QuantizationStudy};

/// The method, its circumstances, the classes with their limits, and notes.
pub(super) fn blocks(study: &QuantizationStudy) -> Vec<BlockView> {
    let mut blocks = Vec::new();
    blocks.extend(study.quality.as_ref().map(|report| BlockView::text(how(report))));
    let notes = study.notes.iter().map(|note| clean(note));
    let items = remarks::of_quality(study).into_iter().chain(notes);
    blocks.push(list(items));
    blocks
}

/// Sentences as a list.
pub(super) fn list(items: impl Iterator<Item = String>) -> BlockView {
    let items = items.map(|text| ItemView { label: None, text: sentence(&text), checked: None });
    BlockView::List { items: items.collect() }
}

fn how(report: &QualityReport) -> String {
    let reference = report
        .reference
        .as_ref()
        .map_or_else(|| "no reference".to_owned(), |it| clean(words::file_name(&it.model)));
    format!(
        "Every candidate read the same chunks of the same text as its reference, {reference}; the \
         later half of each chunk was scored. The KL divergence is the mean over tokens of how far \
         a candidate's probabilities for the next token are from the reference's, in nats; “same \
         top token” is the share of tokens where both have the same likeliest one."
    )
}
