//! The best mix under a budget, held against files of one type.

use super::ladder::ladder;
use super::search::{Limits, Search};
use super::{MixError, Problem, Total};

/// Prices between bytes alone and seconds alone that mixes are made for. Fixed rather than sought,
/// so that what is looked at does not depend on the limits.
const SPEEDS: u32 = 16;

/// Tensors up to which mixes that differ from the Lagrangian's in two tensors are looked at too.
/// With more, one tensor is so small a part that what pairs add is lost in the prediction.
const FEW_TENSORS: usize = 40;

/// What a mix may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Bytes of the tensors that are chosen for ([`super::Target::budget`]).
    pub bytes: u64,
    /// Time to decode one token, in the unit of [`Total::seconds`]; `None` for no limit.
    pub seconds: Option<f64>,
}

/// A file type that llama.cpp knows, as the type that it gives each tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uniform {
    /// Its name, for example `q4_k_m`.
    pub name: String,
    /// One for each tensor, in their order, by its place in the list of types.
    pub types: Vec<usize>,
}

/// Where a mix comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MixSource {
    /// From the search.
    Optimised,
    /// It is this uniform file type, which the search could not beat.
    Uniform(String),
}

/// A type for each tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Mix {
    /// A type by its place for each tensor, in the order of tensors.
    pub types: Vec<usize>,
    /// Bytes of the tensors.
    pub bytes: u64,
    /// Predicted Kullback-Leibler divergence from the original, in nats per token.
    pub predicted_divergence: f64,
    /// Time to decode one token, in the unit of [`Total::seconds`].
    pub seconds: f64,
    /// Where it comes from.
    pub from: MixSource,
}

/// The mix with the smallest predicted divergence that fits, of what the search finds and of the
/// uniform types.
///
/// Uniform types need not keep to the guards: people have used them long enough to know them.
/// So whatever the guards cost, no uniform type that fits is predicted better than the mix. Each
/// limit that is loosened leaves the prediction as it is or lowers it.
pub fn choose(problem: &Problem, uniforms: &[Uniform], budget: &Budget) -> Result<Mix, MixError> {
    problem.check()?;
    let limits = Limits { bytes: budget.bytes, seconds: budget.seconds.unwrap_or(f64::INFINITY) };
    let ceilings = problem.guards.ceilings(problem);
    let mut search = Search::new(problem, &ceilings, limits);
    let speeds = if is_time_size(problem) { 0 } else { SPEEDS };
    let changes = if problem.tensors.len() <= FEW_TENSORS { 2 } else { 1 };
    let ladders = (0..=speeds).map(|speed| f64::from(speed) / f64::from(SPEEDS));
    let mut smallest = None;
    for ladder in ladders.map(|speed| ladder(problem, &ceilings, speed)) {
        // The first ladder's prices are bytes alone.
        smallest = smallest.or_else(|| problem.total(&ladder.start));
        search.climb(&ladder, changes);
    }
    // The search adds and subtracts along the way; what is compared and told is added up afresh.
    let found = search.best.and_then(|it| Some((problem.total(&it.types)?, it.types)));
    let mut best = found.map(|(total, types)| (total, types, MixSource::Optimised));
    for uniform in uniforms {
        let total = total(problem, uniform)?;
        let is_better = best.as_ref().is_none_or(|(it, ..)| total.divergence < it.divergence);
        if limits.hold(&total) && is_better {
            best = Some((total, uniform.types.clone(), MixSource::Uniform(uniform.name.clone())));
        }
    }
    let smallest = smallest.map_or(0, |total| total.bytes);
    match best {
        Some((total, types, from)) => Ok(Mix {
            types,
            bytes: total.bytes,
            predicted_divergence: total.divergence,
            seconds: total.seconds,
            from,
        }),
        None if smallest > budget.bytes => {
            Err(MixError::TooSmall { budget: budget.bytes, smallest })
        }
        None => Err(MixError::TooSlow(budget.bytes)),
    }
}

fn total(problem: &Problem, uniform: &Uniform) -> Result<Total, MixError> {
    let misfit = |(place, _): &(usize, _)| {
        uniform.types.get(*place).is_none_or(|kind| problem.part(*place, *kind).is_none())
    };
    let wrong = || {
        let tensor = problem.tensors.iter().enumerate().find(misfit);
        let tensor = tensor.map_or_else(String::new, |(_, it)| it.name.clone());
        MixError::Uniform { name: uniform.name.clone(), tensor }
    };
    problem.total(&uniform.types).ok_or_else(wrong)
}

/// Whether seconds are bytes times a constant, so that one limit says all.
fn is_time_size(problem: &Problem) -> bool {
    let tensors = problem.tensors.iter();
    let mut factors = tensors.flat_map(|tensor| {
        tensor.possible().map(|(kind, _)| problem.types[kind].seconds_per_byte * tensor.read_share)
    });
    let first = factors.next().unwrap_or(1.0);
    factors.all(|factor| factor.to_bits() == first.to_bits())
}
