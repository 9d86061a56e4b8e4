//! A plane with two labelled axes, and the marks that plots are made of.

use std::cell::RefCell;
use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::escaped;
use super::theme::{self, Ink};

/// Units of the drawing per pixel: plotters places marks on whole units.
const FINE: i32 = 8;
const FONT_PX: i32 = 12;
/// Radius around a mark in which its values are shown.
const HINT_PX: i32 = 9;

/// A linear axis with its own marks.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// What it shows, with its unit.
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where a line is drawn, and its words.
    pub(super) ticks: Vec<(f64, String)>,
}

/// Size and margins in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The plane while it is drawn on. Coordinates are those of the axes, offsets are pixels.
pub(super) struct Plane<'a> {
    root: Root<'a>,
    x: (f64, f64),
    y: (f64, f64),
    layout: Layout,
    coordinates: Cartesian2d<RangedCoordf64, RangedCoordf64>,
    hints: RefCell<Vec<Hint>>,
}

/// An unseen shape over a mark, in units of the drawing, and the values that it shows.
struct Hint {
    shape: String,
    words: String,
}

/// Draws a plane and what `body` puts on it.
pub(super) fn draw(layout: Layout, x: &Axis, y: &Axis, body: impl FnOnce(&Plane<'_>)) -> String {
    let mut svg = String::new();
    let hints = {
        let size = ((layout.width * FINE).unsigned_abs(), (layout.height * FINE).unsigned_abs());
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let inner = (
            layout.left * FINE..(layout.width - layout.right) * FINE,
            (layout.height - layout.bottom) * FINE..layout.top * FINE,
        );
        let plane = Plane {
            coordinates: Cartesian2d::new(x.low..x.high, y.low..y.high, inner),
            root,
            x: (x.low, x.high),
            y: (y.low, y.high),
            layout,
            hints: RefCell::default(),
        };
        plane.axes(x, y);
        body(&plane);
        drawn(plane.root.present());
        plane.hints.take()
    };
    let hints = hints.iter().fold(String::new(), |mut text, hint| {
        let (shape, name, words) = (&hint.shape, hint.name(), escaped(&hint.words));
        // Unseen by attributes, so that a viewer without style sheets draws nothing either.
        let unseen = "fill=\"none\" pointer-events=\"all\"";
        let _ = writeln!(text, "<{shape} {unseen} class=\"hint\"><title>{words}</title></{name}>");
        text
    });
    let end = svg.rfind("</svg>").unwrap_or(svg.len());
    svg.insert_str(end, &hints);
    let coarse =
        format!("width=\"{}\" height=\"{}\" viewBox", layout.width * FINE, layout.height * FINE);
    let fine = format!("width=\"{}\" height=\"{}\" viewBox", layout.width, layout.height);
    theme::themed(svg.replacen(&coarse, &fine, 1))
}

fn drawn<T, E: std::fmt::Debug>(result: Result<T, E>) {
    result.map(|_| ()).expect("drawing into a string cannot fail");
}

impl Hint {
    fn name(&self) -> &str {
        self.shape.split(' ').next().unwrap_or_default()
    }
}

impl Plane<'_> {
    /// Values that appear where somebody points at a mark.
    pub(super) fn hint(&self, at: (f64, f64), words: impl Into<String>) {
        let (x, y) = self.place(at);
        let shape = format!("circle cx=\"{x}\" cy=\"{y}\" r=\"{}\"", HINT_PX * FINE);
        self.hints.borrow_mut().push(Hint { shape, words: words.into() });
    }

    /// The same for a rectangle between two corners.
    pub(super) fn hint_area(&self, from: (f64, f64), to: (f64, f64), words: impl Into<String>) {
        let (a, b) = (self.place(from), self.place(to));
        let shape = format!(
            "rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
            a.0.min(b.0),
            a.1.min(b.1),
            (a.0 - b.0).abs().max(FINE),
            (a.1 - b.1).abs().max(FINE)
        );
        self.hints.borrow_mut().push(Hint { shape, words: words.into() });
    }

    /// A rectangle between two corners, as strong as `strength` (0 to 1), with a gap around it.
    pub(super) fn cell(&self, from: (f64, f64), to: (f64, f64), ink: Ink, strength: f64) {
        let (a, b) = (self.place(from), self.place(to));
        let gap = FINE;
        if (a.0 - b.0).abs() <= 2 * gap || (a.1 - b.1).abs() <= 2 * gap {
            return;
        }
        let corners =
            [(a.0.min(b.0) + gap, a.1.min(b.1) + gap), (a.0.max(b.0) - gap, a.1.max(b.1) - gap)];
        drawn(self.root.draw(&Rectangle::new(corners, ink.key().mix(strength).filled())));
    }

    fn axes(&self, x: &Axis, y: &Axis) {
        for (value, words) in &x.ticks {
            self.line(&[(*value, self.y.0), (*value, self.y.1)], Ink::Grid, 1);
            self.text((*value, self.y.0), (0, 14), words, Ink::Muted, Anchor::Middle);
        }
        for (value, words) in &y.ticks {
            self.line(&[(self.x.0, *value), (self.x.1, *value)], Ink::Grid, 1);
            self.text((self.x.0, *value), (-8, 0), words, Ink::Muted, Anchor::Right);
        }
        let layout = self.layout;
        self.at(
            (layout.width - layout.right, layout.height - 8),
            &x.label,
            Ink::Muted,
            Anchor::Right,
        );
        self.at((8, 11), &y.label, Ink::Muted, Anchor::Left);
    }

    fn place(&self, point: (f64, f64)) -> (i32, i32) {
        let held = |value: f64, (low, high): (f64, f64)| value.clamp(low, high);
        self.coordinates.translate(&(held(point.0, self.x), held(point.1, self.y)))
    }

    /// A line through points.
    pub(super) fn line(&self, points: &[(f64, f64)], ink: Ink, width_px: i32) {
        let points: Vec<_> = points.iter().map(|point| self.place(*point)).collect();
        let style = ink.key().stroke_width((width_px * FINE).unsigned_abs());
        drawn(self.root.draw(&PathElement::new(points, style)));
    }

    /// A filled rectangle between two corners.
    pub(super) fn bar(&self, from: (f64, f64), to: (f64, f64), half_px: i32, ink: Ink) {
        let (a, b) = (self.place(from), self.place(to));
        let (left, right) = (a.0.min(b.0), a.0.max(b.0).max(a.0.min(b.0) + FINE));
        let corners =
            [(left, a.1.min(b.1) - half_px * FINE), (right, a.1.max(b.1) + half_px * FINE)];
        drawn(self.root.draw(&Rectangle::new(corners, ink.key().filled())));
    }

    /// A filled dot.
    pub(super) fn dot(&self, at: (f64, f64), radius_px: i32, ink: Ink) {
        drawn(self.root.draw(&Circle::new(self.place(at), radius_px * FINE, ink.key().filled())));
    }

    /// A square, so that two series differ without colour.
    pub(super) fn square(&self, at: (f64, f64), half_px: i32, ink: Ink) {
        let (x, y) = self.place(at);
        let half = half_px * FINE;
        let corners = [(x - half, y - half), (x + half, y + half)];
        drawn(self.root.draw(&Rectangle::new(corners, ink.key().filled())));
    }

    /// A cross, for what failed.
    pub(super) fn cross(&self, at: (f64, f64), half_px: i32, ink: Ink) {
        let (x, y) = self.place(at);
        let half = half_px * FINE;
        let style = ink.key().stroke_width((2 * FINE) as u32);
        for line in [
            [(x - half, y - half), (x + half, y + half)],
            [(x - half, y + half), (x + half, y - half)],
        ] {
            drawn(self.root.draw(&PathElement::new(line, style)));
        }
    }

    /// An upright interval.
    pub(super) fn upright(&self, x: f64, low: f64, high: f64, ink: Ink) {
        let ((x, low), (_, high)) = (self.place((x, low)), self.place((x, high)));
        self.whisker([(x, low), (x, high)], (4 * FINE, 0), ink);
    }

    /// A lying interval.
    pub(super) fn lying(&self, y: f64, low: f64, high: f64, ink: Ink) {
        let ((low, y), (high, _)) = (self.place((low, y)), self.place((high, y)));
        self.whisker([(low, y), (high, y)], (0, 4 * FINE), ink);
    }

    fn whisker(&self, ends: [(i32, i32); 2], cap: (i32, i32), ink: Ink) {
        let style = ink.key().stroke_width((3 * FINE / 2) as u32);
        drawn(self.root.draw(&PathElement::new(ends, style)));
        for (x, y) in ends {
            let line = [(x - cap.0, y - cap.1), (x + cap.0, y + cap.1)];
            drawn(self.root.draw(&PathElement::new(line, style)));
        }
    }

    /// Words beside a point.
    pub(super) fn text(
        &self,
        at: (f64, f64),
        offset_px: (i32, i32),
        words: &str,
        ink: Ink,
        anchor: Anchor,
    ) {
        let (x, y) = self.place(at);
        self.write((x + offset_px.0 * FINE, y + offset_px.1 * FINE), words, ink, anchor);
    }

    /// Words at a pixel.
    pub(super) fn at(&self, (x, y): (i32, i32), words: &str, ink: Ink, anchor: Anchor) {
        self.write((x * FINE, y * FINE), words, ink, anchor);
    }

    fn write(&self, at: (i32, i32), words: &str, ink: Ink, anchor: Anchor) {
        let side = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        // The SVG backend divides font sizes by 1.24.
        let font = f64::from(FONT_PX * FINE) * 1.24;
        let key = ink.key();
        let style = TextStyle::from(("sans-serif", font).into_font())
            .color(&key)
            .pos(Pos::new(side, VPos::Center));
        drawn(self.root.draw(&Text::new(words.to_owned(), at, style)));
    }

    /// A row of named marks above the plane, right-aligned.
    pub(super) fn legend(&self, entries: &[(&str, Ink, Mark)]) {
        let mut x = self.layout.width - self.layout.right;
        for (words, ink, mark) in entries.iter().rev() {
            self.at((x, 11), words, Ink::Muted, Anchor::Right);
            x -= text_px(words) + 14;
            self.mark((x, 11), *ink, *mark);
            x -= 20;
        }
    }

    fn mark(&self, (x, y): (i32, i32), ink: Ink, mark: Mark) {
        let (x, y) = (x * FINE, y * FINE);
        let half = 4 * FINE;
        match mark {
            Mark::Dot => {
                drawn(self.root.draw(&Circle::new((x, y), half, ink.key().filled())));
            }
            Mark::Square => {
                let corners = [(x - half, y - half), (x + half, y + half)];
                drawn(self.root.draw(&Rectangle::new(corners, ink.key().filled())));
            }
            Mark::Line => {
                let line = [(x - 2 * half, y), (x + half, y)];
                let style = ink.key().stroke_width((2 * FINE) as u32);
                drawn(self.root.draw(&PathElement::new(line, style)));
            }
            Mark::Cross => {
                let style = ink.key().stroke_width((2 * FINE) as u32);
                for line in [
                    [(x - half, y - half), (x + half, y + half)],
                    [(x - half, y + half), (x + half, y - half)],
                ] {
                    drawn(self.root.draw(&PathElement::new(line, style)));
                }
            }
        }
    }
}

