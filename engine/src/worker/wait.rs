//! How a process ended, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::Signal;

use super::ABORT_MARK;
use crate::api::Failure;

/// Names of the signals that end programs.
const SIGNALS: [(Signal, &str); 14] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::TERM, "SIGTERM"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::SYS, "SIGSYS"),
];

/// How libraries say, before they end the process, that it is for want of memory: CUDA and HIP,
/// cuBLAS, Vulkan, C++, Rust, and ggml, which asserts that it got memory for its graphs.
const LAST_WORDS: [&str; 7] = [
    "error: out of memory",
    "status_alloc_failed",
    "outofdevicememory",
    "outofhostmemory",
    "bad_alloc",
    "memory allocation of",
    "mem_buffer != null",
];
/// Last lines in which such words count: they are followed by the place in the source and little else.
const LAST_LINES: usize = 8;

/// What the end of a worker that nobody here ended means. `killed_for_memory`: whether the kernel
/// has killed some process for memory meanwhile; without that, who sent SIGKILL is unknown.
pub(super) fn failure(status: ExitStatus, killed_for_memory: bool, log: Vec<String>) -> Failure {
    let said = log.iter().rev().find_map(|line| line.strip_prefix(ABORT_MARK));
    let said = said.map(|words| format!(": {words}")).unwrap_or_default();
    match status.signal() {
        Some(signal) if signal == Signal::ABORT.as_raw() && wanted_memory(&log).is_some() => {
            let line = wanted_memory(&log).unwrap_or_default();
            Failure::OutOfMemory { reason: format!("the worker ended itself: {line}"), log }
        }
        Some(signal) if signal == Signal::KILL.as_raw() && killed_for_memory => {
            Failure::OutOfMemory {
                reason: "the worker was ended by SIGKILL while the kernel killed for memory".into(),
                log,
            }
        }
        Some(signal) if signal == Signal::KILL.as_raw() => Failure::Crashed {
            signal: Some(signal),
            exit_code: None,
            reason: "the worker was killed by SIGKILL from outside, or for memory".into(),
            log,
        },
        Some(signal) => Failure::Crashed {
            signal: Some(signal),
            exit_code: None,
            reason: format!("the worker died of {}{said}", name(signal)),
            log,
        },
        None => {
            let code = status.code();
            let number = code.map_or("an unknown code".to_owned(), |code| format!("code {code}"));
            Failure::Crashed {
                signal: None,
                exit_code: code,
                reason: format!("the worker ended with {number}{said}"),
                log,
            }
        }
    }
}

/// The line by which a process that aborts says that it could not get memory.
fn wanted_memory(log: &[String]) -> Option<String> {
    let last = &log[log.len().saturating_sub(LAST_LINES)..];
    let says = |line: &&String| LAST_WORDS.iter().any(|words| line.to_lowercase().contains(words));
    last.iter().find(says).map(|line| line.trim().to_owned())
}

/// The name of a signal, for example `SIGILL`.
pub(crate) fn name(signal: i32) -> String {
    SIGNALS
        .iter()
        .find(|(known, _)| known.as_raw() == signal)
        .map_or(format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_its_name_and_an_abort_its_words() {
        let log = vec!["loading".to_owned(), format!("{ABORT_MARK}a.c:1: x failed")];
        let Failure::Crashed { signal, reason, .. } = failure(ExitStatus::from_raw(6), false, log)
        else {
            panic!("an abort is a crash")
        };
        assert_eq!(signal, Some(6));
        assert_eq!(reason, "the worker died of SIGABRT: a.c:1: x failed");
        // Even while somebody else runs out of memory.
        let failure = failure(ExitStatus::from_raw(11), true, Vec::new());
        let Failure::Crashed { reason, .. } = failure else {
            panic!("a segmentation fault is a crash")
        };
        assert_eq!(reason, "the worker died of SIGSEGV");
    }

    #[test]
    fn an_abort_for_want_of_memory_is_no_crash() {
        let abort = |lines: &[&str]| {
            let log = lines.iter().map(ToString::to_string).collect();
            failure(ExitStatus::from_raw(6), false, log)
        };
        for line in [
            "CUDA error: out of memory",
            "ROCm error: out of memory",
            "  what():  vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "memory allocation of 4096 bytes failed",
            "engine aborts: ggml.c:1644: GGML_ASSERT(ctx->mem_buffer != NULL) failed",
        ] {
            let Failure::OutOfMemory { reason, .. } = abort(&[line, "  in function alloc"]) else {
                panic!("{line}")
            };
            assert!(reason.contains(line.trim()), "{reason}");
        }
        assert!(matches!(
            abort(&["CUDA error: an illegal memory access"]),
            Failure::Crashed { .. }
        ));
        // What was said long before is no reason.
        let mut old = vec!["CUDA error: out of memory"];
        old.extend(["line"; LAST_LINES]);
        assert!(matches!(abort(&old), Failure::Crashed { .. }));
    }

    #[test]
    fn a_kill_is_for_memory_only_where_the_kernel_says_so() {
        let killed = |for_memory| failure(ExitStatus::from_raw(9), for_memory, Vec::new());
        assert!(matches!(killed(true), Failure::OutOfMemory { .. }));
        let Failure::Crashed { signal: Some(9), reason, .. } = killed(false) else {
            panic!("a kill by somebody is a crash")
        };
        assert!(reason.contains("SIGKILL from outside"), "{reason}");
    }

    #[test]
    fn an_exit_code_is_told() {
        let failure = failure(ExitStatus::from_raw(3 << 8), false, Vec::new());
        assert!(matches!(failure, Failure::Crashed { exit_code: Some(3), .. }));
    }
}
