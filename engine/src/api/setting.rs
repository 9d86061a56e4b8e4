//! A setting: everything that may be varied about a run, grouped by what a change costs.
//!
//! The four groups are the scopes of `docs/ARCHITECTURE.md`: a new *process*, a new *load* of the
//! model, a new *context*, or a mere *setter*. Two settings with equal `process` and `load` share
//! a loaded model; that is a comparison of fields, not a table somewhere else.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::layout::{Devices, MemoryPolicy, TensorOverride, TensorSplit};

/// Everything that may be varied about a run.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct ProcessSetting {
    /// Build variant of the CPU code, by ggml's name. `None`: the best that passes its self-test.
    pub isa_variant: Option<String>,
    /// ggml's NUMA strategy.
    pub numa: Numa,
    /// Which memory nodes new pages come from.
    #[serde(default)]
    pub memory_policy: MemoryPolicy,
    /// Huge pages for anonymous memory, transparent ones.
    #[serde(default)]
    pub huge_pages: HugePages,
    /// Most arenas of glibc's allocator; 0: its own choice.
    #[serde(default)]
    pub malloc_arenas: u32,
    /// Whether batches may use ggml's tiled matrix products (`GGML_CPU_TILED_MM`).
    #[serde(default = "Toggle::on")]
    pub tiled_products: Toggle,
    /// Whether llama.cpp keeps a graph for the next token (`LLAMA_GRAPH_REUSE_DISABLE`).
    #[serde(default = "Toggle::on")]
    pub graph_reuse: Toggle,
    /// Niceness of the process, -20 to 19; below 0 needs a privilege.
    #[serde(default)]
    pub nice: i8,
    /// Servers whose devices are used before those of this machine, as `host:port`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rpc: Vec<String>,
}

impl Default for ProcessSetting {
    /// What a process gets that nobody told anything.
    fn default() -> Self {
        Self {
            isa_variant: None,
            numa: Numa::Disabled,
            memory_policy: MemoryPolicy::Default,
            huge_pages: HugePages::System,
            malloc_arenas: 0,
            tiled_products: Toggle::On,
            graph_reuse: Toggle::On,
            nice: 0,
            rpc: Vec::new(),
        }
    }
}

impl ProcessSetting {
    /// The variables that a process must be started with to be one of this setting.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if self.huge_pages == HugePages::On {
            variables.push(("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1".to_owned()));
        }
        if self.malloc_arenas > 0 {
            variables.push(("MALLOC_ARENA_MAX", self.malloc_arenas.to_string()));
        }
        if self.tiled_products == Toggle::Off {
            variables.push(("GGML_CPU_TILED_MM", "0".to_owned()));
        }
        if self.graph_reuse == Toggle::Off {
            variables.push(("LLAMA_GRAPH_REUSE_DISABLE", "1".to_owned()));
        }
        variables
    }
}

/// What is fixed while a model is loaded; the default is llama.cpp's.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct LoadSetting {
    /// Layers kept on the GPU.
    pub gpu_layers: GpuLayers,
    /// How the file reaches memory.
    pub load_mode: LoadMode,
    /// Whether weights may be rearranged for the CPU's kernels (llama.cpp's `use_extra_bufts`).
    pub repack: Toggle,
    /// Layers from the first one whose experts stay in main memory; 0 for none.
    #[serde(default)]
    pub cpu_experts: u32,
    /// Tensors that are placed by name, the first pattern that fits deciding.
    #[serde(default)]
    pub overrides: Vec<TensorOverride>,
    /// How several devices share a model.
    #[serde(default)]
    pub split_mode: SplitMode,
    /// Shares of the devices; empty: by their free memory.
    #[serde(default)]
    pub tensor_split: TensorSplit,
    /// The device that has everything under [`SplitMode::None`].
    #[serde(default)]
    pub main_gpu: u32,
    /// Devices that may be used.
    #[serde(default)]
    pub devices: Devices,
    /// Whether weights for the CPU keep out of memory that a device has pinned.
    #[serde(default)]
    pub no_host: Toggle,
}

