//! The verb `plan`: what of a model fits here and how fast it can be, before anything runs.

use std::path::{Path, PathBuf};

use autotune_engine::api::{Engine, Forecast, Setting, VariantReport, VariantVerdict};
use autotune_engine::sim::World;
use clap::{Args, ValueEnum};

use super::engine::{self, EngineChoice};
use super::global::now;
use super::sweep::{place, summary, typed_command, workload};
use super::{Exit, Printer, Stop, peaks, simulated};
use crate::detect;
use crate::gguf::ModelFile;
use crate::knob;
use crate::model::{LayerWeights, Machine, ModelCard, MoreContext, Plan, PlanMap};
use crate::plan::{self, Limits, MapGround, Point, Roof, Wish};
use crate::render::plan as render;
use crate::synth;

/// Show what of a model fits here, how fast it can be, and what a sweep would try
#[derive(Debug, Args)]
#[command(after_help = "\
Runs nothing: llama.cpp counts the memory of each setting without allocating
it, and a synth: model is planned from its header, which is all that is
written. Rates are roofs from measured peaks (autotune detect --ceilings).

Examples:
  autotune plan --model m.gguf
  autotune plan --model synth:gpt-oss-20b:mxfp4      before any download
  autotune plan --model m.gguf --context 8192,65536  these contexts only
  autotune plan --model m.gguf --machine box.json    on another machine
  autotune plan --model m.gguf --format json         every cell, for programs

A machine document comes from `autotune detect --format json -o box.json`.

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 the engine does not
answer, 5 other failure.")]
pub struct Arguments {
    /// GGUF file, or synth:SHAPE:QUANT
    #[arg(short, long, value_name = "MODEL")]
    model: String,
    /// Tokens of context, one or more [default: 4096 up to the trained length]
    #[arg(short, long, value_name = "TOKENS", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    context: Vec<u32>,
    /// What to plan for: a name or a TOML file
    #[arg(short, long, value_name = "NAME|FILE", default_value = "chat")]
    workload: String,
    /// Plan for the machine of this document instead of this one
    #[arg(long, value_name = "FILE")]
    machine: Option<PathBuf>,
    /// Format of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Who counts: llama.cpp, or sim:FILE for a simulated machine
    #[arg(long, value_name = "ENGINE", default_value = "llama.cpp")]
    engine: EngineChoice,
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
    /// Tables for an issue or a wiki
    Md,
}

/// A model to be planned; an outline goes away with it.
struct Subject {
    card: ModelCard,
    layers: LayerWeights,
    path: PathBuf,
    _outline: Option<synth::Outline>,
}

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    if let EngineChoice::Replayed(_) = arguments.engine {
        return Err(Stop::usage("a record does not tell what other settings need of the memory")
            .hint("`autotune sweep --engine replay:DIR --dry-run` shows its search space"));
    }
    let mut opened = engine::open(&arguments.engine)?;
    let subject = subject(arguments, opened.world.as_ref())?;
    let machine = machine(arguments, opened.world.as_ref(), printer)?;
    let (plan, map) = map(arguments, &subject, &machine, opened.engine.as_mut())?;
    let text = match arguments.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&map);
            json.expect("documents have string keys only") + "\n"
        }
        Format::Text => render::text(&map) + &summary::search_space(&plan),
        Format::Md => format!(
            "{}\n```\n{}\n```\n",
            render::markdown(&map),
            summary::search_space(&plan).trim()
        ),
    };
    printer.data(&text).map(|()| Exit::Done)
}

fn subject(arguments: &Arguments, world: Option<&World>) -> Result<Subject, Stop> {
    if let Some(world) = world {
        let card = simulated::model(world, &arguments.model);
        let layer_bytes =
            vec![
                autotune_engine::api::Bytes(card.file_bytes.0 / u64::from(card.layers.max(1)));
                usize::try_from(card.layers).unwrap_or(0)
            ];
        let layers = LayerWeights {
            expert_bytes: vec![autotune_engine::api::Bytes(0); layer_bytes.len()],
            layer_bytes,
            embedding_bytes: autotune_engine::api::Bytes(0),
            output_bytes: autotune_engine::api::Bytes(0),
            active_parameters: card.parameters,
            quantized: true,
        };
        return Ok(Subject { path: card.path.clone(), card, layers, _outline: None });
    }
    let outline = if synth::Name::is_synthetic(&arguments.model) {
        let made = synth::outline(&arguments.model, &std::env::temp_dir());
        Some(made.map_err(|error| Stop::from_error(Exit::Usage, &error))?)
    } else {
        None
    };
    let path =
        outline.as_ref().map_or(Path::new(&arguments.model), synth::Outline::path).to_owned();
    let file = ModelFile::open(&path).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let mut card = ModelCard::of(&file).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    let layers = plan::layers(&file, &card);
    // The outline is gone when the plan is read.
    card.path = PathBuf::from(&arguments.model);
    Ok(Subject { card, layers, path, _outline: outline })
}

