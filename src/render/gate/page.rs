//! What a summary and a comment share: the report as a page of Markdown that keeps to a size.
//!
//! Where not everything has room, passing cells give way first, and the page says so.

use super::super::machine::clean;
use super::super::{format, markdown};
use super::standing::Standing;
use super::{story, words};
use crate::model::{GateCell, GateReport};

/// Bytes that the sentence about what had no room takes at most.
const REMARK: usize = 200;
/// Characters of one text from outside.
const LONGEST: usize = 300;
/// Characters of a command, which is of use only as a whole.
const LONGEST_COMMAND: usize = 4000;

/// The page, of at most so many bytes where those hold its frame, behind these first lines.
pub(super) fn page(report: &GateReport, first: &str, limit_bytes: usize) -> String {
    let (attention, passing): (Vec<&GateCell>, Vec<&GateCell>) =
        report.cells.iter().partition(|cell| Standing::of(cell) != Standing::Passes);
    let head = format!("{first}## autotune gate\n\n**{}**\n\n", prose(&report.line));
    let foot = foot(report);
    let mut room = Room(limit_bytes.saturating_sub(head.len() + foot.len()));
    let mut body = String::new();
    if !attention.is_empty() {
        room.take(&mut body, ATTENTION_HEAD);
        let left = room.fill(&mut body, attention.iter().map(|cell| attention_row(cell)));
        body.push_str(&left_out(left, "cell that does not pass", "cells that do not pass"));
    }
    let over_time = report.series.iter().flat_map(story::series);
    let trials = report.trials.iter().flat_map(story::trials);
    let told: Vec<String> = over_time.chain(trials).chain(story::circumstances(report)).collect();
    if !told.is_empty() {
        body.push('\n');
        let left = room.fill(&mut body, told.iter().map(|told| format!("- {}\n", prose(told))));
        body.push_str(&left_out(left, "remark", "remarks"));
    }
    if !passing.is_empty() {
        let cells = format::plural(passing.len(), "cell");
        room.take(&mut body, &format!("\n<details><summary>{cells} passed</summary>\n\n"));
        room.take(&mut body, PASSING_HEAD);
        let left = room.fill(&mut body, passing.iter().map(|cell| passing_row(cell)));
        body.push_str(&left_out(left, "passing cell", "passing cells"));
        body.push_str("\n</details>\n");
    }
    format!("{head}{body}{foot}")
}

const ATTENTION_HEAD: &str = "| verdict | cell | change | limit | sees | base → head | why |\n\
                              |---|---|--:|--:|--:|---|---|\n";
const PASSING_HEAD: &str =
    "| cell | change | limit | sees | base → head |\n|---|--:|--:|--:|---|\n";

/// Bytes that are left.
struct Room(usize);

impl Room {
    fn take(&mut self, out: &mut String, text: &str) {
        self.0 = self.0.saturating_sub(text.len());
        out.push_str(text);
    }

    /// Places what fits, in order, and gives how many do not.
    fn fill(&mut self, out: &mut String, rows: impl Iterator<Item = String>) -> usize {
        let mut left = 0;
        for row in rows {
            if left == 0 && row.len() + 3 * REMARK <= self.0 {
                self.take(out, &row);
            } else {
                left += 1;
            }
        }
        left
    }
}

fn left_out(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!("\nOne more {one} had no room here; the JSON report has it.\n"),
        more => format!("\n{more} more {many} had no room here; the JSON report has them.\n"),
    }
}

fn attention_row(cell: &GateCell) -> String {
    let standing = Standing::of(cell);
    let [why, next] = words::reasons(cell);
    let waiver = cell.waiver.as_ref().map(words::waiver);
    let said: Vec<String> =
        [waiver, why, next].into_iter().flatten().map(|said| prose(&said)).collect();
    let word = match standing {
        Standing::Fails => format!("**{}**", standing.word()),
        _ => standing.word().to_owned(),
    };
    format!("| {word} {} {} |\n", figures(cell), said.join(" "))
}

fn passing_row(cell: &GateCell) -> String {
    format!("{}\n", figures(cell).trim_end())
}

/// The columns that every row has.
fn figures(cell: &GateCell) -> String {
    let dash = || "–".to_owned();
    format!(
        "| {} | {} | {} | {} | {} |",
        code(&cell.name),
        words::change(cell),
        words::limit(cell),
        words::sees(cell).unwrap_or_else(dash),
        words::levels(cell).map_or_else(dash, |levels| prose(&levels))
    )
}

fn foot(report: &GateReport) -> String {
    let mut lines = Vec::new();
    if let Some((cell, sees)) = words::blindest(report) {
        lines.push(format!(
            "Minimum detectable: slowdowns from {} on fail with the power asked for (the least \
             sensitive cell is {}).",
            format::tenth_percent(sees),
            code(&cell.name)
        ));
    }
    lines.extend(words::sides(report).map(|sides| format!("Compared: {}.", prose(&sides))));
    let machine = report.machine.as_ref().map(words::machine);
    lines.extend(machine.map(|machine| format!("Machine: {}.", prose(&machine))));
    let made = [&report.tool_version, &report.created_at].map(|text| prose(text));
    lines.push(format!("autotune {}, {}, mode {}.", made[0], made[1], report.mode.word()));
    let command = markdown::fenced(&cut(&words::lines(&report.command), LONGEST_COMMAND));
    format!("\n{}\n\nTo reproduce it:\n\n{command}\n", lines.join("  \n"))
}

/// Text from outside as text: no markup, no row of a table, nobody called by name, no issue told.
fn prose(text: &str) -> String {
    let text = cut(&clean(text), LONGEST);
    // Two backticks could open a block that swallows what follows.
    let text = if text.contains("``") { text.replace('`', "'") } else { text };
    let escaped = markdown::escaped(&text);
    let mut letters = escaped.chars().peekable();
    let mut quiet = String::with_capacity(escaped.len());
    while let Some(letter) = letters.next() {
        quiet.push(letter);
        // Names are looked for after entities are decoded: only a letter between keeps them apart.
        let called =
            letter == '@' || letter == '#' && letters.peek().is_some_and(char::is_ascii_digit);
        if called {
            quiet.push('\u{200b}');
        }
    }
    quiet
}

fn code(name: &str) -> String {
    markdown::code(&cut(&clean(name), LONGEST))
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