impl Default for LoadSetting {
    fn default() -> Self {
        Self {
            gpu_layers: GpuLayers::default(),
            load_mode: LoadMode::default(),
            repack: Toggle::On,
            cpu_experts: 0,
            overrides: Vec::new(),
            split_mode: SplitMode::default(),
            tensor_split: TensorSplit::default(),
            main_gpu: 0,
            devices: Devices::default(),
            no_host: Toggle::Off,
        }
    }
}

/// What is fixed for the life of a context.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
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
    /// Whether the KV cache is where its layer is.
    #[serde(default = "Toggle::on")]
    pub kv_offload: Toggle,
    /// Whether devices compute large batches of weights that they do not hold.
    #[serde(default = "Toggle::on")]
    pub op_offload: Toggle,
    /// Sequences that the context holds, each with its share of it unless the cache is unified.
    #[serde(default = "one")]
    pub sequences: u32,
    /// Whether all sequences share one cache.
    #[serde(default)]
    pub kv_unified: Toggle,
    /// Whether layers with a sliding window cache the whole context.
    #[serde(default)]
    pub swa_full: Toggle,
}

fn one() -> u32 {
    1
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
            kv_offload: Toggle::On,
            op_offload: Toggle::On,
            sequences: 1,
            kv_unified: Toggle::Off,
            swa_full: Toggle::Off,
        }
    }
}

/// What can change between two tokens.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct ThreadSetting {
    /// Threads that generate.
    pub threads: u32,
    /// Threads that process prompts.
    pub threads_batch: u32,
    /// CPUs the threads may run on; `None`: wherever the process may.
    pub cpu_mask: Option<CpuMask>,
    /// The policy that chose the mask. The engine knows the mask alone.
    #[serde(default)]
    pub placement: Placement,
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
            placement: Placement::Any,
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
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
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
impl Toggle {
    /// Yes: the default of what is on unless somebody turns it off.
    #[must_use]
    pub fn on() -> Self {
        Self::On
    }
}

impl From<bool> for Toggle {
    fn from(yes: bool) -> Self {
        if yes { Self::On } else { Self::Off }
    }
}

impl From<Toggle> for bool {
    fn from(toggle: Toggle) -> Self {
        toggle == Toggle::On
    }
}

words!(
    /// Transparent huge pages for anonymous memory: repacked weights, KV cache, scratch space.
    HugePages, "`system`, `on` or `off`", {
        /// As the system has it.
        #[default]
        System = "system" | "auto",
        /// Never, whatever the system has.
        Off = "off" | "0",
        /// Asked for by glibc's allocator (`glibc.malloc.hugetlb=1`).
        On = "on" | "1",
    }
);
words!(
    /// Why a mask has the CPUs that it has.
    Placement, "a placement", {
        /// No mask, or one that nobody explained.
        #[default]
        Any = "any",
        /// As many CPUs as threads, as far apart as they can be.
        Spread = "spread",
        /// As many CPUs as threads, as close together as they can be.
        Compact = "compact",
        /// The first CPU of every core.
        OnePerCore = "one_per_core",
        /// The fast cores of a hybrid processor.
        Performance = "performance",
        /// The CPUs that share one last-level cache.
        OneCache = "one_cache",
        /// The CPUs of one memory node.
        OneNode = "one_node",
    }
);
words!(
    /// How several devices share a model.
    SplitMode, "a split mode (none, layer, row, tensor)", {
        /// One device has it all.
        None = "none",
        /// Each has some layers.
        #[default]
        Layer = "layer",
        /// Each has some rows of every matrix.
        Row = "row",
        /// Each has a part of every tensor and computes it in step with the others.
        Tensor = "tensor",
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
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "lowercase", untagged)]
pub enum GpuLayers {
    /// This many.
    Count(u32),
    /// As many as the model has.
    #[default]
    #[serde(with = "all")]
    #[schemars(with = "AllWord")]
    All,
}

/// The one word of [`GpuLayers::All`], for its schema.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is wanted")]
enum AllWord {
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

impl JsonSchema for CpuMask {
    fn schema_name() -> Cow<'static, str> {
        "CpuMask".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A set of logical CPUs, hexadecimal, lowest CPU rightmost.",
            "type": "string",
            "pattern": "^0x[0-9a-f]+$",
        })
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
