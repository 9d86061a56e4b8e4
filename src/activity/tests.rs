//! Series with known truths.

use proptest::prelude::*;

use super::fixture::{SPAN_S, Stretch, series};
use super::judge;
use crate::model::activity::{Begin, Class, CommandProfile, End};
use crate::model::observation::{Look, Series, Source, ThreadUse, Wait, Waiting};

fn judged(series: &Series) -> CommandProfile {
    judge(vec!["program".to_owned()], Begin::Launched, End::Exited { code: 0 }, series)
}

fn of(stretches: &[Stretch]) -> CommandProfile {
    judged(&series(stretches))
}

fn says(profile: &CommandProfile, words: &str) -> bool {
    profile.evidence.iter().any(|sentence| sentence.contains(words))
}

#[test]
fn every_class_is_told_from_what_made_it() {
    let plain = Stretch::new;
    let card = |used, waiting, busy| Stretch { card: Some(busy), ..plain(200, used, waiting) };
    for (stretch, class, waits_for) in [
        (plain(200, 0.1, Some(Wait::Network)), Class::NetworkBound, Some(Wait::Network)),
        (plain(200, 0.3, Some(Wait::Disk)), Class::DiskBound, Some(Wait::Disk)),
        (plain(200, 0.99, Some(Wait::Lock)), Class::CpuOneThread, None),
        (plain(200, 6.5, None), Class::CpuParallel, None),
        (plain(200, 0.01, Some(Wait::Sleep)), Class::Idle, Some(Wait::Sleep)),
        (plain(200, 0.01, Some(Wait::Requests)), Class::Idle, Some(Wait::Requests)),
        (plain(200, 0.0, Some(Wait::Lock)), Class::Idle, Some(Wait::Lock)),
        // A thread that waits for a card spins.
        (card(1.0, None, 0.97), Class::GpuBound, None),
        (card(1.0, None, 0.3), Class::GpuStarved, None),
        (card(0.2, Some(Wait::Disk), 0.3), Class::GpuStarved, Some(Wait::Disk)),
        // A card that somebody else uses a little, or that was used once.
        (card(1.0, None, 0.01), Class::CpuOneThread, None),
    ] {
        let profile = of(&[stretch]);
        assert_eq!((profile.class, profile.waits_for), (class, waits_for), "{stretch:?}");
        assert!(profile.phases.is_empty(), "{stretch:?}");
        assert!(profile.confidence.value > 0.9 && profile.confidence.value < 1.0);
        assert!(!profile.strategies.is_empty() && !profile.evidence.is_empty());
    }
}

#[test]
fn waiting_for_a_processor_is_wanting_it() {
    let crowded = Stretch { queued: 0.6, ..Stretch::new(200, 0.4, Some(Wait::Sleep)) };
    let profile = of(&[crowded]);
    assert_eq!(profile.class, Class::CpuOneThread);
    assert!(says(&profile, "Threads that were ready waited"), "{:?}", profile.evidence);
    let crowded = Stretch { queued: 4.0, ..Stretch::new(200, 4.0, None) };
    assert_eq!(of(&[crowded]).class, Class::CpuParallel);
}

#[test]
fn phases_of_different_classes_are_mixed_and_told_one_by_one() {
    let profile = of(&[
        Stretch::new(150, 0.05, Some(Wait::Disk)),
        Stretch::new(500, 7.5, None),
        Stretch::new(150, 0.02, Some(Wait::Network)),
    ]);
    assert_eq!(profile.class, Class::Mixed);
    let classes: Vec<Class> = profile.phases.iter().map(|phase| phase.class).collect();
    assert_eq!(classes, [Class::DiskBound, Class::CpuParallel, Class::NetworkBound]);
    assert!((profile.phases[1].from_s - 3.0).abs() < 0.3, "{:?}", profile.phases);
    assert!((profile.phases[1].to_s - 13.0).abs() < 0.3, "{:?}", profile.phases);
    assert!(profile.confidence.value > 0.7, "{:?}", profile.confidence);
}

/// Recorded on a virtual machine with 2 processors while a compiler ran beside it: `dd` writes
/// 750 MiB past the page cache, then Python spins for 1.2 s.
#[test]
fn a_recorded_run_has_its_phases() {
    let text = include_str!("recorded/disk-then-one-thread.json");
    let profile = judged(&serde_json::from_str(text).unwrap());
    let classes: Vec<Class> = profile.phases.iter().map(|phase| phase.class).collect();
    assert_eq!(classes, [Class::DiskBound, Class::CpuOneThread], "{:?}", profile.phases);
    assert_eq!(profile.class, Class::Mixed);
    assert!(says(&profile, "write on /tmp/zz"), "{:?}", profile.evidence);
}

