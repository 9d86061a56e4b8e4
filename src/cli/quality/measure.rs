//! From what was typed to a [`QualityReport`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{
    Bytes, Clock, ContinueJob, GpuLayers, Language, Speaker, Token, Tokenized,
};

use super::display::Display;
use super::variations::variations;
use super::{Arguments, Basis, Score};
use crate::appraise::{
    self, Appraised, Asked, Candidate, Chunks, Fit, Kept, ScoredFrom, Speech, chunks, speaking,
    tokenize_alike,
};
use crate::cli::speech::{self, Purpose, Speaking};
use crate::cli::{Exit, Printer, Stop, Verbosity, global, model as models};
use crate::gguf::ModelFile;
use crate::model::{
    CandidateQuality, QualityReport, QualityStop, QualitySubject, QualityText, TextSource,
};
use crate::quality::perplexity;
use crate::store::ResultCache;

/// Chunks that a reference writes for `--text self`, unless more were asked for.
const OWN_CHUNKS: u32 = 16;
/// Sequences that it writes at once.
const AT_ONCE: u32 = 8;
/// How long it may write.
const DEADLINE: Duration = Duration::from_secs(86400);

/// A model that was named.
struct Named {
    typed: String,
    path: PathBuf,
    file: ModelFile,
    subject: QualitySubject,
}

/// Opens a model and says what it is.
fn named(typed: &str, printer: Printer) -> Result<Named, Stop> {
    let path = speech::model(typed, printer)?;
    let file = ModelFile::open(&path).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let subject = subject(typed, &file);
    Ok(Named { typed: typed.to_owned(), path, file, subject })
}

/// What a document says of a model's file.
pub(in crate::cli) fn subject(typed: &str, file: &ModelFile) -> QualitySubject {
    let tensors = || file.headers.iter().flat_map(|header| &header.tensors);
    let weights: u64 = tensors().map(crate::gguf::Tensor::weights).sum();
    let bytes: u64 = tensors().map(|tensor| tensor.bytes).sum();
    let id = file.headers.first().and_then(|header| header.count("general.file_type"));
    let kind =
        id.and_then(|id| crate::synth::FILE_TYPES.iter().find(|kind| u64::from(kind.id) == id));
    QualitySubject {
        model: typed.to_owned(),
        file_bytes: Bytes(file.bytes),
        bits_per_weight: 8.0 * bytes as f64 / weights.max(1) as f64,
        file_type: kind.map(|kind| kind.name.to_owned()),
    }
}

/// Everything that is measured with.
struct Scene<'a> {
    arguments: &'a Arguments,
    speaking: Speaking,
    speech: Speech,
    threads: u32,
    notes: Vec<String>,
    display: Display,
    cache: Option<ResultCache<Kept>>,
}

/// Measures what was asked for.
pub(super) fn measure(arguments: &Arguments, printer: Printer) -> Result<QualityReport, Stop> {
    let speaking = speech::open()?;
    let began = speaking.clock.now();
    let gpu_layers = gpu_layers(&arguments.n_gpu_layers)?;
    let speech = Speech { gpu_layers, ..Speech::default() };
    let threads = speaking.threads(arguments.threads);
    let cache = cache(arguments, printer);
    let display = Display::new(printer);
    let mut scene =
        Scene { arguments, speaking, speech, threads, notes: Vec::new(), display, cache };
    let mut models = Vec::new();
    for typed in arguments.reference.iter().chain(&arguments.candidates) {
        models.push(named(typed, printer)?);
    }
    let paths = models.iter().map(|model| model.path.as_path());
    scene.speech.isa_variant =
        Some(scene.speaking.variant(arguments.isa_variant.as_deref(), paths)?);
    let result = match (&arguments.reference, arguments.vary.as_slice()) {
        (None, []) => scene.alone(&models),
        (None, _) if models.len() > 1 => {
            Err(Stop::usage("--vary changes one model: name the one with --reference"))
        }
        (Some(_), []) if models.len() == 1 => {
            Err(Stop::usage("there is no candidate to compare with the reference")
                .hint("name candidates, or --vary ctk,ctv,fa"))
        }
        _ => scene.compared(&models),
    };
    scene.display.end();
    let mut report = result.map_err(|stop| scene.speaking.interrupted_or(stop))?;
    report.elapsed_ms =
        u64::try_from(scene.speaking.clock.now().saturating_sub(began).as_millis()).unwrap_or(0);
    for note in &report.notes {
        printer.say_at(Verbosity::Verbose, note);
    }
    Ok(report)
}

fn gpu_layers(text: &str) -> Result<GpuLayers, Stop> {
    match text {
        "-1" | "all" => Ok(GpuLayers::All),
        count => count.parse().map(GpuLayers::Count).map_err(|_| {
            Stop::usage(format!("--n-gpu-layers: `{count}` is neither a number nor `all`"))
        }),
    }
}

