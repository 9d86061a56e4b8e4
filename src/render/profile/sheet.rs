//! A page of headings, labelled sentences and tables, written as text or as Markdown.

use std::fmt::Write as _;

use crate::render::machine::{clean, markdown_text, wrap};

/// Columns of the text.
const WIDTH: usize = 80;
/// Columns before the text of a row.
const LABEL: usize = 11;
/// Columns between two cells.
const GAP: usize = 2;

/// Whether the cells of a column stand at its left or right end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

#[derive(Debug)]
enum Block {
    Heading(String),
    Row(String, String),
    Table(Vec<(String, Side)>, Vec<Vec<String>>),
}

/// A page.
#[derive(Debug, Default)]
pub(super) struct Sheet(Vec<Block>);

impl Sheet {
    pub(super) fn heading(&mut self, text: &str) {
        self.0.push(Block::Heading(clean(text)));
    }

    /// A labelled sentence.
    pub(super) fn row(&mut self, label: &str, text: &str) {
        self.0.push(Block::Row(label.to_owned(), clean(text)));
    }

    /// A table; nothing without rows. The widest columns give way where the page is too
    /// narrow.
    pub(super) fn table(&mut self, head: &[(&str, Side)], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            return;
        }
        let head = head.iter().map(|(name, side)| ((*name).to_owned(), *side)).collect();
        let rows =
            rows.into_iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
        self.0.push(Block::Table(head, rows));
    }

    /// Text of at most 80 columns.
    pub(super) fn text(&self) -> String {
        let bold = anstyle::Style::new().bold();
        let mut out = String::new();
        for (at, block) in self.0.iter().enumerate() {
            match block {
                Block::Heading(text) => {
                    if at > 0 {
                        out.push('\n');
                    }
                    for line in wrap(text, WIDTH) {
                        let _ = writeln!(out, "{bold}{line}{bold:#}");
                    }
                }
                Block::Row(label, text) => {
                    for (at, line) in wrap(text, WIDTH - LABEL - 2).iter().enumerate() {
                        let label = if at == 0 { label.as_str() } else { "" };
                        let _ = writeln!(out, "  {label:LABEL$}{line}");
                    }
                }
                Block::Table(head, rows) => {
                    if at > 0 && matches!(self.0[at - 1], Block::Table(..)) {
                        out.push('\n');
                    }
                    table(&mut out, head, rows);
                }
            }
        }
        out
    }

    /// The same as Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut out = String::new();
        let mut last_was_row = false;
        for (at, block) in self.0.iter().enumerate() {
            let is_row = matches!(block, Block::Row(..));
            if at > 0 && !(is_row && last_was_row) {
                out.push('\n');
            }
            last_was_row = is_row;
            match block {
                Block::Heading(text) => {
                    let _ = writeln!(
                        out,
                        "{} {}",
                        if at == 0 { "#" } else { "##" },
                        markdown_text(text)
                    );
                }
                Block::Row(label, text) => {
                    let text = markdown_text(text);
                    let _ = match label.as_str() {
                        "" => writeln!(out, "- {text}"),
                        label => writeln!(out, "- {}: {text}", markdown_text(label)),
                    };
                }
                Block::Table(head, rows) => {
                    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
                    out.push_str(&line(head.iter().map(|(name, _)| markdown_text(name)).collect()));
                    let rule = |(_, side): &(String, Side)| match side {
                        Side::Left => "---".to_owned(),
                        Side::Right => "---:".to_owned(),
                    };
                    out.push_str(&line(head.iter().map(rule).collect()));
                    for row in rows {
                        out.push_str(&line(row.iter().map(|cell| markdown_text(cell)).collect()));
                    }
                }
            }
        }
        out
    }
}

fn table(out: &mut String, head: &[(String, Side)], rows: &[Vec<String>]) {
    let length = |text: &String| text.chars().count();
    let mut widths: Vec<usize> = head.iter().map(|(name, _)| length(name)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(length(cell));
        }
    }
    // The widest column gives way, letter by letter: numbers are short and keep theirs.
    while widths.iter().sum::<usize>() + GAP * widths.len() > WIDTH {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 8 => *widest -= 1,
            _ => break,
        }
    }
    let names: Vec<String> = head.iter().map(|(name, _)| name.clone()).collect();
    let dim = anstyle::Style::new().dimmed();
    for (at, row) in std::iter::once(&names).chain(rows).enumerate() {
        let mut line = String::new();
        for ((cell, width), (_, side)) in row.iter().zip(&widths).zip(head) {
            let cell = cut(cell, *width);
            line.push_str(&" ".repeat(GAP));
            let space = " ".repeat(width - cell.chars().count());
            match side {
                Side::Left => line.push_str(&(cell + &space)),
                Side::Right => line.push_str(&(space + &cell)),
            }
        }
        let line = line.trim_end();
        let _ = if at == 0 { writeln!(out, "{dim}{line}{dim:#}") } else { writeln!(out, "{line}") };
    }
}

/// So many letters at most; what is cut off leaves a mark.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(sheet: &Sheet) -> String {
        anstream::adapter::strip_str(&sheet.text()).to_string()
    }

    #[test]
    fn a_page_is_never_wider_than_a_terminal() {
        let mut sheet = Sheet::default();
        sheet.heading(&"word ".repeat(40));
        sheet.row("label", &"x".repeat(300));
        sheet.table(
            &[("function", Side::Left), ("share", Side::Right)],
            vec![vec!["f".repeat(200), "12 %".to_owned()]],
        );
        let text = plain(&sheet);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("…   12 %"), "{text}");
    }

    #[test]
    fn text_from_outside_is_escaped_in_markdown() {
        let mut sheet = Sheet::default();
        sheet.heading("<script>alert(1)</script>");
        sheet.table(&[("a|b", Side::Left)], vec![vec!["x|y <b>".to_owned()]]);
        let text = sheet.markdown();
        assert!(!text.contains("<script>") && !text.contains("<b>"), "{text}");
        assert_eq!(text.lines().last().unwrap().matches(" | ").count(), 0, "{text}");
        assert!(!plain(&sheet).contains('\u{1b}'));
    }
}
