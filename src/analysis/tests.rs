//! What may be said, tried on machines whose truth is known.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::findings;
use super::fixture::{CRASHING, FLAT, NOISY, QUIET, Sweep};
use crate::model::{Findings, Level, Outcome, Phase, Purpose, Source, Verdict};
use crate::stats::Separation;

fn judge(sweep: &Sweep) -> Findings {
    findings(&sweep.plan, &sweep.trials, "it was time")
}

/// A whole sweep on the quiet machine that confirms four threads.
fn quiet() -> Sweep {
    let mut sweep = Sweep::new(QUIET, 5);
    sweep.screen(3);
    let winner = sweep.with("threads", &Level::Count(4));
    let other = sweep.with("ubatch", &Level::Count(128));
    sweep.pairs(Purpose::Finalist, &winner, 4);
    sweep.pairs(Purpose::Finalist, &other, 4);
    sweep.pairs(Purpose::Confirm, &winner, 8);
    sweep.curve(&winner, 3);
    sweep
}

#[test]
fn a_true_gain_is_confirmed_with_an_interval_that_holds_the_truth() {
    let sweep = quiet();
    let found = judge(&sweep);
    let winner = sweep.with("threads", &Level::Count(4));
    assert_eq!(found.best.setting, winner);
    let Verdict::Confirmed { turn, decode, prefill, evidence } = &found.verdict else {
        panic!("{:?}", found.verdict)
    };
    assert_eq!(turn.separation, Separation::Faster);
    assert_eq!(evidence.len(), 16);
    // The truth by the formulas of the simulated machine: only generation has more bandwidth.
    let decode = decode.unwrap();
    assert_eq!(decode.separation, Separation::Faster);
    assert!(decode.speed_ratio.low.unwrap() > 1.6 && decode.speed_ratio.high.unwrap() < 2.0);
    assert_eq!(prefill.unwrap().separation, Separation::NotSeparated);
}

#[test]
fn baseline_and_best_are_shown_by_the_same_blocks() {
    let sweep = quiet();
    let found = judge(&sweep);
    let of_confirmation = |id: &u32| sweep.trials[*id as usize - 1].purpose == Purpose::Confirm;
    for candidate in [&found.baseline, &found.best] {
        assert_eq!(candidate.evidence.len(), 8);
        assert!(candidate.evidence.iter().all(of_confirmation));
        let decode = candidate.decode_tok_per_s.unwrap();
        assert!(decode.low.unwrap() <= decode.value && decode.value <= decode.high.unwrap());
        let itl = candidate.itl_p50_s.unwrap();
        assert!((itl * decode.value - 1.0).abs() < 0.05);
        assert_eq!(candidate.itl_p99_s, None, "64 tokens bound no 99th percentile");
        assert!(candidate.ttft_s.unwrap().value < candidate.turn_s.unwrap().value);
        assert!(candidate.peak_resident_bytes.is_some() && !candidate.buffers.is_empty());
    }
}

#[test]
fn the_step_of_the_right_knob_is_named() {
    let found = judge(&quiet());
    let [effect] = &found.effects[..] else { panic!("{:?}", found.effects) };
    assert_eq!((effect.knob.as_str(), &effect.to), ("threads", &Level::Count(4)));
    assert_eq!(effect.alone.unwrap().separation, Separation::Faster);
    assert_eq!(effect.evidence.len(), 16, "one change: the confirmation measures it");
}

#[test]
fn curves_hold_every_level_with_speed_up_and_efficiency() {
    let found = judge(&quiet());
    let curve = |knob: &str, phase| {
        found.curves.iter().find(|curve| curve.knob == knob && curve.phase == phase)
    };
    let threads = curve("threads", Phase::Decode).unwrap();
    assert!(curve("threads", Phase::Prefill).is_none());
    let levels: Vec<&Level> = threads.points.iter().map(|point| &point.level).collect();
    assert_eq!(levels, [&Level::Count(1), &Level::Count(2), &Level::Count(4)]);
    assert_eq!(threads.points[0].speedup, Some(1.0));
    let last = &threads.points[2];
    assert!((last.efficiency.unwrap() - last.speedup.unwrap() / 4.0).abs() < 1e-12);
    assert!(last.efficiency.unwrap() < 0.95 && last.efficiency.unwrap() > 0.7);
    let ubatch = curve("ubatch", Phase::Prefill).unwrap();
    assert!(ubatch.points.iter().all(|point| point.efficiency.is_none()));
    assert!(curve("isa_variant", Phase::Decode).is_some());
}

