//! How a chance of error is shared between the times at which a comparison is looked at.

/// Blocks after which a comparison is looked at first; each further look has twice the blocks of
/// the one before.
const FIRST: u32 = 6;

/// The looks that were planned before the first block, each with its share of the error.
///
/// The shares add up to the whole: by a union bound the error of all looks together is within
/// it, however they depend on each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
    looks: Vec<(u32, f64)>,
}

impl Spending {
    /// The looks that fit into so many blocks; `None` where there is no room for the first.
    ///
    /// Weights grow evenly: 10, 20, 30 and 40 % for four looks. Chosen by simulation: late looks
    /// see most and get most, so that an early end is for large effects only.
    #[must_use]
    pub fn up_to(most_blocks: u32) -> Option<Self> {
        let planned: Vec<(u32, u32)> =
            std::iter::successors(Some(FIRST), |blocks| blocks.checked_mul(2))
                .take_while(|blocks| *blocks <= most_blocks)
                .zip(1..)
                .collect();
        let total: u32 = planned.iter().map(|(_, weight)| weight).sum();
        let share = |(blocks, weight)| (blocks, f64::from(weight) / f64::from(total));
        (!planned.is_empty()).then(|| Self { looks: planned.into_iter().map(share).collect() })
    }

    /// Numbers of blocks after which to look, in ascending order.
    pub fn looks(&self) -> impl Iterator<Item = u32> {
        self.looks.iter().map(|(blocks, _)| *blocks)
    }

    /// What may be spent of `alpha` at the look after `blocks`; `None` where none was planned.
    #[must_use]
    pub fn level(&self, alpha: f64, blocks: u32) -> Option<f64> {
        let look = self.looks.iter().find(|(at, _)| *at == blocks);
        look.filter(|_| (0.0..=1.0).contains(&alpha)).map(|(_, share)| alpha * share)
    }

    /// What is left of `alpha` after the first `taken` looks: all of it goes to a last look that
    /// time forces before the next planned one. Only a reason that does not lie in the
    /// measurements may force it. `None` where all looks were taken.
    #[must_use]
    pub fn remaining(&self, alpha: f64, taken: usize) -> Option<f64> {
        let left = self.looks.get(taken..).filter(|left| !left.is_empty())?;
        let share: f64 = left.iter().map(|(_, share)| share).sum();
        (0.0..=1.0).contains(&alpha).then_some(alpha * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(most_blocks: u32) -> Vec<(u32, f64)> {
        let spending = Spending::up_to(most_blocks).unwrap();
        spending.looks().map(|blocks| (blocks, spending.level(1.0, blocks).unwrap())).collect()
    }

    #[test]
    fn all_of_it_is_spent_and_no_more() {
        for most in [6, 11, 12, 24, 47, 48, 1000] {
            let looks = levels(most);
            let total: f64 = looks.iter().map(|(_, share)| share).sum();
            assert!((total - 1.0).abs() < 1e-12, "{looks:?}");
            assert!(looks.iter().all(|(blocks, _)| *blocks <= most));
        }
        assert_eq!((levels(48).len(), levels(96).len()), (4, 5));
        assert_eq!(levels(6), [(6, 1.0)]);
        assert!(
            (levels(48)[0].1 - 0.1).abs() < 1e-12 && (levels(12)[0].1 - 1.0 / 3.0).abs() < 1e-12
        );
    }

    #[test]
    fn a_forced_last_look_has_what_is_left() {
        let spending = Spending::up_to(24).unwrap();
        let left = |taken| spending.remaining(0.01, taken);
        assert!((left(0).unwrap() - 0.01).abs() < 1e-15);
        let first = spending.level(0.01, 6).unwrap();
        assert!((left(1).unwrap() + first - 0.01).abs() < 1e-15);
        assert!((left(2).unwrap() - spending.level(0.01, 24).unwrap()).abs() < 1e-15);
        assert_eq!(left(3), None);
        assert_eq!(left(9), None);
    }

    #[test]
    fn what_was_not_planned_has_no_level() {
        assert_eq!(Spending::up_to(5), None);
        let spending = Spending::up_to(12).unwrap();
        assert_eq!(spending.level(0.01, 24), None);
        assert_eq!(spending.level(0.01, 7), None);
        assert_eq!(spending.level(f64::NAN, 6), None);
        assert_eq!(spending.remaining(1.5, 0), None);
    }
}
