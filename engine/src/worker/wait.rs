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

/// What the end of a worker that nobody here ended means. `killed_for_memory`: whether the kernel
/// has killed some process for memory meanwhile; without that, who sent SIGKILL is unknown.
pub(super) fn failure(status: ExitStatus, killed_for_memory: bool, log: Vec<String>) -> Failure {
    let said = log.iter().rev().find_map(|line| line.strip_prefix(ABORT_MARK));
    let said = said.map(|words| format!(": {words}")).unwrap_or_default();
    match status.signal() {
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
