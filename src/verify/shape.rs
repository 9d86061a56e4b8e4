//! What is sent: the workload's requests as tokens, as long as the budget allows.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Ask, Patience};
use crate::model::{SentRequest, Workload};

/// Seconds of timed turns that one visit is filled with, and turns at most.
const VISIT_S: f64 = 2.0;
const MOST_TURNS: f64 = 5.0;
/// Requests are not shortened below so many tokens: what is left would be start and end.
const LEAST_PROMPT: u32 = 64;
const LEAST_GENERATED: u32 = 16;
/// A server is waited for so many times as long as the run lets expect, and a minute.
const GENEROUS: f64 = 10.0;
const MINUTE_S: f64 = 60.0;
/// Nobody waits longer than a day.
const DAY_S: f64 = 86_400.0;
/// Bytes that the slowest disk on which anybody keeps models reads in a second.
const SLOWEST_READ: f64 = 20e6;

/// What the run lets expect of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Seconds per prompt token of all sequences; 0: unknown.
    pub prefill_s: f64,
    /// Seconds per generated token of all sequences; 0: unknown.
    pub decode_s: f64,
    /// Seconds until a server is ready.
    pub start_s: f64,
    /// Size of the model's files.
    pub model_bytes: u64,
    /// Requests at once, of the side that has more of them.
    pub parallel: u32,
    /// Visits.
    pub visits: u32,
    /// Seconds for all of them.
    pub budget_s: f64,
}

/// The requests of a visit.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// The workload they stand for.
    pub workload: Workload,
    /// One of each is a turn.
    pub requests: Vec<SentRequest>,
    /// Turns of a visit.
    pub turns: u32,
    /// Whether they are shorter than the workload's.
    pub shortened: bool,
    /// Expected time of a turn of the workload over that of one as sent.
    pub scale: f64,
    /// How long a server is waited for.
    pub patience: Patience,
    seed: u64,
    vocabulary: u32,
}

impl Shape {
    /// The workload's own requests, or as much of them as there is room for.
    #[must_use]
    pub fn of(workload: &Workload, room: Room, vocabulary: u32, seed: u64) -> Self {
        let whole = kinds(workload);
        let sequences = f64::from(room.parallel.max(1));
        let fill_s = sequences * sum(&whole, |one| f64::from(one.depth) * room.prefill_s);
        let timed_s = |kinds: &[SentRequest]| {
            sequences
                * sum(kinds, |one| {
                    f64::from(one.prompt_tokens) * room.prefill_s
                        + f64::from(one.generate_tokens) * room.decode_s
                })
        };
        let visit_s = room.budget_s / f64::from(room.visits.max(1)) - room.start_s;
        // A warm-up and one turn are the least.
        let share = (visit_s / 2.0 - fill_s) / timed_s(&whole);
        let cut = share < 1.0;
        let requests = if cut { shorter(&whole, share.max(0.0)) } else { whole.clone() };
        let turn_s = timed_s(&requests) + fill_s;
        let repeated = (VISIT_S / turn_s).min(visit_s / turn_s - 1.0).clamp(1.0, MOST_TURNS);
        let weighted = |kinds: &[SentRequest]| {
            let weights: f64 = kinds.iter().map(|one| one.weight).sum();
            sum(kinds, |one| one.weight * timed_s(std::slice::from_ref(one))) / weights
        };
        let scale = weighted(&whole) / weighted(&requests);
        let loading_s = room.model_bytes as f64 / SLOWEST_READ + GENEROUS * room.start_s;
        Self {
            workload: workload.clone(),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 5")]
            turns: repeated as u32,
            shortened: cut,
            scale: if cut && scale.is_finite() { scale } else { 1.0 },
            patience: Patience {
                ready: seconds(MINUTE_S + loading_s),
                answer: seconds(MINUTE_S + GENEROUS * (timed_s(&requests) + fill_s)),
            },
            requests,
            seed,
            vocabulary,
        }
    }

    /// One request of a kind for each sequence, the untimed one before it first where it has a
    /// depth. Prompts are the same at every visit.
    #[must_use]
    pub fn asks(&self, request: &SentRequest, parallel: u32) -> Vec<Vec<Ask>> {
        let sequences = || 0..parallel.max(1);
        let length = request.depth as usize + request.prompt_tokens.max(1) as usize;
        let deep = request.depth > 0;
        let ask = |slot: u32, length: usize, generate: u32| {
            let prompt = self.tokens(slot, length);
            Ask { prompt, generate: generate.max(1), slot, reuse: deep }
        };
        let timed = sequences().map(|slot| ask(slot, length, request.generate_tokens)).collect();
        if !deep {
            return vec![timed];
        }
        let fill = sequences().map(|slot| ask(slot, request.depth as usize, 1)).collect();
        vec![fill, timed]
    }

    /// The first tokens of a slot. From the middle of the vocabulary: at both of its ends are
    /// tokens that mean something to a server.
    fn tokens(&self, slot: u32, length: usize) -> Vec<u32> {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(self.seed ^ u64::from(slot) << 32);
        let (low, high) = (self.vocabulary / 4, (self.vocabulary / 4 * 3).max(1));
        (0..length).map(|_| chance.random_range(low..high)).collect()
    }
}

/// The requests of a workload as they are.
fn kinds(workload: &Workload) -> Vec<SentRequest> {
    if workload.requests.is_empty() {
        return vec![SentRequest {
            prompt_tokens: workload.prompt_tokens,
            generate_tokens: workload.generate_tokens,
            depth: workload.depth,
            weight: 1.0,
        }];
    }
    let kind = |one: &crate::model::Request| SentRequest {
        prompt_tokens: one.new_tokens(),
        generate_tokens: one.generate_tokens,
        depth: one.depth.saturating_add(one.cached_tokens()),
        weight: one.weight,
    };
    workload.requests.iter().map(kind).collect()
}

