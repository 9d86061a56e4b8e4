//! What goes wrong with a server.

use std::io;

use thiserror::Error;

/// One request came to nothing, or the whole server did.
#[derive(Debug, Error)]
pub enum AskError {
    /// The server lives, and this request has no usable answer.
    #[error("a request failed: {0}")]
    Request(String),
    /// There is no use in asking again.
    #[error(transparent)]
    Server(#[from] ServeError),
}

/// A server that cannot be measured.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The program that keeps it did not start.
    #[error("cannot start {program}")]
    CannotStart {
        /// As typed.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{program} {how} before it was ready")]
    EndedEarly {
        /// As typed.
        program: String,
        /// `exited with code 1`, `was killed by SIGILL`.
        how: String,
        /// Its last lines.
        log: Vec<String>,
    },
    /// It ran, and never became ready.
    #[error("{program} was not ready after {seconds} s")]
    NotReady {
        /// As typed.
        program: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its last lines.
        log: Vec<String>,
    },
    /// It ended while it was asked.
    #[error("{program} {how} in the middle of a request")]
    Died {
        /// Program or address.
        program: String,
        /// How it ended.
        how: String,
        /// Its last lines.
        log: Vec<String>,
    },
    /// It did not answer in time.
    #[error("{program} gave no answer within {seconds} s")]
    Silent {
        /// Program or address.
        program: String,
        /// How long it was waited for.
        seconds: u64,
        /// Its last lines.
        log: Vec<String>,
    },
    /// Whatever answers there is no llama-server.
    #[error("{address} does not answer as llama-server does: {reason}")]
    NotAServer {
        /// The address.
        address: String,
        /// What came instead.
        reason: String,
    },
    /// It lives, and most of what it is asked fails.
    #[error("{failed} of {asked} visits failed, the last one with: {reason}")]
    Failing {
        /// Visits with a failed request.
        failed: u32,
        /// All visits.
        asked: u32,
        /// What was wrong with the last one.
        reason: String,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl ServeError {
    /// The last lines of the server, oldest first; empty where it was not started here.
    #[must_use]
    pub fn log(&self) -> &[String] {
        match self {
            Self::EndedEarly { log, .. }
            | Self::NotReady { log, .. }
            | Self::Died { log, .. }
            | Self::Silent { log, .. } => log,
            Self::CannotStart { .. }
            | Self::NotAServer { .. }
            | Self::Failing { .. }
            | Self::Interrupted => &[],
        }
    }

    /// The flag that the server did not know or would not take, as far as its log says:
    /// llama.cpp complains with `error: invalid argument: --flag`, or names the flag in
    /// `error while handling argument "--flag"`.
    #[must_use]
    pub fn refused_flag(&self) -> Option<String> {
        let words = ["invalid argument:", "error while handling argument", "unknown argument:"];
        self.log().iter().rev().find_map(|line| {
            let after = words.iter().find_map(|word| line.split_once(word))?.1;
            let flag = after.split_whitespace().next()?;
            let flag = flag.trim_matches(|letter| matches!(letter, '"' | '\'' | ':' | ',' | '.'));
            flag.starts_with('-').then(|| flag.to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_that_an_older_server_lacks_is_found_in_its_log() {
        let early = |line: &str| ServeError::EndedEarly {
            program: "llama-server".into(),
            how: "exited with code 1".into(),
            log: vec!["build 1".into(), line.into(), String::new()],
        };
        for (line, flag) in [
            ("error: invalid argument: --load-mode", Some("--load-mode")),
            ("error while handling argument \"--prio\": stoi", Some("--prio")),
            ("0.00.001 E error: unknown argument: -x", Some("-x")),
            ("error: invalid argument: m.gguf", None),
            ("terminate called", None),
        ] {
            assert_eq!(early(line).refused_flag().as_deref(), flag, "{line}");
        }
        assert_eq!(ServeError::Interrupted.refused_flag(), None);
    }
}
