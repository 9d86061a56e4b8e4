//! What speaks against a slowdown being the code's: the machine itself moved.

use super::Finish;
use crate::model::Canary;
use crate::stats;

/// How much the canary may differ between the sides before a slowdown may be the machine's.
const CANARY_ZONE: f64 = 0.005;

/// What speaks against a failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The fixed piece of work.
    pub canary: Option<Canary>,
    /// Why a failure may be the machine's, one sentence.
    pub against: Option<String>,
}

/// The canary's own comparison, from seconds beside base and head, one pair per block.
#[must_use]
pub fn canary(songs: &[[f64; 2]]) -> Option<Canary> {
    let of = |side: usize| stats::median(&songs.iter().map(|pair| pair[side]).collect::<Vec<_>>());
    let differences: Vec<f64> = songs.iter().map(|[base, head]| (head / base).ln()).collect();
    let middle = stats::median(&differences)?;
    let interval = stats::student_t_interval(&differences, 0.99);
    Some(Canary {
        base_s: of(0)?,
        head_s: of(1)?,
        slowdown: middle.exp_m1(),
        interval: interval.map(|(low, high)| (low.exp_m1(), high.exp_m1())),
        moved: interval.is_some_and(|(low, _)| low > CANARY_ZONE),
    })
}

/// What a race says about the machine.
#[must_use]
pub fn evidence(finish: &Finish) -> Evidence {
    let canary = canary(&finish.canary);
    let moved = canary.as_ref().filter(|canary| canary.moved).map(|canary| {
        format!(
            "a fixed piece of work took {:.1} % longer beside the head too",
            100.0 * canary.slowdown
        )
    });
    let leans = finish.leans.then(|| {
        "other programs kept the machine busier beside the head than beside the base".to_owned()
    });
    Evidence { canary, against: moved.or(leans) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_that_slows_with_the_head_is_noticed_and_one_that_wavers_is_not() {
        let slow: Vec<[f64; 2]> =
            (0..8).map(|i| [0.01, 0.0103 + 0.00001 * f64::from(i % 2)]).collect();
        assert!(canary(&slow).unwrap().moved);
        let wavers: Vec<[f64; 2]> =
            (0..8).map(|i| [0.01, if i % 2 == 0 { 0.011 } else { 0.0091 }]).collect();
        assert!(!canary(&wavers).unwrap().moved);
        assert_eq!(canary(&[]), None);
        assert_eq!(canary(&[[0.01, 0.02]]).unwrap().interval, None);
    }
}
