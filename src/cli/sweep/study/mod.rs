//! `sweep --quant` and `sweep --model a,b,c`: the quantizations of one model, each tuned by a sweep
//! of its own, compared in turn, judged by their answers, and one of them recommended.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use autotune_engine::api::{
    Bytes, Clock, Continuation, ContinueJob, Engine, Job, Language, Setting, Speaker, Token, Work,
};
use clap::Parser;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Arguments, Format, resolve, typed_command, workload};
use crate::appraise::{self, Asked, Candidate, Fit, ScoredFrom, Speech, chunks, speaking};
use crate::cli::engine::EngineChoice;
use crate::cli::quality::{Display, subject};
use crate::cli::speech::{self, Purpose, Speaking, quantize_stop};
use crate::cli::{Exit, Global, Printer, Stop, global, model, report};
use crate::export;
use crate::gguf::ModelFile;
use crate::knob::Tool;
use crate::model::{
    CandidateQuality, PromptAnswers, QualityClass, QualityReport, QualityText, QuantizationStudy,
    SpokenAnswer, StudyCandidate, StudyChoice, TextSource, Workload,
};
use crate::quality::{Contender, FrontPoint, Wish, choose, front};
use crate::quantize::{Existing, Placed, Source, plan, recipe, write};
use crate::render;
use crate::stats::median_estimate;
use crate::store::{self, ResultCache, StoredRun};
use crate::synth::{self, Replace, Request, Shape};

/// What `--quant auto` tries.
const AUTO: [&str; 8] = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "iq4_xs", "q3_k_m", "q2_k"];
/// Share of the budget for tuning; the rest is for comparing and for quality.
const TUNING: f64 = 0.7;
/// The least time a candidate is tuned for.
const LEAST: Duration = Duration::from_secs(60);
/// Times that all candidates are measured in turn.
const ROUNDS: u32 = 6;
/// How long one measurement of a round may take.
const DEADLINE: Duration = Duration::from_secs(3600);
/// Tokens of a chunk.
const CHUNK: u32 = 512;
/// Tokens of an answer.
const ANSWER: u32 = 48;
/// What every candidate is asked to go on with.
const PROMPTS: [&str; 3] = [
    "The three most important things to know about memory are",
    "Question: What is the difference between a list and an array?\nAnswer:",
    "fn main() {\n    let numbers = vec![1, 2, 3];\n",
];
/// The file that says how a study began.
const BEGUN: &str = "study.json";

/// How a study began: enough to go on.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    schema: String,
    words: Vec<String>,
}

impl Begun {
    const SCHEMA: &'static str = "autotune.study/1";
}

/// The words of a study, read again.
#[derive(Debug, Parser)]
struct Again {
    #[command(flatten)]
    _global: Global,
    #[command(flatten)]
    arguments: Arguments,
}

/// A candidate on its way.
struct Way {
    name: String,
    file: PathBuf,
    model: ModelFile,
    candidate: StudyCandidate,
    setting: Option<Setting>,
}

/// Whether the arguments ask for a study.
pub(super) fn asked(arguments: &Arguments) -> bool {
    let several = arguments.model.as_ref().is_some_and(|model| model.contains(','));
    !arguments.quant.is_empty() || several
}

