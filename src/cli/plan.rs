//! The verb `plan`: what of a model fits here and how fast it can be, before anything runs.

mod counted;
mod subject;

use std::path::PathBuf;

use autotune_engine::api::{Bytes, Engine, Failure, KvType, Setting, VariantReport};
use clap::{Args, ValueEnum};

use super::engine::{self, Devices, EngineChoice};
use super::global::{self, now};
use super::sweep::{place, workload};
use super::variants::variants;
use super::{Exit, Printer, Stop};
use crate::detect;
use crate::knob::{self, Terrain};
use crate::model::{Machine, MoreContext, Plan, PlanMap, Workload};
use crate::plan::{self, Limits, MapGround, Point, Roof, Wish};
use crate::render::{plan as render, space};
use counted::Counted;
use subject::Subject;

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
    #[arg(long, value_name = "FILE", conflicts_with = "rpc")]
    machine: Option<PathBuf>,
    /// Format of the result on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Who counts: llama.cpp, or sim:FILE for a simulated machine
    #[arg(long, value_name = "ENGINE", default_value = "llama.cpp")]
    engine: EngineChoice,
    #[command(flatten)]
    devices: Devices,
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

/// Runs the verb.
pub(super) fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let workload = wanted(arguments)?;
    if let EngineChoice::Replayed(_) = arguments.engine {
        return Err(Stop::usage("a record does not tell what other settings need of the memory")
            .hint("`autotune sweep --engine replay:DIR --dry-run` shows its search space"));
    }
    let mut opened = engine::open_with(&arguments.engine, &arguments.devices)?;
    let subject = match &opened.world {
        Some(world) => Subject::simulated(world, &arguments.model),
        None => Subject::read(&arguments.model)?,
    };
    let engine = opened.engine.as_mut();
    let machine = subject::machine(arguments, opened.world.as_ref(), engine, printer)?;
    let ground = Ground { arguments, subject: &subject, machine: &machine };
    let mut plan = ground.search_space(workload, engine, printer)?;
    let map = ground.map(&plan, engine)?;
    plan.rejected.clone_from(&map.rejected);
    let text = match arguments.format {
        Format::Json => {
            let json = serde_json::to_string_pretty(&map);
            json.expect("documents have string keys only") + "\n"
        }
        Format::Text => render::text(&map) + &space::text(&plan),
        Format::Md => {
            format!("{}\n{}", render::markdown(&map), render::fenced(&space::text(&plan)))
        }
    };
    printer.data(&text).map(|()| Exit::Done)
}

/// The workload, with the context where one is asked for.
fn wanted(arguments: &Arguments) -> Result<Workload, Stop> {
    let mut workload = workload(&arguments.workload)?;
    if let [only] = arguments.context.as_slice() {
        workload.context = *only;
    }
    Ok(workload)
}

/// What a plan rests on.
#[derive(Clone, Copy)]
struct Ground<'a> {
    arguments: &'a Arguments,
    subject: &'a Subject,
    machine: &'a Machine,
}