fn machine(
    arguments: &Arguments,
    world: Option<&World>,
    printer: Printer,
) -> Result<Machine, Stop> {
    if let Some(path) = &arguments.machine {
        let wrong = |why: String| {
            Stop::usage(format!("cannot read the machine {}: {why}", path.display()))
                .hint("`autotune detect --format json -o machine.json` writes one")
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let machine: Machine =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if machine.schema != Machine::SCHEMA {
            return Err(wrong(format!("it is no document of {}", Machine::SCHEMA)));
        }
        return Ok(machine);
    }
    if let Some(world) = world {
        return Ok(simulated::machine(world));
    }
    let host = detect::live();
    let mut machine = detect::machine(&host);
    peaks::complete(&mut machine, &host, printer);
    Ok(machine)
}

/// Asks the engine for each point and puts the map together.
fn map(
    arguments: &Arguments,
    subject: &Subject,
    machine: &Machine,
    engine: &mut dyn Engine,
) -> Result<(Plan, PlanMap), Stop> {
    let plan = search_space(arguments, subject, machine, engine)?;
    let mut counted = |setting: &Setting| forecast(engine, &subject.path, setting);
    let room = plan::room(machine);
    let peaks = Roof::of(&subject.card, &subject.layers, machine.ceilings.as_ref());
    let ground = MapGround {
        card: &subject.card,
        layers: &subject.layers,
        room: &room,
        roof: peaks.as_ref(),
    };
    let mut cells = Vec::new();
    for point in plan::points(&subject.card, &plan.baseline, &arguments.context) {
        cells.extend(plan::cells(ground, &point, &counted(&point.setting)?));
    }
    let own = plan.baseline.context.context;
    let own_point = at(&plan, own, plan.baseline.context.type_k);
    let own_forecast = counted(&own_point.setting)?;
    let mut more_context = Vec::new();
    for kv_type in plan::KV_TYPES {
        let to = own.saturating_add(plan::MORE_CONTEXT);
        let [short, long] = [own, to].map(|context| counted(&at(&plan, context, kv_type).setting));
        let (short, long) = (short?.memory().total(), long?.memory().total());
        let bytes = autotune_engine::api::Bytes(long.0.saturating_sub(short.0));
        more_context.push(MoreContext { kv_type, from: own, to, bytes });
    }
    let own_cells = plan::cells(ground, &own_point, &own_forecast);
    let map = PlanMap {
        schema: PlanMap::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: now(),
        command: typed_command(),
        model: subject.card.clone(),
        layers: subject.layers.clone(),
        advice: plan::advice(&subject.card, &subject.layers, &room, &plan.baseline, &own_cells),
        baseline: own_point.setting,
        rest: own_forecast.rest,
        cells,
        more_context,
        rates_missing: peaks.is_none().then(|| rates_missing(arguments)),
        axes: plan.axes.clone(),
        rejected: plan.rejected.clone(),
        room,
    };
    Ok((plan, map))
}

fn at(plan: &Plan, context: u32, kv_type: autotune_engine::api::KvType) -> Point {
    plan::point(&plan.baseline, context, kv_type, plan.baseline.context.ubatch)
}

fn forecast(engine: &mut dyn Engine, path: &Path, setting: &Setting) -> Result<Forecast, Stop> {
    engine.forecast(path, setting).map_err(|failure| Stop {
        exit: Exit::NothingMeasured,
        message: format!("the memory of this model cannot be foreseen: {failure}"),
        hint: None,
    })
}

fn rates_missing(arguments: &Arguments) -> String {
    let there = if arguments.machine.is_some() { " on that machine" } else { "" };
    format!("peaks were not measured: `autotune detect --ceilings`{there} measures them")
}

/// The plan of a sweep, as its dry run has it.
fn search_space(
    arguments: &Arguments,
    subject: &Subject,
    machine: &Machine,
    engine: &mut dyn Engine,
) -> Result<Plan, Stop> {
    let failed = |failure| Stop {
        exit: Exit::NothingMeasured,
        message: format!("the engine does not answer: {failure}"),
        hint: None,
    };
    let types: Vec<String> = subject.card.types.iter().map(|share| share.name.clone()).collect();
    let identity = engine.identity().map_err(failed)?;
    let variants: Vec<VariantReport> = engine.variants(&types).map_err(failed)?;
    let usable = |report: &&VariantReport| report.verdict == VariantVerdict::Usable;
    if !variants.is_empty() && variants.iter().find(usable).is_none() {
        plan::check_variants(&variants)
            .map_err(|error| Stop::from_error(Exit::NothingMeasured, &error))?;
    }
    let mut workload = workload(&arguments.workload)?;
    if let [only] = arguments.context.as_slice() {
        workload.context = *only;
    }
    let mut made = plan::plan(Wish {
        model: &subject.card,
        here: place::here(machine),
        workload,
        engine: identity,
        variants,
        knobs: knob::usual(),
        terrain: place::terrain(machine),
        fixed: Vec::new(),
        levels: Vec::new(),
        calibration: None,
        limits: Limits { budget: None, max_trials: None },
        seed: 1,
        created_at: now(),
        command: typed_command(),
    });
    let available = machine.available_memory();
    plan::rule_out(&mut made, &mut |setting| {
        plan::does_not_fit(&engine.forecast(&subject.path, setting).ok()?, available)
    });
    Ok(made)
}
