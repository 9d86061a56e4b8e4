//! Two sides as they are typed: a program, a model, a setting, or a simulated machine.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autotune_engine::api::{Clock, Engine, SystemClock};
use autotune_engine::sim::{Simulator, World};
use autotune_engine::worker::{Canceller, WorkerEngine, WorkerOptions};

use crate::bench::{Grid, Test};
use crate::cli::sweep::wanted::wanted;
use crate::cli::{Exit, Printer, Stop, model};
use crate::gate::{Arm, EngineArm, ProgramArm, Subject};
use crate::knob::{Knob, Terrain, Tool, put};
use crate::model::{GateSide, Level, ModelCard};

/// What a side is, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spec {
    /// This program with the settings and models of the other flags.
    Own,
    /// Another program: an autotune, or a llama-bench.
    Program(PathBuf),
    /// A model for this program.
    Model(String),
    /// Levels of knobs, with commas between them.
    Setting(Vec<String>),
    /// A simulated machine.
    Simulated(PathBuf),
}

/// Programs that a build folder may hold, and where.
const BUILT: [&str; 5] =
    ["autotune", "release/autotune", "target/release/autotune", "bin/llama-bench", "llama-bench"];

impl Spec {
    /// Reads what was typed.
    pub(super) fn read(typed: &str) -> Result<Self, Stop> {
        let path = Path::new(typed);
        if let Some(file) = typed.strip_prefix("sim:") {
            return Ok(Self::Simulated(file.into()));
        }
        if typed.starts_with("synth:") {
            return Ok(Self::Model(typed.to_owned()));
        }
        if path.is_dir() {
            let built = BUILT.iter().map(|name| path.join(name)).find(|path| runs(path));
            return built.map(Self::Program).ok_or_else(|| {
                Stop::usage(format!("there is neither an autotune nor a llama-bench in {typed}"))
            });
        }
        if path.extension().is_some_and(|extension| extension == "gguf") {
            return Ok(Self::Model(typed.to_owned()));
        }
        if runs(path) {
            return Ok(Self::Program(path.to_owned()));
        }
        if typed.contains('=') {
            return Ok(Self::Setting(typed.split(',').map(str::to_owned).collect()));
        }
        Err(Stop::usage(format!("`{typed}` is no side of a comparison")).hint(
            "name a program (autotune or llama-bench), a build folder, a .gguf file, \
             synth:SHAPE:QUANT, or knobs like threads=4,flash_attn=on",
        ))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Own | Self::Program(_) => "program",
            Self::Model(_) => "model",
            Self::Setting(_) => "setting",
            Self::Simulated(_) => "simulated machine",
        }
    }
}

fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// What all sides of a comparison have in common.
pub(super) struct Common<'a> {
    /// Models, as typed.
    pub(super) models: &'a [String],
    /// Levels of knobs for both sides.
    pub(super) fix: &'a [String],
    /// Physical cores: the usual number of threads.
    pub(super) cores: u32,
    /// Timed repetitions of each test.
    pub(super) repetitions: u32,
    /// Time that one test may take.
    pub(super) deadline: Duration,
    /// Variables that no engine must see.
    pub(super) kept_out: Vec<OsString>,
    pub(super) printer: Printer,
}

/// A side with its models and settings, before anything is started.
#[derive(Debug)]
pub(super) struct Prepared {
    spec: Spec,
    typed: String,
    /// The card of each model; a simulated machine has made-up ones.
    pub(super) models: Vec<(String, PathBuf, String)>,
    levels: Vec<(&'static dyn Knob, Level)>,
}

impl Prepared {
    /// Finds models and reads settings.
    pub(super) fn new(typed: Option<&str>, common: &Common<'_>) -> Result<Self, Stop> {
        let spec = typed.map_or(Ok(Spec::Own), Spec::read)?;
        let models = match &spec {
            Spec::Model(model) => std::slice::from_ref(model),
            _ => common.models,
        };
        if models.is_empty() {
            return Err(Stop::usage("no model to measure with")
                .hint("name one with --model, for example --model synth:smollm2-135m:q4_k_m"));
        }
        let simulated = matches!(spec, Spec::Simulated(_));
        let models = models
            .iter()
            .map(|typed| {
                if simulated {
                    return Ok((named(Path::new(typed)), PathBuf::from(typed), typed.clone()));
                }
                let card: ModelCard = model::card(typed, common.printer)?;
                // The file of a made one is named after its seed too.
                let name = match typed.strip_prefix("synth:") {
                    Some(shape) => shape.replace(':', "-"),
                    None => named(&card.path),
                };
                Ok((name, card.path, card.digest))
            })
            .collect::<Result<_, Stop>>()?;
        let mut fix = common.fix.to_vec();
        if let Spec::Setting(own) = &spec {
            fix.extend(own.iter().cloned());
        }
        let levels = wanted(&[], &fix, &[])?.settled(&Terrain::default(), common.cores)?;
        let typed = typed.unwrap_or("this program").to_owned();
        Ok(Self { spec, typed, models, levels })
    }

