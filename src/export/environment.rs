//! Variables that llama-server reads in place of flags.
//!
//! The names are those of `set_env` in llama.cpp's `common/arg.cpp`, which its `--help` shows
//! beside each flag. Several flags have none.

use std::fmt::Write as _;

use super::command::grouped;
use super::wrapper::{self, Wrapper};
use super::{Subject, Target, Written, cost, quoted};
use crate::export::Choice;
use crate::knob::{self, Tool};

/// A file of variables.
#[derive(Debug)]
pub(super) struct Environment;

/// Flags of llama-server with their variables; one without a value has the one that is written.
pub(super) const VARIABLES: &[(&str, &str, Option<&str>)] = &[
    ("--model", "LLAMA_ARG_MODEL", None),
    ("--rpc", "LLAMA_ARG_RPC", None),
    ("--threads", "LLAMA_ARG_THREADS", None),
    ("--ctx-size", "LLAMA_ARG_CTX_SIZE", None),
    ("--batch-size", "LLAMA_ARG_BATCH", None),
    ("--ubatch-size", "LLAMA_ARG_UBATCH", None),
    ("--flash-attn", "LLAMA_ARG_FLASH_ATTN", None),
    ("--gpu-layers", "LLAMA_ARG_N_GPU_LAYERS", None),
    ("--cache-type-k", "LLAMA_ARG_CACHE_TYPE_K", None),
    ("--cache-type-v", "LLAMA_ARG_CACHE_TYPE_V", None),
    ("--numa", "LLAMA_ARG_NUMA", None),
    ("--load-mode", "LLAMA_ARG_LOAD_MODE", None),
    ("--repack", "LLAMA_ARG_REPACK", Some("1")),
    ("--no-repack", "LLAMA_ARG_REPACK", Some("0")),
    ("--kv-offload", "LLAMA_ARG_KV_OFFLOAD", Some("1")),
    ("--no-kv-offload", "LLAMA_ARG_KV_OFFLOAD", Some("0")),
    ("--parallel", "LLAMA_ARG_N_PARALLEL", None),
    ("--kv-unified", "LLAMA_ARG_KV_UNIFIED", Some("1")),
    ("--no-kv-unified", "LLAMA_ARG_KV_UNIFIED", Some("0")),
    ("--swa-full", "LLAMA_ARG_SWA_FULL", Some("1")),
    ("--n-cpu-moe", "LLAMA_ARG_N_CPU_MOE", None),
    ("--override-tensor", "LLAMA_ARG_OVERRIDE_TENSOR", None),
    ("--split-mode", "LLAMA_ARG_SPLIT_MODE", None),
    ("--tensor-split", "LLAMA_ARG_TENSOR_SPLIT", None),
    ("--main-gpu", "LLAMA_ARG_MAIN_GPU", None),
    ("--device", "LLAMA_ARG_DEVICE", None),
    ("--no-host", "LLAMA_ARG_NO_HOST", Some("1")),
];

impl Target for Environment {
    fn name(&self) -> &'static str {
        "env"
    }

    fn summary(&self) -> &'static str {
        "variables that llama-server reads in place of flags"
    }

    fn wants_absolute_path(&self) -> bool {
        true
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let setting = subject.setting();
        let (variables, flags) = variables(subject);
        let wrapper = Wrapper::of(setting);
        let mut body = String::new();
        let own = wrapper.environment.into_iter();
        for (name, value) in variables.into_iter().chain(own) {
            let _ = writeln!(body, "{name}={}", double_quoted(&value));
        }
        let mut usage = vec![
            "to use it: set -a; . ./THIS-FILE; set +a; llama-server; or EnvironmentFile= of a \
             unit; `docker run --env-file` takes it as long as no value is in quotes"
                .to_owned(),
        ];
        let mut notes: Vec<String> =
            flags.iter().filter_map(|words| flag_note(subject, words)).collect();
        let programs = Wrapper::of(setting).programs();
        if !programs.is_empty() {
            let line = programs.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
            usage.push(format!("start it as: {line} llama-server"));
        }
        notes.extend(subject.notes(Tool::LlamaServer));
        notes.extend(wrapper::privileges(setting));
        Written { body, usage, notes }
    }
}

/// The variables of llama-server, and the flags that have none.
pub(super) fn variables(subject: &Subject<'_>) -> (Vec<(&'static str, String)>, Vec<Vec<String>>) {
    let arguments = subject.arguments(Tool::LlamaServer, subject.model);
    let (mut variables, mut flags) = (Vec::new(), Vec::new());
    for words in grouped(&arguments) {
        let row = VARIABLES.iter().find(|(flag, _, _)| *flag == words[0]);
        match (row, words) {
            (Some((_, name, Some(value))), [_]) => variables.push((*name, (*value).to_owned())),
            (Some((_, name, None)), [_, value]) => variables.push((*name, value.clone())),
            _ => flags.push(words.to_vec()),
        }
    }
    (variables, flags)
}

/// What it costs that a flag has no variable; `None` where llama-server does so anyway.
fn flag_note(subject: &Subject<'_>, words: &[String]) -> Option<String> {
    let (setting, plain) = (subject.setting(), knob::plain(subject.setting()));
    let said = format!("no variable says `{}`; add it to the command", words.join(" "));
    let knob = knob::ALL
        .iter()
        .find(|knob| knob.spell(Tool::LlamaServer, &knob.read(setting)).first() == words.first());
    match (subject.choice, knob) {
        (_, Some(knob)) if knob.read(setting) == knob.read(&plain) => None,
        (Choice::Tuned, Some(knob)) => {
            Some(format!("{said}: {}", cost::of(subject.findings, knob.name())))
        }
        _ => Some(said),
    }
}

/// The value as a POSIX shell and systemd read it back alike: both know the same escapes between
/// double quotes and no others.
fn double_quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+=:,@%".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if "\\\"$`".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use autotune_engine::api::{HugePages, Toggle};
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{everything, given, plain};

    #[test]
    fn flags_without_a_variable_are_notes() {
        given(&everything(), "/m.gguf", |subject| {
            let made = Environment.write(subject);
            for flag in ["--threads-batch 8", "--cpu-mask 0x15", "--poll 100", "--no-op-offload"] {
                let note = format!("no variable says `{flag}`");
                assert!(made.notes.iter().any(|it| it.contains(&note)), "{flag}: {:?}", made.notes);
            }
            assert!(made.body.contains("LLAMA_ARG_REPACK=0\n"), "{}", made.body);
            assert!(made.body.contains("LLAMA_ARG_KV_UNIFIED=1\n"), "{}", made.body);
            assert!(made.usage[1].contains("numactl --interleave=all"), "{:?}", made.usage);
        });
    }

    #[test]
    fn variables_of_the_process_stand_beside_those_of_the_program() {
        let mut setting = plain();
        setting.process.huge_pages = HugePages::On;
        setting.process.graph_reuse = Toggle::Off;
        given(&setting, "/m.gguf", |subject| {
            let body = Environment.write(subject).body;
            assert!(body.contains("\nGLIBC_TUNABLES=glibc.malloc.hugetlb=1\n"), "{body}");
            assert!(body.ends_with("LLAMA_GRAPH_REUSE_DISABLE=1\n"), "{body}");
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_real_shell_reads_back_every_value(name in "[^\0\r]{0,40}") {
            let path = format!("/{name}");
            given(&plain(), &path, |subject| {
                let body = Environment.write(subject).body;
                let script = format!("{body}printf %s \"$LLAMA_ARG_MODEL\"");
                let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
                prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), path.clone());
                Ok(())
            })?;
        }
    }
}
