//! Workloads by name or from a file's text: strict, with line and path of a mistake.
//!
//! Reading the file is left to the caller.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::model::{Bounds, Figure, Objective, Request, Workload};

/// Tokens that any length of a workload may have at most.
const MOST_TOKENS: u32 = 1 << 24;
/// Kinds of requests in a mix at most.
const MOST_REQUESTS: usize = 64;
/// Sequences at once at most: llama.cpp keeps room for no more.
const MOST_SEQUENCES: u32 = 256;
/// A request weighs so much at most.
const MOST_WEIGHT: f64 = 1e6;

/// The profiles that ship with the program; the first is the default.
const BUILT_IN: [&str; 10] = [
    include_str!("../../profiles/chat.toml"),
    include_str!("../../profiles/rag.toml"),
    include_str!("../../profiles/code.toml"),
    include_str!("../../profiles/essay.toml"),
    include_str!("../../profiles/translation.toml"),
    include_str!("../../profiles/question.toml"),
    include_str!("../../profiles/explain.toml"),
    include_str!("../../profiles/agent.toml"),
    include_str!("../../profiles/batch.toml"),
    include_str!("../../profiles/edge.toml"),
];

/// Why a text is no workload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{origin}, line {line}: {}{reason}", Place(path))]
pub struct WorkloadError {
    /// Where the text comes from.
    pub origin: String,
    /// Counted from 1.
    pub line: usize,
    /// The way to the mistake, for example `requests[1].depth`; empty for the file as a whole.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
}

/// A path in front of a reason.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "`{}`: ", self.0) }
    }
}

/// A profile as it is written: a mix, or one request in plain counts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    description: String,
    prompt_tokens: Option<u32>,
    generate_tokens: Option<u32>,
    depth: Option<u32>,
    context: u32,
    requests: Option<Vec<Request>>,
    parallel: Option<u32>,
    #[serde(default)]
    objective: Objective,
    #[serde(default)]
    limits: Bounds,
    #[serde(default)]
    report: Vec<Figure>,
}

/// A path and what is wrong there.
type Mistake = (String, String);

/// The workloads that ship with the program; the first is the default.
#[must_use]
pub fn built_in() -> Vec<Workload> {
    let parse = |text: &&str| workload(text, "a built-in profile");
    BUILT_IN.iter().map(parse).collect::<Result<_, _>>().expect("the tests parse every profile")
}

/// Reads a workload from the text of a file; `origin` names it in errors.
pub fn workload(text: &str, origin: &str) -> Result<Workload, WorkloadError> {
    let error = |line, path, reason: &str| {
        let reason = reason.trim().replace('\n', " ");
        WorkloadError { origin: origin.to_owned(), line, path, reason }
    };
    let line = |error: &toml::de::Error| line_at(text, error.span().map_or(0, |span| span.start));
    let source = Deserializer::parse(text)
        .map_err(|wrong| error(line(&wrong), String::new(), wrong.message()))?;
    let written: Written = serde_path_to_error::deserialize(source).map_err(|wrong| {
        let path = wrong.path().to_string().trim_matches('.').to_owned();
        let wrong = wrong.into_inner();
        error(line(&wrong), path, wrong.message())
    })?;
    read(written).map_err(|(path, reason)| error(line_of(text, &path), path, &reason))
}

/// The workload of a profile, if it makes sense.
fn read(written: Written) -> Result<Workload, Mistake> {
    check_words(&written)?;
    let plain = [written.prompt_tokens, written.generate_tokens, written.depth];
    let [prompt_tokens, generate_tokens, depth] = plain.map(Option::unwrap_or_default);
    check_mix(&written, plain)?;
    let workload = Workload {
        name: written.name,
        description: written.description,
        prompt_tokens,
        generate_tokens,
        depth,
        context: written.context,
        requests: written.requests.unwrap_or_default(),
        parallel: written.parallel.unwrap_or(1),
        objective: written.objective,
        limits: written.limits,
        report: written.report,
    };
    let workload = workload.with_means();
    check_whole(&workload)?;
    Ok(workload)
}

/// A mix, or plain counts; never both, never neither.
fn check_mix(written: &Written, plain: [Option<u32>; 3]) -> Result<(), Mistake> {
    let keys = ["prompt_tokens", "generate_tokens", "depth"];
    if let Some(requests) = &written.requests {
        if let Some(key) = keys.iter().zip(plain).find_map(|(key, it)| it.and(Some(*key))) {
            return Err(at(key, "stands beside `requests`, which has its own"));
        }
        return check_requests(requests);
    }
    if let Some((key, _)) = keys.iter().zip(plain).take(2).find(|(_, it)| it.is_none()) {
        return Err(at("", format!("neither `{key}` nor `[[requests]]` is there")));
    }
    check_request("", plain.map(Option::unwrap_or_default))
}

