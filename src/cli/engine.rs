//! Which engine a verb measures with: llama.cpp in a child process, or a simulated machine.

use std::path::PathBuf;
use std::str::FromStr;

use autotune_engine::api::{Clock, Engine, SystemClock};
use autotune_engine::sim::{Simulator, World};
use autotune_engine::worker::{Canceller, WorkerEngine, WorkerOptions};

use super::{Exit, Stop};

/// `--engine`, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineChoice {
    /// llama.cpp in a child process.
    LlamaCpp,
    /// A machine made of formulas, read from a TOML file. Its results are marked everywhere.
    Simulated(PathBuf),
}

impl FromStr for EngineChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "llama.cpp" => Ok(Self::LlamaCpp),
            Some(("sim", file)) if !file.is_empty() => Ok(Self::Simulated(file.into())),
            _ => Err(format!("`{text}` is neither llama.cpp nor sim:FILE")),
        }
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
    /// Ends what the engine is doing; `None` where nothing takes time.
    pub(super) canceller: Option<Canceller>,
}

/// Makes the engine that was asked for.
pub(super) fn open(choice: &EngineChoice) -> Result<OpenEngine, Stop> {
    match choice {
        EngineChoice::Simulated(file) => {
            let world = World::read(file).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
            let engine = Simulator::new(world.clone());
            let clock = Box::new(engine.clock());
            let world = Some(world);
            Ok(OpenEngine { engine: Box::new(engine), clock, world, canceller: None })
        }
        EngineChoice::LlamaCpp => {
            let program = std::env::current_exe().map_err(|error| {
                Stop::from_error(Exit::Failure, &error).hint("the worker is this program again")
            })?;
            // Winner and baseline take turns, and may need a process each.
            let options = WorkerOptions { resident: 2, ..WorkerOptions::default() };
            let engine = Box::new(WorkerEngine::new(&program, options));
            let canceller = Some(engine.canceller());
            let clock = Box::new(SystemClock::start());
            Ok(OpenEngine { engine, clock, world: None, canceller })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_named_or_refused() {
        for (typed, wanted) in [
            ("llama.cpp", Ok(EngineChoice::LlamaCpp)),
            ("sim:a:b.toml", Ok(EngineChoice::Simulated("a:b.toml".into()))),
            ("sim:", Err(())),
            ("sim", Err(())),
            ("vllm", Err(())),
        ] {
            assert_eq!(typed.parse::<EngineChoice>().map_err(drop), wanted, "{typed}");
        }
    }
}
