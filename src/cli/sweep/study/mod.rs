//! `sweep --quant` and `sweep --model a,b,c`: the quantizations of one model, each tuned by a sweep
//! of its own, compared in turn, judged by their answers, and one of them recommended.

mod begun;
mod gather;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use autotune_engine::api::{
    Bytes, Clock, Continuation, ContinueJob, Engine, Job, Language, Setting, Speaker, Token, Work,
};
use jiff::Timestamp;

use super::{Arguments, Format, resolve, workload};
use crate::appraise::{self, Speech};
use crate::cli::activity::Activity;
use crate::cli::engine::EngineChoice;
use crate::cli::quality::{self, Class, Entrant};
use crate::cli::speech::{self, Speaking, quantize_stop};
use crate::cli::{Exit, Printer, Stop, global, report};
use crate::export;
use crate::gguf::ModelFile;
use crate::knob::Tool;
use crate::model::{
    PromptAnswers, QualityClass, QualityReport, QuantizationStudy, SpokenAnswer, StudyCandidate,
    StudyChoice, Workload,
};
use crate::quality::{Contender, FrontPoint, Wish, choose, front};
use crate::quantize;
use crate::render;
use crate::stats::median_estimate;
use crate::store::{self, StoredRun};
use begun::Begun;

/// What `--quant auto` tries.
const AUTO: [&str; 8] = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "iq4_xs", "q3_k_m", "q2_k"];
/// Shares of the budget for tuning, comparing speeds, judging answers, and showing some.
const TUNING: f64 = 0.7;
const COMPARING: f64 = 0.15;
const JUDGING: f64 = 0.1;
const SHOWING: f64 = 0.05;
/// The least time a candidate is tuned for.
const LEAST: Duration = Duration::from_secs(60);
/// Times that all candidates are measured in turn, and the fewest where the budget ends.
const ROUNDS: u32 = 6;
const FEWEST_ROUNDS: u32 = 3;
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
    !arguments.quant.is_empty() || names(arguments).len() > 1
}

/// The models that were named: one with a comma in its name is one.
fn names(arguments: &Arguments) -> Vec<&str> {
    let typed = arguments.model.as_deref().unwrap_or_default();
    if Path::new(typed).is_file() {
        return vec![typed];
    }
    typed.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// Goes on with a study, if the folder is one.
pub(super) fn resume(folder: &Path, printer: Printer) -> Option<Result<Exit, Stop>> {
    let arguments = Begun::read(folder)?.and_then(Begun::arguments);
    Some(match arguments {
        Ok(arguments) => run_in(folder, &arguments, printer),
        Err(why) => Err(Stop::usage(format!("cannot continue {}: {why}", folder.display()))),
    })
}

/// Runs a study from where it is to its end.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    possible(arguments)?;
    let begun = Begun::now();
    let folder = arguments.out.clone().unwrap_or_else(|| {
        let first = names(arguments).first().map(|name| own_folder(&short(name)));
        let first = first.unwrap_or_default();
        let json = global::json(&begun);
        let id = blake3::hash(json.as_bytes()).to_hex();
        let date = global::now()[..10].to_owned();
        PathBuf::from(format!("autotune-runs/{date}-{first}-quant-{}", &id[..6]))
    });
    let known = Begun::read(&folder);
    match &known {
        Some(Ok(known)) if *known == begun => {}
        Some(_) => {
            return Err(Stop::usage(format!("{} holds another study", folder.display()))
                .hint("name another folder with --out, or go on with --resume"));
        }
        None if folder.is_dir() && super::occupied(&folder) => {
            return Err(Stop::from_store(&store::StoreError::NotEmpty { path: folder }));
        }
        None => {
            fs::create_dir_all(&folder).map_err(|error| Stop::from_error(Exit::Failure, &error))?;
            begun.keep(&folder)?;
        }
    }
    let ended = run_in(&folder, arguments, printer);
    if known.is_none() && ended.as_ref().is_err_and(|stop| stop.exit != Exit::Interrupted) {
        // Slips that only the files could tell: nothing began.
        Begun::forget(&folder);
    }
    ended
}

