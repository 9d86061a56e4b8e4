//! What is chosen from: tensors, types and what each type does to each tensor.

use std::collections::BTreeMap;

use autotune_engine::api::Bytes;
use thiserror::Error;

use super::{Coefficients, Guards};

/// Bytes of all tensors together at most: up to here `f64` counts them one by one.
const MOST_BYTES: u64 = 1 << 53;

/// A type that tensors may take.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantType {
    /// Its name, for example `q4_K`.
    pub name: String,
    /// Time to read and use one byte, 0 or more, relative to reading from memory: 1.0 where
    /// memory is what decoding waits for, above where unpacking takes longer.
    pub seconds_per_byte: f64,
}

/// What a type does to a tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Bytes of the tensor in the type.
    pub bytes: u64,
    /// Squared rounding error over the squared weights, weighted by the importance matrix where
    /// there is one; finite, 0 or more.
    pub error: f64,
}

/// A tensor that is chosen for.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name in the file.
    pub name: String,
    /// Weights, at least 1.
    pub weights: u64,
    /// Its class ([`super::group_of`]).
    pub group: String,
    /// Share of it that decoding one token reads: 1 for most, near 0 for a table of embeddings
    /// that is no output too, used experts over all experts for experts.
    pub read_share: f64,
    /// One for each type in the order of the types; `None` where the tensor cannot take it, for
    /// example because its rows are no multiple of the type's block.
    pub costs: Vec<Option<Cost>>,
}

impl Tensor {
    /// What a type does to it; `None` where it cannot take it.
    #[must_use]
    pub fn cost(&self, kind: usize) -> Option<Cost> {
        self.costs.get(kind).copied().flatten()
    }

    /// The types that it can take and what they do to it.
    pub(super) fn possible(&self) -> impl Iterator<Item = (usize, Cost)> + '_ {
        self.costs.iter().enumerate().filter_map(|(kind, cost)| cost.map(|cost| (kind, cost)))
    }

    /// Bytes of the smallest of the types with the least error.
    pub(super) fn best_bytes(&self) -> u64 {
        let order = |a: &Cost, b: &Cost| a.error.total_cmp(&b.error).then(a.bytes.cmp(&b.bytes));
        self.possible().map(|(_, cost)| cost).min_by(order).map_or(0, |cost| cost.bytes)
    }
}

/// What is chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The types.
    pub types: Vec<QuantType>,
    /// The tensors.
    pub tensors: Vec<Tensor>,
    /// What an error in each group does.
    pub coefficients: Coefficients,
    /// What an optimised mix must not do, whatever is predicted.
    pub guards: Guards,
}

/// What one type for each tensor adds up to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Total {
    /// Bytes of the tensors.
    pub bytes: u64,
    /// Time that decoding one token reads them for, in bytes from memory that take as long (or in
    /// seconds, if the types' factors are seconds).
    pub seconds: f64,
    /// Predicted Kullback-Leibler divergence from the original, in nats per token.
    pub divergence: f64,
}

/// Why there is no mix.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum MixError {
    /// Nothing to choose for.
    #[error("no tensors to choose types for")]
    NoTensors,
    /// A tensor without a usable description.
    #[error("the tensor `{tensor}` {wrong}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        wrong: &'static str,
    },
    /// A type's factor is negative or no number.
    #[error("the type `{0}` has no usable time per byte")]
    Type(String),
    /// More bytes than are counted.
    #[error("the tensors together have more than {} bytes", MOST_BYTES)]
    TooLarge,
    /// A uniform type that does not fit the tensors.
    #[error("the uniform type `{name}` has no type that `{tensor}` can take")]
    Uniform {
        /// The uniform type.
        name: String,
        /// The first tensor it does not fit.
        tensor: String,
    },
    /// A divergence or coefficient that is negative or no number.
    #[error("{0} is no divergence; it is finite and 0 or more")]
    Divergence(f64),
    /// No group has a coefficient.
    #[error("no group has a measured divergence")]
    NothingMeasured,
    /// Not even the smallest mix fits.
    #[error("{} is too small: the smallest mix takes {}", Bytes(*.budget), Bytes(*.smallest))]
    TooSmall {
        /// Bytes that were allowed.
        budget: u64,
        /// Bytes of the smallest mix that the guards allow.
        smallest: u64,
    },
    /// Mixes fit, but none is fast enough.
    #[error("no mix of at most {} decodes as fast as wanted", Bytes(*.0))]
    TooSlow(u64),
}

