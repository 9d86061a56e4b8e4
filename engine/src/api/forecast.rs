//! What a setting will need of each memory, known before anything is allocated.

use serde::{Deserialize, Serialize};

use super::{Bytes, ContextSetting};

/// Memory that a model under a setting will need, by what holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The context as the engine would make it: lengths padded and clamped, `auto` resolved.
    pub effective: ContextSetting,
    /// The engine's own account, one entry per buffer type.
    pub buffers: Vec<BufferForecast>,
    /// What that account leaves out.
    pub rest: Vec<Rest>,
}

/// What one type of buffer will hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferForecast {
    /// ggml's name of the buffer type.
    pub name: String,
    /// The memory that it lies in.
    pub place: Place,
    /// Where the weights lie: [`Place::File`] where they are mapped.
    pub model_place: Place,
    /// Weights.
    pub model_bytes: Bytes,
    /// KV cache and recurrent state.
    pub context_bytes: Bytes,
    /// Scratch space that is reserved: the logits of every token of a physical batch are in it.
    pub compute_bytes: Bytes,
    /// Scratch space that is written to when only the last token's logits are asked for, which is
    /// what generation does.
    pub touched_bytes: Bytes,
}

/// A memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Pages of the model's file: main memory that the system may take back and read again.
    File,
    /// Main memory of the process.
    Memory,
    /// Memory of a graphics card, by the engine's name of the device (`CUDA0`).
    Device(String),
}

/// Something that llama.cpp's account leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// What.
    pub what: RestKind,
    /// The memory that it lies in.
    pub place: Place,
    /// How much; `None` where nothing tells.
    pub bytes: Option<Bytes>,
}

/// What llama.cpp's account leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestKind {
    /// The logits that a caller reads: four bytes per entry of the vocabulary and output.
    Logits,
    /// Where the processor's kernels put activations in their own format, and their tiles.
    Work,
    /// The process itself: program, vocabulary, descriptions of tensors and graphs.
    Process,
    /// Code and data that the process maps from its own files.
    Libraries,
    /// The piece of the file that is being rearranged while weights are read. Only during the
    /// load.
    Staging,
    /// Pages of the file whose weights were rearranged into memory: read once, then free to go.
    /// Only during the load.
    RepackSource,
    /// What a driver keeps on a graphics card for each process.
    DeviceContext,
}

impl RestKind {
    /// Whether it is needed only until the model is loaded.
    #[must_use]
    pub fn ends_with_the_load(self) -> bool {
        matches!(self, Self::Staging | Self::RepackSource)
    }

    /// It in words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Logits => "logits",
            Self::Work => "work buffer",
            Self::Process => "process",
            Self::Libraries => "libraries",
            Self::Staging => "staging",
            Self::RepackSource => "pages of repacked weights",
            Self::DeviceContext => "device context",
        }
    }
}

/// A need in the four words of its sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Weights.
    pub weights_bytes: Bytes,
    /// KV cache and recurrent state.
    pub kv_bytes: Bytes,
    /// Scratch space.
    pub compute_bytes: Bytes,
    /// Everything else.
    pub rest_bytes: Bytes,
}

impl Sum {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.weights_bytes + self.kv_bytes + self.compute_bytes + self.rest_bytes
    }

    /// This and another need together.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            weights_bytes: self.weights_bytes + other.weights_bytes,
            kv_bytes: self.kv_bytes + other.kv_bytes,
            compute_bytes: self.compute_bytes + other.compute_bytes,
            rest_bytes: self.rest_bytes + other.rest_bytes,
        }
    }
}

/// Memory of a process by its kind, as the system counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resident {
    /// Its own.
    pub anonymous_bytes: Bytes,
    /// Pages of mapped files.
    pub file_bytes: Bytes,
    /// Shared memory.
    pub shared_bytes: Bytes,
}

impl Resident {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Bytes {
        self.anonymous_bytes + self.file_bytes + self.shared_bytes
    }
}

impl Forecast {
    /// What must be had of main memory for the setting to run at its speed: mapped weights too,
    /// because every token reads them.
    #[must_use]
    pub fn memory(&self) -> Sum {
        self.sum(|place| matches!(place, Place::File | Place::Memory))
    }

    /// What must be had of a graphics card.
    #[must_use]
    pub fn device(&self, name: &str) -> Sum {
        self.sum(|place| matches!(place, Place::Device(own) if own == name))
    }