/// Refuses what cannot become a study, before anything is written.
fn possible(arguments: &Arguments) -> Result<(), Stop> {
    if arguments.engine != EngineChoice::LlamaCpp {
        return Err(Stop::usage("quantizations are compared on the real engine only"));
    }
    let names = names(arguments);
    if names.is_empty() {
        return Err(
            Stop::usage("there is no model to quantize").hint("name the F16 file with --model")
        );
    }
    let alone = [
        ("--dry-run", arguments.dry_run),
        ("--check-cases", arguments.check_cases),
        ("--events", arguments.events.is_some()),
        ("--full", arguments.full),
        ("--clear-cache", arguments.clear_cache),
    ];
    if let Some((flag, _)) = alone.iter().find(|(_, given)| *given) {
        return Err(Stop::usage(format!("{flag} is for a sweep of one model")));
    }
    let quantized = !arguments.quant.is_empty();
    if quantized && names.len() > 1 {
        return Err(Stop::usage("--quant makes the quantizations of one model")
            .hint("leave it out to compare the models that are named"));
    }
    if quantized && arguments.reference.is_some() {
        return Err(Stop::usage("with --quant the model itself is the reference"));
    }
    if names.len() > 1 && arguments.reference.is_none() {
        return Err(Stop::usage("several models need one that their answers are compared with")
            .hint("--reference f16.gguf, or the best of them"));
    }
    for name in types(arguments) {
        quantize::recipe(&name, None).map_err(|it| quantize_stop(&it))?;
    }
    let count = if quantized { 1 + types(arguments).len() } else { names.len() };
    if tuning(arguments, count) < LEAST {
        let needed = LEAST.mul_f64(count as f64 / TUNING).as_secs().div_ceil(60);
        return Err(Stop::usage(format!(
            "a budget of {} is too short for {count} candidates",
            arguments.budget
        ))
        .hint(format!("--budget {needed}m is the least, or name fewer")));
    }
    Ok(())
}

fn budget(arguments: &Arguments) -> Duration {
    humantime::parse_duration(&arguments.budget).unwrap_or_default()
}

/// Time to tune each of so many.
fn tuning(arguments: &Arguments, count: usize) -> Duration {
    budget(arguments).mul_f64(TUNING / count.max(1) as f64)
}

fn run_in(folder: &Path, arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let workload = workload(&arguments.workload)?;
    let mut speaking = speech::open()?;
    let ended = Study::gather(arguments, folder, &mut speaking, printer)
        .and_then(|study| study.measured(arguments, &workload, &mut speaking, printer));
    let study = ended.map_err(|stop| {
        let interrupted = speaking.interrupted.load(Ordering::Relaxed);
        if interrupted { stopped(folder) } else { stop }
    })?;
    let document = study.conclude(arguments, &speaking);
    finish(&document, &speaking, folder, arguments, printer)
}

fn stopped(folder: &Path) -> Stop {
    Stop::interrupted(format!(
        "interrupted; continue with: autotune sweep --resume {}",
        folder.display()
    ))
}

/// Everything of a study.
struct Study {
    folder: PathBuf,
    source: String,
    /// The file that answers are compared with.
    reference: Option<ModelFile>,
    speed_only: bool,
    ways: Vec<Way>,
    quality: Option<QualityReport>,
    answers: Vec<PromptAnswers>,
    notes: Vec<String>,
}

