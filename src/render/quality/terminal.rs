//! A look at quality as text for a terminal of 80 columns.

use std::fmt::Write as _;

use super::super::machine::{clean, wrap};
use super::table::{Column, lines, numbers, shortened, widest, words as column};
use super::{WIDTH, figures, words};
use crate::model::{CandidateQuality, QualityReport};

/// Columns before a fact, and before the figures below a long name.
const LABEL: usize = 11;
const INDENT: &str = "  ";

/// The whole report: what was compared, a line for each candidate, and what to know about them.
#[must_use]
pub fn text(report: &QualityReport) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = String::new();
    let title = shortened(&title(report), WIDTH);
    let _ = writeln!(out, "{bold}{title}{bold:#}");
    for (name, fact) in words::facts(report) {
        for (at, line) in wrap(&fact, WIDTH - LABEL - 2).iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            let _ = writeln!(out, "  {name:LABEL$}{line}");
        }
    }
    out.push('\n');
    for line in table(report) {
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
    items(&mut out, &words::remarks(report));
    out
}

pub(super) fn title(report: &QualityReport) -> String {
    match &report.reference {
        Some(reference) => format!("Quality against {}", clean(words::file_name(&reference.model))),
        None => "Perplexity".to_owned(),
    }
}

/// Sentences as a list.
pub(super) fn items(out: &mut String, items: &[String]) {
    for item in items {
        for (at, line) in wrap(&clean(item), WIDTH - 2).iter().enumerate() {
            let _ = writeln!(out, "{}{line}", if at == 0 { "- " } else { "  " });
        }
    }
}

/// One line for each candidate; where names are too long for that, one for the name and one for
/// its figures.
fn table(report: &QualityReport) -> Vec<String> {
    let compared = report.candidates.iter().any(|one| one.against.is_some());
    let columns = columns(compared);
    let rows: Vec<Vec<String>> =
        report.candidates.iter().map(|one| figures_of(one, compared)).collect();
    let figures = lines(&columns, &rows);
    let names = words::names(report);
    let room = WIDTH.saturating_sub(widest(&figures) + 2);
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = longest.max("candidate".len());
    if left <= room {
        let heads = std::iter::once("candidate").chain(names.iter().map(String::as_str));
        return heads.zip(&figures).map(|(name, line)| format!("{name:left$}  {line}")).collect();
    }
    let mut all = vec!["candidate".to_owned(), format!("{INDENT}{}", figures[0])];
    for (name, line) in names.iter().zip(&figures[1..]) {
        all.push(shortened(name, WIDTH));
        all.push(shortened(&format!("{INDENT}{line}"), WIDTH));
    }
    all
}

fn columns(compared: bool) -> Vec<Column> {
    let mut columns = vec![numbers("bits"), numbers("perplexity ±")];
    if compared {
        let against = ["KL divergence ±", "99 %", "same top"].map(numbers);
        columns.extend(against);
        columns.push(column("class"));
    }
    columns
}

fn figures_of(one: &CandidateQuality, compared: bool) -> Vec<String> {
    let perplexity = figures::doubtful(one.perplexity, one.perplexity_se);
    let mut row = vec![figures::bits(one.bits_per_weight), figures::tight(&perplexity)];
    if !compared {
        return row;
    }
    match &one.against {
        None => row.extend([figures::NONE; 3].map(str::to_owned)),
        Some(it) => {
            let divergence = figures::doubtful(it.kl_divergence.mean, it.kl_divergence.se);
            row.push(figures::tight(&divergence));
            row.push(figures::doubtful(it.kl_divergence.p99, None));
            row.push(figures::share(it.top1_agreement, None));
        }
    }
    row.push(words::class(one));
    row
}
