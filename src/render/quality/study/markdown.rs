//! A study as a short piece of Markdown, for an issue or a model card.

use std::fmt::Write as _;

use super::super::super::markdown::code;
use super::super::figures;
use super::super::markdown::prose;
use super::{class, clean, divergence, on_front, remarks, same_top, source_name};
use crate::model::QuantizationStudy;

/// The choice, the table, and what to know about it; without plots and answers, which the page
/// has.
#[must_use]
pub fn study_markdown(study: &QuantizationStudy) -> String {
    let mut out = format!("# Quantizations of {}\n\n", prose(&source_name(study)));
    let _ = writeln!(out, "**{}**\n", prose(&super::choice(study)));
    if !study.candidates.is_empty() {
        out.push_str(
            "| | Name | Bits | Size | Decode tok/s | Prefill tok/s | Memory | KL divergence | \
             Same top | Class |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---|\n",
        );
    }
    for one in &study.candidates {
        let cells = [
            if on_front(study, one) { "\\*".to_owned() } else { String::new() },
            prose(&one.name),
            figures::bits(one.bits_per_weight),
            one.file_bytes.to_string(),
            figures::rate(one.decode_tok_per_s),
            figures::rate(one.prefill_tok_per_s),
            figures::size(one.peak_memory_bytes),
            divergence(study, one),
            same_top(one),
            class(one),
        ];
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    if !study.candidates.is_empty() {
        out.push('\n');
    }
    for remark in remarks::all(study) {
        let _ = writeln!(out, "- {}", prose(&remark));
    }
    let made = [&study.tool_version, &study.created_at].map(|text| prose(text));
    let _ = writeln!(out, "\nautotune {}, {}: {}", made[0], made[1], code(&clean(&study.command)));
    out
}
