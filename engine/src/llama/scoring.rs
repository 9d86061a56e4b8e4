//! How likely models find a text, and how far their distributions are from a reference's: token by
//! token, all models on the same piece of a chunk before anyone goes on. Nothing but the logits of
//! that piece is ever kept.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use super::context::{Context, Entry};
use super::distribution::{Row, weighted_difference};
use super::speakers::{check_tokens, named};
use super::stored::{Reader, Writer};
use crate::api::{ChunkScore, Failure, Reference, ScoreJob, Scores, Speaker, Token};

/// Bytes of logits that one model keeps at once.
const LOGITS_BYTES: usize = 64 << 20;
/// Tokens that are scored at once at least and at most.
const PIECE: (usize, usize) = (16, 512);

/// Tokens that are scored at once with such a vocabulary.
pub(super) fn piece_of(vocabulary: usize) -> u32 {
    let fits = LOGITS_BYTES / size_of::<f32>() / vocabulary.max(1);
    u32::try_from(fits.clamp(PIECE.0, PIECE.1)).unwrap_or(u32::MAX)
}

/// What a stored reference remembers exactly, beside its rounded logarithms of probabilities.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    top: usize,
    nll: f64,
}

/// One position of everybody.
#[derive(Debug, Clone, PartialEq)]
struct Position {
    row: Row,
    nll: f64,
    /// Of each candidate: negative log likelihood, divergence, whether both have the same top.
    candidates: Vec<(f64, f64, bool)>,
}

impl Position {
    /// The Kullback-Leibler divergence of a candidate with logits b from the reference with logits
    /// a is Σ e^a (a - b) / Σ e^a + ln Σ e^b - ln Σ e^a, in nats: one exponential for each token of
    /// each. An error is the place of who has no distribution, the reference first.
    fn of(
        reference: &[f32],
        remembered: Option<Remembered>,
        candidates: &[&[f32]],
        token: usize,
    ) -> Result<Self, usize> {
        // Threads live as long as a piece; what they keep is as large as one row of each.
        thread_local!(static WEIGHTS: RefCell<[Vec<f64>; 2]> = const { RefCell::new([const { Vec::new() }; 2]) });
        WEIGHTS.with_borrow_mut(|weights| {
            for weights in &mut *weights {
                weights.resize(reference.len(), 0.0);
            }
            let [weights, other] = weights;
            let (row, sum) = Row::of(reference, weights).ok_or(0_usize)?;
            // Rounding may have made equals of the likeliest tokens; which came first is stored.
            let row = remembered.map_or(row, |it| Row { top: it.top, ..row });
            let nll = remembered.map_or_else(|| row.nll(reference, token), |it| it.nll);
            let mut all = Vec::with_capacity(candidates.len());
            for (place, logits) in candidates.iter().enumerate() {
                let (own, _) = Row::of(logits, other).ok_or(place + 1)?;
                let further = weighted_difference(weights, reference, logits);
                let divergence = further / sum + (own.ln_sum - row.ln_sum);
                let own_nll = own.nll(logits, token);
                if !divergence.is_finite() || !own_nll.is_finite() {
                    return Err(place + 1);
                }
                all.push((own_nll, divergence, own.top == row.top));
            }
            Ok(Self { row, nll, candidates: all })
        })
    }
}

/// Scores all chunks. The contexts are the live reference's, if there is one, and then the
/// candidates'.
pub(super) fn score(contexts: &mut [&mut Context], job: &ScoreJob) -> Result<Scores, Failure> {
    let mut stored = match &job.reference {
        Reference::Live(_) => None,
        Reference::Stored(path) => Some(Reader::open(path, &job.chunks, job.from)?),
    };
    let names = names(job);
    let vocabulary = vocabulary(contexts, &names, stored.as_ref())?;
    if let Some(name) = names.first() {
        check_tokens(name, vocabulary, &job.chunks)?;
    }
    let batch = contexts.iter().map(|context| context.batch()).min().unwrap_or(1);
    let piece = (piece_of(vocabulary) as usize).min(batch);
    let mut keep = match &job.store {
        Some(path) => Some(Writer::create(path, vocabulary, &job.chunks, job.from)?),
        None => None,
    };
    let mut scores =
        Scores { reference_nll: Vec::new(), candidates: vec![Vec::new(); job.candidates.len()] };
    for chunk in &job.chunks {
        let mut reference_nll = Vec::new();
        let mut candidates = vec![ChunkScore::default(); job.candidates.len()];
        for context in contexts.iter_mut() {
            context.clear();
        }
        let first = job.from as usize;
        let last = chunk.len().saturating_sub(1);
        // In one go where that fits, as llama-perplexity does it: the shape of a batch decides
        // which kernels compute it, and with them the last digits.
        let whole = last.saturating_sub(first) <= piece && chunk.len() <= batch;
        if !whole {
            for (context, name) in contexts.iter_mut().zip(&names) {
                let head = 0..first.min(chunk.len());
                feed(context, chunk, head, 0..0).map_err(|why| named(name, why))?;
            }
        }
        let mut begin = first;
        while begin < last {
            let end = last.min(begin + piece);
            let fed = if whole { 0..chunk.len() } else { begin..end };
            for (context, name) in contexts.iter_mut().zip(&names) {
                feed(context, chunk, fed.clone(), begin..end).map_err(|why| named(name, why))?;
            }
            let next: Vec<Token> = chunk[begin + 1..=end].to_vec();
            for position in
                compare(contexts, job, &names, &next, vocabulary, &mut stored, &mut keep)?
            {
                reference_nll.push(position.nll);
                for (all, (nll, divergence, same)) in candidates.iter_mut().zip(position.candidates)
                {
                    all.nll.push(nll);
                    all.divergence.push(divergence);
                    all.same_top.push(same);
                }
            }
            begin = end;
        }
        scores.reference_nll.push(reference_nll);
        for (all, chunk) in scores.candidates.iter_mut().zip(candidates) {
            all.push(chunk);
        }
    }
    if let Some(keep) = keep {
        keep.finish()?;
    }
    Ok(scores)
}

