//! Shapes: the hyperparameters of known models, as their publishers' configurations give them.

use super::SynthError;

/// The architectures whose files can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Llama 2 and 3, `SmolLM`, Mistral.
    Llama,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Qwen 3, mixture of experts.
    Qwen3Moe,
    /// gpt-oss.
    GptOss,
}

impl Architecture {
    const ALL: [Self; 5] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Qwen3Moe, Self::GptOss];

    /// llama.cpp's name, which is also the prefix of its keys.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Qwen3Moe => "qwen3moe",
            Self::GptOss => "gpt-oss",
        }
    }

    /// The architecture of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.name() == name)
    }

    /// Whether its feed-forward block is a mixture of experts.
    #[must_use]
    pub fn has_experts(self) -> bool {
        matches!(self, Self::Qwen3Moe | Self::GptOss)
    }
}

/// How positions beyond the first training are reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Llama 3.1: one factor per frequency, stored as a tensor.
    Llama3 {
        /// Stretch of the slow frequencies.
        factor: f64,
        /// Below this many turns in the original context a frequency counts as slow.
        low: f64,
        /// Above this many it is left alone.
        high: f64,
        /// Context of the first training.
        original_context: u32,
    },
    /// `YaRN`, by metadata.
    Yarn {
        /// Stretch.
        factor: f64,
        /// Context of the first training.
        original_context: u32,
    },
}

/// Whether the output matrix is the embedding again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// One matrix for both.
    Tied,
    /// Its own matrix.
    Own,
}

/// Everything about a model but its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// How it is asked for, for example `llama-3.2-1b`.
    pub name: String,
    /// Which tensors it has.
    pub architecture: Architecture,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream.
    pub embedding: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of K and V.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_length: u32,
    /// Width of the feed-forward block (of a dense one).
    pub feed_forward: u32,
    /// Experts, 0 for a dense model.
    pub experts: u32,
    /// Experts used per token, 0 for a dense model.
    pub experts_used: u32,
    /// Width of one expert, 0 for a dense model.
    pub expert_feed_forward: u32,
    /// Entries of the vocabulary.
    pub vocabulary: u32,
    /// Trained context, in tokens.
    pub context: u32,
    /// Base of the rotary frequencies.
    pub rope_base: f64,
    /// How they are stretched.
    pub rope_scaling: RopeScaling,
    /// The small number in the norms.
    pub norm_epsilon: f64,
    /// Tokens of the sliding window of every second layer, 0 for none.
    pub sliding_window: u32,
    /// Whether the output matrix is the embedding again.
    pub output: Output,
}

/// Names of the shapes that are built in, small to large.
pub const SHAPES: &[&str] = &[
    "tiny",
    "smollm2-135m",
    "qwen3-0.6b",
    "llama-3.2-1b",
    "llama-3.1-8b",
    "qwen3-8b",
    "qwen3-30b-a3b",
    "gpt-oss-20b",
];

/// A dense llama of a few million weights, the root of the table below.
fn tiny() -> Shape {
    Shape {
        name: "tiny".into(),
        architecture: Architecture::Llama,
        layers: 4,
        embedding: 256,
        heads: 4,
        kv_heads: 2,
        head_length: 64,
        feed_forward: 768,
        experts: 0,
        experts_used: 0,
        expert_feed_forward: 0,
        vocabulary: 4096,
        context: 8192,
        rope_base: 10_000.0,
        rope_scaling: RopeScaling::None,
        norm_epsilon: 1e-5,
        sliding_window: 0,
        output: Output::Own,
    }
}

fn llama3(name: &str, factor: f64) -> Shape {
    Shape {
        name: name.into(),
        heads: 32,
        kv_heads: 8,
        vocabulary: 128_256,
        context: 131_072,
        rope_base: 500_000.0,
        rope_scaling: RopeScaling::Llama3 { factor, low: 1.0, high: 4.0, original_context: 8192 },
        ..tiny()
    }
}

fn qwen3(name: &str) -> Shape {
    Shape {
        name: name.into(),
        architecture: Architecture::Qwen3,
        kv_heads: 8,
        head_length: 128,
        vocabulary: 151_936,
        context: 40_960,
        rope_base: 1_000_000.0,
        norm_epsilon: 1e-6,
        ..tiny()
    }
}

fn gpt_oss_20b() -> Shape {
    Shape {
        name: "gpt-oss-20b".into(),
        architecture: Architecture::GptOss,
        layers: 24,
        embedding: 2880,
        heads: 64,
        kv_heads: 8,
        head_length: 64,
        feed_forward: 2880,
        experts: 32,
        experts_used: 4,
        expert_feed_forward: 2880,
        vocabulary: 201_088,
        context: 131_072,
        rope_base: 150_000.0,
        rope_scaling: RopeScaling::Yarn { factor: 32.0, original_context: 4096 },
        sliding_window: 128,
        ..tiny()
    }
}

