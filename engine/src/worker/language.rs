//! [`Language`] from a child process.

use std::path::Path;
use std::time::Duration;

use super::engine::{WorkerEngine, absolute, mismatch};
use super::protocol::{Answer, Ask};
use crate::api::{
    Continuation, ContinueJob, Failure, ImportanceJob, ImportanceUse, Language, ProcessSetting,
    QuantizeJob, Quantized, Reference, RoundingJob, ScoreJob, Scores, Speaker, TensorRounding,
    Tokenized,
};

impl Language for WorkerEngine {
    /// In a process of its own: several malformed headers end it.
    fn tokenize(&mut self, model: &Path, text: &str) -> Result<Tokenized, Failure> {
        match self.once(Ask::Tokenize { model: absolute(model), text: text.to_owned() })? {
            Answer::Tokenize(tokenized) => Ok(tokenized),
            other => Err(mismatch(&other)),
        }
    }

    fn score(&mut self, job: &ScoreJob, deadline: Duration) -> Result<Scores, Failure> {
        let mut job = job.clone();
        if let Reference::Live(speaker) = &mut job.reference {
            speaker.model = absolute(&speaker.model);
        }
        for candidate in &mut job.candidates {
            candidate.model = absolute(&candidate.model);
        }
        let mut process = job.process().cloned().ok_or_else(|| {
            Failure::refused("whoever is compared must share a process, and there must be one")
        })?;
        if process.isa_variant.is_none() {
            // One that multiplies rightly in the types of all of them.
            let live = match &job.reference {
                Reference::Live(speaker) => Some(&**speaker),
                Reference::Stored(_) => None,
            };
            let models: Vec<&Path> =
                live.into_iter().chain(&job.candidates).map(|it| it.model.as_path()).collect();
            process.isa_variant = Some(self.best_variant_for(&models)?);
        }
        if let Reference::Live(speaker) = &mut job.reference {
            speaker.setting.process = process.clone();
        }
        for candidate in &mut job.candidates {
            candidate.setting.process = process.clone();
        }
        match self.ask(&process, Ask::Score(Box::new(job)), deadline)? {
            Answer::Score(scores) => Ok(*scores),
            other => Err(mismatch(&other)),
        }
    }

    fn continue_text(
        &mut self,
        job: &ContinueJob,
        deadline: Duration,
    ) -> Result<Vec<Continuation>, Failure> {
        let speaker = self.speaker(&job.speaker)?;
        let process = speaker.setting.process.clone();
        let job = ContinueJob { speaker, ..job.clone() };
        match self.ask(&process, Ask::Continue(Box::new(job)), deadline)? {
            Answer::Continue(continuations) => Ok(continuations),
            other => Err(mismatch(&other)),
        }
    }

    fn importance(
        &mut self,
        job: &ImportanceJob,
        deadline: Duration,
    ) -> Result<ImportanceUse, Failure> {
        let speaker = self.speaker(&job.speaker)?;
        let process = speaker.setting.process.clone();
        let mut job = ImportanceJob { speaker, ..job.clone() };
        for file in job.begin.iter_mut().flatten() {
            *file = absolute(file);
        }
        if let Some(file) = &mut job.write {
            file.path = absolute(&file.path);
        }
        match self.ask(&process, Ask::Importance(Box::new(job)), deadline)? {
            Answer::Importance(state) => Ok(state),
            other => Err(mismatch(&other)),
        }
    }

    fn quantize(&mut self, job: &QuantizeJob, deadline: Duration) -> Result<Quantized, Failure> {
        let job = QuantizeJob {
            source: absolute(&job.source),
            target: job.target.as_deref().map(absolute),
            importance: job.importance.as_deref().map(absolute),
            ..job.clone()
        };
        let process = self.any_process(&job.source)?;
        match self.ask(&process, Ask::Quantize(Box::new(job)), deadline)? {
            Answer::Quantize(quantized) => Ok(quantized),
            other => Err(mismatch(&other)),
        }
    }

    fn rounding(
        &mut self,
        job: &RoundingJob,
        deadline: Duration,
    ) -> Result<Vec<TensorRounding>, Failure> {
        let job = RoundingJob {
            model: absolute(&job.model),
            importance: job.importance.as_deref().map(absolute),
            ..job.clone()
        };
        let process = self.any_process(&job.model)?;
        match self.ask(&process, Ask::Rounding(Box::new(job)), deadline)? {
            Answer::Rounding(found) => Ok(found),
            other => Err(mismatch(&other)),
        }
    }
}

impl WorkerEngine {
    fn speaker(&mut self, speaker: &Speaker) -> Result<Speaker, Failure> {
        let mut speaker = Speaker { model: absolute(&speaker.model), ..speaker.clone() };
        if speaker.setting.process.isa_variant.is_none() {
            speaker.setting.process.isa_variant = Some(self.best_variant(&speaker.model)?);
        }
        Ok(speaker)
    }

    fn any_process(&mut self, model: &Path) -> Result<ProcessSetting, Failure> {
        let isa_variant = Some(self.best_variant(model)?);
        Ok(ProcessSetting { isa_variant, ..ProcessSetting::default() })
    }

    fn ask(
        &mut self,
        process: &ProcessSetting,
        ask: Ask,
        deadline: Duration,
    ) -> Result<Answer, Failure> {
        self.attempt_to(process, ask, deadline).map(|(answer, _)| answer)
    }
}
