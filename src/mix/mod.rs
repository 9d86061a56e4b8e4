//! Which quantization type each tensor gets, so that a model of a wanted size answers most like
//! the original.
//!
//! Pure. What is predicted is the Kullback-Leibler divergence from the original, by the linearity
//! theorem of HIGGS (arXiv 2411.17525): the sum over tensors of `c · error`, where `error` is the
//! relative squared rounding error of the tensor in its type and `c` the coefficient of the
//! tensor's group, from one measured divergence per group ([`Coefficients`]). [`choose`] solves
//! the knapsack under a [`Budget`]. Bytes are of the tensors that are chosen for; [`Target`] takes
//! off what the rest of a file holds. Rounding, measuring and writing files are left to others,
//! and so is checking the prediction: it is a prediction, and holds for small errors only.

mod choose;
mod coefficients;
mod group;
mod guards;
mod hull;
mod ladder;
mod problem;
mod search;
mod target;
#[cfg(test)]
mod tests;

pub use choose::{Budget, Mix, MixSource, Uniform, choose};
pub use coefficients::{Coefficients, Probe};
pub use group::group_of;
pub use guards::{Guard, Guarded, Guards};
pub use problem::{Cost, MixError, Problem, QuantType, Tensor, Total};
pub use target::{Rest, Target, TargetError, parse_target};