#[test]
fn a_short_beginning_is_no_phase() {
    let start = Stretch::new(20, 1.0, None);
    let profile = of(&[start, Stretch::new(400, 0.02, Some(Wait::Network))]);
    assert_eq!(profile.class, Class::NetworkBound);
    assert!(profile.phases.is_empty());
}

#[test]
fn what_takes_turns_all_the_time_is_no_row_of_phases() {
    let mut stretches = Vec::new();
    for _ in 0..40 {
        stretches.push(Stretch::new(20, 1.0, None));
        stretches.push(Stretch::new(19, 0.0, Some(Wait::Network)));
    }
    let profile = of(&stretches);
    assert!(profile.phases.is_empty());
    // About half and half: which half is larger is by no means certain.
    assert!(profile.confidence.agreement < 0.95, "{:?}", profile.confidence);
}

#[test]
fn three_things_of_which_none_is_most_are_mixed() {
    let mut stretches = Vec::new();
    for _ in 0..60 {
        stretches.push(Stretch::new(4, 1.0, None));
        stretches.push(Stretch::new(4, 0.0, Some(Wait::Network)));
        stretches.push(Stretch::new(3, 0.0, Some(Wait::Disk)));
    }
    let profile = of(&stretches);
    assert_eq!(profile.class, Class::Mixed);
    let advice: Vec<&str> = profile.strategies.iter().map(|one| one.what.as_str()).collect();
    assert!(advice.iter().any(|what| what.contains("several answers")), "{advice:?}");
    assert!(advice.iter().any(|what| what.contains("Read ahead")), "{advice:?}");
    assert!(advice.iter().any(|what| what.contains("hot loop")), "{advice:?}");
}

#[test]
fn confidence_grows_with_looks_and_falls_with_what_nobody_saw() {
    let with = |looks| of(&[Stretch::new(looks, 1.0, None)]).confidence.value;
    let values: Vec<f64> = [3, 10, 50, 500].into_iter().map(with).collect();
    assert!(values.is_sorted(), "{values:?}");
    assert!(values[0] < 0.3 && values[3] > 0.95 && values[3] < 1.0, "{values:?}");
    let unseen = of(&[Stretch::new(500, 0.4, None)]);
    assert_eq!(unseen.class, Class::Idle);
    assert!(unseen.confidence.value < 0.45, "{:?}", unseen.confidence);
    let again = of(&[Stretch::new(500, 0.4, None)]);
    assert_eq!(unseen, again, "the same series is judged the same");
}

#[test]
fn a_wait_that_was_not_caught_is_that_of_the_nearest_look() {
    let mut series = series(&[Stretch::new(100, 0.2, Some(Wait::Network))]);
    for look in series.looks.iter_mut().step_by(3) {
        look.waiting = None;
    }
    let profile = judged(&series);
    assert_eq!(profile.class, Class::NetworkBound);
    let share = &profile.shares[1];
    assert_eq!(share.sources, [Source::SystemCall, Source::Neighbours]);
    assert!((share.share - 0.8).abs() < 1e-9);
}

#[test]
fn gains_are_amdahls_and_requests_are_littles() {
    let mut network = series(&[Stretch::new(500, 0.1, Some(Wait::Network))]);
    // Nine of ten seconds are waited, in 450 waits of 20 ms.
    network.totals.turns = 450;
    network.totals.voluntary_switches = 450;
    let profile = judged(&network);
    let gain = profile.strategies[0].speedup.clone().expect("it is known");
    assert!(profile.strategies[0].what.contains("about 10 in flight"), "{:?}", profile.strategies);
    assert!((gain.high - 1.0 / (0.1 + 0.09)).abs() < 1e-6, "{gain:?}");
    assert!((gain.low - 1.0 / (0.55 + 0.045)).abs() < 1e-6, "{gain:?}");
    assert!(says(&profile, "About 45 waits for the network ended each second, 20 ms each"));
    assert!(profile.strategies[0].why.contains("45 answers a second at 20 ms each keep 0.9"));

    let one = of(&[Stretch::new(500, 1.0, None)]);
    let divided = one.strategies[1].speedup.clone().expect("it is known");
    assert!((divided.high - 8.0).abs() < 0.1, "eight processors: {divided:?}");

    let wide = of(&[Stretch::new(500, 4.0, None)]);
    let more = wide.strategies[0].speedup.clone().expect("it is known");
    assert!((more.high - 2.0).abs() < 1e-6, "four of eight: {more:?}");
}

