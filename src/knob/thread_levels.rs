//! Which thread counts are worth trying on a machine; both thread knobs use it.

use super::{Ground, Knob, Offer};
use crate::model::Level;

/// Levels of one thread axis at most.
const LIMIT: usize = 8;

/// The levels of a thread knob whose baseline level is `own`.
pub(super) fn offer(knob: &dyn Knob, ground: &Ground<'_>, own: u32) -> Offer {
    let usable = ground.usable_threads.max(1);
    let mut offer = Offer {
        levels: levels(ground.physical_cores, usable, own).into_iter().map(Level::Count).collect(),
        rejected: Vec::new(),
    };
    let beyond = ground.online_threads;
    if beyond > usable && beyond != own {
        let reason = format!("this process may use {usable} of the machine's {beyond} threads");
        offer.reject(knob, Some(Level::Count(beyond)), reason);
    }
    if offer.levels.len() < 2 {
        offer.reject(knob, None, "only one thread can be used here");
    }
    offer
}

/// 1, 2, the physical cores, the usable threads, powers of two and the points three quarters of
/// the way to them; thinned where they are closest until [`LIMIT`] are left. Nothing beyond the
/// usable threads but the baseline itself.
fn levels(physical: u32, usable: u32, own: u32) -> Vec<u32> {
    let kept = [1, physical.min(usable), usable, own];
    let powers = (0..31).map(|exponent| 1_u32 << exponent);
    let mut levels: Vec<u32> = powers
        .flat_map(|power| [power, power / 4 * 3])
        .chain(kept)
        .filter(|level| *level > 0 && (*level <= usable || *level == own))
        .collect();
    levels.sort_unstable();
    levels.dedup();
    while levels.len() > LIMIT {
        let closest = (1..levels.len() - 1)
            .filter(|place| !kept.contains(&levels[*place]))
            .min_by(|a, b| spread(&levels, *a).total_cmp(&spread(&levels, *b)));
        match closest {
            Some(place) => levels.remove(place),
            None => break,
        };
    }
    levels
}

/// How far apart the neighbours of a level are, as a ratio.
fn spread(levels: &[u32], place: usize) -> f64 {
    f64::from(levels[place + 1]) / f64::from(levels[place - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_follow_the_machine() {
        for (physical, usable, own, expected) in [
            (1, 1, 1, &[1][..]),
            (2, 2, 2, &[1, 2]),
            (1, 2, 1, &[1, 2]),
            (4, 8, 4, &[1, 2, 3, 4, 6, 8]),
            (6, 6, 6, &[1, 2, 3, 4, 6]),
            // A quota of two cores on a machine with 16: the baseline stays what it is.
            (16, 2, 16, &[1, 2, 16]),
        ] {
            assert_eq!(levels(physical, usable, own), expected, "{physical}/{usable}");
        }
    }

    proptest! {
        #[test]
        fn levels_are_few_sorted_and_usable(physical in 1_u32..600, usable in 1_u32..600) {
            let levels = levels(physical, usable, physical);
            prop_assert!(levels.len() <= LIMIT);
            prop_assert!(levels.is_sorted_by(|a, b| a < b));
            prop_assert!(levels.iter().all(|level| *level <= usable || *level == physical));
            prop_assert!(levels.contains(&1) && levels.contains(&usable) && levels.contains(&physical));
        }
    }
}
