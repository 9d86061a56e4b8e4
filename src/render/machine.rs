//! The machine document for people: one screen of text, or Markdown tables.
//!
//! Both place the same groups of rows; JSON is the document itself. Text from outside (processor
//! strings, cards, paths) loses its control characters.

mod facts;
mod graphics;
mod peaks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::Machine;

/// Columns of a plain terminal.
const WIDTH: usize = 80;
/// Rows of one kind (cards, pairs of nodes) at most.
const MOST_ROWS: usize = 8;
/// Columns of the labels.
const LABEL: usize = 12;
/// Columns of the facts that a summary of the missing ones names.
const NAMED: usize = 100;

/// How much of the missing facts is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// How many they are.
    Counted,
    /// Each with its reason.
    Listed,
}

/// How measured peaks are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peaks {
    /// The highest of each kind.
    Best,
    /// Every kind, by threads.
    Every,
}

/// A headline and its rows.
struct Group {
    title: &'static str,
    rows: Vec<(String, String)>,
}

impl Group {
    fn new(title: &'static str, rows: Vec<(&str, Option<String>)>) -> Self {
        let known = rows.into_iter().filter_map(|(label, text)| Some((label.to_owned(), text?)));
        Self { title, rows: known.map(|(label, text)| (label, clean(&text))).collect() }
    }
}

/// One screen of text, 80 columns wide. The headlines are bold; who prints it takes that away
/// where it is not wanted.
#[must_use]
pub fn text(machine: &Machine, unseen: Unseen, peaks: Peaks) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = String::new();
    for group in groups(machine, unseen, peaks).into_iter().filter(|group| !group.rows.is_empty()) {
        let _ = writeln!(out, "{bold}{}{bold:#}", group.title);
        for (label, text) in &group.rows {
            // A label that is too long for its column takes the line, and the text follows it.
            let (mut label, text) = if columns(label) < LABEL {
                (format!("{label}{}", " ".repeat(LABEL - columns(label))), text.clone())
            } else {
                (String::new(), format!("{label}: {text}"))
            };
            for line in wrap(&text, WIDTH - 2 - columns(&label)) {
                out.push_str(format!("  {label}{line}").trim_end());
                out.push('\n');
                label = " ".repeat(columns(&label));
            }
        }
    }
    out
}

/// Markdown, one table per group.
#[must_use]
pub fn markdown(machine: &Machine) -> String {
    let mut out = String::new();
    let groups = groups(machine, Unseen::Listed, Peaks::Every);
    for group in groups.into_iter().filter(|group| !group.rows.is_empty()) {
        let _ = write!(out, "## {}\n\n| fact | value |\n|---|---|\n", group.title);
        for (label, text) in &group.rows {
            let _ = writeln!(out, "| {} | {} |", markdown_text(label), markdown_text(text));
        }
        out.push('\n');
    }
    out
}

/// Text that Markdown prints as it is.
pub(super) fn markdown_text(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if "\\|`*_<>[]&".contains(c) {
            out.push('\\');
        }
        out.push(c);
        out
    })
}

fn groups(machine: &Machine, unseen: Unseen, peaks: Peaks) -> Vec<Group> {
    vec![
        facts::system(machine),
        facts::processor(machine),
        facts::memory(machine),
        match peaks {
            Peaks::Best => facts::ceilings(machine),
            Peaks::Every => peaks::group(machine),
        },
        graphics::cards(machine),
        facts::limits(machine),
        facts::engine(machine),
        facts::suits(machine),
        match unseen {
            Unseen::Listed => listed_gaps(machine),
            Unseen::Counted => counted_gaps(machine),
        },
    ]
}

/// Facts with the same reason share a row.
fn listed_gaps(machine: &Machine) -> Group {
    let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, why) in &machine.unseen {
        reasons.entry(why).or_default().push(path);
    }
    let mut rows: Vec<(String, String)> =
        reasons.into_iter().map(|(why, paths)| (clean(&paths.join(", ")), clean(why))).collect();
    rows.sort();
    Group { title: "Not seen", rows }
}

/// What was not asked for is no gap. Of one card the facts are counted, not named.
fn counted_gaps(machine: &Machine) -> Group {
    let asked = |why: &&String| !why.contains("not asked") && !why.starts_with("nobody tried");
    let missing: Vec<&str> = machine
        .unseen
        .iter()
        .filter(|(_, why)| asked(why))
        .map(|(path, _)| path.as_str())
        .collect();
    if missing.is_empty() {
        return Group { title: "Not seen", rows: Vec::new() };
    }
    let of_cards = missing.iter().filter(|path| path.starts_with("gpus.")).count();
    let mut words = String::new();
    let mut named = 0;
    for path in missing.iter().filter(|path| !path.starts_with("gpus.")) {
        let name = clean(&path.replace(['_', '.'], " "));
        if columns(&words) + columns(&name) > NAMED {
            break;
        }
        words.push_str(if named > 0 { ", " } else { "" });
        words.push_str(&name);
        named += 1;
    }
    let more = missing.len() - of_cards - named;
    let mut parts = vec![words];
    parts.push(if more > 0 { format!("{more} more") } else { String::new() });
    parts.push(if of_cards > 0 { format!("{of_cards} of the cards") } else { String::new() });
    parts.retain(|part| !part.is_empty());
    let facts = if missing.len() == 1 { "1 fact" } else { &format!("{} facts", missing.len()) };
    let text = format!("{} (--unseen says why)", parts.join(", "));
    Group { title: "Not seen", rows: vec![(facts.to_owned(), text)] }
}

fn gigahertz(hz: u64) -> String {
    format!("{:.2} GHz", hz as f64 / 1e9)
}

fn listed(parts: &[String], between: &str) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(between))
}

/// Control characters would let a device's name steer the terminal, and invisible ones turn the
/// direction of a line.
pub(super) fn clean(text: &str) -> String {
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    text.chars().map(|c| if c.is_control() || invisible(c) { '\u{fffd}' } else { c }).collect()
}

/// Columns that a terminal needs for it, as far as characters tell.
fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Lines of at most `width` characters, broken at spaces; a longer word is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let line = lines.last_mut().expect("it starts with one");
        let used = line.chars().count();
        if used > 0 && used + 1 + word.len() <= width {
            line.push(' ');
            line.extend(word);
            continue;
        }
        if used > 0 {
            lines.push(String::new());
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.last_mut().expect("it starts with one").extend(word);
            lines.push(String::new());
            word = rest;
        }
        lines.last_mut().expect("it starts with one").extend(word);
    }
    lines
}