/// What was scored before; without it everything is asked anew.
fn cache(arguments: &Arguments, printer: Printer) -> Option<ResultCache<Kept>> {
    if arguments.no_cache {
        return None;
    }
    let folder = models::cache_folder().ok()?.join("scores");
    match ResultCache::of_kind(&folder, Kept::SCHEMA) {
        Ok(cache) => Some(cache),
        Err(error) => {
            printer.say_at(Verbosity::Verbose, format!("nothing is remembered: {error}"));
            None
        }
    }
}

impl Scene<'_> {
    /// How likely each model finds the text, one after another.
    fn alone(&mut self, models: &[Named]) -> Result<QualityReport, Stop> {
        if self.arguments.text == "self" {
            return Err(Stop::usage("--text self needs a --reference that writes it"));
        }
        let mut candidates = Vec::new();
        let mut last = None;
        for model in models {
            let read = self.read(std::slice::from_ref(&model.path))?;
            let own = self.candidate(model, model.typed.clone(), &self.speech.clone());
            let found = self.appraise(own, Vec::new(), &read.0)?;
            let value = perplexity(&found.reference_nll)
                .ok_or_else(|| Stop::interrupted("no chunk was read"))?;
            let QualitySubject { model, file_bytes, bits_per_weight, file_type } =
                model.subject.clone();
            candidates.push(CandidateQuality {
                model,
                variation: String::new(),
                file_bytes,
                bits_per_weight,
                file_type,
                perplexity: value.value,
                perplexity_se: value.se,
                against: None,
            });
            last = Some((read, found));
        }
        let ((chunks, text), found) = last.expect("clap demands a model");
        Ok(self.report(None, text, &chunks, &found, candidates))
    }

    /// Candidates beside their reference.
    fn compared(&mut self, models: &[Named]) -> Result<QualityReport, Stop> {
        let (reference, others) = models.split_first().expect("clap demands a model");
        let (base, varied) = match self.arguments.vary.as_slice() {
            [] => (self.speech.clone(), Vec::new()),
            vary => variations(vary, &self.speech),
        };
        self.speech = base.clone();
        let paths: Vec<PathBuf> = models.iter().map(|model| model.path.clone()).collect();
        let (chunks, text) = if self.arguments.text == "self" {
            self.written(reference)?
        } else {
            self.read(&paths)?
        };
        let asked = self.candidate(reference, reference.typed.clone(), &base);
        let names = short_names(others);
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut subjects: Vec<(&Named, String)> = Vec::new();
        for (model, name) in others.iter().zip(names) {
            candidates.push(self.candidate(model, name, &base));
            subjects.push((model, String::new()));
        }
        for (flags, speech) in &varied {
            candidates.push(self.candidate(reference, flags.clone(), speech));
            subjects.push((reference, flags.clone()));
        }
        let found = self.appraise(asked, candidates, &chunks)?;
        let judged =
            subjects.iter().zip(&found.candidates).filter_map(|((model, flags), scores)| {
                scores.candidate(model.subject.clone(), flags.clone())
            });
        let judged: Vec<CandidateQuality> = judged.collect();
        if found.through_a_file {
            self.notes.push(
                "the reference was read from a file with its answers, because memory does not \
                 hold it beside a candidate; that rounds them by less than 0.0001 nats"
                    .to_owned(),
            );
        }
        Ok(self.report(Some(reference.subject.clone()), text, &chunks, &found, judged))
    }

    fn candidate(&self, model: &Named, name: String, speech: &Speech) -> Candidate {
        Candidate {
            name,
            model: model.path.clone(),
            bytes: model.file.bytes,
            digest: model.file.digest.clone(),
            setting: speaking(self.threads, self.arguments.chunk_tokens, speech),
        }
    }

    /// The text that was named, in chunks that all of these models read alike.
    fn read(&mut self, models: &[PathBuf]) -> Result<(Chunks, QualityText), Stop> {
        let typed = &self.arguments.text;
        let text = speech::text(typed, Purpose::Evaluation)?;
        let engine: &mut dyn Language = &mut self.speaking.engine;
        let tokens =
            tokenize_alike(engine, models, &text).map_err(|error| speech::text_stop(&error))?;
        let cut = chunks(&tokens, self.arguments.chunk_tokens)
            .map_err(|error| speech::text_stop(&error))?;
        self.note_context(&tokens);
        let source = if typed == speech::BUILTIN {
            TextSource::Builtin
        } else {
            TextSource::File { path: typed.clone() }
        };
        let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        let described = self.text(source, digest, &cut);
        Ok((cut, described))
    }

    fn note_context(&mut self, tokens: &Tokenized) {
        let warning = speech::warn_of_context(tokens, self.arguments.chunk_tokens);
        self.notes.extend(warning.filter(|warning| !self.notes.contains(warning)));
    }

    /// A text that the reference draws from its own distribution.
    fn written(&mut self, reference: &Named) -> Result<(Chunks, QualityText), Stop> {
        let engine: &mut dyn Language = &mut self.speaking.engine;
        let empty = engine
            .tokenize(&reference.path, "\n")
            .map_err(|failure| Stop::from_error(speech::exit(&failure), &failure))?;
        let begin: Vec<Token> =
            empty.beginning.into_iter().chain(empty.tokens.first().copied()).take(1).collect();
        let tokens = self.arguments.chunk_tokens;
        let count = self.arguments.chunks.unwrap_or(OWN_CHUNKS).max(2);
        self.display.say("the reference writes its text");
        let speech = Speech { sequences: AT_ONCE.min(count), ..self.speech.clone() };
        let job = ContinueJob {
            speaker: Speaker {
                model: reference.path.clone(),
                setting: speaking(self.threads, tokens, &speech),
            },
            prompts: vec![begin.clone(); count as usize],
            tokens: tokens - u32::try_from(begin.len()).unwrap_or(0),
            seed: Some(self.arguments.seed),
            stop_at_end: false,
        };
        let written = engine
            .continue_text(&job, DEADLINE)
            .map_err(|failure| Stop::from_error(speech::exit(&failure), &failure))?;
        self.note_context(&empty);
        let chunks: Vec<Vec<Token>> = written
            .into_iter()
            .map(|it| begin.iter().copied().chain(it.tokens).collect())
            .collect();
        let all: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let bytes: Vec<u8> = chunks.iter().flatten().flat_map(|it| it.to_le_bytes()).collect();
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let cut = Chunks { chunks, tokens: all };
        let described =
            self.text(TextSource::Reference { seed: self.arguments.seed }, digest, &cut);
        Ok((cut, described))
    }

    fn text(&self, source: TextSource, digest: String, cut: &Chunks) -> QualityText {
        QualityText {
            source,
            digest,
            tokens: cut.tokens,
            chunk_tokens: self.arguments.chunk_tokens,
            chunks: 0,
            chunks_available: u32::try_from(cut.chunks.len()).unwrap_or(u32::MAX),
            scored_tokens: 0,
        }
    }

    fn appraise(
        &mut self,
        reference: Candidate,
        candidates: Vec<Candidate>,
        cut: &Chunks,
    ) -> Result<Appraised, Stop> {
        let scored = match self.arguments.score {
            Score::Half => ScoredFrom::Half,
            Score::All => ScoredFrom::Start,
        };
        let basis = match self.arguments.basis {
            Basis::Auto => appraise::Basis::Auto,
            Basis::LockStep => appraise::Basis::LockStep,
            Basis::Stored => appraise::Basis::Stored,
        };
        let asked = Asked {
            reference,
            candidates,
            chunks: cut.chunks.clone(),
            from: scored.tokens(self.arguments.chunk_tokens),
            most: self.arguments.chunks,
            budget: Some(self.arguments.budget),
            fit: Fit {
                basis,
                free_bytes: self.speaking.machine.available_memory().map(|bytes| bytes.0),
                folder: std::env::temp_dir(),
            },
        };
        let Self { speaking, cache, display, .. } = self;
        appraise::appraise(
            &mut speaking.engine,
            &speaking.identity,
            &speaking.clock,
            &asked,
            cache.as_mut(),
            &speaking.interrupted,
            &mut |looking| display.show(looking),
        )
        .map_err(|error| speech::appraise_stop(&error))
    }

    fn report(
        &mut self,
        reference: Option<QualitySubject>,
        text: QualityText,
        cut: &Chunks,
        found: &Appraised,
        candidates: Vec<CandidateQuality>,
    ) -> QualityReport {
        let chunks = u32::try_from(found.reference_nll.len()).unwrap_or(u32::MAX);
        let scored_tokens = found.reference_nll.iter().map(|chunk| chunk.len() as u64).sum();
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend(found.open.clone().map(|open| format!("still open: {open}")));
        if matches!(text.source, TextSource::Reference { .. }) {
            notes.push(
                "the text was drawn from the reference, so its perplexity is that of its own words"
                    .to_owned(),
            );
        }
        if cut.chunks.len() < 16 && found.stopped == QualityStop::TextEnded {
            notes.push("the text is short; a longer one makes the intervals smaller".to_owned());
        }
        QualityReport {
            schema: QualityReport::SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: global::now(),
            command: global::command(),
            engine: format!("{} {}", self.speaking.identity.name, self.speaking.identity.version),
            isa_variant: self.speech.isa_variant.clone(),
            reference,
            text: QualityText { chunks, scored_tokens, ..text },
            candidates,
            noise_floor: found.noise.as_ref().and_then(crate::quality::Accumulated::noise_floor),
            stopped: found.stopped,
            floor: self.arguments.quality_floor.map(Into::into),
            notes,
            elapsed_ms: 0,
        }
    }
}

/// Names of files without their folders and endings, where that tells them apart.
fn short_names(models: &[Named]) -> Vec<String> {
    let short = |model: &Named| {
        Path::new(&model.typed).file_stem().map(|stem| stem.to_string_lossy().into_owned())
    };
    let all: Vec<String> =
        models.iter().map(|model| short(model).unwrap_or_else(|| model.typed.clone())).collect();
    let twice = |name: &String| all.iter().filter(|other| *other == name).count() > 1;
    all.iter()
        .zip(models)
        .map(|(name, model)| if twice(name) { model.typed.clone() } else { name.clone() })
        .collect()
}