impl Ground<'_> {
    /// Asks the engine for all points at once and puts the map together.
    fn map(self, plan: &Plan, engine: &mut dyn Engine) -> Result<PlanMap, Stop> {
        let Self { arguments, subject, machine } = self;
        let room = subject::room(machine, &arguments.devices, engine)?;
        let peaks = Roof::of(&subject.card, &subject.layers, machine.ceilings.as_ref());
        let (card, layers) = (&subject.card, &subject.layers);
        let ground = MapGround { card, layers, room: &room, roof: peaks.as_ref() };
        let points = plan::points(card, &plan.baseline, &arguments.context);
        let own = plan.baseline.context.context;
        let own_point = at(plan, own, plan.baseline.context.type_k);
        let longer = plan::KV_TYPES.map(|kv_type| {
            let to = own.saturating_add(plan::MORE_CONTEXT);
            [own, to].map(|context| at(plan, context, kv_type).setting)
        });
        let asked = points.iter().map(|point| &point.setting).chain(longer.as_flattened());
        let counted = Counted::of(asked.chain([&own_point.setting]), &subject.path, engine)?;
        let own_forecast = counted.get(&own_point.setting).map_err(uncountable)?;
        let mut cells = Vec::new();
        let mut rejected = plan.rejected.clone();
        for point in &points {
            match counted.get(&point.setting) {
                Ok(forecast) => cells.extend(plan::cells(ground, point, forecast)),
                Err(failure) => rejected.push(plan::uncounted(point, failure)),
            }
        }
        let more_context = plan::KV_TYPES.iter().zip(&longer).filter_map(|(kv_type, pair)| {
            let [short, long] = pair.each_ref().map(|it| counted.get(it).ok());
            let (short, long) = (short?.memory().total(), long?.memory().total());
            let (from, to) = (own, pair[1].context.context);
            let bytes = Bytes(long.0.saturating_sub(short.0));
            Some(MoreContext { kv_type: *kv_type, from, to, bytes })
        });
        let more_context = more_context.collect();
        let own_cells = plan::cells(ground, &own_point, own_forecast);
        Ok(PlanMap {
            schema: PlanMap::SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: now(),
            command: global::command(),
            model: card.clone(),
            layers: layers.clone(),
            advice: plan::advice(card, layers, &room, &plan.baseline, &own_cells),
            baseline: own_point.setting.clone(),
            rest: own_forecast.rest.clone(),
            cells,
            more_context,
            rates_missing: peaks.is_none().then(|| rates_missing(arguments)),
            axes: plan.axes.clone(),
            rejected,
            room,
        })
    }

    /// The plan of a sweep, as its dry run has it.
    fn search_space(
        self,
        workload: Workload,
        engine: &mut dyn Engine,
        printer: Printer,
    ) -> Result<Plan, Stop> {
        let Self { arguments, subject, machine } = self;
        let failed = |failure| Stop {
            exit: Exit::NothingMeasured,
            message: format!("the engine does not answer: {failure}"),
            hint: None,
        };
        let types: Vec<String> =
            subject.card.types.iter().map(|share| share.name.clone()).collect();
        let identity = engine.identity().map_err(failed)?;
        let tested = if arguments.machine.is_some() && !identity.synthetic {
            // What is tested is tested here, wherever the plan is for.
            let here = detect::machine(&detect::live());
            variants(engine, &here, &types, printer)
        } else {
            variants(engine, machine, &types, printer)
        };
        let variants: Vec<VariantReport> = tested.map_err(failed)?;
        plan::check_variants(&variants)
            .map_err(|error| Stop::from_error(Exit::NothingMeasured, &error))?;
        let devices = machine.devices.as_deref().unwrap_or_default();
        let room = subject::room(machine, &arguments.devices, engine)?;
        let mut here = place::here(machine, devices);
        // The engine counts what it would put on the devices of this machine only.
        if arguments.machine.is_none() {
            let baseline = plan::baseline(&subject.card, &here, &workload, &variants).0;
            let mut card = subject.card.clone();
            card.path.clone_from(&subject.path);
            here.gpu_layers = place::layers_that_fit(engine, &card, &room, &baseline);
        }
        let mut made = plan::plan(Wish {
            model: &subject.card,
            here,
            workload,
            engine: identity,
            variants,
            knobs: knob::usual(),
            terrain: Terrain {
                servers: arguments.devices.rpc.clone(),
                ..place::terrain(machine, devices)
            },
            fixed: Vec::new(),
            levels: Vec::new(),
            calibration: None,
            limits: Limits::of(None, None),
            prior: plan::prior(&subject.card, machine),
            seed: 1,
            created_at: now(),
            command: global::command(),
        });
        let available = machine.available_memory();
        let servers = &arguments.devices.rpc;
        if servers.is_empty() {
            let mut forecast = |setting: &Setting| {
                let one = std::slice::from_ref(setting);
                engine.reservations(&subject.path, one).ok()?.pop()?.ok()
            };
            let own = forecast(&made.baseline);
            let tight = own.is_some_and(|own| plan::tight(&own, available));
            plan::rule_out(&mut made, tight, &mut |setting| {
                plan::does_not_fit(&forecast(setting)?, &room)
            });
        } else {
            made.baseline_notes.push(format!("all layers are offered to {}", servers.join(", ")));
        }
        Ok(made)
    }
}

/// The baseline with that context and cache type.
fn at(plan: &Plan, context: u32, kv_type: KvType) -> Point {
    plan::point(&plan.baseline, context, kv_type, plan.baseline.context.ubatch)
}

fn uncountable(failure: &Failure) -> Stop {
    Stop {
        exit: Exit::NothingMeasured,
        message: format!("the memory of this model cannot be foreseen: {failure}"),
        hint: None,
    }
}

fn rates_missing(arguments: &Arguments) -> String {
    let there = if arguments.machine.is_some() { " on that machine" } else { "" };
    format!("peaks were not measured: `autotune detect --ceilings`{there} measures them")
}
