//! What holds for every problem and budget.

use super::optimum::keeps_guards;
use super::*;

/// Up to what sums in another order differ by.
fn no_more(a: f64, b: f64) -> bool {
    a <= b * (1.0 + 1e-9)
}

proptest! {
    #[test]
    fn a_mix_keeps_its_budget_and_its_guards_and_adds_up(
        problem in any_problem(),
        share in 0.0..1.2_f64,
        seconds in prop::option::of(0.0..20_000.0_f64),
    ) {
        let budget = budget(bytes(&problem, share), seconds);
        let Ok(mix) = choose(&problem, &[], &budget) else { return Ok(()) };
        let total = problem.total(&mix.types).unwrap();
        prop_assert_eq!(
            (total.bytes, total.seconds, total.divergence),
            (mix.bytes, mix.seconds, mix.predicted_divergence)
        );
        prop_assert!(mix.bytes <= budget.bytes && mix.seconds <= seconds.unwrap_or(f64::INFINITY));
        prop_assert!(keeps_guards(&problem, &mix.types, &total));
        let groups = problem.groups(&mix.types);
        let counted: usize = groups.values().flat_map(|it| it.values()).sum();
        prop_assert_eq!(counted, problem.tensors.len());
        prop_assert_eq!(choose(&problem, &[], &budget).unwrap(), mix);
    }

    #[test]
    fn more_room_or_time_never_predicts_worse(
        problem in any_problem(),
        shares in (0.0..1.0_f64, 0.0..0.3_f64),
        slack in (1.0..2.0_f64, 0.0..0.5_f64),
    ) {
        let few = bytes(&problem, shares.0);
        let more = bytes(&problem, shares.0 + shares.1);
        let uniforms = [uniform(&problem, 1), uniform(&problem, 3)];
        let fast = problem.total(&uniform(&problem, 0).types).unwrap().seconds;
        let times = [Some(fast * slack.0), Some(fast * (slack.0 + slack.1)), None];
        let divergence = |bytes: u64, seconds: Option<f64>| {
            let found = choose(&problem, &uniforms, &Budget { bytes, seconds });
            found.map_or(f64::INFINITY, |mix| mix.predicted_divergence)
        };
        let table = times.map(|time| (divergence(few, time), divergence(more, time)));
        for (few, more) in table {
            prop_assert!(no_more(more, few));
        }
        for pair in table.windows(2) {
            prop_assert!(no_more(pair[1].0, pair[0].0) && no_more(pair[1].1, pair[0].1));
        }
    }

    #[test]
    fn no_uniform_type_that_fits_is_predicted_better(
        problem in any_problem(),
        share in 0.0..1.0_f64,
    ) {
        let uniforms: Vec<Uniform> = (0..TYPES.len()).map(|it| uniform(&problem, it)).collect();
        let sizes = uniforms.iter().map(|it| problem.total(&it.types).unwrap().bytes);
        let sizes: Vec<u64> = sizes.chain([bytes(&problem, share)]).collect();
        for bytes in sizes {
            let budget = budget(bytes, None);
            let Ok(mix) = choose(&problem, &uniforms, &budget) else { continue };
            for it in &uniforms {
                let total = problem.total(&it.types).unwrap();
                prop_assert!(total.bytes > bytes || mix.predicted_divergence <= total.divergence);
            }
            if let MixSource::Uniform(name) = &mix.from {
                let named = uniforms.iter().find(|it| it.name == *name).unwrap();
                prop_assert_eq!(&mix.types, &named.types);
            }
        }
    }
}

fn plain(costs: &[&[Option<(u64, f64)>]]) -> Problem {
    let cost = |it: &Option<(u64, f64)>| it.map(|(bytes, error)| Cost { bytes, error });
    let tensor = |(number, costs): (usize, &&[Option<(u64, f64)>])| Tensor {
        name: format!("t{number}"),
        weights: 80,
        group: "ffn_up".into(),
        read_share: 1.0,
        costs: costs.iter().map(cost).collect(),
    };
    let kind = |name: &str| QuantType { name: name.into(), seconds_per_byte: 1.0 };
    Problem {
        types: ["q2", "q4"].map(kind).to_vec(),
        tensors: costs.iter().enumerate().map(tensor).collect(),
        coefficients: Coefficients::even(),
        guards: Guards::none(),
    }
}

