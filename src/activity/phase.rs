//! Parts of a run that are of different classes.

use super::class;
use super::split::{Moment, Split};
use crate::model::activity::{Class, Phase};

/// Windows that a run is cut into at most, and the shortest of them.
const WINDOWS: f64 = 60.0;
const SHORTEST_S: f64 = 0.25;
/// Looks that a window has at least.
const FEWEST_LOOKS: usize = 5;
/// What a class must have of the time to be told as a phase.
const LEAST: f64 = 0.15;
/// A phase that is shorter than this part of the run belongs to its neighbours.
const SHORT: f64 = 0.05;
/// More changes than this are no phases: the classes take turns.
const MOST: usize = 8;

/// Phases of different classes; none where the run is of one, or changes all the time.
pub(super) fn find(moments: &[Moment<'_>]) -> Vec<Phase> {
    let whole: f64 = moments.iter().map(|moment| moment.look.span_s).sum();
    let mut pieces = windows(moments, (whole / WINDOWS).max(SHORTEST_S));
    pieces = merged(moments, pieces);
    // The shortest goes first, so that a flicker does not cut what surrounds it.
    while pieces.len() > 1 {
        let Some((at, seconds)) = pieces
            .iter()
            .map(|piece| seconds(moments, piece))
            .enumerate()
            .min_by(|a, b| a.1.total_cmp(&b.1))
        else {
            break;
        };
        if seconds >= SHORT * whole && seconds >= 2.0 * SHORTEST_S {
            break;
        }
        let neighbour = match at {
            0 => 1,
            _ if at + 1 == pieces.len() => at - 1,
            _ if seconds_at(moments, &pieces, at - 1) >= seconds_at(moments, &pieces, at + 1) => {
                at - 1
            }
            _ => at + 1,
        };
        pieces[at].class = pieces[neighbour].class;
        pieces = merged(moments, pieces);
    }
    let share = |class: Class| -> f64 {
        let of_class = pieces.iter().filter(|piece| piece.class == class);
        of_class.map(|piece| seconds(moments, piece)).sum::<f64>() / whole.max(f64::MIN_POSITIVE)
    };
    let mut told: Vec<Class> = pieces.iter().map(|piece| piece.class).collect();
    told.sort_unstable();
    told.dedup();
    told.retain(|class| share(*class) >= LEAST);
    if told.len() < 2 || pieces.len() > MOST {
        return Vec::new();
    }
    pieces.iter().map(|piece| described(moments, piece)).collect()
}

/// Looks `from..to` of one class.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: usize,
    to: usize,
    class: Class,
}

fn windows(moments: &[Moment<'_>], length: f64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut from, mut seconds) = (0, 0.0);
    for (at, moment) in moments.iter().enumerate() {
        seconds += moment.look.span_s;
        let last = at + 1 == moments.len();
        if last || (seconds >= length && at + 1 - from >= FEWEST_LOOKS) {
            let class = class::of(&Split::of(&moments[from..=at]));
            pieces.push(Piece { from, to: at + 1, class });
            (from, seconds) = (at + 1, 0.0);
        }
    }
    pieces
}

/// Neighbours of one class become one, and are judged anew as a whole.
fn merged(moments: &[Moment<'_>], pieces: Vec<Piece>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::new();
    for piece in pieces {
        match merged.last_mut() {
            Some(last) if last.class == piece.class => last.to = piece.to,
            _ => merged.push(piece),
        }
    }
    for piece in &mut merged {
        piece.class = class::of(&Split::of(&moments[piece.from..piece.to]));
    }
    let settled = merged.windows(2).all(|pair| pair[0].class != pair[1].class);
    if settled { merged } else { self::merged(moments, merged) }
}

fn seconds(moments: &[Moment<'_>], piece: &Piece) -> f64 {
    moments[piece.from..piece.to].iter().map(|moment| moment.look.span_s).sum()
}

fn seconds_at(moments: &[Moment<'_>], pieces: &[Piece], at: usize) -> f64 {
    seconds(moments, &pieces[at])
}

fn described(moments: &[Moment<'_>], piece: &Piece) -> Phase {
    let part = &moments[piece.from..piece.to];
    let split = Split::of(part);
    let start = moments.first().map_or(0.0, |first| first.look.at_s - first.look.span_s);
    let from_s = part.first().map_or(0.0, |first| first.look.at_s - first.look.span_s - start);
    Phase {
        from_s,
        to_s: part.last().map_or(from_s, |last| last.look.at_s - start),
        class: piece.class,
        waits_for: class::waits_for(piece.class, &split),
        cpu_share: split.cpu(),
        cores: split.cores(),
    }
}
