//! The life of a worker: read a request, do it, write the reply, until nobody asks any more.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

use super::protocol::{self, Answer, Ask, LineError, Reply, Request};
use crate::api::{Engine, Failure, Language};
use crate::llama::{self, Llama, Modules};

/// Serves the process on the other end of stdin and stdout until it goes away.
#[must_use]
pub fn serve() -> ExitCode {
    // When memory ends, the system takes the process that can be spared.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    let output = match private_stdout() {
        Ok(output) => output,
        Err(error) => {
            let _ = writeln!(io::stderr(), "the worker has no output: {error}");
            return ExitCode::FAILURE;
        }
    };
    llama::echo_to_stderr();
    match answer_all(requests(io::stdin()), output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "the worker cannot go on: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The stream to the parent, under a number that no library writes to; whatever is printed to
/// stdout from here on goes to stderr.
fn private_stdout() -> io::Result<fs::File> {
    let output = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(output.into())
}

/// Reads requests beside the work, so that a parent that is gone ends the work as well.
fn requests(
    input: impl Read + Send + 'static,
) -> mpsc::Receiver<Result<Option<Request>, LineError>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut input = BufReader::new(input);
        loop {
            let request = protocol::read::<Request>(&mut input);
            let more = matches!(request, Ok(Some(_)));
            if !more {
                // Nobody waits for what is being computed. An orderly end would wait for it.
                let _ = sender.send(request);
                thread::sleep(Duration::from_secs(1));
                let _ = kill_process(getpid(), Signal::KILL);
                return;
            }
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    receiver
}

fn answer_all(
    requests: mpsc::Receiver<Result<Option<Request>, LineError>>,
    mut output: impl Write,
) -> Result<(), LineError> {
    let mut engine = Llama::default();
    for request in requests {
        let Some(Request { id, ask }) = request? else { break };
        let reply = Reply { id, answer: answer(&mut engine, ask) };
        protocol::write(&mut output, &reply).map_err(LineError::Read)?;
    }
    Ok(())
}

fn answer(engine: &mut Llama, ask: Ask) -> Result<Answer, Failure> {
    Ok(match ask {
        Ask::Identity => Answer::Identity(engine.identity()?),
        Ask::Scores => Answer::Scores(llama::scores(&Modules::find()?)),
        Ask::Devices { servers } => Answer::Devices(engine.devices_with(&servers)?),
        Ask::WeightTypes { model } => Answer::WeightTypes(llama::weight_types(&model)?),
        Ask::SelfTest { variant, weight_types } => {
            Answer::SelfTest(llama::self_test(&variant, &weight_types)?)
        }
        Ask::DeviceRates { setting, processor } => {
            Answer::DeviceRates(llama::device_rates(&setting, processor)?)
        }
        Ask::Start(setting) => {
            *engine = Llama::start(&setting)?;
            Answer::Started
        }
        Ask::Forecast { model, setting } => {
            Answer::Forecast(Box::new(engine.forecast(&model, &setting)?))
        }
        Ask::Reservations { model, settings } => {
            Answer::Reservations(engine.reservations(&model, &settings)?)
        }
        Ask::Run(job) => Answer::Run(Box::new(engine.run(&job, Duration::MAX)?)),
        Ask::Profile(job) => Answer::Profile(Box::new(engine.profile(&job, Duration::MAX)?)),
        Ask::Tokenize { model, text } => Answer::Tokenize(engine.tokenize(&model, &text)?),
        Ask::Score(job) => Answer::Score(Box::new(engine.score(&job, Duration::MAX)?)),
        Ask::Continue(job) => Answer::Continue(engine.continue_text(&job, Duration::MAX)?),
        Ask::Importance(job) => Answer::Importance(engine.importance(&job, Duration::MAX)?),
        Ask::Quantize(job) => Answer::Quantize(engine.quantize(&job, Duration::MAX)?),
        Ask::Rounding(job) => Answer::Rounding(engine.rounding(&job, Duration::MAX)?),
    })
}
