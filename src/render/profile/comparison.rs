//! Two profiles beside each other.

use super::sheet::{Sheet, Side};
use crate::bottleneck::{ComparedFigure, Comparison, Shown};
use crate::render::format;

pub(super) fn sheet(comparison: &Comparison) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.heading("Before and after");
    sheet.row("before", &comparison.before);
    sheet.row("after", &comparison.after);
    let rows = comparison.rows.iter().map(row).collect();
    let right = Side::Right;
    let head = [
        ("", Side::Left),
        ("before", right),
        ("after", right),
        ("change", right),
        ("", Side::Left),
    ];
    sheet.table(&head, rows);
    sheet.row("", "~: the intervals of both overlap; without a mark one of them has no interval");
    sheet
}

fn row(figure: &ComparedFigure) -> Vec<String> {
    let show = |shown: &Option<Shown>| match shown {
        Some(Shown::Number { value, .. }) => format!("{} {}", format::three(*value), figure.unit),
        Some(Shown::Words(words)) => words.clone(),
        None => "–".to_owned(),
    };
    let mark = match figure.apart {
        Some(true) => "apart",
        Some(false) => "~",
        None => "",
    };
    vec![
        figure.name.clone(),
        show(&figure.before).trim_end().to_owned(),
        show(&figure.after).trim_end().to_owned(),
        figure.ratio.map_or_else(String::new, format::ratio),
        mark.to_owned(),
    ]
}
