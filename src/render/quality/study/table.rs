//! The candidates of a study as a table of a report.

use std::fmt::Write as _;

use super::super::super::format;
use super::super::super::machine::clean;
use super::super::super::view::{BlockView, CellView, Tone};
use super::super::figures;
use super::{class, compared, divergence, divergence_of, is_source, on_front, same_top};
use crate::model::{QuantizationStudy, StudyCandidate};
use crate::stats::Estimate;

const COLUMNS: [(&str, bool); 10] = [
    ("Name", false),
    ("Bits", true),
    ("Size", true),
    ("Decode", true),
    ("Prefill", true),
    ("Memory, peak", true),
    ("Front", false),
    ("KL divergence", true),
    ("Same top token", true),
    ("Class", false),
];
/// The columns of a study that knows nothing of quality.
const WITHOUT_QUALITY: usize = 7;

/// One row for each candidate. Names lead to the candidates' own reports.
pub(super) fn table(study: &QuantizationStudy) -> BlockView {
    let columns = if compared(study) { COLUMNS.len() } else { WITHOUT_QUALITY };
    let rows = study.candidates.iter().map(|one| row(study, one)[..columns].to_vec());
    let caption = "Candidates, the largest first; a name leads to the candidate's own report";
    BlockView::table(caption, &COLUMNS[..columns], rows.collect())
}

fn row(study: &QuantizationStudy, one: &StudyCandidate) -> [CellView; COLUMNS.len()] {
    [
        name(study, one),
        CellView::plain(figures::bits(one.bits_per_weight)),
        CellView::plain(one.file_bytes.to_string()),
        rate(one.decode_tok_per_s),
        rate(one.prefill_tok_per_s),
        CellView::plain(figures::size(one.peak_memory_bytes)),
        CellView::plain(if on_front(study, one) { "*" } else { "" }),
        far(study, one),
        CellView::plain(same_top(one)),
        classed(study, one),
    ]
}

fn name(study: &QuantizationStudy, one: &StudyCandidate) -> CellView {
    let chosen = study.choice.as_ref().is_some_and(|choice| choice.name == one.name);
    let twin = one.same_as.as_ref().map(|twin| format!("same as {}", clean(twin)));
    let source = is_source(study, one).then(|| "the source".to_owned());
    let choice = chosen.then(|| "the choice".to_owned());
    let marks: Vec<String> = [source, choice, twin].into_iter().flatten().collect();
    CellView {
        detail: marks.join(", "),
        tone: chosen.then_some(Tone::Better),
        link: one.run.as_deref().and_then(report_of),
        ..CellView::plain(clean(&one.name))
    }
}

fn far(study: &QuantizationStudy, one: &StudyCandidate) -> CellView {
    let p99 = divergence_of(one).map(|it| format!("99 %: {}", figures::doubtful(it.p99, None)));
    CellView { detail: p99.unwrap_or_default(), ..CellView::plain(divergence(study, one)) }
}

fn classed(study: &QuantizationStudy, one: &StudyCandidate) -> CellView {
    let against = one.quality.as_ref().and_then(|quality| quality.against.as_ref());
    let tone = against.filter(|it| it.class < study.floor).map(|_| Tone::Worse);
    CellView { tone, ..CellView::plain(class(one)) }
}

pub(super) fn rate(estimate: Option<Estimate>) -> CellView {
    estimate.map_or_else(CellView::none, |it| format::rate(&it).into())
}

/// The report of a run directory beside the document, as a link that stays below its folder;
/// `None` for a path that begins at a root.
fn report_of(run: &str) -> Option<String> {
    if run.is_empty() || run.starts_with('/') {
        return None;
    }
    let mut link = String::from("./");
    for byte in run.trim_end_matches('/').bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => {
                link.push(byte.into());
            }
            byte => {
                let _ = write!(link, "%{byte:02X}");
            }
        }
    }
    Some(link + "/report.html")
}

#[cfg(test)]
mod tests {
    use super::report_of;

    #[test]
    fn a_link_is_a_place_beside_the_page_whatever_the_folder_is_called() {
        for (run, link) in [
            ("runs/q4_k_m", Some("./runs/q4_k_m/report.html")),
            ("a b\"><script>", Some("./a%20b%22%3E%3Cscript%3E/report.html")),
            ("javascript:alert(1)", Some("./javascript%3Aalert%281%29/report.html")),
            ("//elsewhere.example", None),
            ("/etc", None),
            ("", None),
        ] {
            assert_eq!(report_of(run).as_deref(), link, "{run}");
        }
    }
}
