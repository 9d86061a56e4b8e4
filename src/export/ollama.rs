//! Ollama: parameters in a Modelfile, variables of its server, and what neither says.
//!
//! The grammar is that of `parser/parser.go` in Ollama's sources: `#` begins a comment line, a
//! value ends with its line unless it is quoted, and quotes have no escapes inside.

use std::fmt::Write as _;

use autotune_engine::api::{KvType, Setting};

use super::wrapper::{self, Wrapper};
use super::{Subject, Target, Written, flags, quoted, unsaid};
use crate::knob::{self, Tool};

/// A Modelfile.
#[derive(Debug)]
pub(super) struct Ollama;

/// Types of the KV cache that `OLLAMA_KV_CACHE_TYPE` takes.
const KV_TYPES: [KvType; 3] = [KvType::F16, KvType::Q8_0, KvType::Q4_0];

impl Target for Ollama {
    fn name(&self) -> &'static str {
        "ollama"
    }

    fn summary(&self) -> &'static str {
        "a Modelfile, with the variables of the server as comments"
    }

    fn wants_absolute_path(&self) -> bool {
        true
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let setting = subject.setting();
        let mut made = Written::default();
        made.body.push_str(&from(subject.model, &mut made.notes));
        let mut variables = Vec::new();
        parameters(subject, &mut made, &mut variables);
        if !setting.process.rpc.is_empty() {
            let servers = setting.process.rpc.join(", ");
            made.notes.push(format!("Ollama reaches no RPC servers; the setting has {servers}"));
        }
        made.usage = usage(setting, &variables);
        made.notes.extend(wrapper::privileges(setting));
        made.notes.push(
            "Ollama runs a build of ggml of its own; the speeds were measured with llama.cpp"
                .into(),
        );
        made
    }
}

/// The line that names the model.
fn from(model: &str, notes: &mut Vec<String>) -> String {
    // It takes other spaces, and what does not print, out of a name.
    let lost = |c: char| (c.is_control() && c != '\n') || (c.is_whitespace() && !" \n".contains(c));
    let broken = model.contains('\n');
    if model.contains(lost) || (broken && model.contains("\"\"\"")) {
        notes.push(
            "a Modelfile cannot name this file; link it under a plain name and give that with \
             --model-path"
                .to_owned(),
        );
        let plain: String = model.chars().filter(|c| !lost(*c) && *c != '\n').collect();
        return format!("FROM {plain}\n");
    }
    let edges = model.trim() != model || model.starts_with('"');
    if broken || edges {
        return format!("FROM \"\"\"{model}\"\"\"\n");
    }
    format!("FROM {model}\n")
}

/// What a Modelfile has parameters for, and what the server takes from its environment.
fn parameters(subject: &Subject<'_>, made: &mut Written, variables: &mut Vec<String>) {
    let setting = subject.setting();
    let (plain, tuned) = (knob::plain(setting), subject.tuned());
    let one_type = setting.context.type_k == setting.context.type_v
        && KV_TYPES.contains(&setting.context.type_k);
    for knob in flags::written(Tool::Ollama, setting, &tuned) {
        let level = knob.read(setting);
        let off_default = level != knob.read(&plain);
        let words = match knob.name() {
            // It multiplies by the requests that it takes at once.
            "context" => {
                let share = setting.context.context / setting.context.sequences.max(1);
                vec!["num_ctx".to_owned(), share.to_string()]
            }
            "type_k" | "type_v" if !one_type => Vec::new(),
            _ => knob.spell(Tool::Ollama, &level),
        };
        match words.as_slice() {
            [name, value] => {
                let _ = writeln!(made.body, "PARAMETER {name} {value}");
            }
            [variable] if variables.contains(variable) => {}
            [variable] => variables.push(variable.clone()),
            _ if !off_default || is_around(knob.name(), setting) => {}
            _ => made.notes.push(subject.unsaid("Ollama", knob, &level)),
        }
    }
}

/// Whether something around the server gives it this knob's level, or another note tells of it.
fn is_around(knob: &str, setting: &Setting) -> bool {
    matches!(knob, "placement" | "isa_variant") || unsaid::is_wrapped(knob, setting)
}

