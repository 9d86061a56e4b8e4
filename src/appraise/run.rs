//! The loop: which chunk comes next, who is asked, when it is enough.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{
    ChunkScore, Clock, Failure, Identity, Language, Reference, ScoreJob, Scores, Setting, Speaker,
    Token,
};
use serde::{Deserialize, Serialize};

use super::groups::{Groups, groups};
use super::{AppraiseError, Fit};
use crate::model::QualityStop;
use crate::quality::{Accumulated, Enough, FIRST_CHUNKS, enough};
use crate::store::{CacheKey, ResultCache, workshop};

/// How long one chunk of all models may take: hours, for the largest from a slow disk.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// Tokens that models read in one go where they take turns in memory: each turn loads weights, and
/// the answers to 4096 tokens over a vocabulary of 150 000 are 600 MB of file.
const AT_ONCE: usize = 4096;

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The name that it is told by.
    pub name: String,
    /// The GGUF file.
    pub model: PathBuf,
    /// Bytes of the file, of all its parts.
    pub bytes: u64,
    /// What tells the file's contents from others.
    pub digest: String,
    /// Its setting.
    pub setting: Setting,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What the candidates are compared with.
    pub reference: Candidate,
    /// The candidates; none: only how likely the reference finds the text.
    pub candidates: Vec<Candidate>,
    /// The text.
    pub chunks: Vec<Vec<Token>>,
    /// Tokens at the start of a chunk whose successors are not scored.
    pub from: u32,
    /// So many chunks; `None`: until it is enough.
    pub most: Option<u32>,
    /// No chunk begins after so long.
    pub budget: Option<Duration>,
    /// Memory that models may take.
    pub fit: Fit,
}

/// One chunk of one candidate, as the cache keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    reference_nll: Vec<f64>,
    score: ChunkScore,
}

impl Kept {
    /// Version of a cached result.
    pub const SCHEMA: &'static str = "autotune.scores/1";
}

/// How far it is.
#[derive(Debug, Clone, Copy)]
pub struct Looking<'a> {
    /// Chunks done.
    pub done: u32,
    /// Chunks until the next look.
    pub planned: u32,
    /// Names, and what is known.
    pub candidates: &'a [(&'a str, &'a Accumulated)],
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Appraised {
    /// The reference's negative log likelihoods, chunk by chunk.
    pub reference_nll: Vec<Vec<f64>>,
    /// The candidates, in the order asked.
    pub candidates: Vec<Accumulated>,
    /// The reference against itself; `None` without a chunk of it.
    pub noise: Option<Accumulated>,
    /// Why it ended.
    pub stopped: QualityStop,
    /// What was still open when it ended; `None` where nothing was.
    pub open: Option<String>,
    /// Whether the reference was read from a file.
    pub through_a_file: bool,
    /// Chunks that were known from before, over all candidates.
    pub from_cache: u32,
}

