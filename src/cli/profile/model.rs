//! `profile --model` and `profile --run`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{Engine, Failure, Observed, ProfileJob, Setting, Watch, Work};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Arguments, deliver};
use crate::bench::Grid;
use crate::bottleneck::{self, Evidence};
use crate::cli::engine::{self, EngineChoice};
use crate::cli::global::{now, one_line};
use crate::cli::sweep::{place, wanted};
use crate::cli::{
    Exit, Printer, Stop, detect as machines, interrupt, model as models, peaks, report,
};
use crate::detect;
use crate::measure::{self, Sensors};
use crate::model::{CardUse, Gpu, Machine, ModelCard, Profile, Subject};
use crate::render::profile as render;
use crate::store::{self, StoredRun};

/// Tokens of a prompt and generated ones, unless told otherwise.
const PROMPT: u32 = 256;
const GENERATE: u32 = 64;
/// Tokens of a sweep's workload that are run at most, prompts of all sequences together: more show
/// the same and take longer.
const MOST_PROMPT: u32 = 1024;
const MOST_GENERATE: u32 = 64;
const SEED: u64 = 1;
/// Time after which no further repetitions begin, unless told otherwise.
const ENOUGH: Duration = Duration::from_secs(45);

/// Observes the model and prints what was seen.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let stored = arguments.run.as_deref().map(report::read).transpose()?;
    let typed = match (&arguments.model, &stored) {
        (Some(typed), _) => typed.clone(),
        (None, Some(run)) => run.plan.model.path.display().to_string(),
        (None, None) => return Err(Stop::usage("no model was named")),
    };
    let mut opened = engine::open_with(&EngineChoice::LlamaCpp, &arguments.devices)?;
    let canceller = opened.canceller.take();
    let host = detect::live();
    let mut machine = detect::machine(&host);
    machines::measurable(&machine)?;
    let (setting, work) = asked(arguments, &machine, stored.as_ref())?;
    let card = models::card(&typed, printer)?;
    peaks::complete(&mut machine, &host, printer);
    if machine.ceilings.is_none() && !arguments.no_peaks {
        printer.say("measuring what this machine can do at most, once");
        peaks::ceilings(peaks::Ceilings::Cached, &mut machine, &host, printer)?;
    }
    let interrupted = interrupt::flag(canceller)?;
    let mut sensors = place::Counters::of(machine.devices.as_deref().unwrap_or_default());
    let watch = Watched {
        sensors: &mut sensors,
        engine: opened.engine.as_mut(),
        interrupted: &interrupted,
        deadline: arguments.timeout,
        printer,
    };
    let Some(seen) = watch.all(&card, setting, &work, arguments)? else {
        return Ok(Exit::Interrupted);
    };
    let profile = judged(&machine, &card, &work, arguments, seen);
    if let Some(folder) = &arguments.run
        && (!arguments.fix.is_empty() || arguments.model.is_some())
    {
        printer.say(format!(
            "not kept in {}: with --fix or --model it is not what the sweep recommends",
            folder.display()
        ));
    } else if let Some(folder) = &arguments.run {
        store::write_profile(&folder.join(store::PROFILE), &profile)
            .and_then(|()| match render::flame_graph(&profile) {
                Some(flame) => {
                    store::write_file(folder, &format!("plots/{}", flame.name), &flame.svg)
                }
                None => Ok(()),
            })
            .map_err(|error| Stop::from_store(&error))?;
        report::refresh(folder)?;
        printer.say(format!("kept in {}, and in its report", folder.display()));
    }
    deliver(&profile, arguments, printer)?;
    Ok(Exit::Done)
}