/// The shape of a legend's mark.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Dot,
    Square,
    Line,
    Cross,
}

/// Width of words in the plots' font, in pixels, estimated generously.
pub(super) fn text_px(words: &str) -> i32 {
    let count = i32::try_from(words.chars().count()).unwrap_or(i32::MAX / 16);
    count * 13 / 2
}

/// Round marks that cover a range, at most about `wanted` of them.
pub(super) fn round_ticks(low: f64, high: f64, wanted: u32) -> Vec<f64> {
    let raw = (high - low) / f64::from(wanted.max(1));
    if !raw.is_finite() || raw <= 0.0 {
        return vec![low];
    }
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    let last = (high / step + 1e-9).floor();
    let mut ticks = Vec::new();
    let mut place = first;
    while place <= last && ticks.len() < 100 {
        ticks.push(place * step);
        place += 1.0;
    }
    ticks
}

/// Marks as words: as many decimals as the step between them needs.
pub(super) fn labelled(ticks: &[f64]) -> Vec<(f64, String)> {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let enough = |digits: &usize| {
        let scaled = step * 10_f64.powi(i32::try_from(*digits).unwrap_or(0));
        (scaled - scaled.round()).abs() < 1e-6 * scaled.abs().max(1.0) && scaled > 0.5
    };
    let digits = (0..6).find(enough).unwrap_or(0);
    ticks.iter().map(|tick| (*tick, format!("{tick:.digits$}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_higher_and_further_right() {
        let axis = || Axis { label: String::new(), low: 0.0, high: 10.0, ticks: Vec::new() };
        let layout = Layout { width: 100, height: 100, left: 10, right: 10, top: 10, bottom: 10 };
        let centre = |x, y| {
            let svg = draw(layout, &axis(), &axis(), |plane| plane.dot((x, y), 2, Ink::Text));
            let read = |name: &str| -> i32 {
                let rest = svg.split(name).nth(1).unwrap();
                rest.split('"').next().unwrap().parse().unwrap()
            };
            (read("cx=\""), read("cy=\""))
        };
        let (low, high) = (centre(1.0, 1.0), centre(9.0, 9.0));
        assert!(high.0 > low.0 && high.1 < low.1, "{low:?} {high:?}");
    }

    #[test]
    fn marks_are_round_and_inside() {
        assert_eq!(round_ticks(0.0, 47.0, 5), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let words: Vec<_> = labelled(&round_ticks(1.0, 1.6, 4)).into_iter().map(|t| t.1).collect();
        assert_eq!(words, ["1.0", "1.2", "1.4", "1.6"]);
        assert_eq!(round_ticks(3.0, 3.0, 4), [3.0]);
        assert_eq!(round_ticks(0.0, f64::INFINITY, 4), [0.0]);
    }
}
