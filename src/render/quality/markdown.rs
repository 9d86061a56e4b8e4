//! A look at quality as Markdown.

use std::fmt::Write as _;

use super::super::machine::clean;
use super::super::markdown::{code, escaped};
use super::{figures, terminal, words};
use crate::model::{CandidateQuality, QualityReport};

/// The whole report, for an issue, a model card or a page.
#[must_use]
pub fn markdown(report: &QualityReport) -> String {
    let mut out = format!("# {}\n\n| | |\n|---|---|\n", prose(&terminal::title(report)));
    let _ = writeln!(out, "| Command | {} |", code(&clean(&report.command)));
    let _ = writeln!(out, "| Made by | autotune {} |", prose(&report.tool_version));
    for (name, fact) in words::facts(report) {
        let mut letters = name.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        let name: String = first.into_iter().chain(letters).collect();
        let _ = writeln!(out, "| {name} | {} |", prose(&fact));
    }
    out.push('\n');
    table(&mut out, report);
    out.push('\n');
    for remark in words::remarks(report) {
        let _ = writeln!(out, "- {}", prose(&remark));
    }
    out
}

fn table(out: &mut String, report: &QualityReport) {
    let compared = report.candidates.iter().any(|one| one.against.is_some());
    let (heads, line) = if compared {
        (
            " KL divergence ± | median | 99 % | ln perplexity ratio ± | same top | class |",
            "---:|---:|---:|---:|---:|---|",
        )
    } else {
        ("", "")
    };
    let _ = writeln!(out, "| Candidate | Size | Bits | Perplexity ± |{heads}");
    let _ = writeln!(out, "|---|---:|---:|---:|{line}");
    for (name, one) in words::names(report).iter().zip(&report.candidates) {
        let mut cells = vec![
            prose(name),
            one.file_bytes.to_string(),
            figures::bits(one.bits_per_weight),
            figures::doubtful(one.perplexity, one.perplexity_se),
        ];
        if compared {
            cells.extend(against(one));
            cells.push(words::class(one));
        }
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

fn against(one: &CandidateQuality) -> [String; 5] {
    let Some(it) = &one.against else { return [figures::NONE; 5].map(str::to_owned) };
    let divergence = &it.kl_divergence;
    [
        figures::doubtful(divergence.mean, divergence.se),
        figures::doubtful(divergence.median, None),
        figures::doubtful(divergence.p99, None),
        figures::doubtful(it.ln_perplexity_ratio, it.ln_perplexity_ratio_se),
        figures::share(it.top1_agreement, it.top1_agreement_se),
    ]
}

/// Text from outside as text.
pub(super) fn prose(text: &str) -> String {
    escaped(&clean(text))
}
