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
    self, Appraised, Asked, Candidate, Chunks, Kept, ScoredFrom, Speech, chunks, speaking,
    tokenize_alike,
};
use crate::cli::speech::{self, Purpose, Speaking};
use crate::cli::{Exit, Printer, Stop, Verbosity, global, model as models, synth};
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
    let path = synth::model_file(typed, printer)?;
    let file = ModelFile::open(&path).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let subject = subject(typed, &file);
    Ok(Named { typed: typed.to_owned(), path, file, subject })
}

/// What a document says of a model's file.
pub(in crate::cli) fn subject(typed: &str, file: &ModelFile) -> QualitySubject {
    let id = file.headers.first().and_then(|header| header.count("general.file_type"));
    let kind =
        id.and_then(|id| crate::synth::FILE_TYPES.iter().find(|kind| u64::from(kind.id) == id));
    QualitySubject {
        model: typed.to_owned(),
        file_bytes: Bytes(file.bytes),
        bits_per_weight: file.bits_per_weight(),
        file_type: kind.map(|kind| kind.name.to_owned()),
    }
}

/// Who is compared: a model, under a setting of its own.
pub(in crate::cli) struct Entrant {
    /// What it is called while it is measured.
    pub(in crate::cli) name: String,
    /// The file as typed.
    pub(in crate::cli) model: String,
    /// What its setting varies, as flags.
    pub(in crate::cli) variation: String,
    pub(in crate::cli) speech: Speech,
}

/// Everything that is measured with.
struct Scene<'a> {
    arguments: &'a Arguments,
    speaking: &'a mut Speaking,
    speech: Speech,
    threads: u32,
    notes: Vec<String>,
    printer: Printer,
    display: Display,
    cache: Option<ResultCache<Kept>>,
    began: Duration,
}

/// Measures what was asked for.
pub(super) fn measure(
    arguments: &Arguments,
    speaking: &mut Speaking,
    printer: Printer,
) -> Result<QualityReport, Stop> {
    let mut scene = Scene::new(arguments, speaking, printer)?;
    let vary = arguments.vary.as_slice();
    let result = match &arguments.reference {
        None if vary.is_empty() => scene.alone(),
        None if arguments.candidates.len() > 1 => {
            Err(Stop::usage("--vary changes one model: name the one with --reference"))
        }
        Some(_) if vary.is_empty() && arguments.candidates.is_empty() => {
            Err(Stop::usage("there is no candidate to compare with the reference")
                .hint("name candidates, or --vary ctk,ctv,fa"))
        }
        reference => {
            let (varied, others) = match reference {
                Some(reference) => (reference, arguments.candidates.as_slice()),
                None => arguments.candidates.split_first().expect("clap demands a model"),
            };
            let (base, variations) = match vary {
                [] => (scene.speech.clone(), Vec::new()),
                vary => variations(vary, &scene.speech),
            };
            scene.speech = base.clone();
            let models = others.iter().zip(short_names(others)).map(|(model, name)| Entrant {
                name,
                model: model.clone(),
                variation: String::new(),
                speech: base.clone(),
            });
            let variations = variations.into_iter().map(|(flags, speech)| Entrant {
                name: flags.clone(),
                model: varied.clone(),
                variation: flags,
                speech,
            });
            scene.compared(varied, &models.chain(variations).collect::<Vec<_>>())
        }
    };
    scene.display.end();
    result
}

