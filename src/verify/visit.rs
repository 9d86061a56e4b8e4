//! One visit to one server: an untimed turn, then the timed ones, and what they come to.

use super::{Answers, AskError, Server, Shape};
use crate::model::{Objective, Served, ServedVisit};
use crate::stats::{Estimate, median, median_estimate};

/// Weighted means over the requests of one turn.
#[derive(Debug, Default, Clone, Copy)]
struct Turn {
    prompt_tokens: f64,
    prompt_s: f64,
    generated_tokens: f64,
    generate_s: f64,
    wall_s: f64,
}

/// Visits a server that is ready.
pub(super) fn visit(
    server: &mut dyn Server,
    shape: &Shape,
    parallel: u32,
) -> Result<ServedVisit, AskError> {
    turn(server, shape, parallel)?;
    let mut visits = Vec::new();
    for _ in 0..shape.turns {
        visits.push(account(shape, turn(server, shape, parallel)?, parallel)?);
    }
    let of = |number: fn(&ServedVisit) -> Option<f64>| {
        median(&visits.iter().filter_map(number).collect::<Vec<_>>())
    };
    let needed = |number| of(number).expect("a visit has a turn, and a turn all its times");
    Ok(ServedVisit {
        cost: needed(|one| Some(one.cost)),
        turn_s: needed(|one| Some(one.turn_s)),
        wall_s: needed(|one| Some(one.wall_s)),
        prefill_tok_per_s: of(|one| one.prefill_tok_per_s),
        decode_tok_per_s: of(|one| one.decode_tok_per_s),
    })
}

/// Sends every kind of request once.
fn turn(server: &mut dyn Server, shape: &Shape, parallel: u32) -> Result<Turn, AskError> {
    let mut whole = Turn::default();
    let weights: f64 = shape.requests.iter().map(|request| request.weight).sum();
    for request in &shape.requests {
        let mut answers = Answers { replies: Vec::new(), wall_s: 0.0 };
        // The last step is the timed one.
        for asks in shape.asks(request, parallel) {
            answers = server.ask(&asks)?;
        }
        let part = request.weight / weights;
        let count = f64::from(parallel.max(1));
        let mean = |sum: f64| part * sum / count;
        // What the workload counts as new: a server that has to process the cached part again
        // takes longer for the same turn.
        whole.prompt_tokens += part * f64::from(request.prompt_tokens.max(1));
        whole.generated_tokens += part * f64::from(request.generate_tokens.max(1));
        whole.prompt_s += mean(answers.replies.iter().map(|reply| reply.prompt_s).sum());
        whole.generate_s += mean(answers.replies.iter().map(|reply| reply.generate_s).sum());
        whole.wall_s += part * answers.wall_s;
    }
    Ok(whole)
}

/// A turn as the workload counts it.
fn account(shape: &Shape, turn: Turn, parallel: u32) -> Result<ServedVisit, AskError> {
    let workload = &shape.workload;
    let alone = parallel <= 1;
    let (prefill_s, decode_s) =
        (turn.prompt_s / turn.prompt_tokens, turn.generate_s / turn.generated_tokens);
    let visit = if alone {
        let turn_s = workload.turn_seconds(prefill_s, decode_s);
        let rate =
            |wanted: u32, seconds: f64| (wanted > 0 && seconds > 0.0).then(|| seconds.recip());
        ServedVisit {
            cost: workload.cost(prefill_s, decode_s),
            turn_s,
            // Transfer and reading stand in the same proportion to a longer turn.
            wall_s: turn.wall_s * shape.scale,
            prefill_tok_per_s: rate(workload.prompt_tokens, prefill_s),
            decode_tok_per_s: rate(workload.generate_tokens, decode_s),
        }
    } else {
        // Requests overlap: a server's time for one of them holds waiting for the others.
        let turn_s = turn.wall_s * shape.scale / f64::from(parallel);
        let cost = match workload.objective {
            Objective::TurnTime | Objective::Energy => turn_s,
            Objective::Throughput => turn_s / f64::from(workload.generate_tokens.max(1)),
            Objective::Ttft => turn.prompt_s * shape.scale,
        };
        let (prefill_tok_per_s, decode_tok_per_s) = (None, None);
        ServedVisit { cost, turn_s, wall_s: turn_s, prefill_tok_per_s, decode_tok_per_s }
    };
    let usable = |seconds: f64| seconds.is_finite() && seconds > 0.0;
    if usable(visit.cost) && usable(visit.turn_s) && usable(visit.wall_s) {
        Ok(visit)
    } else {
        Err(AskError::Request("the server's own timings add up to no time".to_owned()))
    }
}

/// The numbers of a server over its visits, into `server`.
#[must_use]
pub fn served(server: Served, visits: &[ServedVisit], confidence: f64) -> Served {
    let over = |number: fn(&ServedVisit) -> Option<f64>| -> Option<Estimate> {
        median_estimate(&visits.iter().filter_map(number).collect::<Vec<_>>(), confidence)
    };
    Served {
        turn_s: over(|visit| Some(visit.turn_s)),
        wall_s: over(|visit| Some(visit.wall_s)),
        prefill_tok_per_s: over(|visit| visit.prefill_tok_per_s),
        decode_tok_per_s: over(|visit| visit.decode_tok_per_s),
        ..server
    }
}
