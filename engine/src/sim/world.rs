//! The simulated machine as it is written in TOML.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use super::parts::{
    AttentionSpec, BackgroundSpec, ExpertSpec, GpuSpec, HybridSpec, LoadModeSpec, NumaSpec,
    PollingSpec, RepackSpec, StudySpec,
};
use super::spec::{
    Crash, FlashAttentionSpec, MachineSpec, ModelSpec, NoiseSpec, StepCosts, VariantSpec,
};
use super::trace::Trace;

/// A machine, a model on it, and the accidents that happen to them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// Its name in documents.
    pub name: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Cores and memory.
    pub machine: MachineSpec,
    /// The model that every file on this machine turns out to be.
    pub model: ModelSpec,
    /// What the steps between settings take.
    pub steps: StepCosts,
    /// What flash attention does.
    pub flash_attention: FlashAttentionSpec,
    /// How times scatter.
    #[serde(default)]
    pub noise: NoiseSpec,
    /// Build variants of the CPU code, best score first.
    pub variants: Vec<VariantSpec>,
    /// Settings that go wrong; the first rule that fits decides.
    #[serde(default)]
    pub crashes: Vec<Crash>,
    /// Slow cores.
    pub hybrid: Option<HybridSpec>,
    /// Memory nodes.
    pub numa: Option<NumaSpec>,
    /// What waiting threads do.
    pub polling: Option<PollingSpec>,
    /// What always runs beside.
    pub background: Option<BackgroundSpec>,
    /// What rearranged weights bring.
    pub repack: Option<RepackSpec>,
    /// Ways of loading that differ from `auto`.
    #[serde(default)]
    pub load_modes: Vec<LoadModeSpec>,
    /// What attention computes.
    pub attention: Option<AttentionSpec>,
    /// A graphics card.
    pub gpu: Option<GpuSpec>,
    /// The experts of a mixture.
    pub experts: Option<ExpertSpec>,
    /// What a comparison of searches does here.
    #[serde(default)]
    pub study: StudySpec,
    /// The record that `noise.trace` names.
    #[serde(skip)]
    pub(super) trace: Option<Arc<Trace>>,
}

/// Why a file is not a simulated machine.
#[derive(Debug, Error)]
pub enum WorldError {
    /// It could not be read.
    #[error("cannot read the simulated machine {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what a simulated machine looks like.
    #[error("{path}, line {line}: `{key}`: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Where the mistake is, as a dotted path.
        key: String,
        /// What is wrong there.
        reason: String,
    },
    /// A value makes no machine.
    #[error("{path}: `{key}` {reason}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The value's dotted path.
        key: String,
        /// What it would have to be.
        reason: String,
    },
}

impl World {
    /// Reads a machine from a file.
    pub fn read(path: &Path) -> Result<Self, WorldError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| WorldError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a machine from text; `path` is named in errors, and a record of noise is looked for
    /// beside it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, WorldError> {
        let mut world: Self = toml::from_str(text).map_err(|error| {
            let (line, key) = place(text, error.span().map_or(0, |span| span.start));
            let reason = error.message().replace('\n', " ");
            WorldError::Parse { path: path.to_owned(), line, key, reason }
        })?;
        world.check().map_err(|(key, reason)| WorldError::Value {
            path: path.to_owned(),
            key,
            reason: reason.to_owned(),
        })?;
        if let Some(name) = &world.noise.trace {
            let folder = path.parent().unwrap_or(Path::new(""));
            let trace = Trace::read(&folder.join(name)).map_err(|reason| WorldError::Value {
                path: path.to_owned(),
                key: "noise.trace".to_owned(),
                reason,
            })?;
            world.trace = Some(Arc::new(trace));
        }
        Ok(world)
    }
}

/// Line and dotted key at a byte of a TOML text: the table header above and the key on the line.
fn place(text: &str, byte: usize) -> (usize, String) {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let line_start = text[..byte].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or("").trim();
    let header = text[..line_start]
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| line.starts_with('['))
        .map_or("", |header| header.trim_matches(['[', ']']));
    let key = if line.starts_with('[') {
        line.trim_matches(['[', ']']).to_owned()
    } else {
        let key = line.split('=').next().unwrap_or("").trim();
        if header.is_empty() { key.to_owned() } else { format!("{header}.{key}") }
    };
    (text[..line_start].matches('\n').count() + 1, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = include_str!("../../../tests/worlds/quiet-8c.toml");

    fn mistake(text: &str) -> String {
        World::parse(text, Path::new("m.toml")).unwrap_err().to_string()
    }

    #[test]
    fn every_world_of_the_tests_can_be_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/worlds");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let world = World::read(&path).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str(), Some(world.name.as_str()));
            names.push(world.name);
        }
        assert!(names.len() >= 4, "{names:?}");
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_path() {
        let line = 1 + QUIET.lines().position(|line| line.starts_with("smt =")).unwrap();
        let unknown = mistake(&QUIET.replace("smt =", "simultaneous ="));
        assert!(
            unknown.starts_with(&format!(
                "m.toml, line {line}: `machine.simultaneous`: unknown field"
            )),
            "{unknown}"
        );
        assert!(!unknown.contains('\n'), "{unknown}");
        let wrong = mistake(&QUIET.replace("cores = 8", "cores = \"many\""));
        assert!(wrong.contains("`machine.cores`: invalid type"), "{wrong}");
        let missing = mistake(&QUIET.replace("load_s = 1.5", ""));
        assert!(missing.contains("`steps`: missing field `load_s`"), "{missing}");
        let syntax = mistake("name = \"x\"\nseed = = 3");
        assert!(syntax.starts_with("m.toml, line 2: `seed`"), "{syntax}");
    }

    #[test]
    fn values_that_make_no_machine_are_refused() {
        for (from, to, message) in [
            ("cores = 8", "cores = 0", "`machine.cores` must be a count"),
            ("core_flops = 60e9", "core_flops = -1.0", "`machine.core_flops` must be a positive"),
            ("core_flops = 60e9", "core_flops = nan", "`machine.core_flops` must be a positive"),
            ("sample_sd = 0.008", "sample_sd = inf", "`noise.sample_sd` must be a number"),
            ("auto = \"on\"", "auto = \"auto\"", "`flash_attention.auto` must be `on` or `off`"),
            ("ubatch_loss = 0.06", "ubatch_loss = 1.0", "`model.ubatch_loss` must be a share"),
        ] {
            let text = mistake(&QUIET.replace(from, to));
            assert!(text.contains(message), "{text}");
        }
        let none = QUIET.replace("score = 8", "score = 8\nself_test = \"failed\"");
        let none = none.replace("score = 4", "score = 4\nself_test = \"failed\"");
        assert!(mistake(&none).contains("`variants` must hold one that is usable"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = World::read(Path::new("/nowhere/m.toml")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the simulated machine /nowhere/m.toml");
    }
}
