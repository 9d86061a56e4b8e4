//! Every output of every fixture: goldens, widths, hostile text.

use jiff::Timestamp;

use super::super::tests::{balanced, golden};
use super::{csv, fixture, markdown, study_markdown, study_page, study_text, text};
use crate::model::{QualityReport, QuantizationStudy};
use crate::render::Report;

fn reports() -> [QualityReport; 4] {
    let none = QualityReport { candidates: Vec::new(), ..fixture::report() };
    [fixture::report(), fixture::perplexity(), fixture::hostile_report(), none]
}

fn studies() -> [QuantizationStudy; 4] {
    [fixture::study(), fixture::speed_only(), fixture::hostile_study(), fixture::empty()]
}

fn page(study: &QuantizationStudy) -> Report {
    let machine = crate::render::fixture::machine();
    let now: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    study_page(study, Some(&machine), now).unwrap()
}

/// Without styles, which are ours.
fn plain(text: &str) -> String {
    text.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "")
}

#[test]
fn what_was_found_of_quality_is_the_golden_one() {
    golden("quality.txt", &plain(&text(&fixture::report())));
    golden("quality-perplexity.txt", &plain(&text(&fixture::perplexity())));
    golden("quality.md", &markdown(&fixture::report()));
    golden("quality.csv", &csv(&fixture::report()));
    let json = serde_json::to_string_pretty(&fixture::report()).unwrap();
    golden("quality.json", &(json + "\n"));
}

#[test]
fn a_study_is_the_golden_one() {
    golden("quantization.txt", &plain(&study_text(&fixture::study())));
    golden("quantization-speed.txt", &plain(&study_text(&fixture::speed_only())));
    golden("quantization-empty.txt", &plain(&study_text(&fixture::empty())));
    golden("quantization.md", &study_markdown(&fixture::study()));
    let json = serde_json::to_string_pretty(&fixture::study()).unwrap();
    golden("quantization.json", &(json + "\n"));
}

#[test]
fn the_page_of_a_study_is_the_golden_one() {
    let page = page(&fixture::study());
    golden("quantization-page.md", &page.markdown);
    golden("quantization-page.html", &page.html);
}

#[test]
fn no_line_is_wider_than_a_terminal_whatever_the_names() {
    let of_reports = reports().map(|report| text(&report));
    let of_studies = studies().map(|study| study_text(&study));
    for shown in of_reports.iter().chain(&of_studies) {
        let shown = plain(shown);
        for line in shown.lines() {
            assert!(line.chars().count() < 80, "{line:?}\n{shown}");
        }
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(shown.ends_with('\n') && !shown.ends_with("\n\n"), "{shown:?}");
    }
}

#[test]
fn long_names_keep_their_ends() {
    let shown = plain(&text(&fixture::hostile_report()));
    assert!(shown.contains("…") && shown.contains("-ctk q8_0\u{fffd}-ctv | q8_0\n"), "{shown}");
}

#[test]
fn a_perplexity_of_the_reference_is_told_only_where_a_candidate_has_it() {
    let mut report = fixture::report();
    let head =
        |report: &QualityReport| plain(&text(report)).split("\n\n").next().unwrap().to_owned();
    assert!(!head(&report).contains("perplexity"));
    let reference = report.reference.as_ref().unwrap().model.clone();
    report.candidates[0].model = reference;
    assert!(head(&report).contains("perplexity 6.23 ± 0.04"), "{}", head(&report));
}

#[test]
fn without_a_reference_only_perplexity_is_told() {
    for shown in [text(&fixture::perplexity()), markdown(&fixture::perplexity())] {
        assert!(!shown.contains("KL") && !shown.contains("class"), "{shown}");
        assert!(shown.contains("6.23 ± 0.04") || shown.contains("6.23±0.04"), "{shown}");
    }
}

/// Tags that Markdown would take for such.
fn markup(text: &str) -> usize {
    let text = text.replace("\\<", "").replace("\\]", "");
    ["<script", "</script", "<img", "</caption", "<i>", "<b>bold", "](javascript"]
        .map(|tag| text.matches(tag).count())
        .iter()
        .sum()
}

#[test]
fn outside_text_is_text_in_every_format() {
    for shown in [markdown(&fixture::hostile_report()), study_markdown(&fixture::hostile_study())] {
        assert_eq!(markup(&shown), 0, "{shown}");
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
    }
    let page = page(&fixture::hostile_study());
    balanced(&page.html).unwrap();
    assert_eq!(page.html.matches("<script>").count(), 1, "the page's own, and none from a name");
    assert!(!page.html.contains("<img") && !page.html.contains("href=\"javascript"));
    assert_eq!(markup(&page.markdown), 0, "{}", page.markdown);
    for shown in [&page.html, &page.markdown] {
        let held = |c: char| !c.is_control() || c == '\n' || c == '\t';
        assert!(shown.chars().all(held));
    }
}

#[test]
fn rows_of_markdown_have_one_cell_for_each_column() {
    for shown in [markdown(&fixture::hostile_report()), study_markdown(&fixture::hostile_study())] {
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let tables = shown.split("\n\n").filter(|part| part.starts_with('|'));
        for table in tables {
            let mut lines = table.lines().map(bars);
            let head = lines.next().unwrap();
            assert!(lines.all(|line| line == head), "{table}");
        }
    }
}

#[test]
fn every_row_of_the_csv_has_every_column() {
    for report in reports() {
        let shown = csv(&report);
        let mut reader = ::csv::Reader::from_reader(shown.as_bytes());
        let rows = reader.records().map(Result::unwrap).count();
        assert_eq!(rows, report.candidates.len());
        assert!(!shown.contains("NaN") && !shown.contains("inf"), "{shown}");
    }
}

#[test]
fn pages_are_whole_whatever_is_missing() {
    for study in studies() {
        let page = page(&study);
        balanced(&page.html).unwrap();
        for link in page.html.split("href=\"#").skip(1) {
            let anchor = link.split('"').next().unwrap();
            assert_eq!(page.html.matches(&format!("id=\"{anchor}\"")).count(), 1, "{anchor}");
        }
        for (name, svg) in page.plots.iter().filter(|(name, _)| is_svg(name)) {
            balanced(svg).unwrap_or_else(|reason| panic!("{name}: {reason}"));
            assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("#0102"));
        }
        assert!(page.markdown.contains(&study.created_at) && page.markdown.contains("0.1.0"));
    }
    let whole = page(&fixture::study());
    let names: Vec<&str> = whole.plots.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.iter().filter(|name| is_svg(name)).count(), 2, "{names:?}");
    let html = whole.html.replace("&#x2f;", "/");
    assert!(html.contains("href=\"./runs/q4_k_m/report.html\""));
    assert!(whole.markdown.contains("[Q4_K_M](./runs/q4_k_m/report.html)"));
    let mark = page(&fixture::speed_only()).markdown;
    assert!(mark.contains("**SPEED ONLY**"), "{mark}");
}

fn is_svg(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|extension| extension == "svg")
}