/// The setting and the work, as typed or as a sweep had them.
fn asked(
    arguments: &Arguments,
    machine: &Machine,
    stored: Option<&StoredRun>,
) -> Result<(Setting, Work), Stop> {
    let workload = stored.map(|run| &run.plan.workload);
    let best = stored.map(|run| {
        // By this version's rules, as the report has it.
        let findings = report::judged(&run.plan, &run.trials, run.findings.clone());
        findings.best.setting
    });
    let together = best.as_ref().map_or(1, |setting| setting.context.sequences.max(1));
    let prompt = arguments
        .n_prompt
        .or(workload.map(|it| it.prompt_tokens.min((MOST_PROMPT / together).max(1))))
        .unwrap_or(PROMPT);
    let generate = arguments
        .n_gen
        .or(workload.map(|it| it.generate_tokens.min(MOST_GENERATE)))
        .unwrap_or(GENERATE);
    let depth = arguments.n_depth.or(workload.map(|it| it.depth)).unwrap_or(0);
    if prompt == 0 && generate == 0 {
        return Err(Stop::usage("--n-prompt 0 and --n-gen 0 leave nothing to do"));
    }
    let cores = machine.fast_cores().unwrap_or(1);
    let mut grid = Grid::defaults(PathBuf::new(), cores);
    (grid.prompts, grid.generates, grid.depths) = (Vec::new(), Vec::new(), vec![depth]);
    grid.pairs = vec![(prompt, generate)];
    grid.repetitions = arguments.repetitions;
    let tests = grid.tests().map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let test = tests.into_iter().next().ok_or_else(|| Stop::usage("there is nothing to do"))?;
    let mut setting = best.unwrap_or(test.setting);
    let terrain = place::terrain(machine, machine.devices.as_deref().unwrap_or_default());
    let threads = setting.threads.threads;
    let mut wanted = wanted::wanted(&[], &arguments.fix, &[])?;
    let fixed = wanted.settled(&terrain, threads)?;
    for (knob, level) in fixed {
        knob.write(&mut setting, &level).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    }
    if !arguments.devices.rpc.is_empty() {
        setting.process.rpc.clone_from(&arguments.devices.rpc);
    }
    let parallel = setting.context.sequences.max(1);
    // As much context as the work takes, where nobody asked for another.
    // Taking the graph of a token to pieces takes three of them.
    let steps = if generate > 0 { generate.max(3) } else { 0 };
    let each = depth.saturating_add(prompt).saturating_add(steps);
    let typed = arguments.fix.iter().any(|it| it.starts_with("context="));
    if stored.is_none() && !typed {
        setting.context.context = each.next_multiple_of(256).saturating_mul(parallel);
    }
    // llama.cpp keeps to that by itself, and says so as if somebody had asked for more.
    setting.context.batch = setting.context.batch.min(setting.context.context);
    setting.context.ubatch = setting.context.ubatch.min(setting.context.batch);
    if each.saturating_mul(parallel) > setting.context.context {
        return Err(Stop::usage(format!(
            "{parallel} × {each} tokens do not fit a context of {}",
            setting.context.context
        )));
    }
    let work = Work {
        parallel,
        prompt_tokens: prompt,
        generate_tokens: generate,
        depth,
        repetitions: arguments.repetitions,
        warmup: true,
        delay_ms: 0,
        seed: SEED,
    };
    Ok((setting, work))
}

/// What the engine saw.
struct Seen {
    program: Observed,
    graphs: Result<Observed, String>,
    cards: Vec<CardUse>,
    /// What the machine did beside it.
    doubts: Vec<String>,
    captured_at: String,
}

/// The engine while it is watched.
struct Watched<'a> {
    sensors: &'a mut dyn Sensors,
    engine: &'a mut dyn Engine,
    interrupted: &'a AtomicBool,
    deadline: Duration,
    printer: Printer,
}

impl Watched<'_> {
    /// The work as it is, then its graphs; `None` where the user stopped it.
    fn all(
        mut self,
        card: &ModelCard,
        setting: Setting,
        work: &Work,
        arguments: &Arguments,
    ) -> Result<Option<Seen>, Stop> {
        let job =
            autotune_engine::api::Job { model: card.path.clone(), setting, work: work.clone() };
        let captured_at = now();
        let before = self.sensors.read();
        self.sensors.watch_cards();
        let enough = arguments.period.unwrap_or(ENOUGH);
        let enough_ms = u64::try_from(enough.as_millis()).unwrap_or(u64::MAX);
        let watch = Watch::Program { sample_hz: arguments.hz, enough_ms };
        let text = format!(
            "running the work {} times, or for {}",
            work.repetitions,
            humantime::format_duration(enough)
        );
        let program = self.ask(&text, &ProfileJob { job: job.clone(), watch });
        let cards = self.sensors.cards();
        let doubts = measure::of_readings(&job.setting, before, self.sensors.read());
        let program = match program {
            _ if self.interrupted() => return Ok(None),
            Ok(program) => program,
            Err(failure) => return Err(stop(&failure)),
        };
        let watch = Watch::Graph { detail: arguments.detail };
        let graphs = self.ask("taking its graph to pieces", &ProfileJob { job, watch });
        if self.interrupted() {
            return Ok(None);
        }
        let graphs = graphs.map_err(|failure| {
            format!("the parts of the model are not known: {}", one_line(&failure.to_string()))
        });
        Ok(Some(Seen { program, graphs, cards, doubts, captured_at }))
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn ask(&mut self, text: &str, job: &ProfileJob) -> Result<Observed, Failure> {
        let spinner = self.printer.live().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
            let spinner = ProgressBar::new_spinner().with_style(style.expect("a constant"));
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner.with_message(text.to_owned())
        });
        if spinner.is_none() {
            self.printer.say(text);
        }
        let seen = self.engine.profile(job, self.deadline);
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        seen
    }
}

