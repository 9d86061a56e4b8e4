//! Flags that every verb has, and the printer they shape.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use clap::{ArgAction, Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Exit, Stop};
use crate::export::quoted;

/// Flags that every verb has.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Say more on stderr; twice for the engine's own log
    #[arg(short, long, global = true, help_heading = "Common options", action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, help_heading = "Common options")]
    pub quiet: bool,
    /// When to use colour
    #[arg(long, global = true, help_heading = "Common options", value_enum, default_value_t = Color::Auto, env = "AUTOTUNE_COLOR")]
    pub color: Color,
    /// Defaults for any flag, as TOML: `[sweep] budget = "10m"`
    #[arg(
        long,
        global = true,
        help_heading = "Common options",
        value_name = "FILE",
        env = "AUTOTUNE_CONFIG"
    )]
    pub config: Option<std::path::PathBuf>,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On terminals, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Even into a pipe
    Always,
    /// Not at all
    Never,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// What is going on.
    #[default]
    Normal,
    /// And why.
    Verbose,
    /// And what the engine says.
    Engine,
}

impl Global {
    /// The printer these flags ask for.
    #[must_use]
    pub fn printer(&self) -> Printer {
        match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            (_, 1) => Verbosity::Verbose,
            _ => Verbosity::Engine,
        };
        Printer { verbosity }
    }
}

/// Data to stdout, conversation to stderr.
#[derive(Debug, Clone, Copy, Default)]
pub struct Printer {
    /// How much is said.
    pub verbosity: Verbosity,
}

impl Printer {
    /// Writes a result to stdout. A reader that went away (`| head`) is not a failure.
    pub fn data(self, text: &str) -> Result<(), Stop> {
        let mut out = anstream::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Stop::from_error(Exit::Failure, &error))
            }
            _ => Ok(()),
        }
    }

    /// Says what is going on.
    pub fn say(self, text: impl AsRef<str>) {
        self.say_at(Verbosity::Normal, text);
    }

    /// Says it only to those who asked for this much.
    pub fn say_at(self, verbosity: Verbosity, text: impl AsRef<str>) {
        if self.verbosity >= verbosity {
            let _ = writeln!(anstream::stderr(), "{}", text.as_ref());
        }
    }

    /// Whether a moving progress display would be seen.
    #[must_use]
    pub fn live(self) -> bool {
        self.verbosity > Verbosity::Quiet && io::stderr().is_terminal()
    }

    /// A bar on stderr of so many steps, hidden where nobody would see it move.
    pub(super) fn bar(self, template: &str, steps: Option<u64>) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(steps, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("a template that indicatif knows"));
        if self.live() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        bar
    }

    /// The same for bytes that are written.
    pub(super) fn bar_of_bytes(self, what: &str, bytes: Option<u64>) -> ProgressBar {
        let template =
            "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        self.bar(template, bytes).with_message(one_line(what))
    }

    /// Prints what stopped a verb and gives its exit code.
    #[must_use]
    pub fn stop(self, stop: &Stop) -> Exit {
        let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let message = one_line(&stop.message);
        let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {message}");
        if let Some(hint) = &stop.hint {
            let bold = anstyle::Style::new().bold();
            let _ = writeln!(anstream::stderr(), "{bold}hint:{bold:#} {}", one_line(hint));
        }
        stop.exit
    }
}

/// A document as it goes to stdout.
pub(super) fn json(document: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(document).expect("documents have string keys only") + "\n"
}

/// The command as it could be typed again.
pub(super) fn command() -> String {
    let words = std::env::args_os().skip(1).map(|word| quoted(&word.to_string_lossy()));
    std::iter::once("autotune".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The date as every document writes it: RFC 3339 in UTC, whole seconds.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The text of a file that is no longer than so many bytes; else why not.
pub(super) fn bounded_text(path: &Path, limit_bytes: u64) -> Result<String, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(limit_bytes + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > limit_bytes {
        return Err(format!("it is larger than {limit_bytes} bytes"));
    }
    String::from_utf8(text).map_err(|_| "it is no text".to_owned())
}

/// Text from outside (file names, model names, logs) as one harmless line: control characters
/// would let a file move the cursor or colour the terminal, and invisible ones could turn the
/// direction of a line.
#[must_use]
pub(crate) fn one_line(text: &str) -> String {
    let invisible = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    text.chars().map(|c| if c.is_control() || invisible(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_cannot_steer_the_terminal() {
        assert_eq!(one_line("m\u{1b}[2J\nx.gguf"), "m\u{fffd}[2J\u{fffd}x.gguf");
        assert_eq!(one_line("fugg.\u{202e}exe"), "fugg.\u{fffd}exe");
    }
}
