//! The line to one server: requests at once, each with its deadline, and an eye on the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Client, HttpError, Response};
use super::{About, Address, Answers, Ask, AskError, Reply, ServeError};

/// Between two looks at the process and at Ctrl-C while a reply is awaited.
const LOOK: Duration = Duration::from_millis(50);
/// How long a question about the server itself may take.
const BRIEF: Duration = Duration::from_secs(5);
/// Characters of a foreign message that are passed on.
const MESSAGE: usize = 300;

/// How the process behind a line ended, and its last lines; `None` while it runs.
pub(super) type Ended = Option<(String, Vec<String>)>;

/// A line to a server that answers.
pub(super) struct Line {
    client: Client,
    /// How its program is called in messages.
    name: String,
    about: About,
    limit: Duration,
    interrupted: Arc<AtomicBool>,
}

/// One request came to nothing.
enum Broken {
    TimedOut,
    Lost(String),
    Wrong(String),
}

impl Line {
    pub(super) fn new(
        address: Address,
        name: String,
        limit: Duration,
        interrupted: Arc<AtomicBool>,
    ) -> Self {
        Self { client: Client::new(address), name, about: About::default(), limit, interrupted }
    }

    pub(super) fn about(&self) -> &About {
        &self.about
    }

    pub(super) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whether the model is loaded; the reason where something else answers.
    pub(super) fn healthy(&self) -> Result<bool, String> {
        match self.client.get("/health", BRIEF) {
            Ok(Response { status: 200, .. }) => Ok(true),
            Ok(Response { status: 503, .. }) | Err(HttpError::TimedOut) => Ok(false),
            Ok(Response { status, .. }) => Err(format!("/health has status {status}")),
            Err(HttpError::Lost(reason)) => Err(reason),
        }
    }

    /// Asks the server for what it is.
    pub(super) fn introduce(&mut self) -> Result<(), ServeError> {
        let strange = |reason: String| ServeError::NotAServer {
            address: self.client.address().to_string(),
            reason: short(&reason),
        };
        let answer = match self.client.get("/props", BRIEF) {
            Ok(Response { status: 200, json }) => json.map_err(strange)?,
            Ok(Response { status, .. }) => {
                return Err(strange(format!("/props has status {status}")));
            }
            Err(HttpError::TimedOut) => return Err(strange("/props takes too long".to_owned())),
            Err(HttpError::Lost(reason)) => return Err(strange(reason)),
        };
        let props: Props =
            serde_json::from_value(answer).map_err(|error| strange(error.to_string()))?;
        self.about = About {
            build: props.build_info.map(|build| short(&build)),
            slots: Some(props.total_slots),
            context_tokens: props.default_generation_settings.n_ctx,
        };
        Ok(())
    }