fn stop(failure: &Failure) -> Stop {
    let mut stop = Stop::from_error(Exit::NothingMeasured, failure);
    stop.message = one_line(&stop.message);
    stop
}

fn judged(
    machine: &Machine,
    card: &ModelCard,
    work: &Work,
    arguments: &Arguments,
    seen: Seen,
) -> Profile {
    let evidence = Evidence {
        card,
        quantized: quantized(card),
        work,
        program: &seen.program,
        graphs: seen.graphs.as_ref().ok(),
        sample_hz: arguments.hz,
        ceilings: machine.ceilings.as_ref(),
        cores: machine.fast_cores(),
        cache_bytes: last_cache(machine),
        link_bytes_per_s: machine.gpus.iter().find_map(link),
        cards: &seen.cards,
    };
    let mut model = bottleneck::profile(&evidence);
    match &seen.graphs {
        Ok(graphs) => model.unseen.extend(graphs.unseen.iter().map(|why| one_line(why))),
        Err(why) => model.unseen.push(why.clone()),
    }
    let mut caveats = seen.program.run.caveats.clone();
    caveats.extend(seen.doubts);
    if card.synthetic {
        caveats.push(
            "the model has random weights: speed and memory are real, its text is not".to_owned(),
        );
    }
    Profile {
        schema: Profile::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        captured_at: seen.captured_at,
        machine: Some(words(machine)),
        subject: Subject::Model(model),
        caveats,
    }
}

/// Whether most weights are smaller than 16 bits, so that the processor multiplies integers.
fn quantized(card: &ModelCard) -> bool {
    let wide = ["F32", "F16", "BF16", "F64"];
    let (small, all) = card.types.iter().fold((0_u64, 0_u64), |(small, all), kind| {
        let own = if wide.contains(&kind.name.as_str()) { 0 } else { kind.bytes.0 };
        (small.saturating_add(own), all.saturating_add(kind.bytes.0))
    });
    small > all / 2
}

/// Bytes of all caches of the last level.
fn last_cache(machine: &Machine) -> Option<u64> {
    let caches = &machine.cpu.caches;
    let last = caches.iter().map(|cache| cache.level).max()?;
    let own = caches.iter().filter(|cache| cache.level == last);
    Some(own.map(|cache| cache.size_bytes.0.saturating_mul(u64::from(cache.instances))).sum())
}

/// Bytes per second of a card's way to main memory, one direction, after encoding: PCI Express
/// 3.0, 4.0 and 5.0 carry 0.985, 1.969 and 3.938 GB/s per lane.
fn link(gpu: &Gpu) -> Option<f64> {
    let pcie = gpu.pcie.as_ref()?;
    let lane = match pcie.max_generation.or(pcie.generation)? {
        1 => 0.25,
        2 => 0.5,
        3 => 0.985,
        4 => 1.969,
        5 => 3.938,
        6 => 7.563,
        _ => return None,
    };
    Some(lane * 1e9 * f64::from(pcie.max_width.or(pcie.width)?))
}

fn words(machine: &Machine) -> String {
    let cpu = machine.cpu.model.clone().unwrap_or_else(|| "unknown processor".to_owned());
    let cores = machine.cpu.cores.map_or_else(String::new, |cores| format!(", {cores} cores"));
    let memory = machine.memory.total_bytes.map_or_else(String::new, |bytes| format!(", {bytes}"));
    format!("{cpu}{cores}{memory}")
}
