//! Functions that ran, and what looking at them cost.

use autotune_engine::api::{FunctionUse, PhaseUse, Stretch};

use super::{Evidence, seconds};
use crate::model::{FunctionShare, Sampling};
use crate::stats::{Estimate, paired_change};

/// Functions that are kept of each stretch.
const MOST_FUNCTIONS: usize = 100;

/// The functions of each stretch with their shares, the most frequent first.
pub(super) fn functions(seen: &[FunctionUse]) -> Vec<FunctionShare> {
    let mut found = Vec::new();
    for stretch in [Stretch::Prefill, Stretch::Decode] {
        let own = || seen.iter().filter(move |one| one.stretch == stretch);
        let all: u64 = own().map(|one| one.samples).sum();
        found.extend(own().take(MOST_FUNCTIONS).map(|one| FunctionShare {
            stretch,
            function: one.function.clone(),
            module: one.module.clone(),
            samples: one.samples,
            share: one.samples as f64 / all.max(1) as f64,
        }));
    }
    found
}

pub(super) fn sampling(evidence: &Evidence<'_>, functions: &[FunctionShare]) -> Option<Sampling> {
    let program = evidence.program;
    Some(Sampling {
        event: program.sampled_event.clone()?,
        hz: evidence.sample_hz,
        samples: functions.iter().map(|one| one.samples).sum(),
        lost: program.lost_samples,
        overhead: overhead(&program.phases),
    })
}

/// Processor time of a repetition with samples over that of its neighbour without: pairs of the
/// first and second, the fourth and third of every four.
fn overhead(phases: &[PhaseUse]) -> Option<Estimate> {
    let cpu = |repetition: u32, sampled: bool| {
        let own = phases.iter().filter(|phase| {
            (phase.repetition, phase.sampled) == (repetition, sampled)
                && phase.stretch != Stretch::Load
        });
        Some(own.map(|phase| seconds(phase.cpu_ns)).sum::<f64>()).filter(|sum| *sum > 0.0)
    };
    let last = phases.iter().map(|phase| phase.repetition).max()?;
    let mut differences = Vec::new();
    for four in 0..=last / 4 {
        for (plain, sampled) in [(0, 1), (3, 2)] {
            let pair = cpu(4 * four + plain, false).zip(cpu(4 * four + sampled, true));
            differences.extend(pair.map(|(plain, sampled)| (sampled / plain).ln()));
        }
    }
    if differences.len() < 2 {
        return None;
    }
    paired_change(&differences, 0.95, 0.0).map(|change| change.speed_ratio)
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::KernelUse;

    use super::*;

    fn phase(repetition: u32, sampled: bool, cpu_ns: u64) -> PhaseUse {
        PhaseUse {
            stretch: Stretch::Decode,
            repetition,
            sampled,
            tokens: 8,
            elapsed_ns: 1,
            cpu_ns,
            kernel: KernelUse::default(),
            counts: Vec::new(),
        }
    }

    #[test]
    fn overhead_is_a_ratio_of_neighbours() {
        let phases: Vec<PhaseUse> = (0..8)
            .map(|repetition| {
                let sampled = matches!(repetition % 4, 1 | 2);
                // The machine slows down all the time; neighbours do not see it.
                let drift = 1000.0 * 1.001_f64.powi(repetition);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "small"
                )]
                let cpu = (drift * if sampled { 1.02e6 } else { 1e6 }) as u64;
                phase(u32::try_from(repetition).unwrap(), sampled, cpu)
            })
            .collect();
        let overhead = overhead(&phases).unwrap();
        assert_eq!(overhead.n, 4);
        assert!((overhead.value - 1.02).abs() < 1e-3, "{overhead:?}");
        assert!(overhead.low < Some(1.02) && overhead.high > Some(1.02), "{overhead:?}");
        assert_eq!(super::overhead(&phases[..2]), None, "one pair has no interval");
    }
}
