//! HTTP as far as a llama-server needs it: bounded in time and size, to one address only.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use super::Address;

/// The largest answer that is read: the text of a long prompt comes back with its reply.
const LIMIT_BYTES: u64 = 16 << 20;

/// One answer.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// The document, or why there is none.
    pub(super) json: Result<Value, String>,
}

/// What came instead of an answer.
#[derive(Debug)]
pub(super) enum HttpError {
    /// Nothing within the time.
    TimedOut,
    /// No connection, or none that lasted.
    Lost(String),
}

/// Asks one address. A clone asks the same one.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    address: Address,
}

impl Client {
    pub(super) fn new(address: Address) -> Self {
        let config = Agent::config_builder()
            // What is not the named address is never asked: no proxy, no redirect.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            // A server that closes an idle connection would make the next request fail.
            .max_idle_connections(0)
            .timeout_connect(Some(Duration::from_secs(10)))
            .build();
        Self { agent: config.into(), address }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn get(&self, path: &str, limit: Duration) -> Result<Response, HttpError> {
        let request = self.agent.get(self.address.of(path));
        read(request.config().timeout_global(Some(limit)).build().call())
    }

    pub(super) fn post(
        &self,
        path: &str,
        body: &Value,
        limit: Duration,
    ) -> Result<Response, HttpError> {
        let request = self.agent.post(self.address.of(path));
        let request = request.header("Content-Type", "application/json");
        let request = request.config().timeout_global(Some(limit)).build();
        read(request.send(body.to_string()))
    }
}

fn read(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Response, HttpError> {
    let mut answer = answer.map_err(|error| lost(&error))?;
    let status = answer.status().as_u16();
    match answer.body_mut().with_config().limit(LIMIT_BYTES).read_to_vec() {
        Ok(text) => {
            let json = serde_json::from_slice(&text);
            Ok(Response { status, json: json.map_err(|error| format!("no JSON: {error}")) })
        }
        Err(ureq::Error::BodyExceedsLimit(limit)) => {
            Ok(Response { status, json: Err(format!("it is longer than {limit} bytes")) })
        }
        Err(error) => Err(lost(&error)),
    }
}

fn lost(error: &ureq::Error) -> HttpError {
    match error {
        ureq::Error::Timeout(_) => HttpError::TimedOut,
        error => HttpError::Lost(error.to_string()),
    }
}