#[test]
fn threads_that_run_one_at_a_time_are_told_of_their_lock() {
    let mut series = series(&[Stretch::new(300, 1.0, Some(Wait::Lock))]);
    let thread = |tid| ThreadUse { name: "worker".to_owned(), pid: 7, tid, cpu_s: 1.5 };
    series.threads = (7..11).map(thread).collect();
    let profile = judged(&series);
    assert_eq!(profile.class, Class::CpuOneThread);
    assert!(says(&profile, "ran one at a time"), "{:?}", profile.evidence);
    assert!(profile.strategies.iter().any(|one| one.what.contains("not threads")));
}

#[test]
fn crowded_processors_want_fewer_threads_unless_others_crowd_them() {
    let crowded = Stretch { queued: 8.0, ..Stretch::new(300, 8.0, None) };
    let mut series = series(&[crowded]);
    let advised = |series: &Series, words: &str| {
        judged(series).strategies.iter().any(|one| one.what.contains(words))
    };
    assert!(advised(&series, "fewer threads"));
    series.totals.others_cores = Some(4.0);
    assert!(advised(&series, "while nobody else needs"));
}

#[test]
fn one_processor_is_never_divided() {
    let mut series = series(&[Stretch::new(300, 1.0, None)]);
    series.processors = 1;
    let profile = judged(&series);
    assert!(profile.strategies.iter().all(|one| !one.what.contains("Divide")));
}

#[test]
fn what_may_not_be_read_is_said_once() {
    let mut series = series(&[Stretch::new(100, 1.0, None)]);
    assert_eq!(judged(&series).more_rights, None);
    series.unseen = vec!["this user may not read input and output of its processes".to_owned()];
    let sentence = judged(&series).more_rights.expect("something is hidden");
    assert!(sentence.contains("CAP_SYS_PTRACE"), "{sentence}");
}

#[test]
fn nothing_at_all_is_judged_without_harm() {
    let profile = judged(&Series::default());
    assert!(profile.confidence.value.abs() < f64::EPSILON);
    assert!(profile.course.is_empty());
}

#[test]
fn two_looks_in_one_are_the_sum() {
    let mut one = Look { at_s: 1.0, span_s: 1.0, on_cpu_s: 0.5, read_bytes: 3, ..Look::default() };
    let waiting = Some(Waiting { kind: Wait::Disk, source: Source::TaskState });
    one.join(&Look { at_s: 2.0, span_s: 1.0, read_bytes: 4, waiting, ..Look::default() });
    assert!((one.span_s - 2.0).abs() < 1e-12 && (one.at_s - 2.0).abs() < 1e-12);
    assert_eq!((one.read_bytes, one.waiting), (7, waiting));
}

#[test]
fn a_profile_survives_its_document() {
    let profile = of(&[Stretch { card: Some(0.5), ..Stretch::new(60, 0.5, Some(Wait::Disk)) }]);
    let text = serde_json::to_string(&profile).unwrap();
    assert_eq!(serde_json::from_str::<CommandProfile>(&text).unwrap(), profile);
}

fn any_look() -> impl Strategy<Value = Look> {
    let kinds = prop_oneof![
        Just(None),
        Just(Some(Wait::Disk)),
        Just(Some(Wait::Network)),
        Just(Some(Wait::Sleep)),
        Just(Some(Wait::Unknown)),
    ];
    (0.0..0.2_f64, 0.0..9.0_f64, 0.0..9.0_f64, kinds).prop_map(|(span_s, used, queued, kind)| {
        Look {
            span_s,
            on_cpu_s: used * span_s,
            queued_s: queued * span_s,
            waiting: kind.map(|kind| Waiting { kind, source: Source::SystemCall }),
            ..Look::default()
        }
    })
}

proptest! {
    #[test]
    fn shares_are_a_whole_and_confidence_is_a_share(
        looks in proptest::collection::vec(any_look(), 0..400),
    ) {
        let mut series = Series { processors: 4, looks, ..Series::default() };
        let mut at_s = 0.0;
        for look in &mut series.looks {
            at_s += look.span_s;
            look.at_s = at_s;
        }
        let profile = judged(&series);
        let sum: f64 = profile.shares.iter().map(|share| share.share).sum();
        prop_assert!(series.looks.is_empty() || sum > 0.99 || at_s < SPAN_S);
        prop_assert!(sum < 1.0 + 1e-9);
        prop_assert!((0.0..1.0).contains(&profile.confidence.value));
        prop_assert!(profile.course.len() <= 200);
        for strategy in &profile.strategies {
            if let Some(speedup) = &strategy.speedup {
                prop_assert!(speedup.low >= 0.999 && speedup.low <= speedup.high + 1e-9);
                prop_assert!(speedup.high.is_finite());
            }
        }
        let mut end = 0.0;
        for phase in &profile.phases {
            prop_assert!((phase.from_s - end).abs() < 1e-6 && phase.to_s >= phase.from_s);
            end = phase.to_s;
        }
    }
}
