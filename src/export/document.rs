//! `autotune.export/1`: a setting with its flags, variables and origin, for programs.

use std::collections::BTreeMap;

use autotune_engine::api::Setting;
use serde::{Deserialize, Serialize};

use super::wrapper::{self, Wrapper};
use super::{Subject, Target, Written, environment, program};
use crate::knob::Tool;
use crate::model::Verdict;
use crate::stats::Change;

/// The document.
#[derive(Debug)]
pub(super) struct Json;

/// A setting for programs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`Document::SCHEMA`].
    pub schema: String,
    /// Version of `autotune`.
    pub tool_version: String,
    /// `tuned` or `default`.
    pub choice: String,
    /// Where it comes from.
    pub provenance: Origin,
    /// The setting.
    pub setting: Setting,
    /// The model's file.
    pub model_path: String,
    /// Command lines by program: `llama-server`, `llama-cli`, `llama-bench`.
    pub tools: BTreeMap<String, ToolWords>,
    /// `LLAMA_ARG_…` in place of llama-server's flags, as far as there are any.
    pub llama_arguments: BTreeMap<String, String>,
    /// Variables that the process needs besides.
    pub environment: BTreeMap<String, String>,
    /// Words in front of the program, without the variables: `numactl`, `nice`.
    pub wrapper: Vec<String>,
    /// What the user who starts it must be allowed, one sentence each.
    pub notes: Vec<String>,
}

impl Document {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.export/1";
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// Name of the run directory.
    pub run: String,
    /// When its plan was made, RFC 3339 in UTC.
    pub created_at: String,
    /// Version of `autotune` that planned it.
    pub planned_by: String,
    /// Who measured.
    pub engine: String,
    /// Its version.
    pub engine_version: String,
    /// Version of ggml in it.
    pub ggml_version: String,
    /// Whether the numbers are a simulated machine's.
    pub synthetic: bool,
    /// The processor, where it was named.
    pub processor: Option<String>,
    /// Digest of the model's file, as the plan has it.
    pub model_digest: String,
    /// The workload it was tuned for.
    pub workload: String,
    /// Speed of whole turns over the default's; `None` for the default, and where it was not
    /// confirmed.
    pub gain: Option<Change>,
    /// Largest resident set that was seen, in bytes.
    pub peak_resident_bytes: Option<u64>,
}

/// One program's command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolWords {
    /// Its arguments, unquoted.
    pub arguments: Vec<String>,
    /// What they cannot express, one sentence each.
    pub notes: Vec<String>,
}

impl Target for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn summary(&self) -> &'static str {
        "the setting, flags of each program, variables and origin"
    }

    fn comment(&self) -> Option<&'static str> {
        None
    }

    fn write(&self, subject: &Subject<'_>) -> Written {
        let json = serde_json::to_string_pretty(&document(subject)).expect("plain data");
        // Its notes are in it.
        Written { body: json + "\n", ..Written::default() }
    }
}

fn document(subject: &Subject<'_>) -> Document {
    let setting = subject.setting();
    let tools = [Tool::LlamaServer, Tool::LlamaCli, Tool::LlamaBench].into_iter().map(|tool| {
        let arguments = subject.arguments(tool, subject.model);
        (program(tool).to_owned(), ToolWords { arguments, notes: subject.notes(tool) })
    });
    let wrapper = Wrapper::of(setting);
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    Document {
        schema: Document::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        choice: subject.choice.word().to_owned(),
        provenance: origin(subject),
        setting: setting.clone(),
        model_path: subject.model.to_owned(),
        tools: tools.collect(),
        llama_arguments: environment::variables(subject).0.into_iter().map(owned).collect(),
        wrapper: wrapper.programs(),
        environment: wrapper.environment.into_iter().map(owned).collect(),
        notes: wrapper::privileges(setting),
    }
}

fn origin(subject: &Subject<'_>) -> Origin {
    let (plan, engine) = (subject.plan, &subject.plan.engine);
    let gain = match (subject.choice, &subject.findings.verdict) {
        (super::Choice::Tuned, Verdict::Confirmed { turn, .. }) => Some(*turn),
        _ => None,
    };
    Origin {
        run: subject.run.to_owned(),
        created_at: plan.created_at.clone(),
        planned_by: plan.tool_version.clone(),
        engine: engine.name.clone(),
        engine_version: engine.version.clone(),
        ggml_version: engine.ggml_version.clone(),
        synthetic: engine.synthetic,
        processor: subject.machine.cpu.model.clone(),
        model_digest: plan.model.digest.clone(),
        workload: plan.workload.name.clone(),
        gain,
        peak_resident_bytes: subject.candidate().peak_resident_bytes.map(|bytes| bytes.0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::tests::{everything, given};

    #[test]
    fn the_document_holds_the_setting_and_where_it_comes_from() {
        given(&everything(), "/m.gguf", |subject| {
            let read: Document = serde_json::from_str(&Json.write(subject).body).unwrap();
            assert_eq!(
                (read.schema.as_str(), &read.setting),
                ("autotune.export/1", subject.setting())
            );
            assert_eq!(read.tools.len(), 3);
            assert_eq!(read.llama_arguments["LLAMA_ARG_UBATCH"], "256");
            assert_eq!(read.environment["GLIBC_TUNABLES"], "glibc.malloc.hugetlb=1");
            assert_eq!(read.wrapper.join(" "), "numactl --interleave=all nice -n 5");
            assert!((read.provenance.gain.unwrap().speed_ratio.value - 1.042).abs() < 1e-12);
        });
    }

    proptest! {
        #[test]
        fn any_path_is_read_back(path in ".{1,60}") {
            given(&everything(), &path, |subject| {
                let read: Document = serde_json::from_str(&Json.write(subject).body).unwrap();
                prop_assert_eq!(&read.model_path, &path);
                Ok(())
            })?;
        }
    }
}
