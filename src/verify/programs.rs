//! The user's own llama-server, started anew for every visit, one at a time.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use super::line::Line;
use super::process::{Patience, Process};
use super::{About, Address, Answers, Ask, AskError, ServeError, Server, Servers};
use crate::model::Side;

/// Between two questions whether it is ready.
const LOOK: Duration = Duration::from_millis(100);

/// How a side is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments, without an address.
    pub words: Vec<OsString>,
    /// Variables set for it.
    pub variables: Vec<(&'static str, String)>,
}

/// Starts servers of two settings, one at a time.
#[derive(Debug)]
pub struct Programs {
    /// The program that has the verb [`GUARD`](super::GUARD): this one.
    pub guard: PathBuf,
    /// The default setting.
    pub default: Launch,
    /// The tuned setting.
    pub tuned: Launch,
    /// Variables of the shell that neither server gets: they would act on the default setting too.
    pub kept_out: Vec<OsString>,
    /// How long is waited.
    pub patience: Patience,
    /// Set when somebody asked to stop.
    pub interrupted: Arc<AtomicBool>,
}

impl Servers for Programs {
    fn open(&mut self, side: Side) -> Result<Box<dyn Server>, ServeError> {
        let launch = match side {
            Side::Default => &self.default,
            Side::Tuned => &self.tuned,
        };
        let name = launch.words.first().map(|word| word.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let port = free_port()
            .map_err(|source| ServeError::CannotStart { program: name.clone(), source })?;
        let mut words = launch.words.clone();
        let own =
            ["--host".to_owned(), "127.0.0.1".to_owned(), "--port".to_owned(), port.to_string()];
        words.extend(own.map(OsString::from));
        let process = Process::start(&self.guard, &words, &self.kept_out, &launch.variables)?;
        let interrupted = Arc::clone(&self.interrupted);
        let line = Line::new(Address::local(port), name.clone(), self.patience.answer, interrupted);
        let mut started = Started { line, process };
        started.wait_until_ready(&name, self.patience.ready)?;
        Ok(Box::new(started))
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A server of our own.
struct Started {
    line: Line,
    process: Process,
}

impl Started {
    fn wait_until_ready(&mut self, name: &str, patience: Duration) -> Result<(), ServeError> {
        let since = Instant::now();
        loop {
            // The process first: whatever else answers at that port is not ours.
            if let Some(how) = self.process.ended() {
                let (program, log) = (name.to_owned(), self.process.log());
                return Err(ServeError::EndedEarly { program, how, log });
            }
            if self.line.interrupted() {
                return Err(ServeError::Interrupted);
            }
            // No connection, or anything strange: it may not listen yet.
            if self.line.healthy() == Ok(true) {
                return self.line.introduce();
            }
            if since.elapsed() > patience {
                let (program, log) = (name.to_owned(), self.process.log());
                return Err(ServeError::NotReady { program, seconds: patience.as_secs(), log });
            }
            thread::sleep(LOOK);
        }
    }
}

impl Server for Started {
    fn about(&self) -> &About {
        self.line.about()
    }

    fn ask(&mut self, asks: &[Ask]) -> Result<Answers, AskError> {
        let process = &mut self.process;
        let answers = self.line.ask(asks, || process.ended().map(|how| (how, process.log())));
        answers.map_err(|error| match error {
            AskError::Server(ServeError::Silent { program, seconds, .. }) => {
                ServeError::Silent { program, seconds, log: self.process.log() }.into()
            }
            error => error,
        })
    }
}
