//! A study as text for a terminal of 80 columns.

use std::fmt::Write as _;

use super::super::super::machine::{clean, wrap};
use super::super::table::{Column, lines, numbers, shortened, widest, words as column};
use super::super::{WIDTH, figures, terminal};
use super::{
    class, compared, divergence, divergence_of, is_source, on_front, remarks, same_top, source_name,
};
use crate::model::{QuantizationStudy, StudyCandidate};

/// Before a name: the mark of the front and a blank.
const MARK: usize = 2;
/// The shortest that a name is cut to, so that types stay readable.
const NAME: usize = 8;

/// The whole study: the choice first, then two lines for each candidate (its size and speed; its
/// quality), then what to know about them.
#[must_use]
pub fn study_text(study: &QuantizationStudy) -> String {
    let bold = anstyle::Style::new().bold();
    let mut out = String::new();
    let title = shortened(&format!("Quantizations of {}", source_name(study)), WIDTH);
    let _ = writeln!(out, "{bold}{title}{bold:#}");
    for line in wrap(&super::choice(study), WIDTH) {
        let _ = writeln!(out, "{line}");
    }
    if !study.candidates.is_empty() {
        out.push('\n');
        for line in table(study) {
            let _ = writeln!(out, "{line}");
        }
    }
    out.push('\n');
    terminal::items(&mut out, &remarks::all(study));
    out
}

fn table(study: &QuantizationStudy) -> Vec<String> {
    let speeds = aligned(study, &SPEED, speed);
    let qualities = if compared(study) { aligned(study, &QUALITY, quality) } else { Vec::new() };
    let names: Vec<String> = study.candidates.iter().map(|one| clean(&one.name)).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let figures = widest(&speeds).max(widest(&qualities));
    let room = WIDTH.saturating_sub(MARK + 2 + figures).max(NAME);
    let left = longest.max("name".len()).min(room);
    let mut all = Vec::new();
    let mut place = |mark: &str, name: &str, line: &str| {
        let line = format!("{mark:MARK$}{:left$}  {line}", shortened(name, left));
        all.push(shortened(line.trim_end(), WIDTH));
    };
    let heads = std::iter::once(("", "name"));
    let rows = study.candidates.iter().zip(&names).map(|(one, name)| {
        let mark = if on_front(study, one) { "*" } else { "" };
        (mark, name.as_str())
    });
    for (at, (mark, name)) in heads.chain(rows).enumerate() {
        place(mark, name, &speeds[at]);
        let known = at.checked_sub(1).is_none_or(|at| has_quality(study, &study.candidates[at]));
        if let Some(quality) = qualities.get(at).filter(|_| known) {
            place("", "", quality);
        }
    }
    all
}

fn has_quality(study: &QuantizationStudy, one: &StudyCandidate) -> bool {
    one.quality.is_some() || is_source(study, one)
}

fn aligned<const N: usize>(
    study: &QuantizationStudy,
    columns: &[Column; N],
    cells: impl Fn(&QuantizationStudy, &StudyCandidate) -> [String; N],
) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        study.candidates.iter().map(|one| cells(study, one).to_vec()).collect();
    lines(columns, &rows)
}

const SPEED: [Column; 5] = [
    numbers("bits"),
    numbers("size"),
    numbers("memory"),
    numbers("decode t/s"),
    numbers("prefill t/s"),
];

fn speed(_: &QuantizationStudy, one: &StudyCandidate) -> [String; 5] {
    [
        figures::bits(one.bits_per_weight),
        one.file_bytes.to_string(),
        figures::size(one.peak_memory_bytes),
        figures::rate(one.decode_tok_per_s),
        figures::rate(one.prefill_tok_per_s),
    ]
}

const QUALITY: [Column; 4] =
    [numbers("KL divergence"), numbers("99 %"), numbers("same top"), column("class")];

fn quality(study: &QuantizationStudy, one: &StudyCandidate) -> [String; 4] {
    let p99 = divergence_of(one).map(|it| figures::doubtful(it.p99, None));
    [
        divergence(study, one),
        p99.unwrap_or_else(|| figures::NONE.to_owned()),
        same_top(one),
        class(one),
    ]
}
