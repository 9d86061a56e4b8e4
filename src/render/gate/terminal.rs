//! Text for a terminal: one line per cell, worst first, and the verdict as the last line.

use std::fmt::Write as _;

use super::super::format;
use super::super::machine::{clean, wrap};
use super::super::verdict::sentence;
use super::standing::Standing;
use super::{story, words};
use crate::model::{GateCell, GateReport};

/// Columns of a plain terminal.
const WIDTH: usize = 80;
/// Columns of names at most; a longer one pushes what follows it to the right.
const NAME: usize = 40;
/// What stands before the first and before every further line about a cell. No line begins with
/// outside text, which a CI system could take for a command of its own (`::error::`).
pub(super) const GUTTER: [&str; 2] = ["  | "; 2];
/// The same for what concerns the whole report.
const ITEM: [&str; 2] = ["- ", "| "];

/// Whether text has styles in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Characters only.
    Plain,
    /// The headline is bold, and failures are red.
    Styled,
}

/// The whole report as text. Its last line is the verdict, word for word.
#[must_use]
pub fn terminal(report: &GateReport, ink: Ink) -> String {
    let mut out = header(report, ink);
    let rows: Vec<[String; 4]> = report.cells.iter().map(columns).collect();
    let widths = widths(&rows);
    for (cell, row) in report.cells.iter().zip(&rows) {
        let _ = writeln!(out, "{}", line(cell, row, widths, ink));
        for detail in details(cell) {
            paragraph(&mut out, GUTTER, &detail);
        }
    }
    let over_time = report.series.iter().flat_map(story::series);
    let trials = report.trials.iter().flat_map(story::trials);
    for told in over_time.chain(trials).chain(story::circumstances(report)) {
        paragraph(&mut out, ITEM, &told);
    }
    let _ = writeln!(out, "{}", harmless(&report.line));
    out
}

fn header(report: &GateReport, ink: Ink) -> String {
    let mut out = String::new();
    let sides = words::sides(report).map_or_else(String::new, |sides| format!(": {sides}"));
    let title = harmless(&format!("gate {}{sides}", report.mode.word()));
    let _ = writeln!(out, "{}", styled(&title, anstyle::Style::new().bold(), ink));
    paragraph(&mut out, GUTTER, &sentence(&report.mode_reason));
    let took = format::seconds(report.elapsed_ms as f64 / 1000.0);
    let blocks = story::blocks(report).map(|blocks| format!("{blocks} in {took}"));
    let machine = report.machine.as_ref().map(words::machine);
    let facts = blocks.into_iter().chain(machine.map(|it| format!("machine {it}")));
    let facts: Vec<String> = facts.collect();
    if !facts.is_empty() {
        paragraph(&mut out, GUTTER, &facts.join("; "));
    }
    out
}

fn columns(cell: &GateCell) -> [String; 4] {
    let limit = format!("limit {}", words::limit(cell));
    [Standing::of(cell).word().to_owned(), harmless(&cell.name), words::change(cell), limit]
}

fn widths(rows: &[[String; 4]]) -> [usize; 4] {
    let widest = |at: usize, most: usize| {
        let all = rows.iter().map(|row| row[at].chars().count());
        all.filter(|width| *width <= most).max().unwrap_or(0)
    };
    [widest(0, WIDTH), widest(1, NAME), widest(2, WIDTH), widest(3, WIDTH)]
}

fn line(cell: &GateCell, row: &[String; 4], widths: [usize; 4], ink: Ink) -> String {
    let [word, name, change, limit] = row;
    let padding = " ".repeat(widths[0] - word.chars().count());
    let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
    let word = match Standing::of(cell) {
        Standing::Fails | Standing::Missing => styled(word, red, ink),
        _ => word.clone(),
    };
    let figures = figures(cell).join("  ");
    let [_, name_width, change_width, limit_width] = widths;
    let text = format!(
        "{word}{padding}  {name:name_width$}  {change:change_width$}  {limit:limit_width$}  {figures}"
    );
    text.trim_end().to_owned()
}

