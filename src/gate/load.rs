//! How busy others kept the machine during each visit, and whether it was one side's bad luck.

use crate::measure::Reading;
use crate::stats;

/// Processors of others beside one side more than beside the other, from which on a block is
/// thrown away: half of what doubts begin at would throw away noise of the counters.
const UNEVEN: f64 = 0.3;
/// The same for the stolen share of all processor time.
const UNEVEN_STOLEN: f64 = 0.02;

/// What others took during a visit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Load {
    /// Processors that others kept busy.
    pub(super) foreign: f64,
    /// Share of all processor time that the hypervisor gave away.
    pub(super) stolen: f64,
}

impl Load {
    /// From the counters before and after; all 0 where the system does not tell.
    pub(super) fn between(before: Reading, after: Reading) -> Self {
        let span = after.at.saturating_sub(before.at).as_secs_f64();
        if span <= 0.0 {
            return Self::default();
        }
        let used = |from: Option<std::time::Duration>, to: Option<std::time::Duration>| {
            Some(to?.saturating_sub(from?).as_secs_f64() / span)
        };
        let processors = after.processors.map_or(1.0, f64::from);
        let busy = used(before.busy, after.busy);
        let own = used(before.own, after.own);
        let foreign = busy.zip(own).map_or(0.0, |(busy, own)| (busy - own).max(0.0));
        let stolen = used(before.stolen, after.stolen).unwrap_or(0.0) / processors;
        Self { foreign, stolen }
    }

    fn mean(loads: &[Self]) -> Self {
        let of = |part: fn(&Self) -> f64| {
            loads.iter().map(part).sum::<f64>() / loads.len().max(1) as f64
        };
        Self { foreign: of(|load| load.foreign), stolen: of(|load| load.stolen) }
    }
}

/// How unevenly a block was disturbed: the head's load less the base's.
pub(super) fn unevenness(base: &[Load], head: &[Load]) -> Load {
    let (base, head) = (Load::mean(base), Load::mean(head));
    Load { foreign: head.foreign - base.foreign, stolen: head.stolen - base.stolen }
}

/// Why a block says nothing: one sentence, or nothing.
pub(super) fn spoils(uneven: Load) -> Option<String> {
    let side = |more: f64| if more > 0.0 { "head" } else { "base" };
    if uneven.stolen.abs() > UNEVEN_STOLEN {
        return Some(format!(
            "the hypervisor gave more of the time to others beside the {}",
            side(uneven.stolen)
        ));
    }
    (uneven.foreign.abs() > UNEVEN)
        .then(|| format!("other programs were busier beside the {}", side(uneven.foreign)))
}

/// Whether others disturbed the head more than the base over all blocks, beyond chance: then a
/// slowdown may be theirs.
pub(super) fn favours_base(blocks: &[Load]) -> bool {
    let above_zero = |values: Vec<f64>| {
        stats::student_t_interval(&values, 0.95).is_some_and(|(low, _)| low > 0.0)
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let foreign: Vec<f64> = blocks.iter().map(|load| load.foreign).collect();
    let stolen: Vec<f64> = blocks.iter().map(|load| load.stolen).collect();
    // Beyond chance is not enough: a difference of a hundredth of a processor explains nothing.
    (mean(&foreign) > UNEVEN / 4.0 && above_zero(foreign))
        || (mean(&stolen) > UNEVEN_STOLEN / 4.0 && above_zero(stolen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(foreign: f64) -> Load {
        Load { foreign, stolen: 0.0 }
    }

    #[test]
    fn a_neighbour_of_both_sides_spoils_nothing() {
        assert_eq!(spoils(unevenness(&[load(1.0); 2], &[load(0.9), load(1.1)])), None);
        let found = spoils(unevenness(&[load(0.0); 2], &[load(0.9), load(0.1)])).unwrap();
        assert!(found.contains("beside the head"), "{found}");
    }

    #[test]
    fn a_lean_towards_one_side_is_told_from_chance() {
        let even: Vec<Load> = (0..12).map(|i| load(if i % 2 == 0 { 0.2 } else { -0.2 })).collect();
        assert!(!favours_base(&even));
        let lean: Vec<Load> = (0..12).map(|i| load(0.15 + 0.01 * f64::from(i % 3))).collect();
        assert!(favours_base(&lean));
        assert!(!favours_base(&[]));
    }
}
