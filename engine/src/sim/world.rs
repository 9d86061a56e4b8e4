//! The simulated machine as it is written in TOML.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::api::{FlashAttention, Setting};

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
}

/// Cores and memory.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// Physical cores.
    pub cores: u32,
    /// Hardware threads per core.
    pub smt: u32,
    /// Hardware threads that may be used, where a quota allows fewer than there are.
    pub usable_threads: Option<u32>,
    /// Share of a core's compute rate that its further hardware threads add together.
    pub smt_gain: f64,
    /// Floating-point operations per second of one core, with the best variant and ubatch.
    pub core_flops: f64,
    /// Bytes per second that one core can read.
    pub core_bandwidth_bytes_per_s: f64,
    /// Bytes per second that all cores together can read.
    pub bandwidth_bytes_per_s: f64,
    /// Memory that a worker may fill.
    pub memory_bytes: u64,
    /// Seconds that each thread adds to a pass over the model by waiting for the others.
    pub barrier_s: f64,
    /// Seconds that each thread beyond the usable ones adds to a pass over the model.
    pub contention_s: f64,
}

/// The model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// One line, as llama.cpp would describe it.
    pub description: String,
    /// Bytes of all tensors.
    pub size_bytes: u64,
    /// Bytes of weights that one generated token reads.
    pub bytes_per_token: u64,
    /// Parameters that take part in one token.
    pub parameters: u64,
    /// Layers.
    pub layers: u32,
    /// Bytes of KV cache per token at 16 bits per element.
    pub kv_bytes_per_token: u64,
    /// Scratch bytes per token of the physical batch.
    pub compute_bytes_per_token: u64,
    /// The physical batch that prompts are fastest with.
    pub best_ubatch: u32,
    /// Share of prefill speed lost one doubling away from it; it grows with the square of the
    /// doublings.
    pub ubatch_loss: f64,
}

/// What the steps between settings take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepCosts {
    /// Starting a worker process.
    pub process_s: f64,
    /// Loading the model.
    pub load_s: f64,
    /// Making a context.
    pub context_s: f64,
}

/// What flash attention does to the speed of the two phases (1 = nothing).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlashAttentionSpec {
    /// What `auto` turns out to be.
    pub auto: FlashAttention,
    /// Speed of prompts with it over speed without.
    pub prefill_speed: f64,
    /// Speed of generation with it over speed without.
    pub decode_speed: f64,
}

/// Relative noise of times; each `sd` is that of the logarithm (0.01 = about 1 %).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseSpec {
    /// One repetition against the next.
    pub sample_sd: f64,
    /// One generated token against the next.
    pub token_sd: f64,
    /// A slow wander that everything shares.
    pub drift_sd: f64,
    /// Seconds until the wander has forgotten where it was.
    pub drift_time_s: f64,
    /// A steady slowing down: relative increase of every time per hour.
    pub trend_per_hour: f64,
}

impl Default for NoiseSpec {
    /// None at all.
    fn default() -> Self {
        Self {
            sample_sd: 0.0,
            token_sd: 0.0,
            drift_sd: 0.0,
            drift_time_s: 30.0,
            trend_per_hour: 0.0,
        }
    }
}

/// One build variant of the CPU code.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSpec {
    /// ggml's name for it.
    pub name: String,
    /// ggml's own preference.
    pub score: i32,
    /// Speed of prompts with it over speed with the best.
    pub prefill_speed: f64,
    /// Compute speed of generation with it over speed with the best; bandwidth stays.
    pub decode_speed: f64,
    /// What its self-test shows.
    #[serde(default)]
    pub self_test: SelfTest,
    /// The signal it dies of, where the self-test fails.
    #[serde(default = "illegal_instruction")]
    pub signal: i32,
}

fn illegal_instruction() -> i32 {
    4
}

/// What the self-test of a variant shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelfTest {
    /// It computes rightly.
    #[default]
    Usable,
    /// The processor does not announce what it needs.
    Unsupported,
    /// It dies.
    Failed,
}

/// Settings that go wrong, and how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Crash {
    /// Which settings; all given conditions must hold.
    pub when: CrashWhen,
    /// What happens then.
    pub kind: CrashKind,
    /// The signal, for [`CrashKind::Crashed`].
    #[serde(default = "segmentation_fault")]
    pub signal: i32,
}

fn segmentation_fault() -> i32 {
    11
}

/// Conditions on a setting.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrashWhen {
    /// This CPU variant.
    pub isa_variant: Option<String>,
    /// At least so many threads in either phase.
    pub threads_at_least: Option<u32>,
    /// At least this physical batch.
    pub ubatch_at_least: Option<u32>,
    /// At least this context.
    pub context_at_least: Option<u32>,
    /// Flash attention, after `auto` was resolved.
    pub flash_attention: Option<FlashAttention>,
}

