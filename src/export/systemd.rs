//! systemd: a unit file.
//!
//! Its quoting is that of `systemd.syntax(7)` and `systemd.service(5)`: words in double quotes
//! with C escapes, `%` doubled because of specifiers, `$` doubled in commands because of
//! variables. It is no shell.

use std::fmt::Write as _;

use autotune_engine::api::MemoryPolicy;

use super::command::{grouped, program};
use super::wrapper::{self, Wrapper};
use super::{Subject, Target, Written};
use crate::knob::Tool;

/// A unit file.
#[derive(Debug)]
pub(super) struct Systemd;

impl Target for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn summary(&self) -> &'static str {
        "a unit file that runs llama-server"
    }

    fn wants_absolute_path(&self) -> bool {
        true
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let arguments = subject.arguments(Tool::LlamaServer, subject.model);
        let start: Vec<String> =
            std::iter::once(program(Tool::LlamaServer).to_owned())
                .chain(grouped(&arguments).map(|words| {
                    words.iter().map(|word| argument(word)).collect::<Vec<_>>().join(" ")
                }))
                .collect();
        let body = format!(
            "[Unit]\nDescription=llama.cpp server, tuned by autotune\nAfter=network.target\n\n\
             [Service]\nExecStart={}\n{}Restart=on-failure\n\n[Install]\nWantedBy=default.target\n",
            start.join(" \\\n    "),
            surroundings(subject),
        );
        Written { body, usage: usage(subject), notes: subject.notes(Tool::LlamaServer) }
    }
}

/// What the process gets from outside of its command.
fn surroundings(subject: &Subject<'_>) -> String {
    let setting = subject.setting();
    let wrapper = Wrapper::with_cpus(setting);
    let mut text = String::new();
    for (name, value) in &wrapper.environment {
        let _ = writeln!(text, "Environment={}", word(&format!("{name}={value}")));
    }
    if let Some(mask) = &wrapper.cpus {
        let _ = writeln!(text, "CPUAffinity={}", wrapper::cpu_list(mask));
    }
    match wrapper.memory {
        MemoryPolicy::Default => {}
        MemoryPolicy::Local => text.push_str("NUMAPolicy=local\n"),
        MemoryPolicy::Interleave => text.push_str("NUMAPolicy=interleave\nNUMAMask=all\n"),
        MemoryPolicy::Bind(node) => {
            let _ = writeln!(text, "NUMAPolicy=bind\nNUMAMask={node}");
        }
    }
    if wrapper.nice != 0 {
        let _ = writeln!(text, "Nice={}", wrapper.nice);
    }
    if wrapper::is_real_time(setting) {
        text.push_str("LimitRTPRIO=99\n");
    }
    if wrapper::locks_memory(setting) {
        text.push_str("LimitMEMLOCK=infinity\n");
    }
    text
}

fn usage(subject: &Subject<'_>) -> Vec<String> {
    let setting = subject.setting();
    let mut usage = vec![
        "for one user: save it as ~/.config/systemd/user/llama-server.service, then systemctl \
         --user enable --now llama-server"
            .to_owned(),
        "for the system: /etc/systemd/system/llama-server.service with a User= that may read the \
         model, then systemctl enable --now llama-server"
            .to_owned(),
        "systemd looks for llama-server in /usr/local/bin and /usr/bin; elsewhere give its whole \
         path"
            .to_owned(),
    ];
    if setting.threads.cpu_mask.is_some() {
        usage.push(
            "CPUAffinity= keeps the threads that load the model and answer requests on the CPUs \
             of --cpu-mask too"
                .to_owned(),
        );
    }
    let privileged = setting.process.nice < 0
        || wrapper::is_real_time(setting)
        || wrapper::locks_memory(setting);
    if privileged {
        usage.push(
            "its limits and niceness are granted to a service of the system, not to one of a user"
                .to_owned(),
        );
    }
    usage
}

/// A word of a command.
fn argument(text: &str) -> String {
    word(&text.replace('$', "$$"))
}

