//! The first look at a model: how fast its baseline is, tried again where that ends badly.

use autotune_engine::api::{Failure, Setting, VariantFault, VariantReport, VariantVerdict};

use crate::model::Calibration;

/// Variants that may die with the model before it is taken to be the model's own doing.
const VARIANTS: usize = 3;

/// Calibrates the baseline, at most twice with each variant. One that crashes both times is marked
/// as failed, so that `baseline` takes the next one. Nothing is repeated once `interrupted`.
pub(super) fn calibrated(
    variants: &mut [VariantReport],
    baseline: impl Fn(&[VariantReport]) -> Setting,
    mut attempt: impl FnMut(&Setting) -> Result<Calibration, Failure>,
    interrupted: impl Fn() -> bool,
) -> Result<Calibration, Failure> {
    let mut first_failure = None;
    for _ in 0..VARIANTS {
        let setting = baseline(variants);
        let failure = match attempt(&setting) {
            Err(_) if !interrupted() => match attempt(&setting) {
                Err(failure) if !interrupted() => failure,
                ended => return ended,
            },
            ended => return ended,
        };
        let passed_over = pass_over(variants, &setting, &failure);
        first_failure.get_or_insert(failure);
        if !passed_over {
            break;
        }
    }
    Err(first_failure.expect("the loop ends early only with a failure"))
}

/// Marks the variant of a setting that crashed; whether there is another one to try.
fn pass_over(variants: &mut [VariantReport], setting: &Setting, failure: &Failure) -> bool {
    let VariantFault::Crashed = VariantFault::of(failure) else { return false };
    let name = setting.process.isa_variant.as_deref();
    let Some(variant) = variants.iter_mut().find(|it| Some(it.name.as_str()) == name) else {
        return false;
    };
    variant.verdict = VariantVerdict::Failed {
        fault: VariantFault::Crashed,
        reason: format!("it passed its self-test and died with this model: {failure}"),
    };
    variants.iter().any(VariantReport::usable)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::plan;
    use crate::plan::tests::{card, chat, here, variants};

    fn crash(signal: i32) -> Failure {
        let reason = format!("signal {signal}");
        Failure::Crashed { signal: Some(signal), exit_code: None, reason, log: Vec::new() }
    }

    fn baseline(variants: &[VariantReport]) -> Setting {
        plan::baseline(&card(), &here(), &chat(), variants).0
    }

    /// Calibrates with these answers in order; the result and the variants that were tried.
    fn calibrate_with(
        variants: &mut [VariantReport],
        answers: Vec<Result<u64, Failure>>,
        stop_after: usize,
    ) -> (Result<u64, Failure>, Vec<String>) {
        let (mut answers, mut tried) = (answers.into_iter(), Vec::new());
        let count = Cell::new(0);
        let attempt = |setting: &Setting| {
            tried.push(setting.process.isa_variant.clone().unwrap_or_default());
            count.set(count.get() + 1);
            let elapsed_ms = answers.next().expect("no attempt too many")?;
            Ok(Calibration {
                prefill_tok_per_s: None,
                decode_tok_per_s: None,
                transition_ms: 0,
                elapsed_ms,
            })
        };
        let result = calibrated(variants, baseline, attempt, || count.get() >= stop_after);
        assert_eq!(answers.count(), 0, "every answer was asked for");
        (result.map(|found| found.elapsed_ms), tried)
    }

    #[test]
    fn one_mishap_is_forgiven() {
        for mishap in [crash(4), crash(9), Failure::TimedOut { deadline_ms: 1, log: Vec::new() }] {
            let mut found = variants();
            let (result, tried) = calibrate_with(&mut found, vec![Err(mishap), Ok(7)], 99);
            assert_eq!((result, tried), (Ok(7), vec!["icelake".to_owned(); 2]));
            assert_eq!(found, variants());
        }
    }

    #[test]
    fn a_variant_that_dies_with_the_model_is_replaced_and_the_plan_says_so() {
        let mut found = variants().split_off(1);
        let answers = vec![Err(crash(11)), Err(crash(11)), Ok(7)];
        let (result, tried) = calibrate_with(&mut found, answers, 99);
        assert_eq!((result, tried[2].as_str()), (Ok(7), "haswell"));
        let notes = plan::baseline(&card(), &here(), &chat(), &found).1;
        assert!(notes[0].contains("`icelake`") && notes[0].contains("signal 11"), "{notes:?}");
        assert!(notes[0].contains("died with this model"), "{notes:?}");
    }

    #[test]
    fn the_first_failure_is_told_where_nothing_helps() {
        let answers = [11, 11, 6, 6].map(|signal| Err(crash(signal))).to_vec();
        let (result, tried) = calibrate_with(&mut variants(), answers, 99);
        assert_eq!(result, Err(crash(11)));
        assert_eq!(tried, ["icelake", "icelake", "haswell", "haswell"]);
        // Who was killed from outside says nothing about the variant.
        let killed = vec![Err(crash(9)), Err(crash(9))];
        let mut found = variants();
        assert_eq!(calibrate_with(&mut found, killed, 99).0, Err(crash(9)));
        assert_eq!(found, variants());
    }

    #[test]
    fn nothing_is_repeated_after_an_interruption() {
        let cancelled = Failure::refused("the job was cancelled");
        let (result, tried) = calibrate_with(&mut variants(), vec![Err(cancelled.clone())], 1);
        assert_eq!((result, tried.len()), (Err(cancelled), 1));
    }
}
