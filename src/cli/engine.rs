//! Which engine a verb measures with: llama.cpp in a child process, a simulated machine, or a
//! recorded one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use autotune_engine::api::{Clock, Engine, SystemClock};
use autotune_engine::llama;
use autotune_engine::sim::{Simulator, World};
use autotune_engine::worker::{Canceller, WorkerEngine, WorkerOptions};
use clap::Args;

use super::replay::{self, Recorded};
use super::{Exit, Stop};

/// `--engine`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineChoice {
    /// llama.cpp in a child process.
    LlamaCpp,
    /// A machine made of formulas, read from a TOML file. Its results are marked everywhere.
    Simulated(PathBuf),
    /// What another sweep measured, read from its run directory. Marked everywhere, too.
    Replayed(PathBuf),
}

impl FromStr for EngineChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "llama.cpp" => Ok(Self::LlamaCpp),
            Some(("sim", file)) if !file.is_empty() => Ok(Self::Simulated(file.into())),
            Some(("replay", run)) if !run.is_empty() => Ok(Self::Replayed(run.into())),
            _ => Err(format!("`{text}` is neither llama.cpp, sim:FILE nor replay:DIR")),
        }
    }
}

/// Which devices the engine may use beside the CPU.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Devices {
    /// Folders with more modules for GPUs [env: `AUTOTUNE_BACKEND_DIR`]
    #[arg(long, value_name = "DIR")]
    pub(super) backend_dir: Vec<PathBuf>,
    /// RPC servers whose devices take layers too (see `rpc-server`)
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(super) rpc: Vec<String>,
}

impl Devices {
    /// Whether any was named.
    pub(super) fn named(&self) -> bool {
        !self.backend_dir.is_empty() || !self.rpc.is_empty()
    }

    /// What the worker's environment needs: the folders named here before those inherited.
    fn environment(&self) -> Result<Vec<(OsString, OsString)>, Stop> {
        if self.backend_dir.is_empty() {
            return Ok(Vec::new());
        }
        let name = llama::FOLDERS_VARIABLE;
        let inherited = std::env::var_os(name).unwrap_or_default();
        let named = self.backend_dir.iter().map(|folder| {
            // A worker may have another idea of the current folder.
            std::path::absolute(folder).unwrap_or_else(|_| folder.clone())
        });
        let folders = std::env::join_paths(named.chain(std::env::split_paths(&inherited)))
            .map_err(|error| Stop::usage(format!("--backend-dir: {error}")))?;
        Ok(vec![(name.into(), folders)])
    }
}

/// An engine that is ready to be asked, and the machine it stands for.
pub(super) struct OpenEngine {
    /// Runs jobs.
    pub(super) engine: Box<dyn Engine>,
    /// The clock that its jobs move.
    pub(super) clock: Box<dyn Clock>,
    /// The simulated machine; `None` where the engine runs on this one.
    pub(super) world: Option<World>,
    /// The machine and the model that were recorded; `None` where nothing is replayed.
    pub(super) recorded: Option<Recorded>,
    /// Ends what the engine is doing; `None` where nothing takes time.
    pub(super) canceller: Option<Canceller>,
}

/// Makes the engine that was asked for, with the devices that the environment names.
pub(super) fn open(choice: &EngineChoice) -> Result<OpenEngine, Stop> {
    open_with(choice, &Devices::default())
}

/// Makes the engine that was asked for. RPC servers belong to a setting, which is the caller's.
pub(super) fn open_with(choice: &EngineChoice, devices: &Devices) -> Result<OpenEngine, Stop> {
    match choice {
        EngineChoice::Simulated(file) => {
            let world = World::read(file).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
            let engine = Simulator::new(world.clone());
            let clock = Box::new(engine.clock());
            let world = Some(world);
            let engine = Box::new(engine);
            Ok(OpenEngine { engine, clock, world, recorded: None, canceller: None })
        }
        EngineChoice::Replayed(run) => {
            let (engine, recorded) = replay::open(run)?;
            let clock = Box::new(engine.clock());
            let (engine, recorded) = (Box::new(engine), Some(recorded));
            Ok(OpenEngine { engine, clock, world: None, recorded, canceller: None })
        }
        EngineChoice::LlamaCpp => {
            let program = std::env::current_exe().map_err(|error| {
                Stop::from_error(Exit::Failure, &error).hint("the worker is this program again")
            })?;
            // Winner and baseline take turns, and may need a process each.
            let options = WorkerOptions { resident: 2, environment: devices.environment()? };
            let engine = Box::new(WorkerEngine::new(&program, options));
            let canceller = Some(engine.canceller());
            let clock = Box::new(SystemClock::start());
            Ok(OpenEngine { engine, clock, world: None, recorded: None, canceller })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_folders_reach_the_worker_as_absolute_paths() {
        assert_eq!(Devices::default().environment().unwrap(), []);
        let devices = Devices { backend_dir: vec!["a".into(), "/b".into()], rpc: Vec::new() };
        let environment = devices.environment().unwrap();
        let [(name, folders)] = environment.as_slice() else { panic!("{environment:?}") };
        assert_eq!(name, "AUTOTUNE_BACKEND_DIR");
        let folders: Vec<PathBuf> = std::env::split_paths(folders).collect();
        assert!(folders[0].is_absolute() && folders[0].ends_with("a"), "{folders:?}");
        assert_eq!(folders[1], PathBuf::from("/b"));
        let devices = Devices { backend_dir: vec!["a:b".into()], rpc: Vec::new() };
        assert!(devices.environment().unwrap_err().message.contains("--backend-dir"));
    }

    #[test]
    fn an_engine_is_named_or_refused() {
        for (typed, wanted) in [
            ("llama.cpp", Ok(EngineChoice::LlamaCpp)),
            ("sim:a:b.toml", Ok(EngineChoice::Simulated("a:b.toml".into()))),
            ("replay:runs/a", Ok(EngineChoice::Replayed("runs/a".into()))),
            ("replay:", Err(())),
            ("sim:", Err(())),
            ("sim", Err(())),
            ("vllm", Err(())),
        ] {
            assert_eq!(typed.parse::<EngineChoice>().map_err(drop), wanted, "{typed}");
        }
    }
}