/// Scores chunk after chunk. What `cache` knows is not asked again.
pub fn appraise(
    language: &mut dyn Language,
    identity: &Identity,
    clock: &dyn Clock,
    asked: &Asked,
    mut cache: Option<&mut ResultCache<Kept>>,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(Looking<'_>),
) -> Result<Appraised, AppraiseError> {
    let began = clock.now();
    let available = u32::try_from(asked.chunks.len()).unwrap_or(u32::MAX);
    // Without candidates one number is wanted, of the whole text.
    let first = if asked.candidates.is_empty() { available } else { FIRST_CHUNKS };
    let mut until = asked.most.unwrap_or(first).min(available);
    let mut found = Appraised {
        reference_nll: Vec::new(),
        candidates: vec![Accumulated::default(); asked.candidates.len()],
        noise: None,
        stopped: QualityStop::Asked,
        open: None,
        through_a_file: false,
        from_cache: 0,
    };
    let sizes: Vec<(PathBuf, u64)> =
        asked.candidates.iter().map(|it| (it.model.clone(), it.bytes)).collect();
    let reference = (asked.reference.model.as_path(), asked.reference.bytes);
    let groups = groups(&asked.fit, reference, &sizes);
    found.through_a_file = !groups.lock_step && !asked.candidates.is_empty();
    loop {
        while chunks_of(&found) < until {
            let late =
                asked.budget.is_some_and(|budget| clock.now().saturating_sub(began) >= budget);
            let stop = if interrupted.load(Ordering::Relaxed) {
                Some(QualityStop::Interrupted)
            } else if late && found.reference_nll.len() > 1 {
                Some(QualityStop::Budget)
            } else {
                None
            };
            let done = match stop {
                None => {
                    let start = found.reference_nll.len();
                    let fit = AT_ONCE / asked.chunks[start].len().max(1);
                    let count = if groups.take_turns() { fit.max(1) } else { 1 };
                    let chunks = start..(until as usize).min(start + count);
                    next_chunks(language, identity, asked, &groups, chunks, &mut cache, &mut found)
                }
                Some(_) => Ok(()),
            };
            // A job that was cancelled is the user's doing.
            let cut = done.is_err() && interrupted.load(Ordering::Relaxed);
            if stop.is_some() || cut {
                if found.reference_nll.is_empty() {
                    return Err(AppraiseError::Interrupted);
                }
                found.stopped = stop.unwrap_or(QualityStop::Interrupted);
                found.open = open(asked, &found);
                return Ok(found);
            }
            done?;
            let done = chunks_of(&found);
            let names = named(asked, &found.candidates);
            progress(Looking { done, planned: until, candidates: &names });
        }
        found.open = open(asked, &found);
        let next = match enough(&named(asked, &found.candidates)) {
            _ if asked.most.is_some() => break,
            Enough::Yes => {
                found.stopped = if asked.candidates.is_empty() {
                    QualityStop::TextEnded
                } else {
                    QualityStop::Separated
                };
                return Ok(found);
            }
            Enough::No { doubled, .. } => doubled.min(available),
        };
        if next <= until {
            found.stopped = QualityStop::TextEnded;
            return Ok(found);
        }
        until = next;
    }
    if asked.most.is_some_and(|most| most > available) {
        found.stopped = QualityStop::TextEnded;
    }
    Ok(found)
}

fn chunks_of(found: &Appraised) -> u32 {
    u32::try_from(found.reference_nll.len()).unwrap_or(u32::MAX)
}

fn named<'a>(asked: &'a Asked, scores: &'a [Accumulated]) -> Vec<(&'a str, &'a Accumulated)> {
    asked.candidates.iter().map(|it| it.name.as_str()).zip(scores).collect()
}

fn open(asked: &Asked, found: &Appraised) -> Option<String> {
    match enough(&named(asked, &found.candidates)) {
        Enough::Yes => None,
        Enough::No { because, .. } => Some(because),
    }
}

/// Scores chunks with everybody.
fn next_chunks(
    language: &mut dyn Language,
    identity: &Identity,
    asked: &Asked,
    groups: &Groups,
    chunks: Range<usize>,
    cache: &mut Option<&mut ResultCache<Kept>>,
    found: &mut Appraised,
) -> Result<(), AppraiseError> {
    let failed = |cause: Failure| AppraiseError::Engine { chunk: chunks.start + 1, cause };
    if asked.candidates.is_empty() {
        for at in chunks.clone() {
            let key = key_alone(identity, asked, &asked.chunks[at]);
            let nll = if let Some(kept) = cache.as_mut().and_then(|cache| cache.get(&key)) {
                found.from_cache += 1;
                kept.reference_nll
            } else {
                let reference_nll = alone(language, asked, at).map_err(failed)?;
                let kept = Kept { reference_nll, score: ChunkScore::default() };
                if let Some(cache) = cache {
                    // What cannot be kept is asked again another time.
                    let _ = cache.put(&key, &kept);
                }
                kept.reference_nll
            };
            found.reference_nll.push(nll);
        }
        return Ok(());
    }
    let key = |candidate: &Candidate, at: usize| {
        key(identity, asked, candidate, groups.lock_step, &asked.chunks[at])
    };
    let mut known: HashMap<CacheKey, Kept> = HashMap::new();
    let mut ask = |people: &[&Candidate], chunks: Range<usize>| -> Result<(), AppraiseError> {
        let mut missing = |candidate: &Candidate, at: usize| {
            let key = key(candidate, at);
            if known.contains_key(&key) {
                return false;
            }
            let Some(kept) = cache.as_mut().and_then(|cache| cache.get(&key)) else { return true };
            known.insert(key, kept);
            found.from_cache += 1;
            false
        };
        let mut open: Vec<usize> = Vec::new();
        let mut people = people.to_vec();
        people.retain(|candidate| {
            let own: Vec<usize> = chunks.clone().filter(|at| missing(candidate, *at)).collect();
            open.extend(&own);
            !own.is_empty()
        });
        open.sort_unstable();
        open.dedup();
        if people.is_empty() {
            return Ok(());
        }
        let scored = scored(language, asked, groups.lock_step, &open, &people).map_err(failed)?;
        for (candidate, of_chunks) in people.iter().zip(scored) {
            for (at, kept) in open.iter().zip(of_chunks) {
                let key = key(candidate, *at);
                if let Some(cache) = cache {
                    // What cannot be kept is asked again another time.
                    let _ = cache.put(&key, &kept);
                }
                known.insert(key, kept);
            }
        }
        Ok(())
    };
    // The reference against itself, on the first chunk: zero, or else the floor of everything. Beside
    // the others where they read one chunk at a time, which saves asking it twice.
    let itself = (chunks.start == 0).then_some(&asked.reference);
    let beside = itself.filter(|_| chunks.len() == 1 && groups.rows.len() == 1);
    for row in &groups.rows {
        let people = row.iter().map(|at| &asked.candidates[*at]).chain(beside);
        ask(&people.collect::<Vec<_>>(), chunks.clone())?;
    }
    if let Some(reference) = itself {
        ask(&[reference], 0..1)?;
    }
    let add = |scores: &mut Accumulated, candidate: &Candidate, at: usize| {
        let kept = &known[&key(candidate, at)];
        scores
            .add(&kept.reference_nll, &kept.score)
            .map_err(|cause| AppraiseError::Scores { model: candidate.model.clone(), cause })
    };
    for at in chunks.clone() {
        for (candidate, scores) in asked.candidates.iter().zip(&mut found.candidates) {
            add(scores, candidate, at)?;
        }
        found.reference_nll.push(known[&key(&asked.candidates[0], at)].reference_nll.clone());
    }
    if chunks.start == 0 {
        add(found.noise.get_or_insert_default(), &asked.reference, 0)?;
    }
    Ok(())
}