#[test]
fn a_level_that_fails_stays_on_its_curve_without_a_number() {
    let mut sweep = Sweep::new(CRASHING, 1);
    let baseline = sweep.plan.baseline.clone();
    sweep.curve(&baseline, 2);
    let found = judge(&sweep);
    let curve = found.curves.iter().find(|curve| curve.knob == "ubatch").unwrap();
    let broken = &curve.points[2];
    assert_eq!((&broken.level, broken.tok_per_s), (&Level::Count(2048), None));
    assert_eq!(broken.evidence.len(), 2);
    let [failure] = &found.failures[..] else { panic!("{:?}", found.failures) };
    assert_eq!((failure.kind.as_str(), &failure.evidence), ("crashed", &broken.evidence));
    assert_eq!(found.trials_failed, 2);
    assert_eq!(found.trials_measured as usize, sweep.trials.len() - 2);
}

#[test]
fn a_winner_that_fails_when_tried_again_is_not_recommended() {
    let mut sweep = Sweep::new(CRASHING, 1);
    let deadly = sweep.with("ubatch", &Level::Count(2048));
    sweep.pairs(Purpose::Confirm, &deadly, 8);
    let found = judge(&sweep);
    let Verdict::Unconfirmed { reason } = &found.verdict else { panic!("{:?}", found.verdict) };
    assert!(reason.contains("failed in trial 1: crashed"), "{reason}");
    assert_eq!(found.best.setting, sweep.plan.baseline);
    assert!(found.effects.is_empty());
}

#[test]
fn without_enough_pairs_nothing_is_confirmed() {
    let mut sweep = Sweep::new(QUIET, 1);
    let winner = sweep.with("threads", &Level::Count(4));
    sweep.pairs(Purpose::Confirm, &winner, 5);
    let found = judge(&sweep);
    let Verdict::Unconfirmed { reason } = &found.verdict else { panic!("{:?}", found.verdict) };
    assert_eq!(reason, "5 of the 6 pairs that a confirmation takes were run");
    assert_eq!(found.best.setting, sweep.plan.baseline);
}

#[test]
fn a_confirmation_that_the_budget_cut_short_is_judged_and_says_so() {
    let mut sweep = Sweep::new(QUIET, 1);
    let winner = sweep.with("threads", &Level::Count(4));
    sweep.pairs(Purpose::Confirm, &winner, 7);
    let found = judge(&sweep);
    assert!(matches!(found.verdict, Verdict::Confirmed { .. }), "{:?}", found.verdict);
    assert_eq!(found.best.setting, winner);
    let told = "the confirmation has 7 pairs instead of 8 or more: its time was up";
    assert!(found.caveats.iter().any(|caveat| caveat == told), "{:?}", found.caveats);
    let mut whole = Sweep::new(QUIET, 1);
    whole.pairs(Purpose::Confirm, &winner, 8);
    assert!(!judge(&whole).caveats.iter().any(|it| it.contains("its time was up")));
}

#[test]
fn a_search_that_was_cut_short_says_so_without_a_number() {
    let mut sweep = Sweep::new(QUIET, 1);
    sweep.screen(1);
    let found = judge(&sweep);
    let Verdict::Unconfirmed { reason } = &found.verdict else { panic!("{:?}", found.verdict) };
    assert_eq!(reason, "a setting looked better, but no confirmation was run");
    let mut slower = Sweep::new(QUIET, 1);
    let worse = slower.with("threads", &Level::Count(1));
    slower.pairs(Purpose::Finalist, &worse, 4);
    let Verdict::Unconfirmed { reason } = judge(&slower).verdict else { panic!("not tried") };
    assert_eq!(reason, "4 of 5 levels were not tried, so a better one may be among them");
    slower.screen(1);
    assert_eq!(judge(&slower).verdict, Verdict::KeepBaseline);
    let better = slower.with("threads", &Level::Count(4));
    slower.pairs(Purpose::Finalist, &better, 4);
    assert!(matches!(judge(&slower).verdict, Verdict::Unconfirmed { .. }));
}

#[test]
fn nothing_at_all_is_no_finding() {
    let found = judge(&Sweep::new(QUIET, 1));
    assert!(matches!(found.verdict, Verdict::Unconfirmed { .. }));
    assert_eq!((found.noise, found.trials_measured), (None, 0));
    assert!(found.baseline.turn_s.is_none() && found.curves.is_empty());
}

