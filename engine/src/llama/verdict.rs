//! What went wrong, from llama.cpp's return codes and its own words.

use crate::api::Failure;

/// How memory that cannot be had is announced by llama.cpp, ggml, C++, CUDA and Vulkan.
const MEMORY_WORDS: [&str; 10] = [
    "failed to allocate",
    "unable to allocate",
    "cannot allocate",
    "allocation failed",
    "alloc_tensor_range: failed",
    "out of memory",
    "cudamalloc failed",
    "erroroutofdevicememory",
    "erroroutofhostmemory",
    "bad_alloc",
];
/// Words that lines of failure have and others rarely do.
const FAILURE_WORDS: [&str; 8] =
    ["error", "failed", "invalid", "unknown", "missing", "cannot", "unable", "not supported"];
/// Lines of log that go with a failure.
const LINES: usize = 20;

/// A null pointer came back: the log says why.
pub(super) fn from_log(what: &str, log: Vec<String>) -> Failure {
    let has = |line: &str, words: &[&str]| {
        let line = line.to_lowercase();
        words.iter().any(|word| line.contains(word))
    };
    let memory = log.iter().find(|line| has(line, &MEMORY_WORDS)).cloned();
    // llama.cpp repeats failures outward ("failed to load model"): the first names the cause.
    let said = log.iter().find(|line| has(line, &FAILURE_WORDS)).or(log.last()).cloned();
    let log = last_lines(log);
    match (memory, said) {
        (Some(line), _) => Failure::OutOfMemory { reason: format!("{what}: {line}"), log },
        (None, Some(line)) => Failure::Refused { reason: format!("{what}: {line}"), log },
        (None, None) => Failure::Refused { reason: format!("{what}, without a word"), log },
    }
}

/// The last lines, as many as a failure carries.
pub(super) fn last_lines(mut log: Vec<String>) -> Vec<String> {
    log.drain(..log.len().saturating_sub(LINES));
    log
}

/// What `llama_decode` returned, if it was not success; -1000 and -1001 are our shim's.
pub(super) fn from_decode(code: i32, exception: &str, log: Vec<String>) -> Result<(), Failure> {
    let log = last_lines(log);
    let refused = |reason: &str| Err(Failure::Refused { reason: reason.into(), log: log.clone() });
    match code {
        0 => Ok(()),
        1 => refused("the KV cache has no room for the batch"),
        2 => refused("the computation was stopped"),
        -1 => refused("the batch is invalid"),
        -2 => Err(Failure::OutOfMemory {
            reason: "a computation's buffer could not be allocated".into(),
            log,
        }),
        -1000 => Err(Failure::OutOfMemory { reason: exception.into(), log }),
        -1001 => Err(from_log(&format!("the computation threw: {exception}"), log)),
        other => Err(from_log(&format!("the computation failed with code {other}"), log)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn memory_and_refusal_are_told_apart_by_the_engines_words() {
        let refused = from_log(
            "cannot load",
            lines("loader: key x\nload: error loading model: unknown architecture\nfailed to load"),
        );
        let Failure::Refused { reason, .. } = refused else { panic!("{refused}") };
        assert_eq!(reason, "cannot load: load: error loading model: unknown architecture");
        let memory =
            from_log("cannot load", lines("alloc: failed to allocate buffer of size 9\nerror"));
        assert!(matches!(memory, Failure::OutOfMemory { .. }));
    }

    #[test]
    fn every_return_code_has_an_answer() {
        assert_eq!(from_decode(0, "", Vec::new()), Ok(()));
        for code in [1, 2, -1, -3, -1001, 77] {
            let failure = from_decode(code, "x", Vec::new()).unwrap_err();
            assert!(matches!(failure, Failure::Refused { .. }), "{code}: {failure}");
        }
        for code in [-2, -1000] {
            let failure = from_decode(code, "x", Vec::new()).unwrap_err();
            assert!(matches!(failure, Failure::OutOfMemory { .. }), "{code}: {failure}");
        }
    }
}
