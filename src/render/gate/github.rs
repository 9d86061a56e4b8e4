//! What a step of GitHub Actions shows and hands on: its summary, annotations and outputs.

use super::super::machine::clean;
use super::page::page;
use super::standing::Standing;
use super::{story, words};
use crate::model::{GateReport, Weight};

/// What GitHub takes as the summary of a step.
const SUMMARY_BYTES: usize = 1 << 20;
/// Annotations of one kind that GitHub shows for a step.
const PER_KIND: usize = 10;

/// The page at the end of a step, for `$GITHUB_STEP_SUMMARY`.
#[must_use]
pub fn summary(report: &GateReport) -> String {
    page(report, "", SUMMARY_BYTES)
}

/// Workflow commands, one per line, for stdout: failing cells as errors, doubtful ones as
/// warnings, new ones as notices. Of more than ten of a kind the last counts the rest.
#[must_use]
pub fn annotations(report: &GateReport) -> String {
    let mut noted: Vec<(Kind, String, String)> = report
        .cells
        .iter()
        .filter_map(|cell| {
            let kind = Kind::of(Standing::of(cell), cell.weight)?;
            Some((kind, cell.name.clone(), words::summary(cell)))
        })
        .collect();
    let is_cell = |name: &str| report.cells.iter().any(|cell| cell.name == name);
    for series in report.series.iter().filter(|series| !is_cell(&series.cell)) {
        let fails = series.change_points.iter().filter(|change| change.fails);
        let told = fails.map(|change| (Kind::Error, story::change_point(series, change)));
        let unstable = series.unstable.iter().map(|why| (Kind::Warning, clean(why)));
        noted.extend(told.chain(unstable).map(|(kind, text)| (kind, series.cell.clone(), text)));
    }
    if let Some(kind) = Kind::of(report.verdict.into(), Weight::Blocking)
        && !noted.iter().any(|it| it.0 == kind)
    {
        noted.push((kind, "autotune gate".into(), report.line.clone()));
    }
    Kind::ALL.iter().map(|kind| of_kind(*kind, &noted)).collect()
}

/// Lines for `$GITHUB_OUTPUT`; each value is one line, whatever it holds.
#[must_use]
pub fn outputs(report: &GateReport) -> String {
    let worst = report.cells.first();
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let values = [
        ("verdict", report.verdict.to_string()),
        ("worst_cell", worst.map_or_else(String::new, |cell| clean(&cell.name))),
        ("worst_slowdown", number(worst.and_then(|cell| cell.slowdown))),
        ("minimum_detectable", number(words::blindest(report).map(|it| it.1))),
        ("exit_code", report.exit_code.to_string()),
    ];
    let lines = values.map(|(name, value)| format!("{name}={value}\n"));
    lines.concat()
}

