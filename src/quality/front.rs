//! Which candidates nothing else beats, as far as errors let anybody tell.

use std::cmp::Ordering;

use crate::model::StudyCandidate;
use crate::stats::Estimate;

/// Half the width of a normal 95 % interval, in standard errors. Intervals of speeds are such.
const HALF_WIDTH: f64 = 1.96;

/// A candidate as the front sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct FrontPoint {
    /// Its name.
    pub name: String,
    /// Generated tokens per second, with a 95 % interval; taken as exact without one.
    pub decode: Option<Estimate>,
    /// Prompt tokens per second, likewise.
    pub prefill: Option<Estimate>,
    /// Largest memory it took, in bytes.
    pub memory_bytes: Option<u64>,
    /// Mean divergence from the reference and its standard error, in nats. The error is infinite
    /// where it is not known: nothing is told apart by such a mean.
    pub divergence: Option<(f64, f64)>,
    /// Bytes of its file.
    pub file_bytes: u64,
}

impl From<&StudyCandidate> for FrontPoint {
    fn from(of: &StudyCandidate) -> Self {
        let against = of.quality.as_ref().and_then(|quality| quality.against.as_ref());
        let divergence = against.map(|against| against.kl_divergence);
        Self {
            name: of.name.clone(),
            decode: of.decode_tok_per_s,
            prefill: of.prefill_tok_per_s,
            memory_bytes: of.peak_memory_bytes.map(|bytes| bytes.0),
            divergence: divergence.map(|it| (it.mean, it.se.unwrap_or(f64::INFINITY))),
            file_bytes: of.file_bytes.0,
        }
    }
}

/// A place on one axis, more being better, with its standard error.
#[derive(Clone, Copy)]
struct Place {
    value: f64,
    se: f64,
}

impl Place {
    fn of(estimate: Estimate) -> Self {
        let width = estimate.low.zip(estimate.high).map_or(0.0, |(low, high)| high - low);
        Self { value: estimate.value, se: width / (2.0 * HALF_WIDTH) }
    }

    fn less_is_better(value: f64, se: f64) -> Self {
        Self { value: -value, se }
    }

    /// Greater where this one is better by more than two standard errors of the difference.
    fn beside(self, other: Self) -> Ordering {
        let (difference, reach) = (self.value - other.value, 2.0 * self.se.hypot(other.se));
        match difference {
            more if more > reach => Ordering::Greater,
            less if less < -reach => Ordering::Less,
            _ => Ordering::Equal,
        }
    }
}

impl FrontPoint {
    fn places(&self) -> [Option<Place>; 4] {
        let exact = |bytes: u64| Place::less_is_better(bytes as f64, 0.0);
        [
            self.decode.map(Place::of),
            self.prefill.map(Place::of),
            self.memory_bytes.map(exact),
            self.divergence.map(|(mean, se)| Place::less_is_better(mean, se)),
        ]
    }

    /// Whether this one is better than the other in something and worse in nothing: decode,
    /// prefill, memory and divergence, each by more than two standard errors of the difference of
    /// independent numbers. What one of the two lacks is not compared.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let beside: Vec<Ordering> = self
            .places()
            .into_iter()
            .zip(other.places())
            .filter_map(|(own, its)| Some(own?.beside(its?)))
            .collect();
        !beside.contains(&Ordering::Less) && beside.contains(&Ordering::Greater)
    }

    /// How its decode speed compares, greater being faster by more than two standard errors;
    /// `None` where one of the two was not measured.
    pub(super) fn decode_beside(&self, other: &Self) -> Option<Ordering> {
        Some(Place::of(self.decode?).beside(Place::of(other.decode?)))
    }
}

/// Places of the points that no other dominates, in their order.
///
/// With errors, points can dominate one another in a ring; a dominance that leads back is none, so
/// the front of any points has one at least.
#[must_use]
pub fn front(points: &[FrontPoint]) -> Vec<usize> {
    let all = 0..points.len();
    let direct: Vec<Vec<bool>> = points
        .iter()
        .map(|point| points.iter().map(|other| point.dominates(other)).collect())
        .collect();
    let mut leads = direct.clone();
    for over in all.clone() {
        let onward = leads[over].clone();
        for row in leads.iter_mut().filter(|row| row[over]) {
            row.iter_mut().zip(&onward).for_each(|(leads, onward)| *leads |= onward);
        }
    }
    let beaten = |place: usize| all.clone().any(|by| direct[by][place] && !leads[place][by]);
    all.clone().filter(|place| !beaten(*place)).collect()
}
