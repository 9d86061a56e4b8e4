//! How likely models find a text, and how far their distributions are from a reference's: token by
//! token, all models on the same piece of a chunk before anyone goes on. Nothing but the logits of
//! that piece is ever kept.

use std::ops::Range;
use std::path::Path;

use super::context::{Context, Entry};
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

/// One scored position of one model: what is needed of its distribution beside the logits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    /// The likeliest token, the first of equals.
    top: usize,
    /// Natural logarithm of the sum of the exponentials of all logits.
    ln_sum: f64,
}

impl Row {
    /// `None` where a logit is not a number, or all are infinitely unlikely.
    fn of(logits: &[f32]) -> Option<Self> {
        let (mut top, mut most) = (0, f32::NEG_INFINITY);
        for (at, logit) in logits.iter().enumerate() {
            if *logit > most {
                (top, most) = (at, *logit);
            }
        }
        let most = f64::from(most);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
        let ln_sum = most + sum.ln();
        ln_sum.is_finite().then_some(Self { top, ln_sum })
    }

    fn nll(&self, logits: &[f32], token: usize) -> f64 {
        self.ln_sum - f64::from(logits[token])
    }
}

/// A reference's row: its logits where it speaks, logarithms of probabilities where it is read.
#[derive(Debug, Clone)]
struct Said {
    row: Row,
    nll: f64,
}

/// Kullback-Leibler divergence of the candidate from the reference, in nats.
fn divergence(reference: &[f32], row: &Row, candidate: &[f32], other: &Row) -> f64 {
    let shift = other.ln_sum - row.ln_sum;
    reference
        .iter()
        .zip(candidate)
        .map(|(a, b)| {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let p = (a - row.ln_sum).exp();
            if p > 0.0 { p * (a - b + shift) } else { 0.0 }
        })
        .sum()
}

/// Everything of a piece of a chunk.
#[derive(Debug, Default)]
struct PieceScores {
    reference_nll: Vec<f64>,
    tops: Vec<usize>,
    candidates: Vec<ChunkScore>,
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
        let mut candidates: Vec<ChunkScore> = vec![empty(); job.candidates.len()];
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
            let found = compare(contexts, job, &names, &next, vocabulary, &mut stored, &mut keep)?;
            reference_nll.extend(found.reference_nll);
            for (all, piece) in candidates.iter_mut().zip(found.candidates) {
                all.nll.extend(piece.nll);
                all.divergence.extend(piece.divergence);
                all.same_top.extend(piece.same_top);
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

fn empty() -> ChunkScore {
    ChunkScore { nll: Vec::new(), divergence: Vec::new(), same_top: Vec::new() }
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
) -> Result<PieceScores, Failure> {
    let threads = speakers(job).first().map_or(1, |it| it.setting.threads.threads_batch as usize);
    let (live, candidates) = contexts.split_at_mut(usize::from(stored.is_none()));
    let reference: &[f32];
    let rows: Vec<Option<Said>>;
    match (live.first_mut(), stored) {
        (Some(context), _) => {
            reference = context.all_logits(next.len()).ok_or_else(|| lost(names[0]))?;
            rows = per_row(threads, next, vocabulary, |at, token| {
                let logits = &reference[at * vocabulary..][..vocabulary];
                let row = Row::of(logits)?;
                Some(Said { nll: row.nll(logits, token), row })
            });
        }
        (None, Some(stored)) => {
            let piece = stored.next(next.len())?;
            reference = piece.values;
            rows = per_row(threads, next, vocabulary, |at, _| {
                let logits = &reference[at * vocabulary..][..vocabulary];
                // Rounding may have made equals of the likeliest tokens; which came first is stored.
                let row = Row { top: piece.tops[at], ..Row::of(logits)? };
                Some(Said { nll: piece.nll[at], row })
            });
        }
        (None, None) => return Err(Failure::refused("there is nobody to compare with")),
    }
    let said: Vec<Said> =
        rows.into_iter().collect::<Option<_>>().ok_or_else(|| nan(names.first().copied()))?;
    if let Some(keep) = keep {
        for (at, said) in said.iter().enumerate() {
            let logits = &reference[at * vocabulary..][..vocabulary];
            keep.row(logits, said.row.ln_sum, said.row.top, said.nll)?;
        }
    }
    let mut piece = PieceScores {
        reference_nll: said.iter().map(|said| said.nll).collect(),
        tops: said.iter().map(|said| said.row.top).collect(),
        candidates: Vec::new(),
    };
    let first = usize::from(names.len() > candidates.len());
    for (context, name) in candidates.iter_mut().zip(&names[first..]) {
        let logits = context.all_logits(next.len()).ok_or_else(|| lost(name))?;
        let rows = per_row(threads, next, vocabulary, |at, token| {
            let own = &logits[at * vocabulary..][..vocabulary];
            let row = Row::of(own)?;
            let reference = &reference[at * vocabulary..][..vocabulary];
            let distance = divergence(reference, &said[at].row, own, &row);
            let nll = row.nll(own, token);
            let same = row.top == piece.tops[at];
            (distance.is_finite() && nll.is_finite()).then_some((nll, distance, same))
        });
        let mut score = empty();
        for row in rows {
            let (nll, distance, same) = row.ok_or_else(|| nan(Some(name)))?;
            score.nll.push(nll);
            score.divergence.push(distance);
            score.same_top.push(same);
        }
        piece.candidates.push(score);
    }
    Ok(piece)
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

    #[test]
    fn a_distribution_is_at_no_distance_from_itself() {
        let logits: Vec<f32> = (0..1000_u16).map(|at| (f32::from(at) * 0.37).sin() * 9.0).collect();
        let row = Row::of(&logits).unwrap();
        assert!(divergence(&logits, &row, &logits, &row).abs() < f64::MIN_POSITIVE);
    }

    #[test]
    fn the_distance_of_two_known_distributions() {
        // A quarter and three quarters against halves; logits may be shifted at will.
        let p = [0.25_f32.ln() + 5.0, 0.75_f32.ln() + 5.0];
        let q = [-2.0_f32, -2.0];
        let (a, b) = (Row::of(&p).unwrap(), Row::of(&q).unwrap());
        let known = 0.25 * (0.5_f64).ln() + 0.75 * (1.5_f64).ln();
        assert!((divergence(&p, &a, &q, &b) - known).abs() < 1e-7);
        assert!((a.nll(&p, 0) - 4.0_f64.ln()).abs() < 1e-6);
        assert_eq!((a.top, b.top), (1, 0));
    }

    #[test]
    fn what_cannot_happen_adds_nothing_and_a_nan_is_found() {
        let p = [0.0, f32::NEG_INFINITY];
        let q = [0.0, 0.0];
        let (a, b) = (Row::of(&p).unwrap(), Row::of(&q).unwrap());
        assert!((divergence(&p, &a, &q, &b) - 2.0_f64.ln()).abs() < 1e-12);
        assert!(divergence(&q, &b, &p, &a).is_infinite());
        for logits in [[0.0, f32::NAN], [f32::NEG_INFINITY; 2], [f32::INFINITY, 0.0]] {
            assert_eq!(Row::of(&logits), None, "{logits:?}");
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