/// Measures a reference and its candidates, each under its own setting.
pub(in crate::cli) fn compare(
    arguments: &Arguments,
    reference: &str,
    entrants: &[Entrant],
    speaking: &mut Speaking,
    printer: Printer,
) -> Result<QualityReport, Stop> {
    let mut scene = Scene::new(arguments, speaking, printer)?;
    let result = scene.compared(reference, entrants);
    scene.display.end();
    result
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

impl<'a> Scene<'a> {
    fn new(
        arguments: &'a Arguments,
        speaking: &'a mut Speaking,
        printer: Printer,
    ) -> Result<Self, Stop> {
        let gpu_layers = gpu_layers(&arguments.n_gpu_layers)?;
        Ok(Self {
            threads: speaking.threads(arguments.threads),
            began: speaking.clock.now(),
            arguments,
            speaking,
            speech: Speech { gpu_layers, ..Speech::default() },
            notes: Vec::new(),
            printer,
            display: Display::new(printer),
            cache: cache(arguments, printer),
        })
    }

    /// Opens models, and finds the CPU variant that computes for all of them.
    fn open(&mut self, typed: &[&str]) -> Result<Vec<Named>, Stop> {
        let models: Vec<Named> =
            typed.iter().map(|typed| named(typed, self.printer)).collect::<Result<_, _>>()?;
        let paths = models.iter().map(|model| model.path.as_path());
        let asked = self.arguments.isa_variant.as_deref();
        self.speech.isa_variant = Some(self.speaking.variant(asked, paths)?);
        Ok(models)
    }

    /// How likely each model finds the text, one after another, over the chunks that all read.
    fn alone(&mut self) -> Result<QualityReport, Stop> {
        if self.arguments.text == "self" {
            return Err(Stop::usage("--text self needs a --reference that writes it"));
        }
        let typed: Vec<&str> = self.arguments.candidates.iter().map(String::as_str).collect();
        let models = self.open(&typed)?;
        let paths: Vec<PathBuf> = models.iter().map(|model| model.path.clone()).collect();
        let (chunks, text) = self.read(&paths)?;
        let budget = self.arguments.budget / u32::try_from(models.len()).unwrap_or(1);
        let mut all: Vec<Appraised> = Vec::new();
        for model in &models {
            let own = self.candidate(model, model.typed.clone(), &self.speech);
            all.push(self.appraise(own, Vec::new(), &chunks, budget)?);
        }
        let shortest = all.iter().min_by_key(|found| found.reference_nll.len());
        let shortest = shortest.expect("clap demands a model").clone();
        let read = shortest.reference_nll.len();
        let mut candidates = Vec::new();
        for (model, found) in models.iter().zip(&all) {
            let value = perplexity(&found.reference_nll[..read])
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
        }
        Ok(self.report(None, text, &chunks, &shortest, candidates))
    }

    /// Candidates beside their reference.
    fn compared(&mut self, reference: &str, entrants: &[Entrant]) -> Result<QualityReport, Stop> {
        let typed: Vec<&str> =
            [reference].into_iter().chain(entrants.iter().map(|it| it.model.as_str())).collect();
        let models = self.open(&typed)?;
        let (reference, others) = models.split_first().expect("the reference is one");
        let (chunks, text) = if self.arguments.text == "self" {
            self.written(reference)?
        } else {
            let mut paths: Vec<PathBuf> = models.iter().map(|model| model.path.clone()).collect();
            paths.dedup();
            self.read(&paths)?
        };
        let isa_variant = self.speech.isa_variant.clone();
        let asked = self.candidate(reference, reference.typed.clone(), &self.speech);
        let candidates = others.iter().zip(entrants).map(|(model, entrant)| {
            let speech = Speech { isa_variant: isa_variant.clone(), ..entrant.speech.clone() };
            self.candidate(model, entrant.name.clone(), &speech)
        });
        let candidates = candidates.collect();
        let found = self.appraise(asked, candidates, &chunks, self.arguments.budget)?;
        let judged = others.iter().zip(entrants).zip(&found.candidates);
        let judged: Vec<CandidateQuality> = judged
            .filter_map(|((model, entrant), scores)| {
                scores.candidate(model.subject.clone(), entrant.variation.clone())
            })
            .collect();
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
        self.printer.say("the reference writes its text");
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
        budget: Duration,
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
            budget: Some(budget),
            fit: self.speaking.fit(basis)?,
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
            elapsed_ms: u64::try_from(
                self.speaking.clock.now().saturating_sub(self.began).as_millis(),
            )
            .unwrap_or(u64::MAX),
        }
    }
}

/// Names of files without their folders and endings, where that tells them apart.
fn short_names(models: &[String]) -> Vec<String> {
    let short = |model: &String| {
        Path::new(model).file_stem().map(|stem| stem.to_string_lossy().into_owned())
    };
    let all: Vec<String> =
        models.iter().map(|model| short(model).unwrap_or_else(|| model.clone())).collect();
    let twice = |name: &String| all.iter().filter(|other| *other == name).count() > 1;
    all.iter()
        .zip(models)
        .map(|(name, model)| if twice(name) { model.clone() } else { name.clone() })
        .collect()
}