/// A word as a unit file has it, `%` being the only letter with a meaning of its own.
fn word(text: &str) -> String {
    let text = text.replace('%', "%%");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+=:,@%$".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{everything, given, plain};

    /// The words of `ExecStart=`, as systemd reads them: continued lines, words and C escapes,
    /// then specifiers, then variables.
    fn start(body: &str) -> Vec<String> {
        let joined = body.replace("\\\n", " ");
        let line = joined.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let once = |text: &str, letter: char| {
            let doubled = letter.to_string().repeat(2);
            assert!(!text.replace(&doubled, "").contains(letter), "{letter} has a meaning: {text}");
            text.replace(&doubled, &letter.to_string())
        };
        words(line).iter().map(|word| once(&once(word, '%'), '$')).collect()
    }

    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
        let mut letters = line.chars();
        while let Some(c) = letters.next() {
            match c {
                '"' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                ' ' if !quoted => words.extend(word.take()),
                '\\' => word.get_or_insert_default().push(escaped(&mut letters)),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    fn escaped(letters: &mut std::str::Chars<'_>) -> char {
        let digits = match letters.next().unwrap() {
            'n' => return '\n',
            't' => return '\t',
            'x' => 2,
            'u' => 4,
            c @ ('"' | '\\') => return c,
            c => panic!("no escape of systemd's: {c}"),
        };
        let hex: String = letters.by_ref().take(digits).collect();
        char::from_u32(u32::from_str_radix(&hex, 16).unwrap()).unwrap()
    }

    #[test]
    fn what_a_unit_has_directives_for_is_no_flag_and_no_note() {
        given(&everything(), "/m.gguf", |subject| {
            let made = Systemd.write(subject);
            for line in [
                "Environment=GLIBC_TUNABLES=glibc.malloc.hugetlb=1",
                "CPUAffinity=0,2,4",
                "NUMAPolicy=interleave",
                "NUMAMask=all",
                "Nice=5",
                "LimitRTPRIO=99",
                "LimitMEMLOCK=infinity",
            ] {
                assert!(made.body.lines().any(|own| own == line), "{line}: {}", made.body);
            }
            assert!(!made.body.contains("numactl ") && !made.body.contains("nice -n"));
        });
        given(&plain(), "/m.gguf", |subject| {
            let body = Systemd.write(subject).body;
            for word in ["CPUAffinity", "NUMA", "Nice", "Limit", "Environment"] {
                assert!(!body.contains(word), "{word}: {body}");
            }
        });
    }

    proptest! {
        #[test]
        fn a_hostile_name_stays_one_argument(name in ".{0,20}[%$;\"'\\\\\n\t\u{7f}]{0,4}.{0,20}") {
            let path = format!("/{name}");
            given(&plain(), &path, |subject| {
                let body = Systemd.write(subject).body;
                let words = start(&body);
                prop_assert_eq!(&words[..3], ["llama-server", "--model", path.as_str()]);
                prop_assert_eq!(body.lines().filter(|line| line.starts_with('[')).count(), 3);
                Ok(())
            })?;
        }
    }

    #[test]
    fn systemd_itself_accepts_the_unit() {
        if Command::new("systemd-analyze").arg("--version").output().is_err() {
            eprintln!("skipped: there is no systemd-analyze here");
            return;
        }
        let hostile = "/m %i $HOME ${x} \"q\" 'a' \\ ; \u{e9}\n[Service]\nUser=x.gguf";
        for (setting, path) in [(plain(), hostile), (everything(), "/m.gguf")] {
            given(&setting, path, |subject| {
                let exported = crate::export::export(&Systemd, subject, &[]).text;
                let folder = tempfile::tempdir().unwrap();
                let unit = folder.path().join("llama-server.service");
                // The program need not be there.
                let text = exported.replace("ExecStart=llama-server", "ExecStart=/bin/true");
                std::fs::write(&unit, text).unwrap();
                let output =
                    Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let own: Vec<&str> =
                    said.lines().filter(|line| line.contains("llama-server")).collect();
                assert!(own.is_empty(), "{said}\n{exported}");
            });
        }
    }
}
