//! llama-swap: an entry of its configuration.
//!
//! Keys and macros are those of its documentation (`cmd`, `env`, `${PORT}`). How a `cmd` is cut
//! into words is read from its sources: lines that begin with `#` are left out, a backslash at
//! the end of a line too, `${NAME}` is a macro everywhere, and then POSIX quoting holds.

use super::command::{grouped, program};
use super::wrapper::{self, Wrapper};
use super::yaml::Yaml;
use super::{Subject, Target, Written, comment};
use crate::knob::Tool;

/// An entry of llama-swap's configuration.
#[derive(Debug)]
pub(super) struct LlamaSwap;

impl Target for LlamaSwap {
    fn name(&self) -> &'static str {
        "llama-swap"
    }

    fn summary(&self) -> &'static str {
        "an entry of its config.yaml"
    }

    fn wants_absolute_path(&self) -> bool {
        true
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let setting = subject.setting();
        let wrapper = Wrapper::of(setting);
        let mut first = wrapper.programs();
        first.push(program(Tool::LlamaServer).to_owned());
        let mut lines = vec![line(&first), "--port ${PORT}".to_owned()];
        lines.extend(grouped(&subject.arguments(Tool::LlamaServer, subject.model)).map(line));
        let readable = lines.iter().all(|line| comment::clean(line) == *line);
        let command = if readable { Yaml::Block(lines) } else { Yaml::text(lines.join(" ")) };
        let mut entry = vec![("cmd", command)];
        if !wrapper.environment.is_empty() {
            let pairs = wrapper.environment.iter().map(|(name, value)| format!("{name}={value}"));
            entry.push(("env", Yaml::texts(pairs)));
        }
        // llama-swap's own default, written out: it is here that requests go.
        entry.push(("proxy", Yaml::text("http://localhost:${PORT}")));
        let name = comment::clean(subject.stem()).replace("${", "$ {");
        let models = Yaml::Map(vec![(name, Yaml::map(entry))]);
        let mut notes = subject.notes(Tool::LlamaServer);
        notes.extend(wrapper::privileges(setting));
        Written {
            body: Yaml::map([("models", models)]).document(),
            usage: vec![
                "llama-swap --config THIS-FILE, or merge the entry into yours; with `ttl: SECONDS` \
                 beside `cmd` it leaves memory after so long without a request"
                    .to_owned(),
            ],
            notes,
        }
    }
}

fn line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The word as llama-swap reads it back: no macro and no comment is seen in it.
fn quoted(word: &str) -> String {
    let quoted = super::quoted(word);
    if !quoted.contains(['\'']) {
        return quoted;
    }
    // Two quotations side by side are one word: neither `${` nor the end of a line is in one.
    quoted.replace("${", "$''{").replace('\n', "''\n''")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::export::tests::{everything, given, plain};

    fn entry(body: &str) -> (String, Value) {
        let read: BTreeMap<String, BTreeMap<String, Value>> = serde_saphyr::from_str(body).unwrap();
        read["models"].clone().into_iter().next().unwrap()
    }

    #[test]
    fn the_command_has_a_flag_on_each_line_and_its_variables_beside_it() {
        given(&everything(), "/m/a b.gguf", |subject| {
            let body = LlamaSwap.write(subject).body;
            let (name, entry) = entry(&body);
            assert_eq!(name, "a b");
            let words = words(entry["cmd"].as_str().unwrap());
            assert_eq!(words[..4], ["numactl", "--interleave=all", "nice", "-n"]);
            assert_eq!(words[6..10], ["--port", "5800", "--model", "/m/a b.gguf"]);
            assert_eq!(entry["env"][0], "GLIBC_TUNABLES=glibc.malloc.hugetlb=1");
            assert!(body.contains("\n      --model '/m/a b.gguf'\n"), "{body}");
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_hostile_name_is_one_word(name in "[ -~\u{e9}]{0,16}(\\$\\{PORT\\}|\n#|\\\\\n|: |\"|')?[ -~]{1,16}") {
            let path = format!("/{name}");
            given(&plain(), &path, |subject| {
                let (_, entry) = entry(&LlamaSwap.write(subject).body);
                let command = entry["cmd"].as_str().unwrap();
                let read = words(command);
                prop_assert_eq!(read.get(4), Some(&path), "{}", command);
                Ok(())
            })?;
        }
    }

    /// The words that llama-swap runs: its macros and lines, then POSIX words without expansion.
    fn words(command: &str) -> Vec<String> {
        let command = command.replace("${PORT}", "5800");
        assert!(!command.contains("${"), "a macro is left: {command}");
        let lines: Vec<String> = command
            .split('\n')
            .filter(|line| !line.trim().starts_with('#'))
            .map(|line| match line.trim().strip_suffix('\\') {
                Some(rest) => format!("{rest} "),
                None => line.to_owned(),
            })
            .collect();
        let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
        let text = lines.join("\n");
        let mut letters = text.chars();
        while let Some(c) = letters.next() {
            match c {
                '\'' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                c if quoted => word.get_or_insert_default().push(c),
                '\\' => word.get_or_insert_default().extend(letters.next()),
                ' ' | '\n' | '\t' => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }
}
