//! Where names stand beside their points without covering one another.

use super::plane::{Anchor, Axis, Layout, text_px};

/// Half the height of a line of words, and the gap to its point, in pixels.
const HALF_LINE: i32 = 7;
const GAP: i32 = 8;
/// Half the width of what is kept clear around a point.
const POINT: i32 = 7;

/// The side of its point that a name stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Right,
    Left,
    Above,
    Below,
}

#[derive(Debug, Clone, Copy)]
struct Area {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Area {
    fn meets(self, other: Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

/// The areas that are taken, in pixels.
pub(super) struct Labels {
    layout: Layout,
    x: (f64, f64),
    y: (f64, f64),
    taken: Vec<Area>,
}

impl Labels {
    /// Nothing is taken yet.
    pub(super) fn new(layout: Layout, x: &Axis, y: &Axis) -> Self {
        Self { layout, x: (x.low, x.high), y: (y.low, y.high), taken: Vec::new() }
    }

    /// No name shall cover this point.
    pub(super) fn keep_clear(&mut self, at: (f64, f64)) {
        let (x, y) = self.pixel(at);
        self.taken.push(Area {
            left: x - POINT,
            right: x + POINT,
            top: y - POINT,
            bottom: y + POINT,
        });
    }

    /// The offset in pixels and the anchor of a name beside its point; `None` where there is no
    /// room, so that the name is left to the pointer and to the table.
    pub(super) fn place(&mut self, at: (f64, f64), name: &str) -> Option<((i32, i32), Anchor)> {
        let (x, y) = self.pixel(at);
        let width = text_px(name);
        let area = |side| {
            let (left, middle) = match side {
                Side::Right => (x + GAP, y),
                Side::Left => (x - GAP - width, y),
                Side::Above => (x - width / 2, y - GAP - HALF_LINE),
                Side::Below => (x - width / 2, y + GAP + HALF_LINE),
            };
            let (top, bottom) = (middle - HALF_LINE, middle + HALF_LINE);
            Area { left, right: left + width, top, bottom }
        };
        let sides = [Side::Right, Side::Above, Side::Left, Side::Below];
        let free = |side: &Side| {
            let area = area(*side);
            self.inside(area) && !self.taken.iter().any(|taken| taken.meets(area))
        };
        let side = sides.into_iter().find(free)?;
        self.taken.push(area(side));
        Some(match side {
            Side::Right => ((GAP, 0), Anchor::Left),
            Side::Left => ((-GAP, 0), Anchor::Right),
            Side::Above => ((0, -GAP - HALF_LINE), Anchor::Middle),
            Side::Below => ((0, GAP + HALF_LINE), Anchor::Middle),
        })
    }

    fn inside(&self, area: Area) -> bool {
        let layout = self.layout;
        area.left >= layout.left - 4
            && area.right <= layout.width
            && area.top >= layout.top - HALF_LINE
            && area.bottom <= layout.height - layout.bottom
    }

    fn pixel(&self, (x, y): (f64, f64)) -> (i32, i32) {
        let part = |value: f64, (low, high): (f64, f64)| {
            let span = (high - low).max(f64::MIN_POSITIVE);
            ((value - low) / span).clamp(0.0, 1.0)
        };
        let layout = self.layout;
        let width = f64::from(layout.width - layout.left - layout.right);
        let height = f64::from(layout.height - layout.top - layout.bottom);
        #[expect(clippy::cast_possible_truncation, reason = "pixels of one drawing")]
        let pixels = |part: f64, of: f64| (part * of).round() as i32;
        let up = pixels(part(y, self.y), height);
        (layout.left + pixels(part(x, self.x), width), layout.height - layout.bottom - up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_near_points_stand_apart_and_the_last_gives_way() {
        let axis = || Axis { label: String::new(), low: 0.0, high: 1.0, ticks: Vec::new() };
        let layout = Layout { width: 460, height: 300, left: 50, right: 20, top: 30, bottom: 40 };
        let mut labels = Labels::new(layout, &axis(), &axis());
        let mut offset = || labels.place((0.5, 0.5), "Q4_K_M").map(|it| it.0);
        let offsets = [offset(), offset(), offset(), offset(), offset()];
        assert_eq!(offsets, [Some((8, 0)), Some((0, -15)), Some((-8, 0)), Some((0, 15)), None]);
    }
}