/// Asks about chunks: what each candidate makes of each.
fn scored(
    language: &mut dyn Language,
    asked: &Asked,
    lock_step: bool,
    chunks: &[usize],
    candidates: &[&Candidate],
) -> Result<Vec<Vec<Kept>>, Failure> {
    let speaker = |it: &Candidate| Speaker { model: it.model.clone(), setting: it.setting.clone() };
    let live = || Reference::Live(Box::new(speaker(&asked.reference)));
    let mut job = |reference, store, candidates| {
        let chunks = chunks.iter().map(|at| asked.chunks[*at].clone()).collect();
        let job = ScoreJob { reference, store, candidates, chunks, from: asked.from };
        language.score(&job, DEADLINE)
    };
    let mut kept: Vec<Vec<Kept>> = Vec::new();
    let mut take = |scores: Scores| {
        for own in scores.candidates {
            let both = scores.reference_nll.iter().cloned().zip(own);
            kept.push(both.map(|(reference_nll, score)| Kept { reference_nll, score }).collect());
        }
    };
    if lock_step {
        take(job(live(), None, candidates.iter().copied().map(speaker).collect())?);
    } else {
        // Each alone: the reference is gone from memory before the first candidate comes.
        let folder = workshop(&asked.fit.folder, "base")
            .map_err(|error| Failure::refused(format!("no room for a file of answers: {error}")))?;
        let base = folder.path().join("base.bin");
        job(live(), Some(base.clone()), Vec::new())?;
        for candidate in candidates {
            take(job(Reference::Stored(base.clone()), None, vec![speaker(candidate)])?);
        }
    }
    if kept.len() == candidates.len() && kept.iter().all(|own| own.len() == chunks.len()) {
        return Ok(kept);
    }
    Err(Failure::Invalid { reason: "not every candidate was scored".into() })
}

/// How likely the reference finds a chunk.
fn alone(language: &mut dyn Language, asked: &Asked, at: usize) -> Result<Vec<f64>, Failure> {
    let reference = &asked.reference;
    let speaker = Speaker { model: reference.model.clone(), setting: reference.setting.clone() };
    let job = ScoreJob {
        reference: Reference::Live(Box::new(speaker)),
        store: None,
        candidates: Vec::new(),
        chunks: vec![asked.chunks[at].clone()],
        from: asked.from,
    };
    let scores = language.score(&job, DEADLINE)?;
    scores
        .reference_nll
        .into_iter()
        .next()
        .filter(|nll| !nll.is_empty())
        .ok_or_else(|| Failure::Invalid { reason: "the chunk was not scored".into() })
}

/// Everything that scores depend on.
fn key(
    identity: &Identity,
    asked: &Asked,
    candidate: &Candidate,
    lock_step: bool,
    chunk: &[Token],
) -> CacheKey {
    let reference = &asked.reference;
    CacheKey::of(&(
        Kept::SCHEMA,
        identity,
        (&reference.digest, &reference.setting, lock_step),
        (&candidate.digest, &candidate.setting),
        (chunk, asked.from),
    ))
}

/// The same of a model alone.
fn key_alone(identity: &Identity, asked: &Asked, chunk: &[Token]) -> CacheKey {
    let reference = &asked.reference;
    let who = (&reference.digest, &reference.setting);
    CacheKey::of(&(Kept::SCHEMA, identity, who, "alone", (chunk, asked.from)))
}
