//! A table that is often passed on, beside what was measured here.

use super::super::super::machine::clean;
use super::super::super::view::{BlockView, CellView};
use super::super::figures;
use super::{divergence, source};
use crate::model::{QuantizationStudy, StudyCandidate};

/// One line of it.
struct Saying {
    kind: &'static str,
    bits: &'static str,
    reduction: &'static str,
    loss: &'static str,
    purpose: &'static str,
}

const fn saying(
    kind: &'static str,
    bits: &'static str,
    reduction: &'static str,
    loss: &'static str,
    purpose: &'static str,
) -> Saying {
    Saying { kind, bits, reduction, loss, purpose }
}

/// "Quantization Options" of the guide that this report's sections come from, word for word.
const SAYINGS: [Saying; 7] = [
    saying("FP16", "16", "50 %", "None", "Baseline"),
    saying("Q8_0", "8", "50 %", "Minimal", "Quality priority"),
    saying("Q6_K", "6", "62.5 %", "Low", "Good balance"),
    saying("Q5_K_M", "5", "68.75 %", "Moderate", "Memory constrained"),
    saying("Q4_K_M", "4", "75 %", "Noticeable", "Speed priority"),
    saying("Q3_K_M", "3", "81.25 %", "Significant", "Extreme constraint"),
    saying("Q2_K", "2", "87.5 %", "High", "Last resort"),
];

const COLUMNS: [(&str, bool); 8] = [
    ("Type", false),
    ("Bits, said and measured", true),
    ("Size reduction, said", true),
    ("measured", true),
    ("Quality loss, said", false),
    ("KL divergence, measured", true),
    ("Perplexity, measured", true),
    ("Use, said", false),
];

/// The table for the types that were measured, with what it means; nothing where none of them
/// was.
pub(super) fn blocks(study: &QuantizationStudy) -> Vec<BlockView> {
    let rows: Vec<_> = SAYINGS
        .iter()
        .flat_map(|saying| {
            let of_type = study.candidates.iter().filter(|one| is(one, saying.kind));
            of_type.map(|one| row(study, one, saying))
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let from = source(study).map_or_else(
        || "The source's size is not known here".to_owned(),
        |it| {
            let bits = figures::bits(it.bits_per_weight);
            format!("Measured reductions are of the source's file of {bits} bits per weight")
        },
    );
    let meaning = format!(
        "The table as it is said leaves out scales and the tensors that keep more bits; its FP16 \
         row counts from 32 bits, the others from 16. {from}."
    );
    vec![
        BlockView::table(
            "A table that is often passed on, beside the numbers of this model",
            &COLUMNS,
            rows,
        ),
        BlockView::text(meaning),
    ]
}

/// Whether a candidate is of the type, by its file or else by its name.
fn is(one: &StudyCandidate, kind: &str) -> bool {
    let own = one.quality.as_ref().and_then(|quality| quality.file_type.as_deref());
    let own = own.unwrap_or(&one.name);
    let own = if own.eq_ignore_ascii_case("f16") { "FP16" } else { own };
    one.same_as.is_none() && own.eq_ignore_ascii_case(kind)
}

fn row(study: &QuantizationStudy, one: &StudyCandidate, said: &Saying) -> Vec<CellView> {
    let against = one.quality.as_ref().and_then(|quality| quality.against.as_ref());
    let perplexity = against.map_or_else(
        || figures::NONE.to_owned(),
        |it| figures::higher(it.ln_perplexity_ratio, it.ln_perplexity_ratio_se),
    );
    vec![
        CellView::plain(clean(&one.name)),
        CellView { detail: figures::bits(one.bits_per_weight), ..CellView::plain(said.bits) },
        CellView::plain(said.reduction),
        CellView::plain(reduction(study, one)),
        CellView::plain(said.loss),
        CellView::plain(divergence(study, one)),
        CellView::plain(perplexity),
        CellView::plain(said.purpose),
    ]
}

fn reduction(study: &QuantizationStudy, one: &StudyCandidate) -> String {
    let whole = source(study).map(|source| source.file_bytes.0).filter(|bytes| *bytes > 0);
    whole.map_or_else(
        || figures::NONE.to_owned(),
        |whole| {
            let percent = 100.0 * (1.0 - one.file_bytes.0 as f64 / whole as f64);
            format!("{} %", format!("{percent:.1}").replace('-', "−"))
        },
    )
}
