//! The mixes that Lagrangian multipliers choose, from the smallest to the best, budgets aside.

use super::Problem;
use super::hull::{Corner, lower_hull};

/// A tensor's new type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Move {
    /// The tensor.
    pub(super) tensor: usize,
    /// The type.
    pub(super) kind: usize,
}

/// Mixes, each made from the one before by moves that lower the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ladder {
    /// The smallest mix that the guards allow: a type for each tensor.
    pub(super) start: Vec<usize>,
    /// From there to the least error: the step with the most predicted divergence removed per
    /// price first, with what the guards want after it.
    pub(super) rungs: Vec<Vec<Move>>,
}

/// A mix on its way up.
struct Climber<'a> {
    problem: &'a Problem,
    ceilings: &'a [Vec<f64>],
    hulls: Vec<Vec<Corner>>,
    /// Corner that each tensor is at.
    places: Vec<usize>,
    bytes: u64,
    weights: f64,
}

impl Climber<'_> {
    fn kind(&self, tensor: usize) -> usize {
        self.hulls[tensor][self.places[tensor]].kind
    }

    fn bytes_of(&self, tensor: usize) -> u64 {
        self.problem.tensors[tensor].cost(self.kind(tensor)).map_or(0, |cost| cost.bytes)
    }

    fn go(&mut self, tensor: usize, place: usize) {
        self.bytes -= self.bytes_of(tensor);
        self.places[tensor] = place;
        self.bytes += self.bytes_of(tensor);
    }

    /// Lifts guarded tensors until all have what the average asks for, which lifting raises.
    fn lift(&mut self) -> Vec<Move> {
        let mut moves = Vec::new();
        loop {
            let average = self.bytes as f64 * 8.0 / self.weights;
            let low = |tensor: &usize| {
                average >= self.ceilings[*tensor][self.kind(*tensor)]
                    && self.places[*tensor] + 1 < self.hulls[*tensor].len()
            };
            let lifted: Vec<usize> = (0..self.places.len()).filter(low).collect();
            if lifted.is_empty() {
                return moves;
            }
            for tensor in lifted {
                self.go(tensor, self.places[tensor] + 1);
                moves.push(Move { tensor, kind: self.kind(tensor) });
            }
        }
    }
}

/// The ladder for prices that are `speed` parts seconds and the rest bytes, from 0 to 1.
///
/// Hulls are of errors rather than divergences, so that a group without measured effect still has
/// an order; its steps come last.
pub(super) fn ladder(problem: &Problem, ceilings: &[Vec<f64>], speed: f64) -> Ladder {
    let prices = Prices::of(problem, speed);
    let hulls: Vec<Vec<Corner>> = (0..problem.tensors.len())
        .map(|tensor| {
            let corner = |(kind, cost): (usize, super::Cost)| Corner {
                kind,
                price: prices.price(tensor, kind),
                error: cost.error,
            };
            lower_hull(problem.tensors[tensor].possible().map(corner).collect())
        })
        .collect();
    let mut steps: Vec<(f64, f64, usize, usize)> = Vec::new();
    for (tensor, hull) in hulls.iter().enumerate() {
        let coefficient = problem.coefficients.of(&problem.tensors[tensor].group);
        for place in 1..hull.len() {
            let slope = hull[place - 1].slope(&hull[place]);
            steps.push((coefficient * slope, slope, tensor, place));
        }
    }
    // A stable sort: equal steps in the order of tensors, and of one tensor in their order.
    steps.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));

    let places = vec![0; hulls.len()];
    let weights = problem.weights() as f64;
    let mut climber = Climber { problem, ceilings, hulls, places, bytes: 0, weights };
    climber.bytes = (0..climber.places.len()).map(|tensor| climber.bytes_of(tensor)).sum();
    climber.lift();
    let start = (0..climber.places.len()).map(|tensor| climber.kind(tensor)).collect();
    let mut rungs = Vec::new();
    for (.., tensor, place) in steps {
        if climber.places[tensor] < place {
            climber.go(tensor, place);
            let mut moves = vec![Move { tensor, kind: climber.kind(tensor) }];
            moves.extend(climber.lift());
            rungs.push(moves);
        }
    }
    Ladder { start, rungs }
}

/// Bytes and seconds on one scale.
struct Prices<'a> {
    problem: &'a Problem,
    per_byte: f64,
    per_second: f64,
}

impl<'a> Prices<'a> {
    /// Each in parts of what the largest type of every tensor takes together.
    fn of(problem: &'a Problem, speed: f64) -> Self {
        let (mut bytes, mut seconds) = (0.0, 0.0);
        for tensor in 0..problem.tensors.len() {
            let parts = || (0..problem.types.len()).filter_map(|it| problem.part(tensor, it));
            bytes += parts().map(|part| part.bytes as f64).fold(0.0, f64::max);
            seconds += parts().map(|part| part.seconds).fold(0.0, f64::max);
        }
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        Self { problem, per_byte: share(1.0 - speed, bytes), per_second: share(speed, seconds) }
    }

    fn price(&self, tensor: usize, kind: usize) -> f64 {
        let part = self.problem.part(tensor, kind).expect("only possible types have prices");
        part.bytes as f64 * self.per_byte + part.seconds * self.per_second
    }
}
