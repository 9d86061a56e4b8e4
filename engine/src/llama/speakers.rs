//! Models that are loaded side by side, each with a context: whoever is compared is asked in the
//! same breath. Models are shared between speakers that differ in their contexts only.

use std::path::Path;
use std::sync::Arc;

use super::backend::Backend;
use super::context::{Context, Entry};
use super::engine::ModelKey;
use super::model::{Model, Weights};
use super::{log, refuse};
use crate::api::{
    ContextSetting, Continuation, ContinueJob, Failure, LoadSetting, Speaker, Token, Tokenized,
};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Whoever was asked last.
#[derive(Debug, Default)]
pub(super) struct Speakers {
    // In the order in which they must go.
    speaking: Vec<Speaking>,
}

#[derive(Debug)]
struct Speaking {
    key: ModelKey,
    setting: ContextSetting,
    outputs: u32,
    context: Context,
    model: Arc<Model>,
}

impl Speakers {
    /// Frees all of them.
    pub(super) fn leave(&mut self) {
        self.speaking.clear();
    }

    /// Loads these and lets go of all others. `outputs` tells from the vocabulary how many logits
    /// are kept at once.
    pub(super) fn gather(
        &mut self,
        wanted: &[&Speaker],
        backend: &Backend,
        outputs: impl Fn(usize) -> u32,
    ) -> Result<(), Failure> {
        for speaker in wanted {
            refuse::check_setting(&speaker.setting)?;
        }
        let key = |speaker: &Speaker| ModelKey::of(&speaker.model, &speaker.setting.load);
        let needed = |known: &Speaking| {
            let is = |it: &&Speaker| key(it) == known.key && it.setting.context == known.setting;
            wanted.iter().any(is)
        };
        self.speaking.retain(needed);
        let mut gathered: Vec<Speaking> = Vec::new();
        for speaker in wanted {
            let key = key(speaker);
            let asked = &speaker.setting.context;
            let same = |it: &Speaking| it.key == key && it.setting == *asked;
            if let Some(place) = self.speaking.iter().position(same) {
                let known = self.speaking.remove(place);
                if outputs(known.model.vocabulary()).min(asked.batch) == known.outputs {
                    gathered.push(known);
                    continue;
                }
            }
            let all = || gathered.iter().chain(&self.speaking);
            let loaded = all().find(|it| it.key == key).map(|it| Arc::clone(&it.model));
            let model = match loaded {
                Some(model) => model,
                None => Arc::new(load(&speaker.model, &speaker.setting.load, backend)?),
            };
            let outputs = outputs(model.vocabulary()).min(asked.batch);
            let context = Context::with_outputs(&model, asked, outputs)
                .map_err(|failure| named(&speaker.model, failure))?;
            let setting = asked.clone();
            gathered.push(Speaking { key, setting, outputs, context, model });
        }
        self.speaking = gathered;
        Ok(())
    }

    /// Works with their contexts, in the order they were asked for, on a thread of its own: making
    /// a pool binds the thread it is made on.
    pub(super) fn work<T: Send>(
        &mut self,
        wanted: &[&Speaker],
        work: impl FnOnce(&mut [&mut Context]) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let mut contexts: Vec<&mut Context> =
            self.speaking.iter_mut().map(|it| &mut it.context).collect();
        let done = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                if let Some((first, others)) = contexts.split_first_mut() {
                    first.attach(&wanted[0].setting.threads)?;
                    for (context, speaker) in others.iter_mut().zip(&wanted[1..]) {
                        context.attach_beside(first, &speaker.setting.threads)?;
                    }
                }
                let result = work(&mut contexts);
                for context in &mut contexts {
                    context.rest();
                }
                result
            });
            worker.join()
        });
        let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if done.is_err() {
            // What a failed computation leaves behind is anybody's guess.
            self.leave();
        }
        done
    }
}

fn load(path: &Path, setting: &LoadSetting, backend: &Backend) -> Result<Model, Failure> {
    let model = Model::load(path, setting, backend, Weights::Read)?;
    if !model.generates() {
        return Err(Failure::refused(format!("{} cannot generate text", path.display())));
    }
    Ok(model)
}