/// How a setting goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashKind {
    /// The worker dies of a signal.
    Crashed,
    /// No answer comes.
    TimedOut,
    /// Memory runs out.
    OutOfMemory,
    /// The engine declines.
    Refused,
    /// Something else than asked is computed.
    Invalid,
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

    /// Reads a machine from text; `path` is named in errors only.
    pub fn parse(text: &str, path: &Path) -> Result<Self, WorldError> {
        let world: Self = toml::from_str(text).map_err(|error| {
            let (line, key) = place(text, error.span().map_or(0, |span| span.start));
            let reason = error.message().replace('\n', " ");
            WorldError::Parse { path: path.to_owned(), line, key, reason }
        })?;
        world.check().map_err(|(key, reason)| WorldError::Value {
            path: path.to_owned(),
            key,
            reason: reason.to_owned(),
        })?;
        Ok(world)
    }

    /// The key of the first value that makes no machine, and what it would have to be.
    fn check(&self) -> Result<(), (String, &'static str)> {
        let Self { machine, model, steps, flash_attention, noise, .. } = self;
        let counts = [
            ("machine.cores", machine.cores, 1024),
            ("machine.smt", machine.smt, 8),
            ("machine.usable_threads", machine.usable_threads.unwrap_or(1), 8192),
            ("model.layers", model.layers, 10_000),
            ("model.best_ubatch", model.best_ubatch, 1 << 20),
        ];
        for (key, value, most) in counts {
            require((1..=most).contains(&value), key, "must be a count of ordinary size, not 0")?;
        }
        let positive = [
            ("machine.core_flops", machine.core_flops),
            ("machine.core_bandwidth_bytes_per_s", machine.core_bandwidth_bytes_per_s),
            ("machine.bandwidth_bytes_per_s", machine.bandwidth_bytes_per_s),
            ("flash_attention.prefill_speed", flash_attention.prefill_speed),
            ("flash_attention.decode_speed", flash_attention.decode_speed),
            ("noise.drift_time_s", noise.drift_time_s),
        ];
        for (key, value) in positive {
            require(value.is_finite() && value > 0.0, key, "must be a positive number")?;
        }
        let not_negative = [
            ("machine.smt_gain", machine.smt_gain),
            ("machine.barrier_s", machine.barrier_s),
            ("machine.contention_s", machine.contention_s),
            ("model.ubatch_loss", model.ubatch_loss),
            ("steps.process_s", steps.process_s),
            ("steps.load_s", steps.load_s),
            ("steps.context_s", steps.context_s),
            ("noise.sample_sd", noise.sample_sd),
            ("noise.token_sd", noise.token_sd),
            ("noise.drift_sd", noise.drift_sd),
            ("noise.trend_per_hour", noise.trend_per_hour),
        ];
        for (key, value) in not_negative {
            require((0.0..=1e6).contains(&value), key, "must be a number from 0 to a million")?;
        }
        require(model.ubatch_loss < 1.0, "model.ubatch_loss", "must be a share below 1")?;
        require(
            flash_attention.auto != FlashAttention::Auto,
            "flash_attention.auto",
            "must be `on` or `off`",
        )?;
        for (index, variant) in self.variants.iter().enumerate() {
            let speed = variant.prefill_speed.min(variant.decode_speed);
            let most = variant.prefill_speed.max(variant.decode_speed);
            let key = format!("variants[{index}]");
            require(speed > 0.0 && most <= 1e6, &key, "must have positive speeds")?;
        }
        let usable = self.variants.iter().any(|variant| variant.self_test == SelfTest::Usable);
        require(usable, "variants", "must hold one that is usable")
    }
}

impl CrashWhen {
    /// Whether all conditions hold for a setting whose `auto`s are resolved.
    pub(super) fn holds(&self, effective: &Setting) -> bool {
        let threads = effective.threads.threads.max(effective.threads.threads_batch);
        let at_least = |limit: Option<u32>, value| limit.is_none_or(|limit| value >= limit);
        self.isa_variant
            .as_ref()
            .is_none_or(|name| effective.process.isa_variant.as_ref() == Some(name))
            && at_least(self.threads_at_least, threads)
            && at_least(self.ubatch_at_least, effective.context.ubatch)
            && at_least(self.context_at_least, effective.context.context)
            && self.flash_attention.is_none_or(|word| effective.context.flash_attention == word)
    }
}

fn require(holds: bool, key: &str, reason: &'static str) -> Result<(), (String, &'static str)> {
    if holds { Ok(()) } else { Err((key.to_owned(), reason)) }
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