impl Problem {
    /// What a tensor in a type adds to the total; `None` where it cannot take it.
    pub(super) fn part(&self, tensor: usize, kind: usize) -> Option<Total> {
        let tensor = self.tensors.get(tensor)?;
        let cost = tensor.cost(kind)?;
        let factor = self.types.get(kind)?.seconds_per_byte;
        let seconds = cost.bytes as f64 * tensor.read_share * factor;
        let divergence = self.coefficients.of(&tensor.group) * cost.error;
        Some(Total { bytes: cost.bytes, seconds, divergence })
    }

    /// What one type for each tensor adds up to; `None` unless there is one for each and it can
    /// take it.
    #[must_use]
    pub fn total(&self, types: &[usize]) -> Option<Total> {
        let fits = types.len() == self.tensors.len();
        let parts = types.iter().enumerate().map(|(tensor, kind)| self.part(tensor, *kind));
        let add = |sum: Total, part: Option<Total>| {
            let part = part?;
            let bytes = sum.bytes.checked_add(part.bytes)?;
            let seconds = sum.seconds + part.seconds;
            Some(Total { bytes, seconds, divergence: sum.divergence + part.divergence })
        };
        fits.then(|| parts.into_iter().try_fold(Total::default(), add)).flatten()
    }

    /// How many tensors of each group have which type, groups by name and types in their order.
    #[must_use]
    pub fn groups(&self, types: &[usize]) -> BTreeMap<&str, BTreeMap<usize, usize>> {
        let mut groups: BTreeMap<&str, BTreeMap<usize, usize>> = BTreeMap::new();
        for (tensor, kind) in self.tensors.iter().zip(types) {
            *groups.entry(&tensor.group).or_default().entry(*kind).or_default() += 1;
        }
        groups
    }

    /// Weights of all tensors.
    #[must_use]
    pub fn weights(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.weights))
    }

    /// Refuses what nothing can be chosen from.
    pub(super) fn check(&self) -> Result<(), MixError> {
        let unusable = |number: f64| !number.is_finite() || number < 0.0;
        if self.tensors.is_empty() {
            return Err(MixError::NoTensors);
        }
        if let Some(kind) = self.types.iter().find(|it| unusable(it.seconds_per_byte)) {
            return Err(MixError::Type(kind.name.clone()));
        }
        for tensor in &self.tensors {
            let wrong = match tensor {
                _ if tensor.costs.len() != self.types.len() => "has no cost for each type",
                _ if tensor.possible().next().is_none() => "can take none of the types",
                _ if tensor.weights == 0 => "has no weights",
                _ if tensor.possible().any(|(_, cost)| unusable(cost.error)) => {
                    "has an error that is negative or no number"
                }
                _ if unusable(tensor.read_share) => "is read by a share that is no number",
                _ => continue,
            };
            return Err(MixError::Tensor { tensor: tensor.name.clone(), wrong });
        }
        let largest = |it: &Tensor| it.possible().map(|(_, cost)| cost.bytes).max().unwrap_or(0);
        let mut largest = self.tensors.iter().map(largest);
        let all = largest.try_fold(0_u64, u64::checked_add);
        if all.is_none_or(|all| all > MOST_BYTES) { Err(MixError::TooLarge) } else { Ok(()) }
    }
}