    /// The digest of everything that makes it what it is.
    pub(super) fn digest(&self, common: &Common<'_>) -> Result<String, Stop> {
        let program = match &self.spec {
            Spec::Simulated(file) => hashed(file)?,
            Spec::Program(program) => built(program)?,
            _ => built(&own_program()?)?,
        };
        let settings: Vec<String> =
            self.levels.iter().map(|(knob, level)| format!("{}={level}", knob.name())).collect();
        let models: Vec<&str> = self.models.iter().map(|(.., digest)| digest.as_str()).collect();
        let all = serde_json::json!([program, settings, models, common.cores]);
        Ok(blake3::hash(all.to_string().as_bytes()).to_hex()[..32].to_owned())
    }

    /// Whether two sides do the same work: equal models under equal settings.
    pub(super) fn same_work(&self, other: &Self) -> bool {
        let digests =
            |side: &Self| side.models.iter().map(|(.., digest)| digest.clone()).collect::<Vec<_>>();
        let levels = |side: &Self| {
            side.levels.iter().map(|(knob, level)| format!("{knob:?}{level}")).collect::<Vec<_>>()
        };
        digests(self) == digests(other) && levels(self) == levels(other)
    }

    /// Whether its times are made up.
    pub(super) fn is_synthetic(&self) -> bool {
        matches!(self.spec, Spec::Simulated(_))
    }

    /// Starts it.
    pub(super) fn open(
        &self,
        subjects: &[Subject],
        common: &Common<'_>,
        commit: Option<String>,
        way: Way,
    ) -> Result<Opened, Stop> {
        let digest = Some(self.digest(common)?);
        let mut side = GateSide {
            name: self.typed.clone(),
            kind: self.spec.kind().to_owned(),
            digest,
            engine: None,
            commit,
        };
        let mut test = grid_tests(&self.models, &self.levels, common)?;
        if let Spec::Simulated(file) = &self.spec {
            let world = World::read(file).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
            let engine = Simulator::new(world);
            let clock: Box<dyn Clock> = Box::new(engine.clock());
            side.engine = Some("simulated".to_owned());
            let arm = EngineArm::new(Box::new(engine), subjects, common.deadline, &mut test);
            let arm = Box::new(arm);
            return Ok(Opened { arm, side, clock, canceller: None, is_bench: false, note: None });
        }
        let program = match &self.spec {
            Spec::Program(program) => program.clone(),
            _ => own_program()?,
        };
        let clock: Box<dyn Clock> = Box::new(SystemClock::start());
        let is_bench = named(&program).starts_with("llama-bench");
        let mut note = None;
        if !is_bench && way == Way::Best {
            let mut engine = WorkerEngine::new(&program, WorkerOptions::default());
            let canceller = Some(engine.canceller());
            match engine.identity() {
                Ok(identity) => {
                    side.engine = Some(format!("{} {}", identity.name, identity.version));
                    let engine: Box<dyn Engine> = Box::new(engine);
                    let arm = EngineArm::new(engine, subjects, common.deadline, &mut test);
                    let arm = Box::new(arm);
                    return Ok(Opened { arm, side, clock, canceller, is_bench, note });
                }
                Err(failure) if self.spec == Spec::Own => {
                    return Err(Stop::from_error(Exit::NothingMeasured, &failure));
                }
                // Another version may speak another protocol, and still know `bench`.
                Err(failure) => {
                    let name = &self.typed;
                    note = Some(format!(
                        "`{name}` is measured by its verb `bench`, as its worker says: {failure}"
                    ));
                }
            }
        }
        let leading = if is_bench { Vec::new() } else { vec!["bench".to_owned()] };
        side.engine = Some(if is_bench { "llama-bench" } else { "autotune bench" }.to_owned());
        let mut spelled: Vec<String> = self
            .levels
            .iter()
            .flat_map(|(knob, level)| knob.spell(Tool::LlamaBench, level))
            .collect();
        if self.levels.iter().all(|(knob, _)| knob.name() != "threads") {
            spelled.extend(["-t".to_owned(), common.cores.to_string()]);
        }
        let arm = ProgramArm {
            program,
            leading,
            subjects: self
                .models
                .iter()
                .map(|(_, path, _)| (path.clone(), spelled.clone()))
                .collect(),
            quantities: subjects
                .iter()
                .map(|subject| subject.wanted.iter().map(|wanted| wanted.quantity).collect())
                .collect(),
            repetitions: common.repetitions,
            deadline: common.deadline,
            kept_out: common.kept_out.clone(),
            clock: Box::new(SystemClock::start()),
        };
        let arm = Box::new(arm);
        Ok(Opened { arm, side, clock, canceller: None, is_bench: true, note })
    }
}

/// A side that is ready to be measured.
pub(super) struct Opened {
    pub(super) arm: Box<dyn Arm>,
    pub(super) side: GateSide,
    pub(super) clock: Box<dyn Clock>,
    pub(super) canceller: Option<Canceller>,
    /// Whether it is measured as llama-bench is.
    pub(super) is_bench: bool,
    /// What became of it, one sentence.
    pub(super) note: Option<String>,
}

/// How a side is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By its worker where it has one that we understand.
    Best,
    /// As llama-bench is.
    Bench,
}