#[test]
fn what_nothing_can_be_chosen_from_is_refused_by_name() {
    let ok: &[Option<(u64, f64)>] = &[Some((20, 0.3)), Some((40, 0.1))];
    let mut slow = plain(&[ok]);
    slow.types[1].seconds_per_byte = f64::NAN;
    for (problem, wanted) in [
        (plain(&[]), "no tensors to choose types for"),
        (plain(&[ok, &[None, None]]), "the tensor `t1` can take none of the types"),
        (plain(&[ok, &ok[..1]]), "the tensor `t1` has no cost for each type"),
        (plain(&[&[Some((20, -0.1)), None]]), "the tensor `t0` has an error that is"),
        (plain(&[&[Some((u64::MAX, 0.1)), None], ok]), "the tensors together have more"),
        (slow, "the type `q4` has no usable time per byte"),
    ] {
        let message = choose(&problem, &[], &budget(1000, None)).unwrap_err().to_string();
        assert!(message.starts_with(wanted), "{message}");
    }
    let fine = plain(&[ok, &[None, Some((40, 0.1))]]);
    let refused = |uniforms: &[Uniform], budget: Budget| {
        choose(&fine, uniforms, &budget).unwrap_err().to_string()
    };
    assert_eq!(refused(&[], budget(59, None)), "59 B is too small: the smallest mix takes 60 B");
    assert_eq!(
        refused(&[], budget(80, Some(59.0))),
        "no mix of at most 80 B decodes as fast as wanted"
    );
    for types in [vec![0, 0], vec![0], vec![0, 9]] {
        let odd = Uniform { name: "q2_k".into(), types };
        assert_eq!(
            refused(&[odd], budget(80, None)),
            "the uniform type `q2_k` has no type that `t1` can take"
        );
    }
}

#[test]
fn a_group_without_measured_effect_gets_what_is_left_over() {
    let ok: &[Option<(u64, f64)>] = &[Some((20, 0.3)), Some((40, 0.1))];
    let mut problem = plain(&[ok, ok]);
    problem.tensors[0].group = "idle".into();
    let known = [("idle".to_owned(), 0.0), ("ffn_up".to_owned(), 1.0)].into();
    problem.coefficients = Coefficients::new(known).unwrap();
    let types_for = |bytes| choose(&problem, &[], &budget(bytes, None)).unwrap().types;
    assert_eq!([types_for(59), types_for(60), types_for(80)], [[0, 0], [0, 1], [1, 1]]);
}

#[test]
fn small_groups_rise_with_the_average_though_nothing_is_predicted_of_it() {
    let tensor = |number: usize| {
        let (weights, group) =
            if number.is_multiple_of(2) { (80, "attn_k") } else { (8000, "ffn_up") };
        let cost = |(bits, error): (u64, f64)| Some(Cost { bytes: weights / 8 * bits, error });
        let costs = [(2, 0.06), (4, 0.004), (8, 0.000_02)].map(cost).to_vec();
        let name = format!("blk.{}.{group}.weight", number / 2);
        Tensor { name, weights, group: group.into(), read_share: 1.0, costs }
    };
    let kind = |name: &str| QuantType { name: name.into(), seconds_per_byte: 1.0 };
    let known = [("attn_k".to_owned(), 0.0), ("ffn_up".to_owned(), 1.0)].into();
    let problem = Problem {
        types: ["q2", "q4", "q8"].map(kind).to_vec(),
        tensors: (0..64).map(tensor).collect(),
        coefficients: Coefficients::new(known).unwrap(),
        guards: Guards::default(),
    };
    for (bits, kind) in [(2.5, 0), (3.9, 0), (4.5, 1), (7.0, 1)] {
        let bytes = Target::BitsPerWeight(bits).budget(problem.weights(), &Rest::default());
        let budget = budget(bytes.unwrap(), None);
        let mix = choose(&problem, &[], &budget).unwrap();
        assert!(mix.bytes as f64 > 0.96 * budget.bytes as f64, "{bits}: {}", mix.bytes);
        assert_eq!(problem.groups(&mix.types)["attn_k"], [(kind, 32)].into(), "{bits}");
    }
}