    /// Sends requests at once and waits for all replies.
    pub(super) fn ask(
        &self,
        asks: &[Ask],
        mut ended: impl FnMut() -> Ended,
    ) -> Result<Answers, AskError> {
        let (sender, receiver) = mpsc::channel();
        let bodies: Vec<Value> = asks.iter().map(body).collect();
        let begun = Instant::now();
        for (place, body) in bodies.into_iter().enumerate() {
            let (client, sender, limit) = (self.client.clone(), sender.clone(), self.limit);
            thread::spawn(move || {
                // Nobody listens any more once one of them has failed.
                let _ = sender.send((place, client.post("/completion", &body, limit)));
            });
        }
        let mut replies: Vec<Option<Reply>> = vec![None; asks.len()];
        while replies.contains(&None) {
            match receiver.recv_timeout(LOOK) {
                Ok((place, answer)) => match reply(answer, &asks[place]) {
                    Ok(reply) => replies[place] = Some(reply),
                    Err(broken) => return Err(self.fault(broken, &mut ended)),
                },
                Err(RecvTimeoutError::Timeout) if self.interrupted() => {
                    return Err(ServeError::Interrupted.into());
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some((how, log)) = ended() {
                        return Err(self.died(how, log).into());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("this function holds a sender itself")
                }
            }
        }
        let wall_s = begun.elapsed().as_secs_f64();
        Ok(Answers { replies: replies.into_iter().flatten().collect(), wall_s })
    }

    /// What a request that came to nothing says about the server.
    fn fault(&self, broken: Broken, ended: &mut impl FnMut() -> Ended) -> AskError {
        match broken {
            _ if self.interrupted() => ServeError::Interrupted.into(),
            Broken::Wrong(reason) => AskError::Request(short(&reason)),
            Broken::TimedOut => {
                // Who has its log adds it.
                let (program, seconds) = (self.name.clone(), self.limit.as_secs());
                ServeError::Silent { program, seconds, log: Vec::new() }.into()
            }
            Broken::Lost(reason) => {
                // A process that breaks a connection as it dies takes a moment to be dead.
                let since = Instant::now();
                while since.elapsed() < BRIEF {
                    if let Some((how, log)) = ended() {
                        return self.died(how, log).into();
                    }
                    if self.healthy() == Ok(true) {
                        return AskError::Request(short(&reason));
                    }
                    thread::sleep(LOOK);
                }
                self.died(format!("went away ({})", short(&reason)), Vec::new()).into()
            }
        }
    }

    fn died(&self, how: String, log: Vec<String>) -> ServeError {
        ServeError::Died { program: self.name.clone(), how, log }
    }
}

/// The parts of `/props` that are read. `total_slots` is what tells a llama-server.
#[derive(Deserialize)]
struct Props {
    total_slots: u32,
    build_info: Option<String>,
    #[serde(default)]
    default_generation_settings: Defaults,
}

#[derive(Default, Deserialize)]
struct Defaults {
    n_ctx: Option<u32>,
}

/// The server's own account of a request.
#[derive(Deserialize)]
struct Timings {
    prompt_n: u32,
    prompt_ms: f64,
    predicted_n: u32,
    predicted_ms: f64,
}

fn body(ask: &Ask) -> Value {
    json!({
        "prompt": ask.prompt,
        "n_predict": ask.generate,
        "cache_prompt": ask.reuse,
        "id_slot": ask.slot,
        "ignore_eos": true,
        "temperature": 0.0,
        "stream": false,
    })
}

fn reply(answer: Result<Response, HttpError>, ask: &Ask) -> Result<Reply, Broken> {
    let wrong = |reason: String| Err(Broken::Wrong(reason));
    let Response { status, json } = answer.map_err(|error| match error {
        HttpError::TimedOut => Broken::TimedOut,
        HttpError::Lost(reason) => Broken::Lost(reason),
    })?;
    let document = match json {
        Ok(document) if status == 200 => document,
        Ok(document) => {
            let message = document.pointer("/error/message").and_then(Value::as_str);
            return wrong(format!("status {status}: {}", message.unwrap_or("no reason was given")));
        }
        Err(reason) => return wrong(format!("status {status}: {reason}")),
    };
    let timings = document.get("timings").cloned().unwrap_or_default();
    let timings: Timings = match serde_json::from_value(timings) {
        Ok(timings) => timings,
        Err(error) => return wrong(format!("its timings cannot be read: {error}")),
    };
    if timings.predicted_n != ask.generate {
        let (own, asked) = (timings.predicted_n, ask.generate);
        return wrong(format!("{own} of {asked} tokens were generated"));
    }
    let whole = ask.prompt.len() as u64;
    if !ask.reuse && u64::from(timings.prompt_n) < whole {
        let own = timings.prompt_n;
        return wrong(format!(
            "{own} of {whole} prompt tokens were processed, the rest was cached"
        ));
    }
    let usable = |milliseconds: f64| milliseconds.is_finite() && milliseconds >= 0.0;
    if !usable(timings.prompt_ms) || !usable(timings.predicted_ms) {
        return wrong("its times are no times".to_owned());
    }
    Ok(Reply {
        prompt_tokens: timings.prompt_n,
        prompt_s: timings.prompt_ms / 1000.0,
        generated_tokens: timings.predicted_n,
        generate_s: timings.predicted_ms / 1000.0,
    })
}

/// The beginning of a message from outside.
fn short(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}
