//! What is verified: a run with what it recommends.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::Setting;

use crate::cli::global::{self, now};
use crate::cli::{Printer, Stop, report};
use crate::knob::Tool;
use crate::model::{
    Candidate, Findings, Machine, Plan, Proof, Provenance, Served, Side, Verdict, Verification,
};
use crate::stats::{Change, Estimate, Separation};
use crate::verify::{Address, Launch, Room, Shape};
use crate::{analysis, detect, export};

/// Seconds until a server is ready, where the run does not tell.
const START_S: f64 = 3.0;
/// How notes begin that a variable takes care of.
const BY_VARIABLE: &str = "run it with ";

/// A run, the two settings of it that are compared, and what it promised.
pub(super) struct Subject {
    pub(super) plan: Plan,
    machine: Machine,
    findings: Findings,
    tuned: Setting,
    /// The gain that it confirmed.
    pub(super) promised: Option<Change>,
}

impl Subject {
    /// Reads a run; with `anyway` its best other setting where it recommends the default.
    pub(super) fn read(folder: &Path, anyway: bool, printer: Printer) -> Result<Self, Stop> {
        let run = report::read(folder)?;
        if let Some(torn) = &run.torn {
            printer.say(format!(
                "note: line {} of trials.jsonl was never finished; it is left out",
                torn.line
            ));
        }
        let findings = report::judged(&run.plan, &run.trials, run.findings);
        let (plan, mut tuned) = (run.plan, findings.best.setting.clone());
        let mut promised = None;
        if tuned == plan.baseline && anyway {
            tuned = analysis::best_found(&plan, &run.trials).ok_or_else(|| {
                Stop::usage("the run measured no setting but the default")
                    .hint("give its sweep more time: autotune sweep --resume, or a new one")
            })?;
        } else if let Verdict::Confirmed { turn, .. } = &findings.verdict
            && turn.separation == Separation::Faster
        {
            promised = Some(*turn);
        }
        Ok(Self { plan, machine: run.machine, findings, tuned, promised })
    }

    /// Whether two different settings are there.
    pub(super) fn has_something_to_prove(&self) -> bool {
        self.tuned != self.plan.baseline
    }

    fn setting(&self, side: Side) -> &Setting {
        match side {
            Side::Default => &self.plan.baseline,
            Side::Tuned => &self.tuned,
        }
    }

    /// Requests at once: to the default server, and to the tuned one.
    pub(super) fn parallel(&self) -> [u32; 2] {
        [Side::Default, Side::Tuned].map(|side| self.plan.work(self.setting(side)).sequences())
    }

    /// What is sent within a budget.
    pub(super) fn shape(&self, visits: u32, budget: Duration) -> Shape {
        let plan = &self.plan;
        let calibration = plan.protocol.calibration;
        let rate = |of: fn(&Candidate) -> Option<Estimate>, calibrated: Option<f64>| {
            let measured = of(&self.findings.baseline).or_else(|| of(&self.findings.best));
            let rate = measured.map(|it| it.value).or(calibrated);
            rate.filter(|rate| *rate > 0.0).map_or(0.0, f64::recip)
        };
        let room = Room {
            prefill_s: rate(
                |one| one.prefill_tok_per_s,
                calibration.and_then(|it| it.prefill_tok_per_s),
            ),
            decode_s: rate(
                |one| one.decode_tok_per_s,
                calibration.and_then(|it| it.decode_tok_per_s),
            ),
            start_s: calibration.map_or(START_S, |it| it.transition_ms as f64 / 1000.0),
            model_bytes: plan.model.file_bytes.0,
            parallel: self.parallel().into_iter().max().unwrap_or(1),
            visits,
            budget_s: budget.as_secs_f64(),
        };
        Shape::of(&plan.workload, room, plan.model.vocabulary, plan.seed)
    }

    /// The model file, and what is odd about it.
    pub(super) fn model(&self, typed: Option<&Path>) -> Result<(PathBuf, Vec<String>), Stop> {
        let card = &self.plan.model;
        let path = typed.unwrap_or(&card.path);
        let facts = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
        let Some(facts) = facts else {
            return Err(Stop::usage(format!("the model {} is not there", path.display()))
                .hint("name the file that the run measured: --model-path m.gguf"));
        };
        // The run knows the sum of all parts of a split model.
        let split = path.file_stem().is_some_and(|name| name.to_string_lossy().contains("-of-"));
        let other = !split && facts.len() != card.file_bytes.0;
        let note = other.then(|| {
            let (own, then) = (facts.len(), card.file_bytes.0);
            format!("the model file has {own} bytes and had {then} in the run: is it the same?")
        });
        Ok((path.to_owned(), note.into_iter().collect()))
    }

