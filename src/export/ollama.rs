//! A setting for Ollama: parameters of a Modelfile, variables of its server, and what neither says.

use std::fmt::Write as _;
use std::path::Path;

use autotune_engine::api::Setting;

use super::flags;
use crate::knob::{self, Tool};

/// What Ollama can be told of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modelfile {
    /// The text of the Modelfile.
    pub text: String,
    /// `NAME=value` for the environment of `ollama serve`; they act on every model.
    pub variables: Vec<String>,
    /// What Ollama has no word for, one sentence each.
    pub notes: Vec<String>,
}

/// The Modelfile that runs `model` under `setting`, as far as Ollama can.
#[must_use]
pub fn modelfile(setting: &Setting, model: &Path, tuned: &[&str]) -> Modelfile {
    let plain = knob::plain(setting);
    let path = model.to_string_lossy();
    let path = if path.starts_with(['/', '.']) { path.into_owned() } else { format!("./{path}") };
    // A line break in a name would begin an instruction of its own.
    let path: String = path.chars().filter(|c| !c.is_control()).collect();
    let mut made =
        Modelfile { text: format!("FROM {path}\n"), variables: Vec::new(), notes: Vec::new() };
    for knob in flags::written(setting, tuned) {
        let level = knob.read(setting);
        match knob.spell(Tool::Ollama, &level).as_slice() {
            [name, value] => {
                let _ = writeln!(made.text, "PARAMETER {name} {value}");
            }
            [variable] if made.variables.contains(variable) => {}
            [variable] => made.variables.push(variable.clone()),
            _ if level != knob.read(&plain) => {
                made.notes
                    .push(format!("Ollama has no word for `{}`, which is {level}", knob.name()));
            }
            _ => {}
        }
    }
    if !setting.process.rpc.is_empty() {
        let servers = setting.process.rpc.join(", ");
        made.notes.push(format!("Ollama reaches no RPC servers; the setting has {servers}"));
    }
    if setting.context.type_k != setting.context.type_v {
        made.notes.push(format!(
            "Ollama has one type for both caches; the setting has {} for K and {} for V",
            setting.context.type_k, setting.context.type_v
        ));
    }
    made
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{
        ContextSetting, GpuLayers, KvType, LoadMode, LoadSetting, ProcessSetting, ThreadSetting,
        Toggle,
    };

    use super::*;

    #[test]
    fn what_ollama_knows_is_a_parameter_or_a_variable_and_the_rest_a_note() {
        let setting = Setting {
            process: ProcessSetting::default(),
            load: LoadSetting {
                gpu_layers: GpuLayers::Count(3),
                load_mode: LoadMode::None,
                repack: Toggle::Off,
                ..LoadSetting::default()
            },
            context: ContextSetting {
                type_k: KvType::Q8_0,
                type_v: KvType::Q8_0,
                ..ContextSetting::default()
            },
            threads: ThreadSetting { threads_batch: 8, ..ThreadSetting::of(4) },
        };
        let made = modelfile(&setting, Path::new("m\nPARAMETER x.gguf"), &["batch"]);
        assert_eq!(
            made.text,
            "FROM ./mPARAMETER x.gguf\nPARAMETER num_thread 4\nPARAMETER num_ctx 4096\n\
             PARAMETER num_batch 2048\nPARAMETER num_gpu 3\nPARAMETER use_mmap false\n"
        );
        assert_eq!(made.variables, ["OLLAMA_KV_CACHE_TYPE=q8_0"]);
        assert!(made.notes[0].contains("`threads_batch`"), "{:?}", made.notes);
        assert!(made.notes[1].contains("`repack`"), "{:?}", made.notes);
    }
}
