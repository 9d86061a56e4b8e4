//! What an optimised mix must not do, whatever is predicted.
//!
//! A guard looks at the mix itself, not at the budget: a tensor has at most so many types less
//! than the mix has on average. What a small budget allows a larger one then allows too, so the
//! best prediction cannot rise with the budget.

use std::collections::BTreeMap;

use super::{Problem, Tensor};

/// Rules for the tensors that predictions are known to be wrong about.
#[derive(Debug, Clone, PartialEq)]
pub struct Guards {
    /// The rules; a tensor under several follows the strictest.
    pub rules: Vec<Guard>,
}

/// One rule.
///
/// The step that belongs to an average is the largest of a tensor's types, ordered by bits per
/// weight, that has no more bits than the average. A tensor may always take its type with the
/// least error.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// The tensors under it.
    pub who: Guarded,
    /// Steps that they may be below the step of the mix's average bits per weight.
    pub steps_below_average: usize,
}

/// Tensors under a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Guarded {
    /// Groups that hold less than this share of all weights.
    SmallGroups {
        /// The share, from 0 to 1.
        share: f64,
    },
    /// Groups by name.
    Groups(Vec<String>),
}

impl Guards {
    /// No rules.
    #[must_use]
    pub fn none() -> Self {
        Self { rules: Vec::new() }
    }

    /// Steps that a group with so many of so many weights may be below the average.
    fn steps(&self, group: &str, weights: u64, all: u64) -> Option<usize> {
        let under = |who: &Guarded| match who {
            Guarded::SmallGroups { share } => (weights as f64) < share * all as f64,
            Guarded::Groups(names) => names.iter().any(|name| name == group),
        };
        let rules = self.rules.iter().filter(|rule| under(&rule.who));
        rules.map(|rule| rule.steps_below_average).min()
    }

    /// For each tensor and type, the mix's average bits per weight from which on the tensor must
    /// have more; infinite where it never must.
    pub(super) fn ceilings(&self, problem: &Problem) -> Vec<Vec<f64>> {
        let mut groups: BTreeMap<&str, u64> = BTreeMap::new();
        for tensor in &problem.tensors {
            *groups.entry(&tensor.group).or_default() += tensor.weights;
        }
        let all = problem.weights();
        let one = |tensor: &Tensor| match self.steps(&tensor.group, groups[&*tensor.group], all) {
            Some(steps) => ceilings(tensor, steps),
            None => vec![f64::INFINITY; tensor.costs.len()],
        };
        problem.tensors.iter().map(one).collect()
    }
}

fn ceilings(tensor: &Tensor, steps: usize) -> Vec<f64> {
    let mut sizes: Vec<u64> = tensor.possible().map(|(_, cost)| cost.bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let best = tensor.best_bytes();
    let ceiling = |bytes: u64| {
        let place = sizes.partition_point(|size| *size < bytes);
        let above = sizes.get(place.saturating_add(steps).saturating_add(1));
        let bits = above.map(|size| *size as f64 * 8.0 / tensor.weights as f64);
        bits.filter(|_| bytes < best).unwrap_or(f64::INFINITY)
    };
    tensor.costs.iter().map(|cost| cost.map_or(0.0, |cost| ceiling(cost.bytes))).collect()
}

impl Default for Guards {
    /// What makers of mixes by hand and by search keep to (llama.cpp's own mixtures, Thireus'
    /// GGUF-Tool-Suite): groups with less than 2 % of the weights, which is `attn_k` and `attn_v`
    /// under grouped queries, save next to nothing and have at least the average bits; the
    /// embeddings and the output, which every token passes, are at most one step below.
    fn default() -> Self {
        let small = Guarded::SmallGroups { share: 0.02 };
        let ends = Guarded::Groups(vec!["token_embd".to_owned(), "output".to_owned()]);
        Self {
            rules: vec![
                Guard { who: small, steps_below_average: 0 },
                Guard { who: ends, steps_below_average: 1 },
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Cost;

    /// 80 weights, so 10 bytes are a bit per weight.
    fn tensor(costs: &[Option<(u64, f64)>]) -> Tensor {
        let cost = |it: &Option<(u64, f64)>| it.map(|(bytes, error)| Cost { bytes, error });
        let costs = costs.iter().map(cost).collect();
        Tensor { name: "t".into(), weights: 80, group: "t".into(), read_share: 1.0, costs }
    }

    #[test]
    fn a_type_serves_up_to_the_average_that_asks_for_the_next_one() {
        let never = f64::INFINITY;
        let plain = [Some((20, 0.3)), Some((40, 0.1)), Some((40, 0.09)), Some((60, 0.01))];
        assert_eq!(ceilings(&tensor(&plain), 0), [4.0, 6.0, 6.0, never]);
        assert_eq!(ceilings(&tensor(&plain), 1), [6.0, never, never, never]);
        assert_eq!(ceilings(&tensor(&plain), usize::MAX), [never; 4]);
        // The type with the least error will do, also where larger ones are worse.
        let odd = [Some((60, 0.2)), None, Some((40, 0.01)), Some((20, 0.3))];
        assert_eq!(ceilings(&tensor(&odd), 0), [never, 0.0, never, 4.0]);
    }

    #[test]
    fn the_strictest_rule_counts() {
        let guards = Guards::default();
        assert_eq!(guards.steps("attn_k", 19, 1000), Some(0));
        assert_eq!(guards.steps("attn_k", 20, 1000), None);
        assert_eq!(guards.steps("output", 200, 1000), Some(1));
        assert_eq!(guards.steps("output", 2, 1000), Some(0));
        assert_eq!(Guards::none().steps("output", 2, 1000), None);
    }
}