impl Study {
    /// Tunes, compares and judges all of them.
    fn measured(
        mut self,
        arguments: &Arguments,
        workload: &Workload,
        speaking: &mut Speaking,
        printer: Printer,
    ) -> Result<Self, Stop> {
        let goes_on = |speaking: &Speaking, folder: &Path| {
            let interrupted = speaking.interrupted.load(Ordering::Relaxed);
            if interrupted { Err(stopped(folder)) } else { Ok(()) }
        };
        let share = tuning(arguments, self.ways.len());
        for at in 0..self.ways.len() {
            self.tune(arguments, at, share, printer)?;
            goes_on(speaking, &self.folder)?;
        }
        self.compare(arguments, speaking, workload, printer)?;
        if !self.speed_only {
            // What was measured so far is worth telling without it.
            if let Err(stop) = self.judge(arguments, speaking, printer) {
                self.notes.push(format!("quality was not measured: {}", stop.message));
            }
            self.ask(arguments, speaking, printer);
            goes_on(speaking, &self.folder)?;
        }
        Ok(self)
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
        arguments: &Arguments,
        speaking: &mut Speaking,
        workload: &Workload,
        printer: Printer,
    ) -> Result<(), Stop> {
        let activity = Activity::new(printer);
        let (began, limit) = (speaking.clock.now(), budget(arguments).mul_f64(COMPARING));
        let mut rates: Vec<(Vec<f64>, Vec<f64>)> = vec![Default::default(); self.ways.len()];
        for round in 0..ROUNDS {
            if round >= FEWEST_ROUNDS && speaking.clock.now().saturating_sub(began) > limit {
                self.notes.push(format!(
                    "speeds were compared in {round} rounds instead of {ROUNDS}: the budget ended"
                ));
                break;
            }
            // There and back again, so that nobody is always first.
            let order: Vec<usize> = if round % 2 == 0 {
                (0..self.ways.len()).collect()
            } else {
                (0..self.ways.len()).rev().collect()
            };
            for at in order {
                let way = &mut self.ways[at];
                let Some(setting) = way.setting.clone() else { continue };
                activity.say(&format!("round {} of {ROUNDS}: {}", round + 1, way.name));
                let context = setting.context.context / setting.context.sequences.max(1);
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
        for (way, (prefill, decode)) in self.ways.iter_mut().zip(rates) {
            if way.setting.is_some() {
                way.candidate.prefill_tok_per_s = median_estimate(&prefill, 0.95);
                way.candidate.decode_tok_per_s = median_estimate(&decode, 0.95);
            }
        }
        speaking.engine.release();
        Ok(())
    }

    /// How far the candidates' answers are from the reference's, each with the cache types and the
    /// attention that its speed was measured with.
    fn judge(
        &mut self,
        arguments: &Arguments,
        speaking: &mut Speaking,
        printer: Printer,
    ) -> Result<(), Stop> {
        let Some(reference) = &self.reference else { return Ok(()) };
        let judged: Vec<usize> = (0..self.ways.len())
            .filter(|at| !self.is_reference(&self.ways[*at]) && self.ways[*at].setting.is_some())
            .collect();
        let entrant = |at: &usize| {
            let way = &self.ways[*at];
            let speech = speech_of(way);
            Entrant {
                name: way.name.clone(),
                model: way.file.to_string_lossy().into_owned(),
                variation: speech.cache_flags(),
                speech,
            }
        };
        let entrants: Vec<Entrant> = judged.iter().map(entrant).collect();
        let own = self.ways.iter().find(|way| self.is_reference(way));
        let layers = own.map(|way| speech_of(way).gpu_layers);
        let floor = arguments.quality_floor.unwrap_or(Class::Good);
        let asked = quality::Arguments::of_study(
            &arguments.text,
            budget(arguments).mul_f64(JUDGING).max(LEAST),
            floor,
            layers.unwrap_or_default(),
        );
        let path = reference.path.to_string_lossy().into_owned();
        let report = quality::compare(&asked, &path, &entrants, speaking, printer)?;
        for (at, quality) in judged.into_iter().zip(&report.candidates) {
            self.ways[at].candidate.quality = Some(quality.clone());
        }
        self.quality = Some(report);
        Ok(())
    }

    fn is_reference(&self, way: &Way) -> bool {
        self.reference.as_ref().is_some_and(|reference| reference.digest == way.model.digest)
    }

    /// What each says to the same prompts, the likeliest token each time. Who cannot answer, or is
    /// not asked any more because the time for it is over, is left out with a word.
    fn ask(&mut self, arguments: &Arguments, speaking: &mut Speaking, printer: Printer) {
        let Some(path) = self.reference.as_ref().map(|reference| reference.path.clone()) else {
            return;
        };
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
        let own = self.ways.iter().find(|way| self.is_reference(way));
        let first = own.map_or_else(|| "reference".to_owned(), |way| way.name.clone());
        let others =
            self.ways.iter().filter(|way| !self.is_reference(way) && way.setting.is_some());
        let others = others.map(|way| (way.name.clone(), way.file.clone(), speech_of(way)));
        let speech = own.map(speech_of).unwrap_or_default();
        let speakers: Vec<(String, PathBuf, Speech)> =
            [(first.clone(), path, speech)].into_iter().chain(others).collect();
        let mut said: Vec<(String, Vec<Continuation>)> = Vec::new();
        let activity = Activity::new(printer);
        let (began, limit) = (speaking.clock.now(), budget(arguments).mul_f64(SHOWING).max(LEAST));
        for (name, model, speech) in speakers {
            if speaking.clock.now().saturating_sub(began) > limit {
                self.notes.push(format!("{name} was not asked for answers: the budget ended"));
                continue;
            }
            activity.say(&format!("asking {name}"));
            let setting = appraise::speaking(threads, CHUNK, &speech);
            let job = ContinueJob {
                speaker: Speaker { model, setting },
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
        if said.first().is_none_or(|(name, _)| *name != first) {
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
        let limit = speaking.all_memory();
        let measured: Vec<usize> =
            (0..self.ways.len()).filter(|at| self.ways[*at].setting.is_some()).collect();
        let contenders: Vec<Contender> = measured
            .iter()
            .map(|at| {
                let mut contender = Contender::from(&self.ways[*at].candidate);
                // A model is at no distance from itself.
                if self.is_reference(&self.ways[*at]) {
                    contender.point.divergence = Some((0.0, 0.0));
                }
                contender
            })
            .collect();
        let points: Vec<FrontPoint> = contenders.iter().map(|it| it.point.clone()).collect();
        let front = front(&points).into_iter().map(|at| points[at].name.clone()).collect();
        let source = measured.iter().zip(&points).find(|(at, _)| {
            let way = &self.ways[**at];
            if self.speed_only {
                way.candidate.model == self.source
            } else {
                self.is_reference(way)
            }
        });
        let wish = Wish {
            floor: floor(arguments),
            memory_limit_bytes: limit.map(|bytes| bytes.0),
            source: source.map(|(_, point)| point.clone()),
            speed_only: self.speed_only,
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
            command: global::command(),
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

/// What changes answers in the setting that was found for a candidate.
fn speech_of(way: &Way) -> Speech {
    way.setting.as_ref().map(Speech::of).unwrap_or_default()
}

/// The folder of a candidate's run within the study's.
fn own_folder(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-")
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

/// A file's name without its folder and ending.
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
    let made = study.candidates.iter().filter(|it| it.model != study.source);
    let bytes = Bytes(made.map(|it| it.file_bytes.0).sum());
    if !arguments.quant.is_empty() && bytes.0 > 0 {
        printer.say(format!(
            "{bytes} of files stay in the cache; autotune quantize --clear removes what it holds"
        ));
    }
    Ok(if study.choice.is_some() { Exit::Done } else { Exit::NothingMeasured })
}

/// The study's document and pages, and the pages of each candidate's run with the study in them.
fn write_all(study: &QuantizationStudy, speaking: &Speaking, folder: &Path) -> Result<(), Stop> {
    let unwritten = |error: store::StoreError| Stop::from_store(&error);
    store::write_machine(folder, &speaking.machine).map_err(unwritten)?;
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
