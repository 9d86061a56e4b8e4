//! Speed over the levels of the two knobs that move it most, as a table of tinted cells.

use crate::model::{Findings, Level, Surface};
use crate::render::format;

use super::data::{self, Data};
use super::levels::knob_words;
use super::plane::{self, Anchor, Axis, Layout, text_px};
use super::theme::Ink;
use super::{Plot, short};

const ROW_PX: i32 = 34;
const COLUMN_PX: i32 = 74;
/// A cell this far from the default (0.5 = half as fast again) has the full tint.
const FULL: f64 = 0.5;

/// The plot; `None` where the search turned fewer than two knobs.
pub(super) fn plot(findings: &Findings) -> Option<Plot> {
    let surface = findings.surface.as_ref()?;
    // The longer side lies.
    let lying = surface.first.levels.len() >= surface.second.levels.len();
    let (across, down) =
        if lying { (&surface.first, &surface.second) } else { (&surface.second, &surface.first) };
    let widest = down.levels.iter().map(|it| text_px(&word(it))).max().unwrap_or(0);
    let [columns, rows] = [across, down].map(|side| i32::try_from(side.levels.len()).unwrap_or(1));
    let layout = Layout {
        width: (widest + 40 + columns * COLUMN_PX).clamp(460, 940),
        height: rows * ROW_PX + 84,
        left: widest + 20,
        right: 16,
        top: 28,
        bottom: 50,
    };
    let middle = |at: usize| at as f64 + 0.5;
    let x = Axis {
        label: knob_words(&across.knob),
        low: 0.0,
        high: f64::from(columns),
        ticks: across.levels.iter().enumerate().map(|(at, it)| (middle(at), word(it))).collect(),
    };
    let y = Axis {
        label: knob_words(&down.knob),
        low: 0.0,
        high: f64::from(rows),
        ticks: down.levels.iter().enumerate().map(|(at, it)| (middle(at), word(it))).collect(),
    };
    let svg = plane::draw(layout, &x, &y, |plane| {
        for cell in &surface.cells {
            let (a, b) =
                if lying { (&cell.first, &cell.second) } else { (&cell.second, &cell.first) };
            let place = |levels: &[Level], own: &Level| levels.iter().position(|it| it == own);
            let Some((column, row)) = place(&across.levels, a).zip(place(&down.levels, b)) else {
                continue;
            };
            let (from, to) = ((column as f64, row as f64), ((column + 1) as f64, (row + 1) as f64));
            let (ink, strength) = tint(cell.speed);
            plane.cell(from, to, ink, strength);
            let at = (middle(column), middle(row));
            plane.text(at, (0, 0), &format::ratio(cell.speed), Ink::Text, Anchor::Middle);
            let words = format!(
                "{} {}, {} {}: {} at best of {}",
                across.knob,
                word(a),
                down.knob,
                word(b),
                format::ratio(cell.speed),
                format::plural(cell.settings as usize, "setting")
            );
            plane.hint_area(from, to, words);
        }
    });
    let title =
        format!("{} by {}", knob_words(&surface.first.knob), surface.second.knob.replace('_', " "));
    let description = format!(
        "Fastest look at each pair of levels against the default, whatever the other knobs were: {}",
        words(surface)
    );
    Some(Plot::new("strongest-knobs", title, description, svg, table(surface)))
}

fn word(level: &Level) -> String {
    short(&level.to_string(), 16)
}

/// Faster is green, slower is red, both stronger the further from the default.
fn tint(speed: f64) -> (Ink, f64) {
    let far = (speed.ln().abs() / FULL.ln_1p()).min(1.0);
    let ink = if speed >= 1.0 { Ink::Tuned } else { Ink::Bad };
    (ink, 0.06 + 0.44 * far)
}

fn words(surface: &Surface) -> String {
    let cells = surface.cells.iter().map(|cell| {
        format!("{} with {} {}", word(&cell.first), word(&cell.second), format::ratio(cell.speed))
    });
    cells.collect::<Vec<_>>().join(", ")
}

fn table(surface: &Surface) -> Data {
    let mut data = Data::new(&[
        "first_knob",
        "first_level",
        "second_knob",
        "second_level",
        "speed_over_default",
        "settings",
        "trials",
    ]);
    for cell in &surface.cells {
        data.row([
            surface.first.knob.clone(),
            cell.first.to_string(),
            surface.second.knob.clone(),
            cell.second.to_string(),
            data::number(Some(cell.speed)),
            cell.settings.to_string(),
            data::trials(&cell.evidence),
        ]);
    }
    data
}
