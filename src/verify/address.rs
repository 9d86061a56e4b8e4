//! The address of a running server, as it was typed.

use std::fmt;

use thiserror::Error;

/// `http://HOST[:PORT][/PREFIX]`, without the slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

/// What was typed is no address that can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrongAddress {
    /// Encryption is left out.
    #[error("`{0}` is encrypted; only http:// can be asked")]
    Encrypted(String),
    /// Anything else.
    #[error("`{0}` is no address like http://127.0.0.1:8080")]
    Malformed(String),
}

impl Address {
    /// Whether somebody meant an address: with `://` it is one, without it a program.
    #[must_use]
    pub fn is_meant(typed: &str) -> bool {
        typed.contains("://")
    }

    /// Reads an address.
    pub fn parse(typed: &str) -> Result<Self, WrongAddress> {
        let malformed = || WrongAddress::Malformed(typed.to_owned());
        let (scheme, rest) = typed.split_once("://").ok_or_else(malformed)?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(WrongAddress::Encrypted(typed.to_owned()));
        }
        // A name with a password belongs on no command line, and a query is no place.
        let odd = |letter: char| {
            letter.is_whitespace() || letter.is_control() || matches!(letter, '@' | '?' | '#')
        };
        let host = rest.split('/').next().unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("http") || host.is_empty() || rest.contains(odd) {
            return Err(malformed());
        }
        Ok(Self(format!("http://{}", rest.trim_end_matches('/'))))
    }

    /// A port of this machine.
    #[must_use]
    pub fn local(port: u16) -> Self {
        Self(format!("http://127.0.0.1:{port}"))
    }

    /// The address of something there: `/health`.
    #[must_use]
    pub fn of(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_programs_and_from_what_cannot_be_asked() {
        assert!(!Address::is_meant("/usr/bin/llama-server") && !Address::is_meant("llama-server"));
        for (typed, address) in [
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("HTTP://host/llama", "http://host/llama"),
            ("http://[::1]:9", "http://[::1]:9"),
        ] {
            assert!(Address::is_meant(typed));
            assert_eq!(Address::parse(typed).unwrap().to_string(), address);
        }
        assert!(matches!(Address::parse("https://host"), Err(WrongAddress::Encrypted(_))));
        for typed in ["http://", "ftp://host", "http:///x", "http://a b", "http://u:p@host", "x"] {
            assert!(matches!(Address::parse(typed), Err(WrongAddress::Malformed(_))), "{typed}");
        }
    }
}
