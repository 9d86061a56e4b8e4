//! How much a rounding error in each group changes what the model answers.

use std::collections::BTreeMap;

use super::problem::{MixError, Tensor};

/// A measured divergence of the model with only one group quantized.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The group.
    pub group: String,
    /// The type that all tensors of the group took, by its place in the list of types; those
    /// that cannot take it stayed as they were.
    pub kind: usize,
    /// Mean Kullback-Leibler divergence from the original in nats per token, 0 or more.
    pub divergence: f64,
}

/// Divergence in nats per unit of relative squared error, for each group.
#[derive(Debug, Clone, PartialEq)]
pub struct Coefficients {
    measured: BTreeMap<String, f64>,
    otherwise: f64,
}

impl Coefficients {
    /// The same for all groups: predictions are then sums of relative errors, comparable with each
    /// other but not nats.
    #[must_use]
    pub fn even() -> Self {
        Self { measured: BTreeMap::new(), otherwise: 1.0 }
    }

    /// Known coefficients, each finite and 0 or more; other groups take their median.
    pub fn new(measured: BTreeMap<String, f64>) -> Result<Self, MixError> {
        let wrong = |value: &&f64| !value.is_finite() || **value < 0.0;
        if let Some(value) = measured.values().find(wrong) {
            return Err(MixError::Divergence(*value));
        }
        let mut values: Vec<f64> = measured.values().copied().collect();
        values.sort_by(f64::total_cmp);
        let upper = values.get(values.len() / 2).ok_or(MixError::NothingMeasured)?;
        let otherwise = f64::midpoint(values[(values.len() - 1) / 2], *upper);
        Ok(Self { measured, otherwise })
    }

    /// The coefficients that measured divergences mean: for each group the divergence over the
    /// sum of its tensors' errors in the probed type, over sums of both where a group was probed
    /// more than once. Groups that were not probed, or with a type that rounds nothing, take the
    /// median; an error where that is all of them.
    pub fn from_probes(tensors: &[Tensor], probes: &[Probe]) -> Result<Self, MixError> {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for probe in probes {
            if !probe.divergence.is_finite() || probe.divergence < 0.0 {
                return Err(MixError::Divergence(probe.divergence));
            }
            let group = tensors.iter().filter(|tensor| tensor.group == probe.group);
            let errors = group.filter_map(|tensor| tensor.cost(probe.kind).map(|it| it.error));
            let sum = sums.entry(&probe.group).or_default();
            sum.0 += probe.divergence;
            sum.1 += errors.sum::<f64>();
        }
        let rounded = sums.into_iter().filter(|(_, (_, error))| *error > 0.0);
        Self::new(rounded.map(|(group, (sum, error))| (group.to_owned(), sum / error)).collect())
    }

    /// Nats per unit of relative squared error in this group.
    #[must_use]
    pub fn of(&self, group: &str) -> f64 {
        self.measured.get(group).copied().unwrap_or(self.otherwise)
    }

    /// Whether the group's own divergence is behind its coefficient, rather than the median.
    #[must_use]
    pub fn is_measured(&self, group: &str) -> bool {
        self.measured.contains_key(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Cost;

    fn tensor(group: &str, error: f64) -> Tensor {
        let costs = vec![Some(Cost { bytes: 1, error }), None];
        let (name, group) = (format!("blk.0.{group}.weight"), group.to_owned());
        Tensor { name, weights: 8, group, read_share: 1.0, costs }
    }

    fn probe(group: &str, kind: usize, divergence: f64) -> Probe {
        Probe { group: group.to_owned(), kind, divergence }
    }

    #[test]
    fn a_coefficient_is_divergence_over_error_and_others_take_the_median() {
        let tensors = [tensor("a", 0.25), tensor("a", 0.25), tensor("b", 0.1), tensor("c", 0.0)];
        let probes = [probe("a", 0, 0.01), probe("b", 0, 0.004), probe("c", 0, 0.0)];
        let found = Coefficients::from_probes(&tensors, &probes).unwrap();
        let near = |group, wanted: f64| (found.of(group) - wanted).abs() < 1e-12;
        assert!(near("a", 0.02) && near("b", 0.04) && near("c", 0.03) && near("other", 0.03));
        assert_eq!(["a", "b", "c"].map(|it| found.is_measured(it)), [true, true, false]);
        let twice = [probe("a", 0, 0.01), probe("a", 0, 0.03)];
        let found = Coefficients::from_probes(&tensors, &twice).unwrap();
        assert!((found.of("a") - 0.04).abs() < 1e-12);
    }

    #[test]
    fn without_a_usable_probe_there_are_none() {
        let tensors = [tensor("a", 0.25)];
        for probes in [vec![], vec![probe("a", 1, 0.1)], vec![probe("z", 0, 0.1)]] {
            let found = Coefficients::from_probes(&tensors, &probes);
            assert_eq!(found, Err(MixError::NothingMeasured));
        }
        for wrong in [-0.1, f64::INFINITY] {
            let found = Coefficients::from_probes(&tensors, &[probe("a", 0, wrong)]);
            assert_eq!(found, Err(MixError::Divergence(wrong)));
        }
        assert_eq!(Coefficients::even().of("a").to_bits(), 1.0_f64.to_bits());
    }
}