/// That share of every request's prompt and generated tokens, but not too few.
fn shorter(kinds: &[SentRequest], share: f64) -> Vec<SentRequest> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of it")]
    let part =
        |count: u32, least: u32| ((f64::from(count) * share).ceil() as u32).max(least.min(count));
    let cut = |one: &SentRequest| SentRequest {
        prompt_tokens: part(one.prompt_tokens, LEAST_PROMPT),
        generate_tokens: part(one.generate_tokens, LEAST_GENERATED),
        ..one.clone()
    };
    kinds.iter().map(cut).collect()
}

fn sum(kinds: &[SentRequest], of: impl Fn(&SentRequest) -> f64) -> f64 {
    kinds.iter().map(of).sum()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, DAY_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat() -> Workload {
        Workload { prompt_tokens: 512, generate_tokens: 256, ..Workload::default() }
    }

    fn room(budget_s: f64) -> Room {
        Room {
            prefill_s: 0.01,
            decode_s: 0.1,
            start_s: 1.0,
            model_bytes: 0,
            parallel: 1,
            visits: 12,
            budget_s,
        }
    }

    #[test]
    fn requests_are_whole_where_the_budget_has_room_for_them() {
        let shape = Shape::of(&chat(), room(1000.0), 1000, 1);
        assert!(!shape.shortened);
        assert_eq!(
            (shape.requests[0].prompt_tokens, shape.requests[0].generate_tokens),
            (512, 256)
        );
        // A turn takes half a minute: one is enough.
        assert_eq!((shape.turns, shape.scale.to_bits()), (1, 1.0_f64.to_bits()));
        let quick = Room { prefill_s: 0.0001, decode_s: 0.001, ..room(1000.0) };
        assert_eq!(Shape::of(&chat(), quick, 1000, 1).turns, 5);
    }

    #[test]
    fn a_short_budget_shortens_requests_but_not_to_nothing() {
        // 12 visits in 300 s: 24 s each beside the start, half of it for the warm-up.
        let shape = Shape::of(&chat(), room(300.0), 1000, 1);
        assert!(shape.shortened && shape.turns == 1);
        let [one] = shape.requests.as_slice() else { panic!("{:?}", shape.requests) };
        assert!((190..=210).contains(&one.prompt_tokens), "{one:?}");
        assert!((95..=105).contains(&one.generate_tokens), "{one:?}");
        assert!((2.4..2.7).contains(&shape.scale), "{}", shape.scale);
        let least = Shape::of(&chat(), room(1.0), 1000, 1);
        let one = &least.requests[0];
        assert_eq!((one.prompt_tokens, one.generate_tokens), (LEAST_PROMPT, LEAST_GENERATED));
        let tiny = Workload { prompt_tokens: 8, generate_tokens: 0, ..Workload::default() };
        let least = Shape::of(&tiny, room(1.0), 1000, 1);
        assert_eq!((least.requests[0].prompt_tokens, least.requests[0].generate_tokens), (8, 0));
    }

    #[test]
    fn an_unknown_pace_leaves_requests_whole() {
        let unknown = Room { prefill_s: 0.0, decode_s: 0.0, ..room(1000.0) };
        let shape = Shape::of(&chat(), unknown, 1000, 1);
        assert!(!shape.shortened && shape.scale.to_bits() == 1.0_f64.to_bits());
    }

    #[test]
    fn a_depth_is_filled_before_and_every_sequence_has_its_slot() {
        let deep = Workload { depth: 100, parallel: 2, ..chat() };
        let shape = Shape::of(&deep, Room { parallel: 2, ..room(9000.0) }, 1000, 7);
        let asks = shape.asks(&shape.requests[0], 2);
        let [fill, timed] = asks.as_slice() else { panic!("{} steps", asks.len()) };
        for (slot, (fill, timed)) in fill.iter().zip(timed).enumerate() {
            assert_eq!((fill.slot as usize, timed.slot as usize), (slot, slot));
            assert_eq!((fill.prompt.len(), fill.generate), (100, 1));
            assert_eq!((timed.prompt.len(), timed.generate), (612, 256));
            assert_eq!(fill.prompt, timed.prompt[..100], "the cache is of another prompt");
            assert!(fill.reuse && timed.reuse);
            assert!(timed.prompt.iter().all(|token| (250..750).contains(token)));
        }
        assert_ne!(timed[0].prompt, timed[1].prompt);
        let flat = Shape::of(&chat(), room(9000.0), 1000, 7);
        let asks = flat.asks(&flat.requests[0], 1);
        assert!(asks.len() == 1 && !asks[0][0].reuse);
    }

    #[test]
    fn a_mix_is_sent_as_its_kinds() {
        let first = crate::model::Request {
            prompt_tokens: 1000,
            generate_tokens: 10,
            depth: 0,
            prefix_reuse: 0.0,
            weight: 1.0,
        };
        let later =
            crate::model::Request { prefix_reuse: 0.9, depth: 200, weight: 3.0, ..first.clone() };
        let mix = Workload { requests: vec![first, later], ..chat() }.with_means();
        let shape = Shape::of(&mix, room(90_000.0), 1000, 7);
        let sent: Vec<_> =
            shape.requests.iter().map(|one| (one.prompt_tokens, one.depth)).collect();
        assert_eq!(sent, [(1000, 0), (100, 1100)]);
    }
}