impl Shape {
    /// A shape that is built in.
    pub fn named(name: &str) -> Result<Self, SynthError> {
        let shape = match name {
            "tiny" => tiny(),
            "smollm2-135m" => Self {
                name: name.into(),
                layers: 30,
                embedding: 576,
                heads: 9,
                kv_heads: 3,
                feed_forward: 1536,
                vocabulary: 49_152,
                rope_base: 100_000.0,
                output: Output::Tied,
                ..tiny()
            },
            "qwen3-0.6b" => Self {
                layers: 28,
                embedding: 1024,
                heads: 16,
                feed_forward: 3072,
                output: Output::Tied,
                ..qwen3(name)
            },
            "llama-3.2-1b" => Self {
                layers: 16,
                embedding: 2048,
                feed_forward: 8192,
                output: Output::Tied,
                ..llama3(name, 32.0)
            },
            "llama-3.1-8b" => Self {
                layers: 32,
                embedding: 4096,
                head_length: 128,
                feed_forward: 14_336,
                ..llama3(name, 8.0)
            },
            "qwen3-8b" => {
                Self { layers: 36, embedding: 4096, heads: 32, feed_forward: 12_288, ..qwen3(name) }
            }
            "qwen3-30b-a3b" => Self {
                architecture: Architecture::Qwen3Moe,
                layers: 48,
                embedding: 2048,
                heads: 32,
                kv_heads: 4,
                feed_forward: 6144,
                experts: 128,
                experts_used: 8,
                expert_feed_forward: 768,
                ..qwen3(name)
            },
            "gpt-oss-20b" => gpt_oss_20b(),
            _ => return Err(SynthError::UnknownShape(name.into())),
        };
        Ok(shape)
    }

    /// The same with fewer (or more) layers.
    pub fn with_layers(self, layers: u32) -> Result<Self, SynthError> {
        let shape = Self { layers, ..self };
        shape.check()?;
        Ok(shape)
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn query_width(&self) -> u32 {
        self.heads * self.head_length
    }

    /// Width of all K (or V) heads together.
    #[must_use]
    pub fn kv_width(&self) -> u32 {
        self.kv_heads * self.head_length
    }

    /// Refuses what llama.cpp would abort on, and what no model is.
    pub fn check(&self) -> Result<(), SynthError> {
        let wrong = |what: String| Err(SynthError::BadShape { name: self.name.clone(), what });
        for (what, value, least, most) in [
            ("layers", self.layers, 1, 512),
            ("embedding width", self.embedding, 32, 1 << 17),
            ("attention heads", self.heads, 1, 1024),
            ("KV heads", self.kv_heads, 1, 1024),
            ("head width", self.head_length, 2, 1024),
            ("feed-forward width", self.feed_forward, 32, 1 << 18),
            ("vocabulary entries", self.vocabulary, 512, 1 << 20),
            ("tokens of context", self.context, 1, 1 << 27),
        ] {
            if !(least..=most).contains(&value) {
                return wrong(format!("{value} {what}, not {least} to {most}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) || !self.head_length.is_multiple_of(2) {
            return wrong(format!("{} heads over {} KV heads", self.heads, self.kv_heads));
        }
        if !self.rope_base.is_normal() || self.rope_base <= 0.0 || !self.norm_epsilon.is_normal() {
            return wrong("a rope base or norm epsilon that is no positive number".into());
        }
        if self.architecture == Architecture::Qwen2 && self.query_width() != self.embedding {
            return wrong("heads that do not add up to the embedding, as qwen2's must".into());
        }
        if self.architecture == Architecture::GptOss && self.sliding_window == 0 {
            return wrong("no sliding window, which gpt-oss has".into());
        }
        self.check_experts(wrong)
    }

    fn check_experts(
        &self,
        wrong: impl Fn(String) -> Result<(), SynthError>,
    ) -> Result<(), SynthError> {
        if !self.architecture.has_experts() {
            return if self.experts == 0 {
                Ok(())
            } else {
                wrong(format!("experts, which {} has not", self.architecture.name()))
            };
        }
        if !(1..=512).contains(&self.experts)
            || !(1..=self.experts).contains(&self.experts_used)
            || !(32..=1 << 17).contains(&self.expert_feed_forward)
        {
            return wrong(format!(
                "{} of {} experts of width {}",
                self.experts_used, self.experts, self.expert_feed_forward
            ));
        }
        Ok(())
    }
}