/// How the model is made, and the server started.
fn usage(setting: &Setting, variables: &[String]) -> Vec<String> {
    let mut usage = vec!["ollama create NAME -f Modelfile".to_owned()];
    let wrapper = Wrapper::with_cpus(setting);
    let own = wrapper.environment.iter().map(|(name, value)| format!("{name}={value}"));
    let all: Vec<String> = variables.iter().cloned().chain(own).collect();
    let mut words = Vec::new();
    if !all.is_empty() {
        words.push("env".to_owned());
        words.extend(all.iter().cloned());
    }
    words.extend(wrapper.programs());
    if words.is_empty() {
        return usage;
    }
    words.extend(["ollama".to_owned(), "serve".to_owned()]);
    let line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    usage
        .push(format!("the server is to be started as follows, which acts on every model: {line}"));
    if !all.is_empty() {
        usage.push(format!(
            "where systemd starts it: `systemctl edit ollama`, and under [Service] {}",
            all.iter().map(|it| format!("Environment=\"{it}\"")).collect::<Vec<_>>().join(" ")
        ));
    }
    usage
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{GpuLayers, LoadMode, Toggle};
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{given, plain};

    /// Values of a Modelfile's lines, read as Ollama's parser does.
    fn values(text: &str) -> Vec<(String, String)> {
        let mut values = Vec::new();
        let mut rest = text;
        while let Some((name, after)) = rest.split_once(' ') {
            // A value that is no closed quotation goes on over the end of its line.
            let (value, next) = after
                .match_indices('\n')
                .find_map(|(end, _)| Some((unquoted(after[..end].trim())?, &after[end + 1..])))
                .expect("every value ends");
            values.push((name.to_owned(), value.to_owned()));
            rest = next;
        }
        values
    }

    fn unquoted(text: &str) -> Option<&str> {
        match text.strip_prefix("\"\"\"") {
            Some(inner) => inner.strip_suffix("\"\"\""),
            None if text.starts_with('"') => {
                text.len().ge(&2).then(|| text[1..].strip_suffix('"')).flatten()
            }
            None => Some(text),
        }
    }

    #[test]
    fn what_ollama_knows_is_a_parameter_or_a_variable_and_the_rest_a_note() {
        let mut setting = plain();
        setting.load.gpu_layers = GpuLayers::Count(3);
        setting.load.load_mode = LoadMode::None;
        setting.load.repack = Toggle::Off;
        (setting.context.type_k, setting.context.type_v) = (KvType::Q8_0, KvType::Q8_0);
        (setting.context.sequences, setting.context.context) = (4, 8192);
        setting.threads.threads_batch = 8;
        setting.threads.cpu_mask = "0xf".parse().ok();
        given(&setting, "/m/a.gguf", |subject| {
            let made = Ollama.write(subject);
            assert_eq!(
                made.body,
                "FROM /m/a.gguf\nPARAMETER num_thread 4\nPARAMETER num_ctx 2048\n\
                 PARAMETER num_batch 2048\nPARAMETER num_gpu 3\nPARAMETER use_mmap false\n"
            );
            let start =
                "env OLLAMA_KV_CACHE_TYPE=q8_0 OLLAMA_NUM_PARALLEL=4 taskset 0xf ollama serve";
            assert!(made.usage[1].ends_with(start), "{:?}", made.usage);
            let told = |knob: &str| made.notes.iter().any(|note| note.contains(knob));
            assert!(told("`threads_batch`, which is 8: ") && told("`repack`"), "{:?}", made.notes);
            assert!(!told("placement"), "taskset says it: {:?}", made.notes);
        });
    }

    #[test]
    fn two_types_of_cache_or_one_that_ollama_lacks_are_notes() {
        for (type_k, type_v) in [(KvType::Q8_0, KvType::F16), (KvType::Q5_1, KvType::Q5_1)] {
            let mut setting = plain();
            (setting.context.type_k, setting.context.type_v) = (type_k, type_v);
            given(&setting, "/m.gguf", |subject| {
                let made = Ollama.write(subject);
                assert!(made.notes[0].contains("`type_k`"), "{:?}", made.notes);
                assert!(!made.usage.iter().any(|line| line.contains("KV_CACHE")), "{made:?}");
            });
        }
    }

    #[test]
    fn servers_that_ollama_cannot_reach_are_a_note() {
        let mut setting = plain();
        setting.process.rpc = vec!["a:50052".into()];
        given(&setting, "/m.gguf", |subject| {
            assert!(Ollama.write(subject).notes.iter().any(|note| note.contains("a:50052")));
        });
    }

    proptest! {
        #[test]
        fn a_name_begins_no_instruction_of_its_own(name in "[a-zA-Z0-9 \"'#$%\n{}<>\u{e9}\t-]{1,40}") {
            let path = format!("/{name}");
            given(&plain(), &path, |subject| {
                let made = Ollama.write(subject);
                let values = values(&made.body);
                prop_assert_eq!(&values[0].0, "FROM");
                let told = made.notes.iter().any(|note| note.contains("cannot name this file"));
                prop_assert!(told || values[0].1 == path, "{}", made.body);
                prop_assert!(values[1..].iter().all(|(name, _)| name == "PARAMETER"));
                Ok(())
            })?;
        }
    }
}