    /// How this machine differs from that of the run.
    pub(super) fn other_machine(&self) -> Option<String> {
        let then = &self.machine;
        if then.provenance == Provenance::Simulated {
            return Some(
                "the run is of a simulated machine: it promises nothing of this one".into(),
            );
        }
        let here = detect::machine(&detect::live());
        let facts = |machine: &Machine| {
            let cpu = &machine.cpu;
            (cpu.vendor.clone(), cpu.model.clone(), cpu.threads_online)
        };
        let name = |machine: &Machine| {
            machine.cpu.model.clone().unwrap_or_else(|| "an unknown processor".to_owned())
        };
        (facts(&here) != facts(then)).then(|| {
            format!("the run is of another machine: {} there, {} here", name(then), name(&here))
        })
    }

    fn exported(&self, side: Side, model: &Path) -> export::Command {
        let axes: Vec<&str> = self.plan.axes.iter().map(|axis| axis.knob.as_str()).collect();
        // Of the default no more is said than the machine would decide.
        let tuned: &[&str] = if side == Side::Tuned { &axes } else { &[] };
        let (setting, workload) = (self.setting(side), &self.plan.workload);
        export::command(Tool::LlamaServer, setting, model, workload, tuned)
    }

    /// How a side is started.
    pub(super) fn launch(&self, side: Side, program: &Path, model: &Path) -> Launch {
        let words = self.exported(side, model).words.into_iter().skip(1).map(OsString::from);
        Launch {
            words: std::iter::once(program.as_os_str().to_owned()).chain(words).collect(),
            variables: self.setting(side).process.environment(),
        }
    }

    /// A server that is started, before it was measured.
    pub(super) fn started(&self, side: Side, program: &Path, model: &Path) -> Served {
        let launch = self.launch(side, program, model);
        let notes = self.exported(side, model).notes;
        let text = |word: &OsString| word.to_string_lossy().into_owned();
        let variables = launch.variables.iter().map(|(name, value)| format!("{name}={value}"));
        Served {
            command: launch.words.iter().map(text).collect(),
            variables: variables.collect(),
            unsaid: notes.into_iter().filter(|note| !note.starts_with(BY_VARIABLE)).collect(),
            ..self.server(Some(side))
        }
    }

    /// A server that runs already, before it was measured.
    pub(super) fn running(&self, side: Option<Side>, address: &Address) -> Served {
        Served { address: Some(address.to_string()), ..self.server(side) }
    }

    fn server(&self, side: Option<Side>) -> Served {
        let [default, tuned] = self.parallel();
        Served {
            side,
            command: Vec::new(),
            variables: Vec::new(),
            address: None,
            build: None,
            parallel: if side == Some(Side::Default) { default } else { tuned },
            unsaid: Vec::new(),
            turn_s: None,
            wall_s: None,
            prefill_tok_per_s: None,
            decode_tok_per_s: None,
        }
    }

    /// The run's own seconds of a turn: with the default setting, and with the tuned one.
    pub(super) fn measured(&self) -> [Option<&Estimate>; 2] {
        let findings = &self.findings;
        let tuned = (findings.best.setting == self.tuned).then_some(&findings.best);
        [findings.baseline.turn_s.as_ref(), tuned.and_then(|one| one.turn_s.as_ref())]
    }

    /// The document of a run that needs no proof, and the beginning of every other.
    pub(super) fn document(&self) -> Verification {
        Verification {
            schema: Verification::SCHEMA.to_owned(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            created_at: now(),
            command: global::command(),
            workload: self.plan.workload.name.clone(),
            requests: Vec::new(),
            shortened: false,
            turns: 0,
            promised: self.promised,
            servers: Vec::new(),
            result: Proof::NothingToProve,
            sentence: "Nothing to prove: the run recommends the default setting. --anyway \
                       compares the best other one that it found."
                .to_owned(),
            notes: Vec::new(),
        }
    }

    /// The document with what was sent.
    pub(super) fn sent(&self, shape: &Shape, mut notes: Vec<String>) -> Verification {
        if shape.shortened {
            notes.push(
                "requests were shortened to fit the budget; turns are scaled from them".into(),
            );
        }
        Verification {
            requests: shape.requests.clone(),
            shortened: shape.shortened,
            turns: shape.turns,
            notes,
            ..self.document()
        }
    }
}
