//! [`Language`] for llama.cpp in this process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::context::Context;
use super::engine::Llama;
use super::importance::{self, Collector};
use super::model::{Model, Weights};
use super::{importance_file, log, quantizer, refuse, rounding, scoring, speakers};
use crate::api::{
    Continuation, ContinueJob, Failure, ImportanceJob, ImportanceUse, Language, QuantizeJob,
    Quantized, RoundingJob, ScoreJob, Scores, TensorRounding, Tokenized,
};

/// Deadlines are left to whoever holds this process.
impl Language for Llama {
    fn tokenize(&mut self, model: &Path, text: &str) -> Result<Tokenized, Failure> {
        let backend = self.any_backend()?;
        speakers::tokenize(model, text, &backend)
    }

    fn score(&mut self, job: &ScoreJob, _: Duration) -> Result<Scores, Failure> {
        let process = job.process().ok_or_else(|| {
            Failure::refused("whoever is compared must share a process, and there must be one")
        })?;
        log::capture();
        let backend = self.backend(process)?;
        self.forget_models();
        let wanted = scoring::speakers(job);
        let longest = job.chunks.iter().map(Vec::len).max().unwrap_or(0);
        for speaker in &wanted {
            if longest > speaker.setting.context.context as usize {
                return Err(Failure::refused("a chunk is longer than a context"));
            }
        }
        self.speakers.gather(&wanted, &backend, scoring::piece_of)?;
        self.speakers.work(&wanted, |contexts| scoring::score(contexts, job))
    }

    fn continue_text(
        &mut self,
        job: &ContinueJob,
        _: Duration,
    ) -> Result<Vec<Continuation>, Failure> {
        log::capture();
        let backend = self.backend(&job.speaker.setting.process)?;
        self.forget_models();
        let wanted = [&job.speaker];
        let sequences = job.speaker.setting.context.sequences.max(1);
        self.speakers.gather(&wanted, &backend, |_| sequences)?;
        self.speakers.work(&wanted, |contexts| speakers::go_on(contexts[0], job))
    }

    fn importance(&mut self, job: &ImportanceJob, _: Duration) -> Result<ImportanceUse, Failure> {
        log::capture();
        refuse::check_setting(&job.speaker.setting)?;
        let backend = self.backend(&job.speaker.setting.process)?;
        if let Some(files) = &job.begin {
            self.forget_models();
            self.speakers.leave();
            self.importance = None;
            let known = merged(files)?;
            let setting = &job.speaker.setting;
            let model = Model::load(&job.speaker.model, &setting.load, &backend, Weights::Read)?;
            let collector = Arc::new(Mutex::new(Collector::from(known.0, known.1)));
            let model = Arc::new(model);
            let context = Context::collecting(&model, &setting.context, Arc::clone(&collector))?;
            self.importance = Some((job.speaker.clone(), context, collector));
        }
        let known = self.importance.as_mut().filter(|(speaker, ..)| *speaker == job.speaker);
        let Some((_, context, collector)) = known else {
            return Err(Failure::refused("no importance matrix of this model was begun"));
        };
        speakers::check_tokens(&job.speaker.model, context.model().vocabulary(), &job.chunks)?;
        let most = job.speaker.setting.context.context as usize;
        if job.chunks.iter().any(|chunk| chunk.is_empty() || chunk.len() > most) {
            return Err(Failure::refused("a chunk does not fit the context"));
        }
        let done = std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                context.attach(&job.speaker.setting.threads)?;
                let done = importance::read(context, collector, job);
                context.rest();
                done
            });
            worker.join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let collector = collector.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &job.write {
            importance_file::write(file, &collector.weights, collector.chunks)?;
        }
        Ok(importance::state(&collector))
    }

    fn quantize(&mut self, job: &QuantizeJob, _: Duration) -> Result<Quantized, Failure> {
        self.any_backend()?;
        self.forget_models();
        self.speakers.leave();
        quantizer::quantize(job)
    }

    fn rounding(&mut self, job: &RoundingJob, _: Duration) -> Result<Vec<TensorRounding>, Failure> {
        self.any_backend()?;
        rounding::rounding(job)
    }
}

impl Llama {
    /// The process as it is, or one of the default setting.
    fn any_backend(&mut self) -> Result<super::backend::Backend, Failure> {
        let setting = self.backend_setting().unwrap_or_default();
        self.backend(&setting)
    }
}

/// Several matrices of one model as one.
fn merged(
    files: &[std::path::PathBuf],
) -> Result<(BTreeMap<String, importance::Importance>, u32), Failure> {
    let mut all: (BTreeMap<String, importance::Importance>, u32) = (BTreeMap::new(), 0);
    for file in files {
        if !importance_file::is_gguf(file) {
            return Err(Failure::refused(format!(
                "{} has llama.cpp's older format, which does not say how many tokens its sums are \
                 of: only GGUF files can be merged",
                file.display()
            )));
        }
        let (weights, chunks) = importance_file::read(file)?;
        all.1 += chunks;
        for (name, more) in weights {
            let Some(known) = all.0.get_mut(&name) else {
                all.0.insert(name, more);
                continue;
            };
            if known.squares.len() != more.squares.len() || known.counts.len() != more.counts.len()
            {
                return Err(Failure::refused(format!(
                    "{}: {name} has another shape than in the files before",
                    file.display()
                )));
            }
            known.squares.iter_mut().zip(more.squares).for_each(|(sum, more)| *sum += more);
            known.counts.iter_mut().zip(more.counts).for_each(|(sum, more)| *sum += more);
        }
    }
    Ok(all)
}