/// Goes on with a study, if the folder is one.
pub(super) fn resume(folder: &Path, printer: Printer) -> Option<Result<Exit, Stop>> {
    let text = fs::read_to_string(folder.join(BEGUN)).ok()?;
    let unreadable = |why: String| {
        Some(Err(Stop::usage(format!("cannot continue {}: {why}", folder.display()))))
    };
    let begun: Begun = match serde_json::from_str(&text) {
        Ok(begun) => begun,
        Err(error) => return unreadable(error.to_string()),
    };
    match Again::try_parse_from(begun.words) {
        Ok(Again { mut arguments, .. }) => {
            arguments.out = Some(folder.to_owned());
            Some(run_from(&arguments, Start::Resumed, printer))
        }
        Err(error) => unreadable(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

/// Runs a study from where it is to its end.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    run_from(arguments, Start::New, printer)
}

/// Whether a study's folder may be there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    New,
    Resumed,
}

fn run_from(arguments: &Arguments, start: Start, printer: Printer) -> Result<Exit, Stop> {
    if arguments.engine != EngineChoice::LlamaCpp {
        return Err(Stop::usage("quantizations are compared on the real engine only"));
    }
    let budget = humantime::parse_duration(&arguments.budget).unwrap_or_default();
    let typed = arguments.model.as_deref().unwrap_or_default();
    let workload = workload(&arguments.workload)?;
    let mut speaking = speech::open()?;
    let gathered = Study::gather(arguments, typed, &mut speaking, printer);
    let mut study = gathered.map_err(|stop| speaking.interrupted_or(stop))?;
    let share = budget.mul_f64(TUNING / study.ways.len().max(1) as f64);
    if share < LEAST {
        let count = study.ways.len();
        let needed = LEAST.mul_f64(count as f64 / TUNING).as_secs().div_ceil(60);
        return Err(Stop::usage(format!(
            "a budget of {} is too short for {count} candidates",
            arguments.budget
        ))
        .hint(format!("--budget {needed}m is the least, or name fewer with --quant")));
    }
    let folder = study.folder.clone();
    fs::create_dir_all(&folder).map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    if start == Start::New {
        begun(&folder)?;
    }
    for at in 0..study.ways.len() {
        study.tune(arguments, at, share, printer)?;
        if speaking.interrupted.load(Ordering::Relaxed) {
            return Err(stopped(&folder));
        }
    }
    study.compare(&mut speaking, &workload, printer)?;
    if !study.speed_only {
        // What was measured so far is worth telling without it.
        if let Err(stop) = study.judge(arguments, &mut speaking, budget, printer) {
            study.notes.push(format!("quality was not measured: {}", stop.message));
        }
        study.ask(&mut speaking);
        if speaking.interrupted.load(Ordering::Relaxed) {
            return Err(stopped(&folder));
        }
    }
    let document = study.conclude(arguments, &speaking);
    finish(&document, &speaking, &folder, arguments, printer)
}

fn stopped(folder: &Path) -> Stop {
    Stop::interrupted(format!(
        "interrupted; continue with: autotune sweep --resume {}",
        folder.display()
    ))
}

/// Keeps the words, so that the folder alone is enough to go on. One that holds other words is
/// another study's.
fn begun(folder: &Path) -> Result<(), Stop> {
    let path = folder.join(BEGUN);
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    // The verb is not an argument of itself.
    let verb = words.iter().position(|word| word == "sweep").unwrap_or(0);
    let words: Vec<String> =
        std::iter::once("autotune".to_owned()).chain(words.into_iter().skip(verb + 1)).collect();
    if let Ok(text) = fs::read_to_string(&path) {
        let known: Option<Begun> = serde_json::from_str(&text).ok();
        if known.is_some_and(|known| known.words == words) {
            return Ok(());
        }
        return Err(Stop::usage(format!("{} holds another study", folder.display()))
            .hint("name another folder with --out, or go on with --resume"));
    }
    let begun = Begun { schema: Begun::SCHEMA.to_owned(), words };
    let text = global::json(&begun);
    store::write_file(folder, BEGUN, &text).map_err(|error| Stop::from_store(&error))
}

/// Everything of a study.
struct Study {
    folder: PathBuf,
    source: String,
    /// The file that answers are compared with.
    reference: Option<(PathBuf, ModelFile)>,
    speed_only: bool,
    ways: Vec<Way>,
    quality: Option<QualityReport>,
    answers: Vec<PromptAnswers>,
    notes: Vec<String>,
}

impl Study {
    /// The candidates' files: named, made from the source, or twins of its header.
    fn gather(
        arguments: &Arguments,
        typed: &str,
        speaking: &mut Speaking,
        printer: Printer,
    ) -> Result<Self, Stop> {
        let names: Vec<&str> =
            typed.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
        let first = names.first().ok_or_else(|| {
            Stop::usage("there is no model to quantize").hint("name the F16 file with --model")
        })?;
        let stem = Path::new(first).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let date = global::now()[..10].to_owned();
        let folder = arguments
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("autotune-runs/{date}-{stem}-quant")));
        if folder.is_dir() && !folder.join(BEGUN).exists() && super::occupied(&folder) {
            return Err(Stop::from_store(&store::StoreError::NotEmpty { path: folder }));
        }
        let mut study = Self {
            folder,
            source: (*first).to_owned(),
            reference: None,
            speed_only: false,
            ways: Vec::new(),
            quality: None,
            answers: Vec::new(),
            notes: Vec::new(),
        };
        if names.len() > 1 {
            let reference = arguments.reference.as_deref().ok_or_else(|| {
                Stop::usage("several models need one that their answers are compared with")
                    .hint("--reference f16.gguf, or the best of them")
            })?;
            let path = speech::model(reference, printer)?;
            let file = open(&path)?;
            study.source = path.to_string_lossy().into_owned();
            study.reference = Some((path, file));
            for name in names {
                let path = speech::model(name, printer)?;
                study.add(&short(name), path, Vec::new())?;
            }
            return Ok(study);
        }
        let path = speech::model(first, printer)?;
        match Source::open(&path, false) {
            Ok(source) => study.quantized(arguments, &source, speaking, printer)?,
            Err(crate::quantize::QuantizeError::Quantized { .. }) => {
                study.twins(arguments, &path, speaking, printer)?;
            }
            Err(error) => return Err(quantize_stop(&error)),
        }
        Ok(study)
    }

    fn add(&mut self, wanted: &str, path: PathBuf, fallbacks: Vec<String>) -> Result<(), Stop> {
        let model = open(&path)?;
        let about = subject(&path.to_string_lossy(), &model);
        let taken =
            |name: &str| self.ways.iter().any(|way| own_folder(&way.name) == own_folder(name));
        let mut name = wanted.to_owned();
        let mut number = 2;
        while taken(&name) {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        let candidate = StudyCandidate {
            name: name.clone(),
            model: about.model,
            file_bytes: about.file_bytes,
            bits_per_weight: about.bits_per_weight,
            fallbacks,
            same_as: None,
            run: None,
            flags: Vec::new(),
            decode_tok_per_s: None,
            prefill_tok_per_s: None,
            peak_memory_bytes: None,
            quality: None,
            left_out: None,
        };
        self.ways.push(Way { name, file: path, model, candidate, setting: None });
        Ok(())
    }

    /// Makes the files in the cache; those that are there stay.
    fn quantized(
        &mut self,
        arguments: &Arguments,
        source: &Source,
        speaking: &mut Speaking,
        printer: Printer,
    ) -> Result<(), Stop> {
        self.source = source.path.to_string_lossy().into_owned();
        self.reference = Some((source.path.clone(), source.file.clone()));
        self.add("source", source.path.clone(), Vec::new())?;
        let cache = model::cache_folder()?.join("quantized").join(&source.file.digest);
        let mut known: Vec<(String, crate::quantize::Contents)> = Vec::new();
        for name in types(arguments) {
            let recipe = recipe(&name, None).map_err(|it| quantize_stop(&it))?;
            let planned = match plan(&mut speaking.engine, source, &recipe) {
                Ok(planned) => planned,
                Err(error @ crate::quantize::QuantizeError::NeedsImportance { .. }) => {
                    self.notes.push(format!("{name} was left out: {error}"));
                    continue;
                }
                Err(error) => return Err(quantize_stop(&error)),
            };
            let stem = source.path.file_stem().unwrap_or_default().to_string_lossy();
            let placed = Placed {
                folder: cache.clone(),
                stem: format!("{stem}-{}", recipe.name),
                existing: Existing::Keep,
            };
            printer.say(format!("quantizing to {} ({})", recipe.name, planned.file_bytes));
            let mut done = write(&mut speaking.engine, source, &recipe, &planned, &placed, &|_| {});
            if matches!(done, Err(crate::quantize::QuantizeError::Exists(_))) {
                // Of another version of the quantizer.
                let placed = Placed { existing: Existing::Replace, ..placed };
                done = write(&mut speaking.engine, source, &recipe, &planned, &placed, &|_| {});
            }
            if speaking.interrupted.load(Ordering::Relaxed) {
                return Err(stopped(&self.folder));
            }
            let written = done.map_err(|it| quantize_stop(&it))?;
            let twin = known.iter().find(|(_, contents)| *contents == written.contents);
            let same_as = twin.map(|(twin, _)| twin.clone());
            known.push((recipe.name.clone(), written.contents));
            self.add(&recipe.name, written.path, planned.fallbacks)?;
            if let Some(way) = self.ways.last_mut() {
                way.candidate.same_as = same_as;
            }
        }
        Ok(())
    }

    /// Files of the same shape with weights that are noise: speed and memory, and nothing else.
    fn twins(
        &mut self,
        arguments: &Arguments,
        path: &Path,
        speaking: &Speaking,
        printer: Printer,
    ) -> Result<(), Stop> {
        self.speed_only = true;
        self.notes.push(format!(
            "{} is quantized already, so the others are files of its shape with random weights: \
             their speed and memory are real, their answers are not",
            path.display()
        ));
        let shape = Shape::from_gguf(path).map_err(|it| Stop::from_error(Exit::Usage, &it))?;
        let digest = open(path)?.digest;
        let cache = model::cache_folder()?.join("quantized").join(digest);
        fs::create_dir_all(&cache).map_err(|error| Stop::from_error(Exit::Failure, &error))?;
        self.source = path.to_string_lossy().into_owned();
        self.add("source", path.to_owned(), Vec::new())?;
        for name in types(arguments) {
            let file_type =
                synth::file_type(&name).map_err(|it| Stop::from_error(Exit::Usage, &it))?;
            let target = cache.join(format!("twin-{}.gguf", file_type.name));
            if open(&target).is_err() {
                printer.say(format!("writing a twin in {}", file_type.name));
                let request = Request { shape: shape.clone(), file_type, seed: 0 };
                let go = &mut |_, _| {
                    if speaking.interrupted.load(Ordering::Relaxed) {
                        std::ops::ControlFlow::Break(())
                    } else {
                        std::ops::ControlFlow::Continue(())
                    }
                };
                synth::write(&request, &target, Replace::Existing, go)
                    .map_err(|it| Stop::from_error(Exit::Failure, &it))?;
            }
            self.add(file_type.name, target, Vec::new())?;
        }
        Ok(())
    }

    /// A sweep of one candidate, in a folder of its own.
    fn tune(
        &mut self,
        arguments: &Arguments,
        at: usize,
        share: Duration,
        printer: Printer,
    ) -> Result<(), Stop> {
        let (count, way) = (self.ways.len(), &mut self.ways[at]);
        if way.candidate.same_as.is_some() {
            return Ok(());
        }
        let own = own_folder(&way.name);
        let folder = self.folder.join(&own);
        let done = folder.join("findings.json").exists();
        if !done {
            printer.say(format!("{} of {count}: tuning {}", at + 1, way.name));
            let begun = folder.join("plan.json").exists();
            let own_arguments = Arguments {
                model: Some(way.file.to_string_lossy().into_owned()),
                out: (!begun).then(|| folder.clone()),
                resume: begun.then(|| folder.clone()),
                budget: format!("{}s", share.as_secs()),
                quant: Vec::new(),
                reference: None,
                silent: true,
                no_curves: true,
                ..arguments.clone()
            };
            let result = if begun {
                super::resume(&own_arguments, &folder, printer)
            } else {
                let path = way.file.to_string_lossy().into_owned();
                super::begin(&own_arguments, resolve(&own_arguments)?, &path, printer)
            };
            match result {
                Ok(Exit::Interrupted) => return Err(stopped(&self.folder)),
                Ok(_) => {}
                Err(stop) if stop.exit == Exit::Interrupted => return Err(stopped(&self.folder)),
                Err(stop) => {
                    way.candidate.left_out = Some(stop.message);
                    return Ok(());
                }
            }
        }
        let stored = StoredRun::read(&folder).map_err(|error| Stop::from_store(&error))?;
        if stored.plan.model.digest != way.model.digest {
            return Err(Stop::usage(format!("{} is a run of another model", folder.display()))
                .hint("name another folder with --out"));
        }
        let Some(findings) = stored.findings else {
            way.candidate.left_out = Some("its sweep found nothing".to_owned());
            return Ok(());
        };
        let best = if findings.recommends_tuned() { &findings.best } else { &findings.baseline };
        let plan = &stored.plan;
        let tuned: Vec<&str> = plan.axes.iter().map(|axis| axis.knob.as_str()).collect();
        let command =
            export::command(Tool::LlamaServer, &best.setting, &way.file, &plan.workload, &tuned);
        way.candidate.flags = command.words.into_iter().skip(3).collect();
        way.candidate.run = Some(own);
        let resident = best.peak_resident_bytes.map_or(0, |bytes| bytes.0);
        let cards = best.peak_card_bytes.map_or(0, |bytes| bytes.0);
        way.candidate.peak_memory_bytes =
            best.peak_resident_bytes.map(|_| Bytes(resident.saturating_add(cards)));
        way.setting = Some(best.setting.clone());
        Ok(())
    }

    /// All candidates in turn, each with the setting that was found for it: what drifts meanwhile
    /// drifts for all.
    fn compare(
        &mut self,
        speaking: &mut Speaking,
        workload: &Workload,
        printer: Printer,
    ) -> Result<(), Stop> {
        let display = Display::new(printer);
        let mut rates: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); self.ways.len()];
        for round in 0..ROUNDS {
            // There and back again, so that nobody is always first.
            let order: Vec<usize> = if round % 2 == 0 {
                (0..self.ways.len()).collect()
            } else {
                (0..self.ways.len()).rev().collect()
            };
            for at in order {
                let way = &mut self.ways[at];
                let Some(setting) = way.setting.clone() else { continue };
                display.say(&format!("round {} of {ROUNDS}: {}", round + 1, way.name));
                let context = setting.context.context;
                let work = Work {
                    prompt_tokens: workload.prompt_tokens.clamp(1, 256).min(context / 2),
                    generate_tokens: workload.generate_tokens.clamp(1, 64).min(context / 2),
                    depth: 0,
                    repetitions: 1,
                    warmup: true,
                    delay_ms: 0,
                    seed: u64::from(round),
                    parallel: setting.context.sequences,
                };
                let job = Job { model: way.file.clone(), setting, work: work.clone() };
                let run = match speaking.engine.run(&job, DEADLINE) {
                    Ok(run) => run,
                    Err(_) if speaking.interrupted.load(Ordering::Relaxed) => {
                        display.end();
                        return Err(stopped(&self.folder));
                    }
                    Err(failure) => {
                        way.candidate.left_out = Some(failure.to_string());
                        way.setting = None;
                        continue;
                    }
                };
                let rate = |tokens: u64, ns: u64| tokens as f64 / (ns as f64 / 1e9);
                for sample in &run.samples {
                    rates[at].0.push(rate(work.all_prompt_tokens(), sample.prefill_ns));
                    rates[at].1.push(rate(work.all_generated_tokens(), sample.decode_ns));
                }
            }
        }
        display.end();
        for (way, (prefill, decode)) in self.ways.iter_mut().zip(rates) {
            if way.setting.is_some() {
                way.candidate.prefill_tok_per_s = median_estimate(&prefill, 0.95);
                way.candidate.decode_tok_per_s = median_estimate(&decode, 0.95);
            }
        }
        speaking.engine.release();
        Ok(())
    }

    /// How far the candidates' answers are from the reference's.
    fn judge(
        &mut self,
        arguments: &Arguments,
        speaking: &mut Speaking,
        budget: Duration,
        printer: Printer,
    ) -> Result<(), Stop> {
        let Some((path, file)) = self.reference.clone() else { return Ok(()) };
        let began = speaking.clock.now();
        let threads = speaking.threads(None);
        let files = self.ways.iter().map(|way| way.file.as_path()).chain([path.as_path()]);
        let isa_variant = Some(speaking.variant(None, files)?);
        let speech = Speech { isa_variant: isa_variant.clone(), ..Speech::default() };
        let setting = appraise::speaking(threads, CHUNK, &speech);
        let candidate = |name: &str, path: &Path, file: &ModelFile| Candidate {
            name: name.to_owned(),
            model: path.to_owned(),
            bytes: file.bytes,
            digest: file.digest.clone(),
            setting: setting.clone(),
        };
        let judged: Vec<usize> = (0..self.ways.len())
            .filter(|at| self.ways[*at].file != path && self.ways[*at].setting.is_some())
            .collect();
        let mut models = vec![path.clone()];
        models.extend(judged.iter().map(|at| self.ways[*at].file.clone()));
        let text = speech::text(&arguments.text, Purpose::Evaluation)?;
        let tokens = appraise::tokenize_alike(&mut speaking.engine, &models, &text)
            .map_err(|error| speech::text_stop(&error))?;
        let cut = chunks(&tokens, CHUNK).map_err(|error| speech::text_stop(&error))?;
        let asked = Asked {
            reference: candidate("source", &path, &file),
            candidates: judged
                .iter()
                .map(|at| {
                    candidate(&self.ways[*at].name, &self.ways[*at].file, &self.ways[*at].model)
                })
                .collect(),
            chunks: cut.chunks.clone(),
            from: ScoredFrom::Half.tokens(CHUNK),
            most: None,
            budget: Some(budget.mul_f64((1.0 - TUNING) / 2.0).max(LEAST)),
            fit: Fit {
                basis: appraise::Basis::Auto,
                free_bytes: speaking.machine.available_memory().map(|bytes| bytes.0),
                folder: std::env::temp_dir(),
            },
        };
        let folder = model::cache_folder()?.join("scores");
        let mut cache = ResultCache::of_kind(&folder, appraise::Kept::SCHEMA).ok();
        let display = Display::new(printer);
        let found = appraise::appraise(
            &mut speaking.engine,
            &speaking.identity,
            &speaking.clock,
            &asked,
            cache.as_mut(),
            &speaking.interrupted,
            &mut |looking| display.show(looking),
        );
        display.end();
        let found = found.map_err(|error| match error {
            appraise::AppraiseError::Interrupted => stopped(&self.folder),
            error => speech::appraise_stop(&error),
        })?;
        if speaking.interrupted.load(Ordering::Relaxed) {
            return Err(stopped(&self.folder));
        }
        let mut candidates: Vec<CandidateQuality> = Vec::new();
        for (at, scores) in judged.iter().zip(&found.candidates) {
            let way = &mut self.ways[*at];
            let about = subject(&way.file.to_string_lossy(), &way.model);
            way.candidate.quality = scores.candidate(about, String::new());
            candidates.extend(way.candidate.quality.clone());
        }
        let scored = found.reference_nll.iter().map(|chunk| chunk.len() as u64).sum();
        let source = match arguments.text.as_str() {
            speech::BUILTIN => TextSource::Builtin,
            path => TextSource::File { path: path.to_owned() },
        };
        self.quality = Some(QualityReport {
            schema: QualityReport::SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: global::now(),
            command: typed_command(),
            engine: format!("{} {}", speaking.identity.name, speaking.identity.version),
            isa_variant,
            reference: Some(subject(&path.to_string_lossy(), &file)),
            text: QualityText {
                source,
                digest: blake3::hash(text.as_bytes()).to_hex().to_string(),
                tokens: cut.tokens,
                chunk_tokens: CHUNK,
                chunks: u32::try_from(found.reference_nll.len()).unwrap_or(u32::MAX),
                chunks_available: u32::try_from(cut.chunks.len()).unwrap_or(u32::MAX),
                scored_tokens: scored,
            },
            candidates,
            noise_floor: found.noise.as_ref().and_then(crate::quality::Accumulated::noise_floor),
            stopped: found.stopped,
            floor: Some(floor(arguments)),
            notes: found.open.iter().map(|open| format!("still open: {open}")).collect(),
            elapsed_ms: u64::try_from(speaking.clock.now().saturating_sub(began).as_millis())
                .unwrap_or(0),
        });
        Ok(())
    }

    /// What each says to the same prompts, the likeliest token each time.
    /// Who cannot answer is left out with a word.
    fn ask(&mut self, speaking: &mut Speaking) {
        let Some((path, _)) = self.reference.clone() else { return };
        let threads = speaking.threads(None);
        let mut prompts: Vec<Vec<Token>> = Vec::new();
        for prompt in PROMPTS {
            match speaking.engine.tokenize(&path, prompt) {
                Ok(tokenized) => prompts.push(tokenized.tokens),
                Err(failure) => {
                    self.notes.push(format!("nobody was asked anything: {failure}"));
                    return;
                }
            }
        }
        let mut speakers = vec![("source".to_owned(), path.clone())];
        let alone = |way: &&Way| way.file != path && way.setting.is_some();
        let others = self.ways.iter().filter(alone);
        speakers.extend(others.map(|way| (way.name.clone(), way.file.clone())));
        let mut said: Vec<(String, Vec<Continuation>)> = Vec::new();
        for (name, model) in speakers {
            let job = ContinueJob {
                speaker: Speaker { model, setting: speaking_setting(threads) },
                prompts: prompts.clone(),
                tokens: ANSWER,
                seed: None,
                stop_at_end: true,
            };
            match speaking.engine.continue_text(&job, DEADLINE) {
                Ok(done) => said.push((name, done)),
                Err(failure) => self.notes.push(format!("{name} gave no answers: {failure}")),
            }
        }
        // Answers are told by where they leave the reference's.
        if said.first().is_none_or(|(name, _)| name != "source") {
            return;
        }
        for (at, prompt) in PROMPTS.iter().enumerate() {
            let reference = said[0].1[at].tokens.clone();
            let answers = said.iter().enumerate().map(|(speaker, (name, texts))| {
                let Continuation { tokens, text } = &texts[at];
                let same = tokens.iter().zip(&reference).take_while(|(a, b)| a == b).count();
                let differs = speaker > 0 && *tokens != reference;
                SpokenAnswer {
                    name: name.clone(),
                    text: text.clone(),
                    same_tokens: differs.then(|| u32::try_from(same).unwrap_or(u32::MAX)),
                }
            });
            self.answers
                .push(PromptAnswers { prompt: (*prompt).to_owned(), answers: answers.collect() });
        }
        speaking.engine.release();
    }

    /// The front and the choice.
    fn conclude(mut self, arguments: &Arguments, speaking: &Speaking) -> QuantizationStudy {
        let limit = speaking.machine.available_memory();
        let reference = self.reference.as_ref().map(|(path, _)| path.clone());
        let mut points: Vec<FrontPoint> = Vec::new();
        for way in &self.ways {
            let mut point = FrontPoint::from(&way.candidate);
            // A model is at no distance from itself.
            if reference.as_ref() == Some(&way.file) {
                point.divergence = Some((0.0, 0.0));
            }
            points.push(point);
        }
        let measured: Vec<usize> =
            (0..points.len()).filter(|at| self.ways[*at].setting.is_some()).collect();
        let shown: Vec<FrontPoint> =
            measured.iter().map(|at| FrontPoint { file_bytes: 0, ..points[*at].clone() }).collect();
        let front: Vec<String> =
            front(&shown).into_iter().map(|at| shown[at].name.clone()).collect();
        let contenders: Vec<Contender> = measured
            .iter()
            .map(|at| {
                let own = Contender::from(&self.ways[*at].candidate);
                Contender { point: points[*at].clone(), ..own }
            })
            .collect();
        let source = contenders.iter().find(|it| it.point.name == "source");
        let wish = Wish {
            floor: floor(arguments),
            memory_limit_bytes: limit.map(|bytes| bytes.0),
            source: source.map(|it| it.point.clone()),
        };
        let (choice, left_out) = match choose(&contenders, &wish) {
            Ok(choice) => {
                let name = |at: usize| contenders[at].point.name.clone();
                let found = StudyChoice {
                    name: name(choice.index),
                    sentence: choice.sentence,
                    tied: choice.tied.into_iter().map(name).collect(),
                };
                (Some(found), choice.left_out)
            }
            Err(none) => (None, none.left_out),
        };
        for (place, why) in left_out {
            self.ways[measured[place]].candidate.left_out = Some(why);
        }
        let mut candidates: Vec<StudyCandidate> =
            self.ways.into_iter().map(|way| way.candidate).collect();
        candidates.sort_by_key(|it| std::cmp::Reverse(it.file_bytes));
        QuantizationStudy {
            schema: QuantizationStudy::SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: global::now(),
            command: typed_command(),
            source: self.source,
            speed_only: self.speed_only,
            floor: floor(arguments),
            memory_limit_bytes: limit,
            candidates,
            front,
            choice,
            quality: self.quality,
            answers: self.answers,
            notes: self.notes,
        }
    }
}

