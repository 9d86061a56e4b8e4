//! How sure a class is: looks are drawn again in blocks, and the class is judged each time.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::class;
use super::split::{Moment, Split};
use crate::model::activity::{Class, Confidence, Phase};
use crate::model::observation::{Source, Wait};

/// Series that are drawn.
const RESAMPLES: u32 = 500;
/// Looks of a block: neighbours are alike, and drawn one by one they would seem to be more
/// evidence than they are.
const BLOCK: usize = 5;
/// Most blocks that one series is drawn from; long runs have longer blocks.
const MOST_BLOCKS: usize = 400;
const SEED: u64 = 0x0061_7574_6f74_756e;

/// Of a run that is of one class, or of the least sure of its phases.
pub(super) fn of(class: Class, moments: &[Moment<'_>], phases: &[Phase]) -> Confidence {
    let parts: Vec<(Class, &[Moment<'_>])> = if phases.is_empty() {
        vec![(class, moments)]
    } else {
        let start = moments.first().map_or(0.0, |first| first.look.at_s - first.look.span_s);
        let at = |seconds: f64| {
            moments.partition_point(|moment| moment.look.at_s - start <= seconds + 1e-9)
        };
        let part = |phase: &Phase| (phase.class, &moments[at(phase.from_s)..at(phase.to_s)]);
        phases.iter().map(part).collect()
    };
    let each = parts.iter().map(|(class, part)| of_part(*class, part));
    each.min_by(|a, b| a.value.total_cmp(&b.value)).unwrap_or(Confidence {
        value: 0.0,
        agreement: 0.0,
        length: 0.0,
        attributed: 0.0,
        resamples: 0,
    })
}

fn of_part(class: Class, moments: &[Moment<'_>]) -> Confidence {
    let agreement = agreement(class, moments);
    let blocks = (moments.len() / BLOCK) as f64;
    // Not one whole block: half of what one would give.
    let length = if blocks > 0.0 { blocks / (blocks + 1.0) } else { 0.25 };
    let attributed = attributed(moments);
    let value = agreement * length * attributed;
    Confidence { value, agreement, length, attributed, resamples: RESAMPLES }
}

fn agreement(class: Class, moments: &[Moment<'_>]) -> f64 {
    let length = BLOCK.max(moments.len().div_ceil(MOST_BLOCKS));
    let blocks: Vec<&[Moment<'_>]> = moments.chunks(length).collect();
    if blocks.is_empty() {
        return 0.0;
    }
    // What a block adds is summed once, and the sums are drawn.
    let sums: Vec<Split> = blocks.iter().map(|block| Split::of(block)).collect();
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut same = 0_u32;
    for _ in 0..RESAMPLES {
        let mut drawn = Split::default();
        for _ in 0..sums.len() {
            drawn.join(&sums[chance.random_range(0..sums.len())]);
        }
        same += u32::from(class::of(&drawn) == class);
    }
    f64::from(same) / f64::from(RESAMPLES)
}

/// Share of the time of which something says what it was spent on: processors by the kernel's
/// account, waits by what was seen of them. What is only inferred from its neighbours counts half.
fn attributed(moments: &[Moment<'_>]) -> f64 {
    let (mut known, mut all) = (0.0, 0.0);
    for moment in moments {
        let span = moment.look.span_s;
        let cpu = moment.look.cpu_share() * span;
        let weight = match (moment.waiting.kind, moment.waiting.source) {
            (Wait::Unknown, _) => 0.0,
            (_, Source::Neighbours) => 0.5,
            _ => 1.0,
        };
        known += cpu + (span - cpu) * weight;
        all += span;
    }
    if all > 0.0 { known / all } else { 0.0 }
}