/// How loud an annotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Error,
    Warning,
    Notice,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    fn of(standing: Standing, weight: Weight) -> Option<Self> {
        match standing {
            Standing::Missing if weight == Weight::Advisory => Some(Self::Warning),
            Standing::Fails | Standing::Missing | Standing::NotComparable => Some(Self::Error),
            Standing::Waived | Standing::Advisory | Standing::Inconclusive => Some(Self::Warning),
            Standing::New => Some(Self::Notice),
            Standing::Passes => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

fn of_kind(kind: Kind, noted: &[(Kind, String, String)]) -> String {
    let all: Vec<_> = noted.iter().filter(|it| it.0 == kind).collect();
    let shown = if all.len() > PER_KIND { PER_KIND - 1 } else { all.len() };
    let mut out: String =
        all[..shown].iter().map(|(kind, title, text)| command(*kind, title, text)).collect();
    if shown < all.len() {
        let text = format!("and {} more: the summary has them", all.len() - shown);
        out.push_str(&command(kind, "autotune gate", &text));
    }
    out
}

fn command(kind: Kind, title: &str, text: &str) -> String {
    let title = data(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{} title={title}::{}\n", kind.word(), data(text))
}

/// Text as the runner reads it back. Line breaks, which would end the command, are gone before
/// they would need an escape.
fn data(text: &str) -> String {
    clean(text).replace('%', "%25")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::model::{GateCell, GateVerdict};

    /// Commands as the runner takes them apart: kind, title, text.
    fn read(text: &str) -> Vec<(String, String, String)> {
        let commands = text.lines().map(|line| {
            let (command, text) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
            let (kind, title) = command.split_once(" title=").unwrap();
            assert!(!title.contains([',', ':']), "{line}");
            (kind.to_owned(), title.replace("%3A", ":").replace("%25", "%"), text.to_owned())
        });
        commands.collect()
    }

    #[test]
    fn failing_cells_are_errors_and_passing_ones_silent() {
        let noted = read(&annotations(&fixture::report()));
        let kinds: Vec<&str> = noted.iter().map(|it| it.0.as_str()).collect();
        let expected = ["error", "error", "error", "warning", "warning", "warning", "notice"];
        assert_eq!(kinds, expected);
        assert_eq!(noted[0].1, "tiny-q8_0/tg128");
        assert!(noted[0].2.contains("+4.8 %25 slower [+3.5, +6.1]; limit 2 %25"), "{}", noted[0].2);
        assert_eq!(annotations(&fixture::passed()), "");
    }

    #[test]
    fn ten_of_a_kind_at_most_and_the_tenth_counts_the_rest() {
        let mut report = fixture::passed();
        let failing = |at| GateCell { name: format!("m/{at}"), ..fixture::failing() };
        report.cells = (0..10).map(failing).collect();
        assert_eq!(read(&annotations(&report)).len(), 10);
        report.cells = (0..25).map(failing).collect();
        let noted = read(&annotations(&report));
        assert_eq!(noted.len(), 10);
        assert_eq!(
            (noted[8].1.as_str(), noted[9].2.as_str()),
            ("m/8", "and 16 more: the summary has them")
        );
    }

    #[test]
    fn a_verdict_that_no_cell_shows_is_annotated() {
        let mut report = fixture::passed();
        report.verdict = GateVerdict::NotComparable;
        assert_eq!(read(&annotations(&report)).len(), 1);
        assert_eq!(read(&annotations(&fixture::history())).len(), 2);
    }

    #[test]
    fn hostile_names_make_no_commands_and_no_outputs_of_their_own() {
        let report = fixture::hostile();
        let noted = annotations(&report);
        assert_eq!(read(&noted).len(), 7);
        assert!(!noted.contains('\r') && noted.contains("owned%250A"));
        let outputs = outputs(&report);
        let names: Vec<&str> =
            outputs.lines().map(|line| line.split_once('=').unwrap().0).collect();
        let expected =
            ["verdict", "worst_cell", "worst_slowdown", "minimum_detectable", "exit_code"];
        assert_eq!(names, expected);
        assert!(!names.iter().any(|name| name.contains("<<")));
    }

    #[test]
    fn the_action_hands_on_outputs_that_are_written() {
        let action = include_str!("../../../action.yml");
        let written = outputs(&fixture::report());
        let asked = action.split("steps.gate.outputs.").skip(1);
        let names: Vec<&str> = asked.map(|rest| rest.split(' ').next().unwrap()).collect();
        assert_eq!(names, ["verdict", "worst_cell", "worst_slowdown", "report"]);
        for name in names.into_iter().filter(|name| *name != "report") {
            assert!(written.lines().any(|line| line.starts_with(&format!("{name}="))), "{name}");
        }
    }

    #[test]
    fn a_summary_keeps_to_its_size() {
        let page = summary(&fixture::crowded());
        assert!(page.len() <= SUMMARY_BYTES && page.len() > SUMMARY_BYTES / 2, "{}", page.len());
        assert!(page.contains("**FAIL**"));
    }
}
