//! A setting: everything that may be varied about a run, grouped by what a change costs.
//!
//! The four groups are the scopes of `docs/ARCHITECTURE.md`: a new *process*, a new *load* of the
//! model, a new *context*, or a mere *setter*. Two settings with equal `process` and `load` share
//! a loaded model; that is a comparison of fields, not a table somewhere else.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Everything that may be varied about a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setting {
    /// Needs a new process.
    pub process: ProcessSetting,
    /// Needs a new load of the model.
    pub load: LoadSetting,
    /// Needs a new context.
    pub context: ContextSetting,
    /// Takes effect at once.
    pub threads: ThreadSetting,
}

/// What is fixed for the life of a worker process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessSetting {
    /// Build variant of the CPU code, by ggml's name. `None`: the best that passes its self-test.
    pub isa_variant: Option<String>,
    /// ggml's NUMA strategy.
    pub numa: Numa,
    /// Servers whose devices are used before those of this machine, as `host:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rpc: Vec<String>,
}

/// What is fixed while a model is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LoadSetting {
    /// Layers kept on the GPU.
    pub gpu_layers: GpuLayers,
    /// How the file reaches memory.
    pub load_mode: LoadMode,
    /// Whether weights may be rearranged for the CPU's kernels (llama.cpp's `use_extra_bufts`).
    pub repack: Toggle,
}

/// What is fixed for the life of a context.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContextSetting {
    /// Tokens the KV cache holds.
    pub context: u32,
    /// Logical batch: tokens per decode call at most.
    pub batch: u32,
    /// Physical batch: tokens computed at once.
    pub ubatch: u32,
    /// Whether attention is computed without materialising its matrix.
    pub flash_attention: FlashAttention,
    /// Element type of the K cache.
    pub type_k: KvType,
    /// Element type of the V cache.
    pub type_v: KvType,
}

impl Default for ContextSetting {
    /// llama.cpp's own defaults, with the context of llama-server's `--fit-ctx`.
    fn default() -> Self {
        Self {
            context: 4096,
            batch: 2048,
            ubatch: 512,
            flash_attention: FlashAttention::Auto,
            type_k: KvType::F16,
            type_v: KvType::F16,
        }
    }
}

/// What can change between two tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ThreadSetting {
    /// Threads that generate.
    pub threads: u32,
    /// Threads that process prompts.
    pub threads_batch: u32,
    /// CPUs the threads may run on; `None`: wherever the process may.
    pub cpu_mask: Option<CpuMask>,
    /// Whether each thread is bound to one CPU of the mask.
    pub strict: Toggle,
    /// How long an idle thread spins before it sleeps, 0–100.
    pub poll: u8,
    /// Scheduling priority of the threads.
    pub priority: Priority,
}

impl ThreadSetting {
    /// The same count for both phases and llama.cpp's defaults for the rest.
    #[must_use]
    pub fn of(threads: u32) -> Self {
        Self {
            threads,
            threads_batch: threads,
            cpu_mask: None,
            strict: Toggle::Off,
            poll: 50,
            priority: Priority::Normal,
        }
    }
}

/// A value that a setting cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is not {wanted}")]
pub struct ParseSettingError {
    /// What was written.
    pub value: String,
    /// What would have been understood.
    pub wanted: &'static str,
}

/// Defines an enum whose words are the same in JSON, on the command line and on screen.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $wanted:literal,
     { $($(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $alias:literal)*),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in JSON and on the command line.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = ParseSettingError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word $(| $alias)* => Ok(Self::$variant),)+
                    _ => Err(ParseSettingError { value: text.to_owned(), wanted: $wanted }),
                }
            }
        }
    };
}

words!(
    /// A two-way choice.
    Toggle, "`on` or `off`", {
        /// No.
        #[default]
        Off = "off" | "0",
        /// Yes.
        On = "on" | "1",
    }
);
words!(
    /// Flash attention: a way to compute attention without materialising its matrix.
    FlashAttention, "`on`, `off` or `auto`", {
        /// Wherever every attention node has a kernel for it.
        #[default]
        Auto = "auto" | "-1",
        /// Never.
        Off = "off" | "0",
        /// Always.
        On = "on" | "1",
    }
);
words!(
    /// Element type of a KV cache.
    KvType, "a KV cache type (f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl)", {
        /// 32-bit float.
        F32 = "f32",
        /// 16-bit float.
        #[default]
        F16 = "f16",
        /// bfloat16.
        Bf16 = "bf16",
        /// 8.5 bits per element.
        Q8_0 = "q8_0",
        /// 6 bits per element.
        Q5_1 = "q5_1",
        /// 5.5 bits per element.
        Q5_0 = "q5_0",
        /// 5 bits per element.
        Q4_1 = "q4_1",
        /// 4.5 bits per element.
        Q4_0 = "q4_0",
        /// 4.5 bits per element, non-linear.
        Iq4Nl = "iq4_nl",
    }
);
words!(
    /// How a model file reaches memory.
    LoadMode, "a load mode (auto, none, mmap, mlock, mmap+mlock, dio)", {
        /// Mapped, unless a device cannot use mapped memory.
        #[default]
        Auto = "auto",
        /// Read into anonymous memory.
        None = "none",
        /// Mapped.
        Mmap = "mmap",
        /// Read and locked against swapping.
        Mlock = "mlock",
        /// Mapped and locked.
        MmapMlock = "mmap+mlock",
        /// Read past the page cache.
        DirectIo = "dio",
    }
);
words!(
    /// ggml's NUMA strategy.
    Numa, "a NUMA strategy (disabled, distribute, isolate, numactl)", {
        /// None.
        #[default]
        Disabled = "disabled",
        /// Threads spread over all nodes.
        Distribute = "distribute",
        /// Threads kept on the node the process started on.
        Isolate = "isolate",
        /// The CPU map that `numactl` gave the process.
        Numactl = "numactl",
    }
);
words!(
    /// Scheduling priority of the engine's threads, with llama.cpp's numbers as aliases.
    Priority, "a priority (low, normal, medium, high, realtime or -1 to 3)", {
        /// Below everything else.
        Low = "low" | "-1",
        /// As the system has it.
        #[default]
        Normal = "normal" | "0",
        /// Real-time class, lower half; needs a privilege.
        Medium = "medium" | "1",
        /// Real-time class, upper half; needs a privilege.
        High = "high" | "2",
        /// Real-time class, near its top; needs a privilege.
        Realtime = "realtime" | "3",
    }
);

