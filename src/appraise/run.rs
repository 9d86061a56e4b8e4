//! The loop: which chunk comes next, who is asked, when it is enough.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{
    ChunkScore, Clock, Failure, Identity, Language, Reference, ScoreJob, Setting, Speaker, Token,
};
use serde::{Deserialize, Serialize};

use super::groups::{Groups, groups};
use super::{AppraiseError, Fit};
use crate::model::QualityStop;
use crate::quality::{Accumulated, Enough, FIRST_CHUNKS, enough};
use crate::store::{CacheKey, ResultCache};

/// How long one chunk of all models may take: hours, for the largest from a slow disk.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);

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
    let groups = groups(&asked.fit, asked.reference.bytes, &sizes);
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
                None => one_chunk(language, identity, asked, &groups, &mut cache, &mut found),
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

/// Scores the next chunk with everybody.
fn one_chunk(
    language: &mut dyn Language,
    identity: &Identity,
    asked: &Asked,
    groups: &Groups,
    cache: &mut Option<&mut ResultCache<Kept>>,
    found: &mut Appraised,
) -> Result<(), AppraiseError> {
    let at = found.reference_nll.len();
    let chunk = &asked.chunks[at];
    let key = |candidate: &Candidate| key(identity, asked, candidate, groups.lock_step, chunk);
    let failed = |cause: Failure| AppraiseError::Engine { chunk: at + 1, cause };
    // The reference against itself, on the first chunk: zero, or else the floor of everything.
    let itself = (at == 0 && !asked.candidates.is_empty()).then_some(&asked.reference);
    let rows: Vec<Vec<&Candidate>> = if asked.candidates.is_empty() {
        vec![Vec::new()]
    } else {
        groups
            .rows
            .iter()
            .map(|row| row.iter().map(|at| &asked.candidates[*at]).collect())
            .collect()
    };
    let mut known: Vec<(CacheKey, Kept)> = Vec::new();
    let mut ask = |candidates: &[&Candidate]| -> Result<Vec<Kept>, AppraiseError> {
        let missing: Vec<&Candidate> = candidates
            .iter()
            .copied()
            .filter(|candidate| {
                let key = key(candidate);
                if known.iter().any(|(other, _)| *other == key) {
                    return false;
                }
                match cache.as_mut().and_then(|cache| cache.get(&key)) {
                    Some(kept) => {
                        known.push((key, kept));
                        found.from_cache += 1;
                        false
                    }
                    None => true,
                }
            })
            .collect();
        if !missing.is_empty() {
            let scored = scored(language, asked, groups.lock_step, at, &missing).map_err(failed)?;
            for (candidate, kept) in missing.iter().zip(scored) {
                let key = key(candidate);
                if let Some(cache) = cache {
                    // What cannot be kept is asked again another time.
                    let _ = cache.put(&key, &kept);
                }
                known.push((key, kept));
            }
        }
        let find = |candidate: &&Candidate| {
            let key = key(candidate);
            let kept = known.iter().find(|(other, _)| *other == key);
            kept.map(|(_, kept)| kept.clone()).expect("everybody was asked or known")
        };
        Ok(candidates.iter().map(find).collect())
    };
    let mut all: Vec<Kept> = Vec::new();
    for row in &rows {
        all.extend(ask(row)?);
    }
    let noise = match itself {
        Some(reference) => ask(&[reference])?.pop(),
        None => None,
    };
    let reference_nll = match all.first().or(noise.as_ref()) {
        Some(kept) => kept.reference_nll.clone(),
        None => alone(language, asked, at).map_err(failed)?,
    };
    let order: Vec<usize> = groups.rows.iter().flatten().copied().collect();
    for (place, kept) in order.into_iter().zip(all) {
        let model = || asked.candidates[place].model.clone();
        found.candidates[place]
            .add(&kept.reference_nll, &kept.score)
            .map_err(|cause| AppraiseError::Scores { model: model(), cause })?;
    }
    if let Some(kept) = noise {
        let scores = found.noise.get_or_insert_default();
        let model = || asked.reference.model.clone();
        scores
            .add(&kept.reference_nll, &kept.score)
            .map_err(|cause| AppraiseError::Scores { model: model(), cause })?;
    }
    found.reference_nll.push(reference_nll);
    Ok(())
}

/// Asks about one chunk.
fn scored(
    language: &mut dyn Language,
    asked: &Asked,
    lock_step: bool,
    at: usize,
    candidates: &[&Candidate],
) -> Result<Vec<Kept>, Failure> {
    let speaker = |it: &Candidate| Speaker { model: it.model.clone(), setting: it.setting.clone() };
    let live = || Reference::Live(Box::new(speaker(&asked.reference)));
    let file = asked.fit.folder.join(format!("autotune-base-{}-{at}.bin", std::process::id()));
    let job = |reference, store, candidates| ScoreJob {
        reference,
        store,
        candidates,
        chunks: vec![asked.chunks[at].clone()],
        from: asked.from,
    };
    let mut kept = Vec::new();
    let mut take = |scores: autotune_engine::api::Scores| {
        let reference_nll = scores.reference_nll.into_iter().next().unwrap_or_default();
        for chunk in scores.candidates.into_iter().filter_map(|it| it.into_iter().next()) {
            kept.push(Kept { reference_nll: reference_nll.clone(), score: chunk });
        }
    };
    if lock_step {
        let speakers = candidates.iter().copied().map(speaker).collect();
        take(language.score(&job(live(), None, speakers), DEADLINE)?);
    } else {
        // Each alone: the reference is gone from memory before the first candidate comes.
        let done = language.score(&job(live(), Some(file.clone()), Vec::new()), DEADLINE);
        let done = done.and_then(|_| {
            for candidate in candidates {
                let stored = Reference::Stored(file.clone());
                take(language.score(&job(stored, None, vec![speaker(candidate)]), DEADLINE)?);
            }
            Ok(())
        });
        let _ = std::fs::remove_file(&file);
        done?;
    }
    if kept.len() == candidates.len() {
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
