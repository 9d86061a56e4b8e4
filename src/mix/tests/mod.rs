//! Problems at random for the tests of whole choices.

mod always;
mod optimum;

use std::ops::Range;

use proptest::prelude::*;

use super::*;

/// Bits per weight of the types, and their time per byte.
const TYPES: [(u64, f64); 6] = [(2, 1.5), (3, 1.3), (4, 1.0), (5, 1.2), (6, 1.0), (8, 1.0)];
const GROUPS: [&str; 6] = ["attn_k", "attn_q", "ffn_up", "ffn_down", "token_embd", "output"];

/// A tensor of so many blocks of 32 weights: its group, errors a little off the 4^-bits of
/// rounding, and whether it can take each type; the last it always can.
type Drawn = (u64, usize, [f64; 6], [bool; 6]);

fn drawn() -> impl Strategy<Value = Drawn> {
    let possible = prop::array::uniform6(prop::bool::weighted(0.85));
    (1_u64..40, 0..GROUPS.len(), prop::array::uniform6(0.6..1.6), possible)
}

fn tensor((blocks, group, off, possible): &Drawn, number: usize) -> Tensor {
    let cost = |kind: usize| Cost {
        bytes: blocks * 4 * TYPES[kind].0,
        error: off[kind] * 0.25_f64.powi(i32::try_from(TYPES[kind].0).unwrap()),
    };
    let costs = (0..6).map(|kind| (possible[kind] || kind == 5).then(|| cost(kind))).collect();
    let name = format!("blk.{number}.{}.weight", GROUPS[*group]);
    let read_share = if GROUPS[*group] == "token_embd" { 0.1 } else { 1.0 };
    Tensor { group: group_of(&name), name, weights: blocks * 32, read_share, costs }
}

fn problem(tensors: Range<usize>, guards: Guards) -> impl Strategy<Value = Problem> {
    let coefficients = prop::array::uniform6(0.05..20.0);
    (prop::collection::vec(drawn(), tensors), coefficients).prop_map(move |(drawn, values)| {
        let tensors = drawn.iter().enumerate().map(|(number, it)| tensor(it, number)).collect();
        // One group stays without a measurement.
        let known = GROUPS.iter().zip(values).skip(1);
        let known = known.map(|(group, value)| ((*group).to_owned(), value)).collect();
        let coefficients = Coefficients::new(known).unwrap();
        let kind = |(bits, time): &(u64, f64)| QuantType {
            name: format!("q{bits}"),
            seconds_per_byte: *time,
        };
        let types = TYPES.iter().map(kind).collect();
        Problem { types, tensors, coefficients, guards: guards.clone() }
    })
}

/// A problem with or without guards.
fn any_problem() -> impl Strategy<Value = Problem> {
    prop_oneof![problem(3..14, Guards::default()), problem(3..14, Guards::none())]
}

/// All types that are one file type in name: the largest of at most so many bits, else the next.
fn uniform(problem: &Problem, most: usize) -> Uniform {
    let kind = |tensor: &Tensor| {
        let mut order = (0..=most).rev().chain(most + 1..TYPES.len());
        order.find(|kind| tensor.cost(*kind).is_some()).unwrap()
    };
    Uniform { name: format!("u{most}"), types: problem.tensors.iter().map(kind).collect() }
}

/// Bytes between the smallest and the largest mix.
fn bytes(problem: &Problem, share: f64) -> u64 {
    let sizes = |it: &Tensor| it.costs.iter().flatten().map(|cost| cost.bytes).collect::<Vec<_>>();
    let least: u64 = problem.tensors.iter().map(|it| *sizes(it).iter().min().unwrap()).sum();
    let most: u64 = problem.tensors.iter().map(|it| *sizes(it).iter().max().unwrap()).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
    let part = ((most - least) as f64 * share).ceil() as u64;
    least + part
}

fn budget(bytes: u64, seconds: Option<f64>) -> Budget {
    Budget { bytes, seconds }
}