/// The test of a subject's model for lengths of prompt, generation and depth, as `bench` has it.
fn grid_tests<'a>(
    models: &'a [(String, PathBuf, String)],
    levels: &'a [(&'static dyn Knob, Level)],
    common: &Common<'_>,
) -> Result<impl FnMut(usize, (u32, u32, u32)) -> Test + use<'a>, Stop> {
    let (cores, repetitions) = (common.cores, common.repetitions);
    let make = move |place: usize, (prompt, generate, depth): (u32, u32, u32)| {
        let grid = Grid {
            prompts: Vec::new(),
            generates: Vec::new(),
            pairs: vec![(prompt, generate)],
            depths: vec![depth],
            repetitions,
            ..Grid::defaults(models[place].1.clone(), cores)
        };
        let mut test = grid.tests().ok()?.into_iter().next()?;
        let context = test.setting.context.context;
        for (knob, level) in levels {
            put(*knob, &mut test.setting, level).ok()?;
        }
        test.setting.context.context = test.setting.context.context.max(context);
        Some(test)
    };
    // What is wrong with a level shows with any test.
    if make(0, (1, 1, 0)).is_none() {
        return Err(Stop::usage("the levels cannot be put into one setting"));
    }
    Ok(move |place, work| make(place, work).expect("levels fit, and lengths were checked"))
}

/// The name of a model or program: its file without folder and ending.
fn named(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().chars().take(120).collect()
}

fn own_program() -> Result<PathBuf, Stop> {
    std::env::current_exe().map_err(|error| Stop::from_error(Exit::Failure, &error))
}

/// Digest of a file's contents.
fn hashed(path: &Path) -> Result<String, Stop> {
    let mut hasher = blake3::Hasher::new();
    let read = std::fs::File::open(path).and_then(|file| hasher.update_reader(file).map(|_| ()));
    read.map_err(|error| Stop::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Digest of a program with the engine's libraries, beside it or in the `lib` next to its folder.
/// Where there are none, what it loads is not known, and its place is part of the digest: only the
/// very same program is the same then.
fn built(program: &Path) -> Result<String, Stop> {
    let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let mut all = vec![hashed(&program)?];
    let folder = program.parent().unwrap_or(Path::new("."));
    let above = folder.parent().unwrap_or(folder);
    let folders = [folder.to_owned(), above.join("lib"), above.join("lib/autotune")];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut libraries: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            path.is_file() && ["libggml", "libllama"].iter().any(|start| name.starts_with(start))
        })
        .collect();
    libraries.sort_unstable();
    if libraries.is_empty() {
        all.push(program.display().to_string());
    }
    for library in libraries {
        all.push(hashed(&library)?);
    }
    Ok(all.join(" "))
}
