//! What a judgement may get wrong, and when it looks.

use crate::stats::Spending;

/// Blocks after which the first verdict is possible: below, no distribution-free test can reach
/// any level worth having (2^-5 is 3 %).
pub const FEWEST_BLOCKS: u32 = 6;

/// What a judgement may get wrong, and how much may be measured for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Chance that the build fails although no blocking cell is slower than allowed.
    pub alpha: f64,
    /// Chance that a cell passes although it is slower than allowed.
    pub beta: f64,
    /// Chance with which a slowdown of the minimum detectable size fails.
    pub power: f64,
    /// Blocks at most.
    pub most_blocks: u32,
    /// Smallest detectable slowdown that is still worth a run; above, the gate is blind.
    pub blind_above: f64,
    /// Seed of randomisation tests.
    pub seed: u64,
}

impl Default for Rule {
    /// 1 % false alarms per build, 10 % of slowdowns passed, 80 % power, blind above 5 %.
    fn default() -> Self {
        Self { alpha: 0.01, beta: 0.10, power: 0.80, most_blocks: 48, blind_above: 0.05, seed: 1 }
    }
}

/// A look at the blocks so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    /// Blocks that are looked at.
    pub(super) blocks: u32,
    /// Share of `alpha` and `beta` that this look may spend.
    pub(super) share: f64,
}

impl Rule {
    /// The looks that so many blocks allow: the planned ones, and where measuring is over an
    /// unplanned last one that spends what is left. Why it is over does not depend on the blocks
    /// but on time, so the union bound holds all the same.
    pub(super) fn looks(&self, blocks: u32, stage: Stage) -> Vec<Look> {
        let Some(spending) = Spending::up_to(self.most_blocks) else { return Vec::new() };
        let taken = spending.looks().take_while(|planned| *planned <= blocks);
        let mut looks: Vec<Look> = taken
            .filter_map(|blocks| Some(Look { blocks, share: spending.level(1.0, blocks)? }))
            .collect();
        let reached = looks.last().map_or(0, |look| look.blocks);
        if stage == Stage::Over && blocks >= FEWEST_BLOCKS && blocks >= reached {
            let left = spending.remaining(1.0, looks.len());
            looks.extend(left.map(|share| Look { blocks, share }));
        }
        looks
    }

    /// Blocks of the next planned look; `None` after the last.
    #[must_use]
    pub fn next_look(&self, blocks: u32) -> Option<u32> {
        Spending::up_to(self.most_blocks)?.looks().find(|planned| *planned > blocks)
    }
}

/// Whether more blocks may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// They may.
    Running,
    /// They will not.
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(most_blocks: u32, blocks: u32, stage: Stage) -> Vec<(u32, f64)> {
        let rule = Rule { most_blocks, ..Rule::default() };
        let round = |share: f64| (share * 1e6).round() / 1e6;
        rule.looks(blocks, stage).iter().map(|it| (it.blocks, round(it.share))).collect()
    }

    #[test]
    fn the_last_look_spends_what_is_left() {
        assert_eq!(looks(48, 13, Stage::Running), [(6, 0.1), (12, 0.2)]);
        assert_eq!(looks(48, 13, Stage::Over), [(6, 0.1), (12, 0.2), (13, 0.7)]);
        assert_eq!(looks(48, 48, Stage::Over), [(6, 0.1), (12, 0.2), (24, 0.3), (48, 0.4)]);
        assert_eq!(looks(12, 12, Stage::Over), [(6, 0.333_333), (12, 0.666_667)]);
        // At a planned look too, where time ends there.
        assert_eq!(looks(48, 12, Stage::Over), [(6, 0.1), (12, 0.2), (12, 0.7)]);
        assert_eq!(looks(48, 5, Stage::Over), []);
        assert_eq!(looks(6, 6, Stage::Running), [(6, 1.0)]);
    }

    #[test]
    fn the_next_look_is_the_next_planned_one() {
        let rule = Rule::default();
        assert_eq!([0, 6, 7, 48].map(|n| rule.next_look(n)), [Some(6), Some(12), Some(12), None]);
    }
}