fn at(path: impl Into<String>, reason: impl Into<String>) -> Mistake {
    (path.into(), reason.into())
}

fn check_words(written: &Written) -> Result<(), Mistake> {
    if written.name.trim().is_empty() || written.name.chars().any(char::is_control) {
        return Err(at("name", "must be a word on one line"));
    }
    if written.description.chars().any(char::is_control) {
        return Err(at("description", "must be one line"));
    }
    Ok(())
}

fn check_requests(requests: &[Request]) -> Result<(), Mistake> {
    if requests.is_empty() || requests.len() > MOST_REQUESTS {
        return Err(at("requests", format!("must be 1 to {MOST_REQUESTS}")));
    }
    for (index, request) in requests.iter().enumerate() {
        let path = format!("requests[{index}]");
        check_request(&path, [request.prompt_tokens, request.generate_tokens, request.depth])?;
        if !(0.0..=1.0).contains(&request.prefix_reuse) {
            let reason = format!("is {}, but a share is 0 to 1", request.prefix_reuse);
            return Err(at(format!("{path}.prefix_reuse"), reason));
        }
        if !(request.weight > 0.0 && request.weight <= MOST_WEIGHT) {
            let reason = format!("is {}, but must be above 0, to {MOST_WEIGHT}", request.weight);
            return Err(at(format!("{path}.weight"), reason));
        }
    }
    Ok(())
}

/// Lengths of one request: prompt, generation, depth.
fn check_request(path: &str, counts: [u32; 3]) -> Result<(), Mistake> {
    let dot = if path.is_empty() { "" } else { "." };
    for (key, value) in ["prompt_tokens", "generate_tokens", "depth"].into_iter().zip(counts) {
        if value > MOST_TOKENS {
            let reason = format!("is {value}; the most is {MOST_TOKENS} tokens");
            return Err(at(format!("{path}{dot}{key}"), reason));
        }
    }
    if counts[0] == 0 && counts[1] == 0 {
        let reason = "and `prompt_tokens` are both 0: nothing to do";
        return Err(at(format!("{path}{dot}generate_tokens"), reason));
    }
    Ok(())
}

fn check_whole(workload: &Workload) -> Result<(), Mistake> {
    let (context, limits) = (workload.context, &workload.limits);
    if context > MOST_TOKENS {
        return Err(at("context", format!("is {context}; the most is {MOST_TOKENS} tokens")));
    }
    let turn = workload.longest_turn();
    if turn > u64::from(context) {
        return Err(at("context", format!("is {context} tokens, but a turn needs {turn}")));
    }
    if let Some(least) = limits.min_context.filter(|least| *least > context) {
        let reason = format!("is {least} tokens, but `context` is {context}");
        return Err(at("limits.min_context", reason));
    }
    if !(1..=MOST_SEQUENCES).contains(&workload.parallel) {
        return Err(at("parallel", format!("must be 1 to {MOST_SEQUENCES} sequences")));
    }
    if u64::from(context) * u64::from(workload.parallel) > u64::from(MOST_TOKENS) {
        let reason = format!("with this `context` is more than {MOST_TOKENS} tokens together");
        return Err(at("parallel", reason));
    }
    if workload.prompt_tokens == 0 && workload.generate_tokens == 0 {
        return Err(at("requests", "are all cached and generate nothing: nothing to do"));
    }
    if workload.objective == Objective::Ttft && workload.prompt_tokens == 0 {
        return Err(at("objective", "needs a prompt that is not cached"));
    }
    let finite = |value: Option<f64>| value.is_none_or(|it| it > 0.0 && it.is_finite());
    for (key, value) in
        [("ttft_ms", limits.ttft_ms), ("max_kl_divergence", limits.max_kl_divergence)]
    {
        if !finite(value) {
            return Err(at(format!("limits.{key}"), "must be a number above 0"));
        }
    }
    if limits.memory.is_some_and(|memory| memory.0 == 0) {
        return Err(at("limits.memory", "must be above 0"));
    }
    Ok(())
}

/// The line of a byte, counted from 1.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

/// The line of what a path names, or of the innermost part of its way that is there.
fn line_of(text: &str, path: &str) -> usize {
    let Ok(document) = DeTable::parse(text) else { return 1 };
    let mut line = 1;
    let root = DeValue::Table(document.into_inner());
    let mut value = &root;
    for word in path.split(['.', '[']).filter(|word| !word.is_empty()) {
        let inner = match (value, word.trim_end_matches(']').parse::<usize>()) {
            (DeValue::Array(list), Ok(index)) => list.get(index),
            (DeValue::Table(table), _) => table.get(word),
            _ => None,
        };
        let Some(inner) = inner else { break };
        line = line_at(text, inner.span().start);
        value = inner.get_ref();
    }
    line
}

#[cfg(test)]
mod tests;