/// Which of several models it was.
pub(super) fn named(model: &Path, failure: Failure) -> Failure {
    let name = |reason: String| format!("{}: {reason}", model.display());
    match failure {
        Failure::Refused { reason, log } => Failure::Refused { reason: name(reason), log },
        Failure::OutOfMemory { reason, log } => Failure::OutOfMemory { reason: name(reason), log },
        Failure::Invalid { reason } => Failure::Invalid { reason: name(reason) },
        other => other,
    }
}

/// The tokens of a text. Only the vocabulary is read.
pub(super) fn tokenize(path: &Path, text: &str, backend: &Backend) -> Result<Tokenized, Failure> {
    log::capture();
    let model = Model::load(path, &LoadSetting::default(), backend, Weights::Ignored)?;
    let tokens = model
        .tokenize(text)
        .ok_or_else(|| Failure::refused("the text has more tokens than can be counted"))?;
    Ok(Tokenized {
        tokens,
        vocabulary: u32::try_from(model.vocabulary()).unwrap_or(u32::MAX),
        beginning: model.beginning(),
        trained_context: model.trained_context(),
    })
}

/// Refuses tokens that a vocabulary lacks: llama.cpp would read past its end.
pub(super) fn check_tokens<'a>(
    model: &Path,
    vocabulary: usize,
    rows: impl IntoIterator<Item = &'a Vec<Token>>,
) -> Result<(), Failure> {
    let known = |token: &Token| usize::try_from(*token).is_ok_and(|token| token < vocabulary);
    match rows.into_iter().flatten().find(|token| !known(token)) {
        None => Ok(()),
        Some(token) => Err(Failure::refused(format!(
            "{} has a vocabulary of {vocabulary} and no token {token}",
            model.display()
        ))),
    }
}

/// What a model goes on with, as many prompts at once as its context has sequences.
pub(super) fn go_on(
    context: &mut Context,
    job: &ContinueJob,
) -> Result<Vec<Continuation>, Failure> {
    let setting = &job.speaker.setting.context;
    let at_once = usize::try_from(setting.sequences.max(1)).unwrap_or(1);
    let room = (setting.context as usize / at_once).saturating_sub(job.tokens as usize);
    check_tokens(&job.speaker.model, context.model().vocabulary(), &job.prompts)?;
    if let Some(prompt) = job.prompts.iter().find(|it| it.is_empty() || it.len() > room) {
        return Err(Failure::refused(format!(
            "a prompt of {} tokens and {} more do not fit the context",
            prompt.len(),
            job.tokens
        )));
    }
    let mut chance = job.seed.map(Xoshiro256PlusPlus::seed_from_u64);
    let mut done = Vec::new();
    for prompts in job.prompts.chunks(at_once) {
        context.clear();
        done.extend(go_on_together(context, job, prompts, &mut chance)?);
    }
    Ok(done)
}

