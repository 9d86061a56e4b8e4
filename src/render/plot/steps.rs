//! The way from the default to the tuned setting as a waterfall of factors.

use crate::model::{Effect, Findings, Verdict};
use crate::render::format;
use crate::stats::{Estimate, Separation};

use super::data::{self, Data};
use super::levels::knob_words;
use super::plane::{self, Anchor, Axis, Layout, labelled, round_ticks, text_px};
use super::theme::Ink;
use super::{Plot, short};

const ROW_PX: i32 = 34;

struct Row {
    name: String,
    /// Where the bar begins and ends, as speed over the default's.
    from: f64,
    to: f64,
    interval: Option<(f64, f64)>,
    words: String,
    ink: Ink,
}

/// The waterfall; `None` where no step was measured.
pub(super) fn plot(findings: &Findings) -> Option<Plot> {
    let mut rows = effects(&findings.effects);
    if rows.is_empty() {
        return None;
    }
    if let Verdict::Confirmed { turn, .. } = &findings.verdict {
        let ratio = &turn.speed_ratio;
        rows.push(Row {
            name: "all together, confirmed".into(),
            from: 1.0,
            to: ratio.value,
            interval: ratio.low.zip(ratio.high),
            words: format::change(turn).text,
            ink: ink(turn.separation),
        });
    }
    let axis = factor_axis(&rows);
    let widest = rows.iter().map(|row| text_px(&row.name)).max().unwrap_or(0);
    let count = rows.len();
    let layout = Layout {
        width: 940,
        height: i32::try_from(count).unwrap_or(0) * ROW_PX + 60,
        left: widest + 16,
        right: 90,
        top: 14,
        bottom: 44,
    };
    let place = |row: usize| (count - row) as f64 - 0.5;
    let names = rows.iter().enumerate().map(|(at, row)| (place(at), row.name.clone())).collect();
    let y = Axis { label: String::new(), low: 0.0, high: count as f64, ticks: names };
    let svg = plane::draw(layout, &axis, &y, |plane| {
        plane.line(&[(1.0, 0.0), (1.0, count as f64)], Ink::Muted, 1);
        for (at, row) in rows.iter().enumerate() {
            plane.bar((row.from, place(at)), (row.to, place(at)), 8, row.ink);
            if at + 1 < count && at + 1 < rows.len() {
                plane.line(&[(row.to, place(at)), (row.to, place(at + 1))], Ink::Grid, 1);
            }
            if let Some((low, high)) = row.interval {
                plane.lying(place(at), low, high, Ink::Text);
            }
            plane.text((axis.high, place(at)), (12, 0), &row.words, Ink::Text, Anchor::Left);
            let half = 0.4;
            plane.hint_area(
                (row.from, place(at) - half),
                (row.to, place(at) + half),
                format!("{}: {}{}", row.name, row.words, row.interval_words()),
            );
        }
    });
    let words: Vec<_> = rows.iter().map(|row| format!("{}: {}", row.name, row.words)).collect();
    let title = "From default to tuned, speed of whole turns".into();
    Some(Plot::new("optimization-log", title, words.join("; "), svg, data(&rows)).wide())
}

fn data(rows: &[Row]) -> Data {
    let mut data = Data::new(&["step", "from", "to", "low", "high"]);
    for row in rows {
        let (low, high) = row.interval.unzip();
        let ends = [Some(row.from), Some(row.to), low, high].map(data::number);
        data.row(std::iter::once(row.name.clone()).chain(ends));
    }
    data
}

impl Row {
    fn interval_words(&self) -> String {
        self.interval.map_or(String::new(), |(low, high)| {
            format!(" [{}×, {}×]", format::three(low), format::three(high))
        })
    }
}

/// Each bar begins where the one before ended and ends at what the changes so far were measured to
/// give together; where they were measured alone only, at the product.
fn effects(effects: &[Effect]) -> Vec<Row> {
    let mut reached = 1.0;
    let measured =
        effects.iter().filter_map(|effect| Some((effect, effect.cumulative.or(effect.alone)?)));
    measured
        .map(|(effect, change)| {
            let from: f64 = reached;
            let together = effect.cumulative.is_some();
            let at = |value: f64| if together { value } else { from * value };
            let Estimate { value, low, high, .. } = change.speed_ratio;
            reached = at(value);
            Row {
                name: format!(
                    "{} {} → {}",
                    knob_words(&effect.knob),
                    short(&effect.from.to_string(), 14),
                    short(&effect.to.to_string(), 14)
                ),
                from,
                to: at(value),
                interval: low.zip(high).map(|(low, high)| (at(low), at(high))),
                words: format::change(&change).text,
                ink: ink(change.separation),
            }
        })
        .collect()
}

fn ink(separation: Separation) -> Ink {
    match separation {
        Separation::Faster => Ink::Tuned,
        Separation::Slower => Ink::Bad,
        Separation::NotSeparated => Ink::Default,
    }
}

fn factor_axis(rows: &[Row]) -> Axis {
    let ends = || {
        rows.iter().flat_map(|row| {
            let (low, high) = row.interval.unwrap_or((row.to, row.to));
            [row.from, row.to, low, high]
        })
    };
    let low = ends().fold(1.0, f64::min);
    let high = ends().fold(1.0, f64::max);
    let pad = ((high - low) * 0.06).max(0.02);
    let (low, high) = ((low - pad).max(0.0), high + pad);
    let ticks = labelled(&round_ticks(low, high, 6));
    Axis {
        label: "speed over the default's".into(),
        low,
        high,
        ticks: ticks.into_iter().map(|(value, words)| (value, format!("{words}×"))).collect(),
    }
}
