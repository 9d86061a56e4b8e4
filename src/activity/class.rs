//! The class of a split of time.

use super::split::Split;
use crate::model::activity::Class;
use crate::model::observation::Wait;

/// A card that computes for so much of the time is what the rest waits for.
const CARD_FULL: f64 = 0.8;
/// One that computes for less than this is not what the program is about.
const CARD_USED: f64 = 0.05;
/// From so many processors wanted at once on, it is parallel.
const PARALLEL: f64 = 1.5;
/// Below it the first of the shares does not speak for the whole …
const MOST: f64 = 0.5;
/// … where the second is at least this.
const SECOND: f64 = 0.3;

/// What makes it slow. A card that is in use goes before everything: a thread that waits for it
/// often spins, and then looks like work.
pub(super) fn of(split: &Split) -> Class {
    if let Some(card) = split.card().filter(|card| *card >= CARD_USED) {
        return if card >= CARD_FULL { Class::GpuBound } else { Class::GpuStarved };
    }
    let cpu_class =
        if split.parallelism() >= PARALLEL { Class::CpuParallel } else { Class::CpuOneThread };
    let mut shares = [
        (split.cpu(), cpu_class),
        (split.wait(Wait::Network), Class::NetworkBound),
        (split.wait(Wait::Disk), Class::DiskBound),
        // Without numbers of the card: nothing but the waits tells of it.
        (split.wait(Wait::Gpu), Class::GpuBound),
        (split.idle(), Class::Idle),
    ];
    shares.sort_by(|a, b| b.0.total_cmp(&a.0));
    let [first, second, ..] = shares;
    if first.0 < MOST && second.0 >= SECOND { Class::Mixed } else { first.1 }
}

/// What it waits for most, where the class is about waiting.
pub(super) fn waits_for(class: Class, split: &Split) -> Option<Wait> {
    let most = |kinds: &dyn Fn(Wait) -> bool| {
        let waits = split.waits.iter().filter(|(kind, _)| kinds(**kind));
        waits.max_by(|a, b| a.1.seconds.total_cmp(&b.1.seconds)).map(|(kind, _)| *kind)
    };
    match class {
        Class::NetworkBound => Some(Wait::Network),
        Class::DiskBound => Some(Wait::Disk),
        Class::Idle => most(&|kind| !matches!(kind, Wait::Disk | Wait::Network | Wait::Gpu)),
        Class::Mixed | Class::GpuStarved => most(&|_| true),
        Class::CpuOneThread | Class::CpuParallel | Class::MemoryBandwidth | Class::GpuBound => None,
    }
}