fn go_on_together(
    context: &mut Context,
    job: &ContinueJob,
    prompts: &[Vec<Token>],
    chance: &mut Option<Xoshiro256PlusPlus>,
) -> Result<Vec<Continuation>, Failure> {
    let mut said: Vec<Vec<Token>> = vec![Vec::new(); prompts.len()];
    let mut ended = vec![false; prompts.len()];
    let batch = context.batch();
    for (sequence, prompt) in (0_u32..).zip(prompts) {
        let entries: Vec<Entry> = (0_u32..)
            .zip(prompt)
            .map(|(position, token)| Entry {
                token: *token,
                position,
                sequence,
                answer: position as usize + 1 == prompt.len(),
            })
            .collect();
        for entries in entries.chunks(batch) {
            context.decode_entries(entries)?;
        }
        take(
            context,
            -1,
            job,
            chance,
            &mut said[sequence as usize],
            &mut ended[sequence as usize],
        )?;
    }
    for step in 1..job.tokens {
        let open: Vec<usize> = (0..prompts.len()).filter(|at| !ended[*at]).collect();
        let entry = |at: &usize| Entry {
            token: *said[*at].last().expect("an open sequence has said something"),
            position: u32::try_from(prompts[*at].len()).unwrap_or(u32::MAX) + step - 1,
            sequence: u32::try_from(*at).unwrap_or(u32::MAX),
            answer: true,
        };
        let entries: Vec<Entry> = open.iter().map(entry).collect();
        for (entries, open) in entries.chunks(batch).zip(open.chunks(batch)) {
            context.decode_entries(entries)?;
            for (place, at) in (0..).zip(open) {
                take(context, place, job, chance, &mut said[*at], &mut ended[*at])?;
            }
        }
        if ended.iter().all(|ended| *ended) {
            break;
        }
    }
    let model = context.model();
    let text = |tokens: &[Token]| {
        let bytes: Vec<u8> = tokens.iter().flat_map(|token| model.piece(*token)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(said.into_iter().map(|tokens| Continuation { text: text(&tokens), tokens }).collect())
}

/// Takes the next token from the logits at a place.
fn take(
    context: &mut Context,
    place: i32,
    job: &ContinueJob,
    chance: &mut Option<Xoshiro256PlusPlus>,
    said: &mut Vec<Token>,
    ended: &mut bool,
) -> Result<(), Failure> {
    let logits = context.logits(place).map(<[f32]>::to_vec).unwrap_or_default();
    let mut order: Vec<usize> = Vec::new();
    let mut next = next_token(&logits, chance, |_| false);
    if let Some(token) = next
        && context.model().ends(token)
    {
        if job.stop_at_end {
            *ended = true;
            return Ok(());
        }
        order.extend(
            (0..logits.len())
                .filter(|at| i32::try_from(*at).is_ok_and(|token| context.model().ends(token))),
        );
        next = next_token(&logits, chance, |at| order.contains(&at));
    }
    let invalid = || Failure::Invalid {
        reason: format!("{}: a NaN in the logits", job.speaker.model.display()),
    };
    said.push(next.ok_or_else(invalid)?);
    Ok(())
}

/// The likeliest token, the first of equals, or one drawn by its probability.
fn next_token(
    logits: &[f32],
    chance: &mut Option<Xoshiro256PlusPlus>,
    barred: impl Fn(usize) -> bool,
) -> Option<Token> {
    if logits.iter().any(|logit| logit.is_nan()) {
        return None;
    }
    let open = || logits.iter().enumerate().filter(|(at, _)| !barred(*at));
    let (likeliest, most) =
        open().fold(None, |best: Option<(usize, f32)>, (at, logit)| match best {
            Some((_, most)) if most >= *logit => best,
            _ => Some((at, *logit)),
        })?;
    let Some(chance) = chance else { return i32::try_from(likeliest).ok() };
    let weight = |logit: f32| f64::from(logit - most).exp();
    let total: f64 = open().map(|(_, logit)| weight(*logit)).sum();
    let mut left = chance.random::<f64>() * total;
    for (at, logit) in open() {
        left -= weight(*logit);
        if left < 0.0 {
            return i32::try_from(at).ok();
        }
    }
    i32::try_from(likeliest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_the_first_of_equals_that_is_not_barred() {
        let logits = [1.0, 3.0, 3.0, -1.0];
        assert_eq!(next_token(&logits, &mut None, |_| false), Some(1));
        assert_eq!(next_token(&logits, &mut None, |at| at == 1), Some(2));
        assert_eq!(next_token(&[1.0, f32::NAN], &mut None, |_| false), None);
        assert_eq!(next_token(&[], &mut None, |_| false), None);
    }

    #[test]
    fn what_is_drawn_follows_the_probabilities() {
        let mut chance = Some(Xoshiro256PlusPlus::seed_from_u64(7));
        // A third and two thirds.
        let logits = [0.0, 2.0_f32.ln(), f32::NEG_INFINITY];
        let mut counts = [0_u32; 3];
        for _ in 0..3000 {
            let token = next_token(&logits, &mut chance, |_| false).unwrap();
            counts[usize::try_from(token).unwrap()] += 1;
        }
        assert!((900..1100).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
    }
}