/// The folder of a candidate's run within the study's.
fn own_folder(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-")
}

fn speaking_setting(threads: u32) -> Setting {
    speaking(threads, CHUNK, &Speech::default())
}

fn floor(arguments: &Arguments) -> QualityClass {
    arguments.quality_floor.map_or(QualityClass::Good, Into::into)
}

/// The types that were named, or those of `auto`.
fn types(arguments: &Arguments) -> Vec<String> {
    let typed = arguments.quant.iter().map(|name| name.trim().to_owned());
    let mut names: Vec<String> = Vec::new();
    for name in typed.filter(|name| !name.is_empty()) {
        let new = if name == "auto" {
            AUTO.iter().map(|name| (*name).to_owned()).collect()
        } else {
            vec![name]
        };
        let unknown: Vec<String> = new.into_iter().filter(|name| !names.contains(name)).collect();
        names.extend(unknown);
    }
    names
}

fn open(path: &Path) -> Result<ModelFile, Stop> {
    ModelFile::open(path).map_err(|error| Stop::from_error(Exit::Usage, &error))
}

fn short(typed: &str) -> String {
    let stem = Path::new(typed).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| typed.to_owned())
}

/// Writes the documents and prints the answer.
fn finish(
    study: &QuantizationStudy,
    speaking: &Speaking,
    folder: &Path,
    arguments: &Arguments,
    printer: Printer,
) -> Result<Exit, Stop> {
    let kept = write_all(study, speaking, folder);
    printer.data(&match arguments.format {
        Format::Text => render::quality::study_text(study),
        Format::Json => global::json(study),
    })?;
    // The answer is told even where it cannot be kept.
    kept?;
    printer.say(format!("report: {}", folder.join("report.html").display()));
    Ok(if study.choice.is_some() { Exit::Done } else { Exit::NothingMeasured })
}

/// The study's document and pages, and the pages of each candidate's run with the study in them.
fn write_all(study: &QuantizationStudy, speaking: &Speaking, folder: &Path) -> Result<(), Stop> {
    let unwritten = |error: store::StoreError| Stop::from_store(&error);
    store::write_quantization(&folder.join(store::QUANTIZATION), study).map_err(unwritten)?;
    let page = render::quality::study_page(study, Some(&speaking.machine), Timestamp::now())
        .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
    report::write_report(folder, &page)?;
    for run in study.candidates.iter().filter_map(|candidate| candidate.run.as_ref()) {
        let run = folder.join(run);
        let path = run.join(store::QUANTIZATION);
        store::write_quantization(&path, &from_within(study)).map_err(unwritten)?;
        report::refresh(&run)?;
    }
    Ok(())
}

/// The study as one of its runs has it: the others are beside that.
fn from_within(study: &QuantizationStudy) -> QuantizationStudy {
    let mut study = study.clone();
    for run in study.candidates.iter_mut().filter_map(|candidate| candidate.run.as_mut()) {
        *run = format!("../{run}");
    }
    study
}