fn figures(cell: &GateCell) -> Vec<String> {
    let mut figures = Vec::new();
    if Standing::of(cell) == Standing::Passes {
        figures.extend(words::sees(cell).map(|sees| format!("sees ≥ {sees}")));
    } else if cell.slowdown.is_some() {
        figures.push(format!("n={}", cell.n));
        figures.extend(words::evidence(cell));
    }
    figures
}

/// What a cell that does not simply pass needs said.
fn details(cell: &GateCell) -> Vec<String> {
    if Standing::of(cell) == Standing::Passes {
        return Vec::new();
    }
    let sees = words::sees(cell).map(|sees| format!("sees ≥ {sees}"));
    let measured: Vec<String> = [words::levels(cell), sees].into_iter().flatten().collect();
    let [why, next] = words::reasons(cell);
    let mut details = Vec::new();
    if !measured.is_empty() {
        details.push(measured.join(", "));
    }
    details.extend(cell.waiver.as_ref().map(words::waiver));
    details.extend(why);
    details.extend(next.map(|next| format!("next: {next}")));
    details
}

/// Text over as many lines as it needs, each behind its gutter.
pub(super) fn paragraph(out: &mut String, [first, further]: [&str; 2], text: &str) {
    let mut gutter = first;
    for line in wrap(&harmless(text), WIDTH - first.chars().count()) {
        let _ = writeln!(out, "{gutter}{line}");
        gutter = further;
    }
}

/// One line that neither steers a terminal nor a CI system: some look for commands (`##[error]`,
/// `##vso[`) anywhere in a line.
pub(super) fn harmless(text: &str) -> String {
    clean(text).replace("##", "# #")
}

fn styled(text: &str, style: anstyle::Style, ink: Ink) -> String {
    match ink {
        Ink::Plain => text.to_owned(),
        Ink::Styled => format!("{style}{text}{style:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn every_verdict_reads_as_expected() {
        let shown = terminal(&fixture::report(), Ink::Plain);
        assert_eq!(shown, include_str!("../../../tests/goldens/gate.txt"), "\n{shown}");
    }

    #[test]
    fn the_verdict_is_the_last_line_whatever_the_ink() {
        for ink in [Ink::Plain, Ink::Styled] {
            for report in [fixture::report(), fixture::hostile(), fixture::history()] {
                let shown = terminal(&report, ink);
                assert_eq!(shown.lines().last(), Some(harmless(&report.line).as_str()));
                assert!(shown.ends_with('\n') && !shown.ends_with("\n\n"));
            }
        }
    }

    #[test]
    fn only_styles_make_the_difference_between_the_inks() {
        let styled = terminal(&fixture::report(), Ink::Styled);
        assert!(styled.contains("\u{1b}[1m\u{1b}[31mFAIL\u{1b}[0m"), "{styled:?}");
        let mut plain = styled;
        for code in ["\u{1b}[1m", "\u{1b}[31m", "\u{1b}[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, terminal(&fixture::report(), Ink::Plain));
    }

    #[test]
    fn outside_text_gives_no_commands() {
        let shown = terminal(&fixture::hostile(), Ink::Plain);
        assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        assert!(!shown.contains("##["), "{shown}");
        let command = |line: &&str| line.trim_start().starts_with("::");
        assert_eq!(shown.lines().find(command), None);
    }

    #[test]
    fn histories_and_trials_are_told() {
        let shown = terminal(&fixture::history(), Ink::Plain);
        for part in
            ["42.1 tok/s → 38.9 tok/s (−7.6 %, worse) at c30", "fails the build", "unstable"]
        {
            assert!(shown.replace("\n| ", " ").contains(part), "{part}:\n{shown}");
        }
        let shown = terminal(&fixture::selftest(), Ink::Plain).replace("\n| ", " ");
        for part in ["0 of 299 runs failed falsely", "slowed by 5 %: 19 of 20 runs failed"] {
            assert!(shown.contains(part), "{part}:\n{shown}");
        }
    }
}