#[test]
fn pairs_never_span_a_restart_or_the_cache() {
    let mut sweep = Sweep::new(QUIET, 1);
    let winner = sweep.with("threads", &Level::Count(4));
    let baseline = sweep.plan.baseline.clone();
    for block in 0..8 {
        sweep.session = 0;
        sweep.visit(Purpose::Confirm, block, &winner);
        sweep.session = 1;
        sweep.visit(Purpose::Confirm, block, &baseline);
    }
    let found = judge(&sweep);
    assert!(
        matches!(&found.verdict, Verdict::Unconfirmed { reason } if reason.starts_with("0 of"))
    );
    assert!(found.caveats.iter().any(|caveat| caveat.contains("interrupted and continued 1")));
    let mut cached = Sweep::new(QUIET, 1);
    cached.pairs(Purpose::Confirm, &winner, 8);
    for trial in &mut cached.trials {
        trial.source = Source::Cache;
    }
    let found = judge(&cached);
    assert!(matches!(&found.verdict, Verdict::Unconfirmed { .. }));
    assert_eq!((found.trials_measured, found.trials_cached), (0, 16));
}

#[test]
fn what_cannot_be_told_from_the_best_is_tied_with_it() {
    let mut sweep = quiet();
    assert!(judge(&sweep).tied_with.is_empty());
    // A setting that differs in nothing that matters, in blocks with the best.
    let best = sweep.with("threads", &Level::Count(4));
    let mut twin = best.clone();
    twin.threads.poll = 0;
    for block in 10..16 {
        sweep.visit(Purpose::Finalist, block, &twin);
        sweep.visit(Purpose::Finalist, block, &best);
    }
    assert_eq!(judge(&sweep).tied_with, [twin]);
}

#[test]
fn identical_settings_are_separated_in_at_most_one_of_twenty_sweeps() {
    for (world, pairs) in [(FLAT, 8), (FLAT, 16), (NOISY, 12)] {
        let seeds = 400;
        let mut separated = 0;
        for seed in 0..seeds {
            let mut sweep = Sweep::new(world, seed);
            let mut twin = sweep.plan.baseline.clone();
            twin.threads.poll = 0;
            sweep.pairs(Purpose::Confirm, &twin, pairs);
            let found = judge(&sweep);
            let Verdict::Confirmed { turn, .. } = found.verdict else { panic!("not confirmed") };
            separated += u32::from(turn.separation != Separation::NotSeparated);
            if turn.separation != Separation::Faster {
                assert_eq!(found.best.setting, sweep.plan.baseline);
            }
        }
        assert!(separated <= 20, "{separated} of {seeds} with {pairs} pairs");
    }
}

#[test]
fn noise_and_drift_are_told() {
    let mut loud = Sweep::new(NOISY, 3);
    loud.screen(4);
    let found = judge(&loud);
    assert!(found.noise.unwrap() > 0.05, "{:?}", found.noise);
    let mut calm = Sweep::new(QUIET, 3);
    calm.screen(4);
    assert!(judge(&calm).noise.unwrap() < 0.03);
    assert!(!judge(&calm).caveats.iter().any(|caveat| caveat.contains("loud")));
    let heating = QUIET.replace("drift_sd = 0.005", "drift_sd = 0.0\ntrend_per_hour = 20.0");
    let mut heating = Sweep::new(&heating, 3);
    heating.screen(4);
    let caveats = judge(&heating).caveats;
    assert!(caveats.iter().any(|caveat| caveat.contains("became slower")), "{caveats:?}");
}

#[test]
fn another_day_is_no_drift() {
    let mut sweep = Sweep::new(&QUIET.replace("_sd = 0.0", "_sd = 0.000_0"), 3);
    sweep.screen(2);
    sweep.session = 1;
    sweep.screen(2);
    for trial in sweep.trials.iter_mut().filter(|trial| trial.session == 1) {
        let Outcome::Measured(measured) = &mut trial.outcome else { panic!("it ran") };
        measured.samples[0].prefill_ns *= 2;
        measured.samples[0].decode_ns *= 2;
    }
    let caveats = judge(&sweep).caveats;
    assert!(!caveats.iter().any(|caveat| caveat.contains("became")), "{caveats:?}");
}

#[test]
fn pairs_in_one_order_only_are_doubted() {
    let mut sweep = Sweep::new(QUIET, 1);
    let winner = sweep.with("threads", &Level::Count(4));
    let baseline = sweep.plan.baseline.clone();
    for block in 0..8 {
        sweep.visit(Purpose::Confirm, block, &baseline);
        sweep.visit(Purpose::Confirm, block, &winner);
    }
    let caveats = judge(&sweep).caveats;
    assert!(caveats.iter().any(|caveat| caveat.contains("in the same order")), "{caveats:?}");
}

