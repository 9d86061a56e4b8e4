//! The configuration file: defaults for flags. Flag > environment > file > built-in default.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Command;
use clap::builder::{OsStr, Str};
use etcetera::BaseStrategy;

use super::{Exit, Stop};

/// The command with the defaults of the configuration file in place of its own.
pub(super) fn with_defaults(command: Command) -> Result<Command, Stop> {
    let Some(path) = file_named(std::env::args_os())
        .or_else(|| std::env::var_os("AUTOTUNE_CONFIG").map(PathBuf::from))
    else {
        return match usual_place().filter(|path| path.is_file()) {
            Some(path) => apply_file(command, &path),
            None => Ok(command),
        };
    };
    apply_file(command, &path)
}

/// `autotune/config.toml` in the user's configuration folder.
fn usual_place() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("autotune").join("config.toml"))
}

/// The value of `--config`, looked for before clap runs because clap needs its content.
fn file_named(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut arguments = arguments.skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            return None;
        }
        if argument == "--config" {
            return arguments.next().map(PathBuf::from);
        }
        if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            return Some(PathBuf::from(path));
        }
    }
    None
}

fn apply_file(command: Command, path: &Path) -> Result<Command, Stop> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Stop::usage(format!("cannot read the configuration {}: {error}", path.display()))
    })?;
    apply(command, &text).map_err(|reason| Stop {
        exit: Exit::Usage,
        message: format!("the configuration {} is wrong: {reason}", path.display()),
        hint: Some(
            "each table is a verb and each key one of its long flags: [sweep] budget = \"10m\""
                .into(),
        ),
    })
}

fn apply(mut command: Command, text: &str) -> Result<Command, String> {
    let file: toml::Table =
        text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    for (verb, flags) in file {
        let toml::Value::Table(flags) = flags else {
            return Err(format!("`{verb}` is not a table of a verb's flags"));
        };
        let found = command.find_subcommand(&verb).ok_or(format!("there is no verb `{verb}`"))?;
        let known: Vec<String> =
            found.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
        for (flag, value) in flags {
            if !known.contains(&flag) {
                return Err(format!("`{verb}` has no flag `--{flag}`"));
            }
            let words = words(&value).ok_or(format!("`{verb}.{flag}` is not a plain value"))?;
            command = command.mut_subcommand(&verb, |sub| {
                sub.mut_args(|arg| {
                    if arg.get_long() == Some(flag.as_str()) {
                        arg.default_values(words.clone()).required(false)
                    } else {
                        arg
                    }
                })
            });
        }
    }
    Ok(command)
}

/// A TOML value as clap would have read it.
fn words(value: &toml::Value) -> Option<Vec<OsStr>> {
    let word = |text: String| OsStr::from(Str::from(text));
    match value {
        toml::Value::String(text) => Some(vec![word(text.clone())]),
        toml::Value::Integer(number) => Some(vec![word(number.to_string())]),
        toml::Value::Float(number) => Some(vec![word(number.to_string())]),
        toml::Value::Boolean(flag) => Some(vec![word(flag.to_string())]),
        toml::Value::Array(items) => {
            items.iter().map(|item| words(item)?.into_iter().next()).collect()
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;

    fn command() -> Command {
        Command::new("autotune").subcommand(
            Command::new("sweep")
                .arg(Arg::new("budget").long("budget").default_value("15m"))
                .arg(Arg::new("no-cache").long("no-cache").action(ArgAction::SetTrue)),
        )
    }

    fn budget(command: Command, typed: &[&str]) -> String {
        let line = ["autotune", "sweep"].iter().chain(typed);
        let matches = command.try_get_matches_from(line).unwrap();
        matches.subcommand().unwrap().1.get_one::<String>("budget").unwrap().clone()
    }

    #[test]
    fn the_file_beats_the_default_and_the_flag_beats_the_file() {
        let file = "[sweep]\nbudget = \"3m\"\nno-cache = true";
        assert_eq!(budget(apply(command(), file).unwrap(), &[]), "3m");
        assert_eq!(budget(apply(command(), file).unwrap(), &["--budget", "9m"]), "9m");
    }

    #[test]
    fn mistakes_in_the_file_are_named() {
        for (file, named) in [
            ("[swep]\nbudget = 1", "`swep`"),
            ("[sweep]\nbudgte = 1", "--budgte"),
            ("sweep = 3", "`sweep`"),
            ("[sweep", "unclosed"),
        ] {
            let reason = apply(command(), file).unwrap_err();
            assert!(reason.contains(named), "{reason}");
        }
    }

    #[test]
    fn the_flag_is_found_in_both_spellings() {
        let args =
            |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>().into_iter();
        assert_eq!(file_named(args(&["autotune", "--config", "a"])), Some("a".into()));
        assert_eq!(file_named(args(&["autotune", "sweep", "--config=b"])), Some("b".into()));
        assert_eq!(file_named(args(&["autotune", "profile", "--", "--config", "a"])), None);
    }
}