    /// The graphics cards that something lies on.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.buffers.iter().filter_map(|buffer| match &buffer.place {
            Place::Device(name) => Some(name.as_str()),
            Place::File | Place::Memory => None,
        })
    }

    /// How much of one kind the rest has.
    #[must_use]
    pub fn rest_of(&self, what: RestKind) -> Option<Bytes> {
        self.rest.iter().find(|rest| rest.what == what).and_then(|rest| rest.bytes)
    }

    fn sum(&self, here: impl Fn(&Place) -> bool) -> Sum {
        let own = || self.buffers.iter().filter(|buffer| here(&buffer.place));
        let weights = self.buffers.iter().filter(|buffer| here(&buffer.model_place));
        let rest = self.rest.iter().filter(|rest| here(&rest.place));
        Sum {
            weights_bytes: weights.map(|buffer| buffer.model_bytes).sum(),
            kv_bytes: own().map(|buffer| buffer.context_bytes).sum(),
            compute_bytes: own().map(|buffer| buffer.compute_bytes).sum(),
            rest_bytes: rest
                .filter(|rest| !rest.what.ends_with_the_load())
                .filter_map(|rest| rest.bytes)
                .sum(),
        }
    }

    /// What the system will count as resident once the setting has run: of the scratch space only
    /// what is written to, of the file all that is mapped.
    #[must_use]
    pub fn resident(&self) -> Resident {
        self.resident_after(self)
    }

    /// The same after work that fills no more scratch space than another forecast has: the one of
    /// a context as long as the work.
    #[must_use]
    pub fn resident_after(&self, work: &Self) -> Resident {
        let of = |wanted: &Place, what: fn(&RestKind) -> bool| -> Bytes {
            let rest = self.rest.iter().filter(|rest| rest.place == *wanted && what(&rest.what));
            rest.filter_map(|rest| rest.bytes).sum()
        };
        let anonymous = self.buffers.iter().filter(|buffer| buffer.place == Place::Memory);
        let anonymous: Bytes = anonymous.map(|it| it.context_bytes).sum();
        let touched = work.buffers.iter().filter(|buffer| buffer.place == Place::Memory);
        let touched: Bytes = touched.map(|buffer| buffer.touched_bytes).sum();
        let weights = |place: &Place| -> Bytes {
            let here = self.buffers.iter().filter(|buffer| buffer.model_place == *place);
            here.map(|buffer| buffer.model_bytes).sum()
        };
        Resident {
            anonymous_bytes: anonymous
                + touched
                + weights(&Place::Memory)
                + of(&Place::Memory, |what| !what.ends_with_the_load()),
            file_bytes: weights(&Place::File) + of(&Place::File, |_| true),
            shared_bytes: Bytes(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast() -> Forecast {
        let buffer = |name: &str, place: Place, model_place: Place, model| BufferForecast {
            name: name.into(),
            place,
            model_place,
            model_bytes: Bytes(model),
            context_bytes: Bytes(10),
            compute_bytes: Bytes(5),
            touched_bytes: Bytes(2),
        };
        let rest = |what, place, bytes| Rest { what, place, bytes };
        Forecast {
            effective: ContextSetting::default(),
            buffers: vec![
                buffer("CPU", Place::Memory, Place::File, 1000),
                buffer("CPU_REPACK", Place::Memory, Place::Memory, 300),
                buffer("CUDA0", Place::Device("CUDA0".into()), Place::Device("CUDA0".into()), 70),
            ],
            rest: vec![
                rest(RestKind::Process, Place::Memory, Some(Bytes(40))),
                rest(RestKind::RepackSource, Place::File, Some(Bytes(300))),
                rest(RestKind::DeviceContext, Place::Device("CUDA0".into()), None),
            ],
        }
    }

    #[test]
    fn main_memory_and_cards_are_summed_apart_and_unknown_is_not_invented() {
        let forecast = forecast();
        let memory = forecast.memory();
        assert_eq!((memory.weights_bytes, memory.rest_bytes), (Bytes(1300), Bytes(40)));
        assert_eq!(memory.total(), Bytes(1300 + 20 + 10 + 40));
        assert_eq!(forecast.device("CUDA0").total(), Bytes(85));
        assert_eq!(forecast.device("CUDA1").total(), Bytes(0));
        assert_eq!(forecast.devices().collect::<Vec<_>>(), ["CUDA0"]);
    }

    #[test]
    fn pages_of_the_file_are_told_from_the_process_own() {
        let resident = forecast().resident();
        assert_eq!(resident.file_bytes, Bytes(1300));
        assert_eq!(resident.anonymous_bytes, Bytes(300 + 20 + 4 + 40));
    }
}
