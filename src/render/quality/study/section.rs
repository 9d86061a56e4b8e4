//! The section of a report about quantization and quality, and the parts it is made of.

use super::super::super::view::{BlockView, SectionView};
use super::{answers, choice, folklore, method, remarks, table};
use crate::model::QuantizationStudy;

/// Its anchor.
pub(in crate::render) const SECTION: &str = "quantization";
/// Its heading.
pub(in crate::render) const TITLE: &str = "Quantization and quality";

/// A part: its anchor, its heading, what it holds.
pub(super) struct Part {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) blocks: Vec<BlockView>,
}

/// The section of a run's report; `figures` are the study's plots.
pub(in crate::render) fn section(
    study: &QuantizationStudy,
    figures: Option<BlockView>,
) -> SectionView {
    let mut blocks = vec![BlockView::text(choice(study))];
    for (at, part) in parts(study, figures).into_iter().enumerate() {
        if at > 0 && !part.blocks.is_empty() {
            blocks.push(BlockView::Heading { text: part.title.to_owned() });
        }
        blocks.extend(part.blocks);
    }
    SectionView::of(SECTION, TITLE, blocks)
}

/// Everything below the choice, in order; a part without evidence is empty.
pub(super) fn parts(study: &QuantizationStudy, figures: Option<BlockView>) -> [Part; 5] {
    let mut candidates = Vec::new();
    if !study.candidates.is_empty() {
        candidates.push(table::table(study));
        let told = remarks::of_table(study).into_iter().chain(remarks::of_candidates(study));
        candidates.push(method::list(told));
    }
    let part = |id, title, blocks| Part { id, title, blocks };
    [
        part("candidates", "Candidates", candidates),
        part("folklore", "What is said, and what was measured", folklore::blocks(study)),
        part("fronts", "Speed and memory against quality", figures.into_iter().collect()),
        part("answers", "What they say", answers::blocks(study)),
        part("how", "How quality was measured", method::blocks(study)),
    ]
}