/// Layers kept on the GPU, counted from the end of the model; the output layer counts as one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase", untagged)]
pub enum GpuLayers {
    /// This many.
    Count(u32),
    /// As many as the model has.
    #[default]
    #[serde(with = "all")]
    All,
}

/// `All` is the word `"all"` in JSON.
mod all {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("all")
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "all" => Ok(()),
            other => {
                Err(serde::de::Error::custom(format!("`{other}` is neither `all` nor a count")))
            }
        }
    }
}

impl fmt::Display for GpuLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => f.pad(&count.to_string()),
            Self::All => f.pad("all"),
        }
    }
}

impl FromStr for GpuLayers {
    type Err = ParseSettingError;

    /// A count, or `all`; a negative number means all, as llama.cpp has it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text.parse::<u32>(), text.parse::<i64>()) {
            (Ok(count), _) => Ok(Self::Count(count)),
            (_, Ok(negative)) if negative < 0 => Ok(Self::All),
            _ if text == "all" => Ok(Self::All),
            _ => {
                Err(ParseSettingError { value: text.to_owned(), wanted: "a layer count or `all`" })
            }
        }
    }
}

/// A set of logical CPUs, written as llama.cpp writes it: hexadecimal, lowest CPU rightmost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CpuMask(BTreeSet<u16>);

impl CpuMask {
    /// CPUs that ggml can name (`GGML_MAX_N_THREADS`).
    pub const LIMIT: u16 = 512;

    /// The set of these CPUs; `None` if it is empty or one is beyond [`Self::LIMIT`].
    #[must_use]
    pub fn new(cpus: impl IntoIterator<Item = u16>) -> Option<Self> {
        let set: BTreeSet<u16> = cpus.into_iter().collect();
        let fits = set.last().is_some_and(|last| *last < Self::LIMIT);
        fits.then_some(Self(set))
    }

    /// Its CPUs in ascending order.
    pub fn cpus(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().copied()
    }
}

impl fmt::Display for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let highest = self.0.last().map_or(0, |last| usize::from(*last));
        let mut digits = vec![0_u8; highest / 4 + 1];
        for cpu in self.cpus() {
            digits[usize::from(cpu) / 4] |= 1 << (cpu % 4);
        }
        let hex = digits.iter().rev().map(|digit| char::from_digit(u32::from(*digit), 16));
        f.pad(&format!("0x{}", hex.flatten().collect::<String>()))
    }
}

impl FromStr for CpuMask {
    type Err = ParseSettingError;

    /// ```
    /// let mask: autotune_engine::api::CpuMask = "0x15".parse().unwrap();
    /// assert_eq!(mask.cpus().collect::<Vec<_>>(), [0, 2, 4]);
    /// assert_eq!(mask.to_string(), "0x15");
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseSettingError {
            value: text.to_owned(),
            wanted: "a hexadecimal CPU mask of at most 512 bits with a bit set",
        };
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        if hex.is_empty() || hex.len() > usize::from(Self::LIMIT) / 4 {
            return Err(error());
        }
        let mut cpus = BTreeSet::new();
        for (cpu, digit) in (0..Self::LIMIT).step_by(4).zip(hex.chars().rev()) {
            let bits = digit.to_digit(16).ok_or_else(error)?;
            cpus.extend((0..4).filter(|bit| bits >> bit & 1 == 1).map(|bit| cpu + bit));
        }
        Self::new(cpus).ok_or_else(error)
    }
}

impl Serialize for CpuMask {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuMask {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gpu_layers_survive_json() {
        for (value, json) in [(GpuLayers::All, "\"all\""), (GpuLayers::Count(12), "12")] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<GpuLayers>(json).unwrap(), value);
        }
        assert!(serde_json::from_str::<GpuLayers>("\"some\"").is_err());
    }

    proptest! {
        #[test]
        fn a_mask_reads_what_it_prints(cpus in proptest::collection::btree_set(0_u16..512, 1..20)) {
            let mask = CpuMask::new(cpus).unwrap();
            prop_assert_eq!(mask.to_string().parse::<CpuMask>().unwrap(), mask);
        }

        #[test]
        fn no_text_makes_the_mask_parser_panic(text in ".{0,200}") {
            let _ = text.parse::<CpuMask>();
        }
    }
}