/// The speakers' models, in the order of the contexts.
fn names(job: &ScoreJob) -> Vec<&Path> {
    speakers(job).into_iter().map(|speaker| speaker.model.as_path()).collect()
}

/// Who speaks in a job: the live reference, if there is one, and the candidates.
pub(super) fn speakers(job: &ScoreJob) -> Vec<&Speaker> {
    let live = match &job.reference {
        Reference::Live(speaker) => Some(&**speaker),
        Reference::Stored(_) => None,
    };
    live.into_iter().chain(&job.candidates).collect()
}

/// The one vocabulary of all of them.
fn vocabulary(
    contexts: &[&mut Context],
    names: &[&Path],
    stored: Option<&Reader>,
) -> Result<usize, Failure> {
    let mut sizes = contexts.iter().map(|context| context.model().vocabulary());
    let first = stored.map_or_else(|| sizes.next().unwrap_or(0), Reader::vocabulary);
    for (context, name) in contexts.iter().zip(names) {
        let own = context.model().vocabulary();
        if own != first {
            return Err(Failure::refused(format!(
                "{} has a vocabulary of {own} tokens and the reference one of {first}: their \
                 answers cannot be compared",
                name.display()
            )));
        }
    }
    Ok(first)
}

/// Reads tokens of a chunk, and keeps the logits of some of them.
fn feed(
    context: &mut Context,
    chunk: &[Token],
    range: Range<usize>,
    asked: Range<usize>,
) -> Result<(), Failure> {
    let entries: Vec<Entry> = range
        .map(|at| Entry {
            token: chunk[at],
            position: u32::try_from(at).unwrap_or(u32::MAX),
            sequence: 0,
            answer: asked.contains(&at),
        })
        .collect();
    let batch = context.batch();
    entries.chunks(batch).try_for_each(|entries| context.decode_entries(entries))?;
    context.synchronize()
}

/// The numbers of a piece that every context has just computed.
fn compare(
    contexts: &mut [&mut Context],
    job: &ScoreJob,
    names: &[&Path],
    next: &[Token],
    vocabulary: usize,
    stored: &mut Option<Reader>,
    keep: &mut Option<Writer>,
) -> Result<Vec<Position>, Failure> {
    let threads = speakers(job).first().map_or(1, |it| it.setting.threads.threads_batch as usize);
    let mut said: Vec<&[f32]> = Vec::new();
    for (context, name) in contexts.iter_mut().zip(names) {
        said.push(context.all_logits(next.len()).ok_or_else(|| lost(name))?);
    }
    let piece = match stored {
        Some(stored) => Some(stored.next(next.len())?),
        None => None,
    };
    let (reference, candidates) = match (&piece, said.split_first()) {
        (Some(piece), _) => (piece.values, said.as_slice()),
        (None, Some((reference, candidates))) => (*reference, candidates),
        (None, None) => return Err(Failure::refused("there is nobody to compare with")),
    };
    let rows = per_row(threads, next, vocabulary, |at, token| {
        let row = |logits: &[f32]| -> std::ops::Range<usize> {
            debug_assert_eq!(logits.len(), next.len() * vocabulary);
            at * vocabulary..(at + 1) * vocabulary
        };
        let remembered =
            piece.as_ref().map(|piece| Remembered { top: piece.tops[at], nll: piece.nll[at] });
        let candidates: Vec<&[f32]> = candidates.iter().map(|it| &it[row(it)]).collect();
        Some(Position::of(&reference[row(reference)], remembered, &candidates, token))
    });
    let mut positions = Vec::with_capacity(rows.len());
    for row in rows {
        // Nobody is named where a token is in no vocabulary.
        let row = row.unwrap_or(Err(0));
        let name = |who: usize| match (&piece, who) {
            (Some(_), 0) => None,
            (Some(_), who) => names.get(who - 1).copied(),
            (None, who) => names.get(who).copied(),
        };
        positions.push(row.map_err(|who| nan(name(who)))?);
    }
    if let Some(keep) = keep {
        for (at, position) in positions.iter().enumerate() {
            let logits = &reference[at * vocabulary..][..vocabulary];
            keep.row(logits, position.row.ln_sum, position.row.top, position.nll)?;
        }
    }
    Ok(positions)
}