#[test]
fn pairs_that_depend_on_each_other_are_doubted() {
    // Every visit takes what it took in truth, but half of the confirmation has a slower winner.
    let mut sweep = Sweep::new(&QUIET.replace("_sd = 0.0", "_sd = 0.000_0"), 1);
    let winner = sweep.with("threads", &Level::Count(4));
    sweep.pairs(Purpose::Confirm, &winner, 16);
    assert!(!judge(&sweep).caveats.iter().any(|caveat| caveat.contains("neighbouring")));
    for trial in sweep.trials.iter_mut().filter(|trial| trial.asked == winner && trial.block < 8) {
        let Outcome::Measured(measured) = &mut trial.outcome else { panic!("it ran") };
        measured.samples[0].decode_ns += measured.samples[0].decode_ns / 2;
    }
    let caveats = judge(&sweep).caveats;
    assert!(caveats.iter().any(|caveat| caveat.contains("neighbouring pairs")), "{caveats:?}");
}

#[test]
fn doubts_of_trials_are_counted() {
    let mut sweep = Sweep::new(QUIET, 1);
    sweep.screen(1);
    for trial in sweep.trials.iter_mut().take(3) {
        trial.caveats.push("the clock dropped".to_owned());
    }
    let caveats = judge(&sweep).caveats;
    assert!(caveats.contains(&"in 3 trials: the clock dropped".to_owned()), "{caveats:?}");
    assert!(caveats[0].contains("simulated"));
}

/// Every trial that a document cites.
fn cited(found: &Findings) -> BTreeSet<u32> {
    let mut cited = BTreeSet::new();
    cited.extend(found.baseline.evidence.iter().chain(&found.best.evidence));
    cited.extend(found.curves.iter().flat_map(|it| &it.points).flat_map(|it| &it.evidence));
    cited.extend(found.effects.iter().flat_map(|it| &it.evidence));
    cited.extend(found.failures.iter().flat_map(|it| &it.evidence));
    if let Verdict::Confirmed { evidence, .. } = &found.verdict {
        cited.extend(evidence);
    }
    cited
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_missing_only_trials_that_exist_are_cited(
        kept in proptest::collection::vec(any::<bool>(), 200),
        purposes in proptest::collection::vec(0_usize..4, 200),
    ) {
        let mut sweep = quiet();
        let all = [Purpose::Search, Purpose::Ablation, Purpose::Finalist, Purpose::Confirm];
        for (trial, purpose) in sweep.trials.iter_mut().zip(&purposes) {
            // Half of the journals are shuffled across purposes too.
            if purposes[0] > 1 {
                trial.purpose = all[*purpose];
            }
        }
        let mut index = 0;
        sweep.trials.retain(|_| { index += 1; kept[index - 1] });
        let found = judge(&sweep);
        let existing: BTreeSet<u32> = sweep.trials.iter().map(|trial| trial.id).collect();
        prop_assert!(cited(&found).is_subset(&existing));
        if let Verdict::Confirmed { evidence, .. } = &found.verdict {
            for trial in sweep.trials.iter().filter(|trial| evidence.contains(&trial.id)) {
                prop_assert_eq!(trial.purpose, Purpose::Confirm);
            }
        }
        let json = serde_json::to_string(&found).unwrap();
        // Numbers may lose their last bit on the way, a document may not.
        let read: Findings = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(cited(&read), cited(&found));
    }
}

#[test]
fn the_best_found_is_what_was_frozen_or_else_what_ran_fastest() {
    let mut sweep = Sweep::new(QUIET, 5);
    let found = |sweep: &Sweep| super::best_found(&sweep.plan, &sweep.trials);
    assert_eq!(found(&sweep), None);
    let baseline = sweep.plan.baseline.clone();
    sweep.visit(Purpose::Fitness, 0, &baseline);
    assert_eq!(found(&sweep), None, "the default is no other setting");
    let slow = sweep.with("threads", &Level::Count(1));
    let fast = sweep.with("threads", &Level::Count(4));
    for setting in [&slow, &fast] {
        sweep.pairs(Purpose::Search, setting, 2);
    }
    assert_eq!(found(&sweep).as_ref(), Some(&fast));
    sweep.pairs(Purpose::Confirm, &slow, 2);
    assert_eq!(found(&sweep).as_ref(), Some(&slow), "the search had frozen it");
}
