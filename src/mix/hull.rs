//! The types of one tensor that are worth their price: a lower convex hull.

/// A type of a tensor as a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corner {
    /// The type.
    pub(super) kind: usize,
    /// What it takes of the budget.
    pub(super) price: f64,
    /// The rounding error.
    pub(super) error: f64,
}

impl Corner {
    /// Error that going to a dearer corner removes, per price.
    pub(super) fn slope(&self, dearer: &Self) -> f64 {
        (self.error - dearer.error) / (dearer.price - self.price)
    }
}

/// The corners from the cheapest type to the one with the least error, each step removing less
/// error per price than the one before.
pub(super) fn lower_hull(mut points: Vec<Corner>) -> Vec<Corner> {
    let by_error = |a: &Corner, b: &Corner| a.error.total_cmp(&b.error);
    points.sort_by(|a, b| a.price.total_cmp(&b.price).then(by_error(a, b)));
    let mut hull: Vec<Corner> = Vec::new();
    for point in points {
        if hull.last().is_some_and(|last| point.error >= last.error) {
            continue;
        }
        while let [.., before, last] = hull.as_slice()
            && before.slope(last) <= last.slope(&point)
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_corners_below_all_lines_between_others_stay() {
        for (points, kinds) in [
            (&[(1.0, 9.0)][..], &[0][..]),
            (&[(4.0, 1.0), (1.0, 9.0), (2.0, 4.0)], &[1, 2, 0]),
            // On the line, above it, dearer and worse, as dear and worse, equal.
            (&[(1.0, 9.0), (2.0, 6.0), (3.0, 3.0)], &[0, 2]),
            (&[(1.0, 9.0), (2.0, 8.0), (3.0, 3.0)], &[0, 2]),
            (&[(1.0, 9.0), (2.0, 10.0), (3.0, 3.0), (4.0, 3.0)], &[0, 2]),
            (&[(1.0, 9.0), (1.0, 8.0), (3.0, 3.0)], &[1, 2]),
            (&[(1.0, 9.0), (1.0, 9.0)], &[0]),
            (&[(1.0, 9.0), (2.0, 8.9), (3.0, 8.0), (4.0, 0.0)], &[0, 3]),
        ] {
            let corner = |(kind, (price, error)): (usize, &(f64, f64))| Corner {
                kind,
                price: *price,
                error: *error,
            };
            let hull = lower_hull(points.iter().enumerate().map(corner).collect());
            assert_eq!(hull.iter().map(|it| it.kind).collect::<Vec<_>>(), kinds, "{points:?}");
        }
    }
}