fn lost(name: &Path) -> Failure {
    Failure::Invalid { reason: format!("{} gave no logits", name.display()) }
}

fn nan(name: Option<&Path>) -> Failure {
    let name =
        name.map_or_else(|| "the stored reference".to_owned(), |it| it.display().to_string());
    Failure::Invalid { reason: format!("{name}: a logit that is not a finite number") }
}

/// Does the same for each position, on several threads; the order of the results is that of the
/// positions.
fn per_row<T: Send>(
    threads: usize,
    next: &[Token],
    vocabulary: usize,
    work: impl Fn(usize, usize) -> Option<T> + Sync,
) -> Vec<Option<T>> {
    let one = |at: usize| {
        let token = usize::try_from(next[at]).ok().filter(|token| *token < vocabulary)?;
        work(at, token)
    };
    // A thread costs more than a few small rows.
    let worth = next.len() * vocabulary / (1 << 17);
    let threads = threads.min(worth).max(1);
    if threads == 1 {
        return (0..next.len()).map(one).collect();
    }
    let share = next.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let one = &one;
        let parts: Vec<_> = (0..next.len())
            .step_by(share)
            .map(|start| {
                let end = next.len().min(start + share);
                scope.spawn(move || (start..end).map(one).collect::<Vec<_>>())
            })
            .collect();
        let joined = parts.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(logits: &[f32]) -> Option<Row> {
        Row::of(logits, &mut vec![0.0; logits.len()]).map(|(row, _)| row)
    }

    fn divergence(reference: &[f32], candidate: &[f32]) -> Result<f64, usize> {
        Position::of(reference, None, &[candidate], 0).map(|it| it.candidates[0].1)
    }

    #[test]
    fn a_distribution_is_at_no_distance_from_itself() {
        let logits: Vec<f32> = (0..1000_u16).map(|at| (f32::from(at) * 0.37).sin() * 9.0).collect();
        assert!(divergence(&logits, &logits).unwrap().abs() < f64::MIN_POSITIVE);
    }

    #[test]
    fn the_distance_of_two_known_distributions() {
        // A quarter and three quarters against halves; logits may be shifted at will.
        let p = [0.25_f32.ln() + 5.0, 0.75_f32.ln() + 5.0];
        let q = [-2.0_f32, -2.0];
        let known = 0.25 * (0.5_f64).ln() + 0.75 * (1.5_f64).ln();
        assert!((divergence(&p, &q).unwrap() - known).abs() < 1e-7);
        let found = Position::of(&p, None, &[&q, &p], 0).unwrap();
        assert!((found.nll - 4.0_f64.ln()).abs() < 1e-6);
        assert!((found.candidates[0].0 - 2.0_f64.ln()).abs() < 1e-6);
        assert_eq!(found.candidates.iter().map(|it| it.2).collect::<Vec<_>>(), [false, true]);
        let told = Some(Remembered { top: 0, nll: 7.0 });
        let found = Position::of(&p, told, &[&q], 0).unwrap();
        assert!(found.candidates[0].2 && (found.nll - 7.0).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_happen_adds_nothing_and_a_nan_is_found() {
        let p = [0.0, f32::NEG_INFINITY];
        let q = [0.0, 0.0];
        assert!((divergence(&p, &q).unwrap() - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(divergence(&q, &p), Err(1));
        for logits in [[0.0, f32::NAN], [f32::NEG_INFINITY; 2], [f32::INFINITY, 0.0]] {
            assert_eq!(alone(&logits), None, "{logits:?}");
            assert_eq!(divergence(&logits, &q), Err(0), "{logits:?}");
            assert_eq!(divergence(&q, &logits), Err(1), "{logits:?}");
        }
    }

    #[test]
    fn threads_keep_the_order() {
        let next: Vec<Token> = (0..500).collect();
        let rows = per_row(3, &next, 4096, |at, token| Some((at, token)));
        assert!(rows.iter().enumerate().all(|(at, row)| *row == Some((at, at))));
        let rows = per_row(1, &[5, -1, 9], 9, |at, _| Some(at));
        assert_eq!(rows, [Some(0), None, None]);
    }

    #[test]
    fn a_large_vocabulary_is_scored_in_small_pieces() {
        assert_eq!(piece_of(2048), 512);
        assert_eq!(piece_of(150_000), 111);
        assert_eq!(piece_of(usize::MAX / 8), 16);
    }
}
