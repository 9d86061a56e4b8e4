//! A shape from a `config.json` as model publishers write it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::SynthError;
use super::shape::{Architecture, Output, RopeScaling, Shape};

/// Real configurations have some kilobytes.
const LARGEST: u64 = 1 << 20;

/// The fields of interest; there are many others.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    num_hidden_layers: u32,
    hidden_size: u32,
    num_attention_heads: u32,
    num_key_value_heads: Option<u32>,
    head_dim: Option<u32>,
    intermediate_size: u32,
    moe_intermediate_size: Option<u32>,
    #[serde(alias = "num_local_experts")]
    num_experts: Option<u32>,
    #[serde(alias = "experts_per_token")]
    num_experts_per_tok: Option<u32>,
    vocab_size: u32,
    max_position_embeddings: u32,
    rope_theta: Option<f64>,
    #[serde(alias = "rope_parameters")]
    rope_scaling: Option<Rope>,
    rms_norm_eps: f64,
    sliding_window: Option<u32>,
    #[serde(default)]
    tie_word_embeddings: bool,
}

#[derive(Deserialize)]
struct Rope {
    #[serde(alias = "type", rename = "rope_type")]
    kind: Option<String>,
    #[serde(rename = "rope_theta")]
    theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<u32>,
}

impl Shape {
    /// The shape that a `config.json` describes.
    pub fn from_config(path: &Path) -> Result<Self, SynthError> {
        let unreadable = |cause| SynthError::Read { path: path.to_owned(), cause };
        let bad = |what: String| SynthError::BadConfig { path: path.to_owned(), what };
        let mut text = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > LARGEST {
            return Err(bad(format!("it has more than {LARGEST} bytes")));
        }
        // Some publishers give both names of one thing; as a map, the last one counts.
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        let config = without_twins(value).map_err(|error| bad(error.to_string()))?;
        let name = path
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.parent()?.file_name()?.to_string_lossy().into_owned()));
        let shape = config.shape(name.unwrap_or_else(|| "model".into())).map_err(bad)?;
        shape.check()?;
        Ok(shape)
    }
}

/// Reads the fields after dropping the second of two names for one field.
fn without_twins(mut value: serde_json::Value) -> Result<Config, serde_json::Error> {
    if let Some(map) = value.as_object_mut() {
        for (kept, twin) in [
            ("num_experts", "num_local_experts"),
            ("num_experts_per_tok", "experts_per_token"),
            ("rope_scaling", "rope_parameters"),
        ] {
            if map.get(kept).is_some_and(|value| !value.is_null()) {
                map.remove(twin);
            } else if map.contains_key(twin) {
                map.remove(kept);
            }
        }
        for rope in ["rope_scaling", "rope_parameters"] {
            let rope = map.get_mut(rope).and_then(serde_json::Value::as_object_mut);
            if let Some(rope) = rope.filter(|rope| rope.contains_key("rope_type")) {
                rope.remove("type");
            }
        }
    }
    serde_json::from_value(value)
}

impl Config {
    fn shape(self, name: String) -> Result<Shape, String> {
        let architecture = match self.model_type.as_str() {
            "llama" | "mistral" => Architecture::Llama,
            "qwen2" => Architecture::Qwen2,
            "qwen3" => Architecture::Qwen3,
            "qwen3_moe" => Architecture::Qwen3Moe,
            "gpt_oss" => Architecture::GptOss,
            other => {
                return Err(format!(
                    "its model_type is `{other}`, not llama, qwen2, qwen3, qwen3_moe or gpt_oss"
                ));
            }
        };
        let mixture = architecture.has_experts();
        let expert_width = self.moe_intermediate_size.unwrap_or(self.intermediate_size);
        let rope_base = self
            .rope_theta
            .or_else(|| self.rope_scaling.as_ref().and_then(|rope| rope.theta))
            .unwrap_or(10_000.0);
        let windowed = architecture == Architecture::GptOss;
        Ok(Shape {
            name,
            architecture,
            layers: self.num_hidden_layers,
            embedding: self.hidden_size,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_length: self
                .head_dim
                .or_else(|| self.hidden_size.checked_div(self.num_attention_heads))
                .unwrap_or(0),
            feed_forward: self.intermediate_size,
            experts: self.num_experts.filter(|_| mixture).unwrap_or(0),
            experts_used: self.num_experts_per_tok.filter(|_| mixture).unwrap_or(0),
            expert_feed_forward: if mixture { expert_width } else { 0 },
            vocabulary: self.vocab_size,
            context: self.max_position_embeddings,
            rope_base,
            rope_scaling: self.rope_scaling.map_or(RopeScaling::None, Rope::scaling),
            norm_epsilon: self.rms_norm_eps,
            sliding_window: self.sliding_window.filter(|_| windowed).unwrap_or(0),
            output: if self.tie_word_embeddings { Output::Tied } else { Output::Own },
        })
    }
}

impl Rope {
    /// Scalings of other kinds change neither tensors nor speed and are left out.
    fn scaling(self) -> RopeScaling {
        let original_context = self.original_max_position_embeddings.unwrap_or(8192);
        match (self.kind.as_deref(), self.factor) {
            (Some("llama3"), Some(factor)) => RopeScaling::Llama3 {
                factor,
                low: self.low_freq_factor.unwrap_or(1.0),
                high: self.high_freq_factor.unwrap_or(4.0),
                original_context,
            },
            (Some("yarn"), Some(factor)) => RopeScaling::Yarn { factor, original_context },
            _ => RopeScaling::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Shape, SynthError> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, text).expect("written");
        Shape::from_config(&path)
    }

    #[test]
    fn a_published_configuration_gives_the_built_in_shape() {
        let shape = read(
            r#"{"model_type": "gpt_oss", "num_hidden_layers": 24, "hidden_size": 2880,
            "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "intermediate_size": 2880, "num_local_experts": 32, "num_experts_per_tok": 4,
            "experts_per_token": 4, "vocab_size": 201088, "max_position_embeddings": 131072,
            "rope_theta": 150000, "rms_norm_eps": 1e-05, "sliding_window": 128,
            "rope_scaling": {"rope_type": "yarn", "factor": 32.0,
            "original_max_position_embeddings": 4096}, "tie_word_embeddings": false}"#,
        )
        .expect("a configuration");
        let built_in = Shape::named("gpt-oss-20b").expect("built in");
        assert_eq!(Shape { name: built_in.name.clone(), ..shape }, built_in);
    }

    #[test]
    fn what_cannot_be_a_model_is_named() {
        for (text, named) in [
            ("{", "EOF"),
            ("[]", "config"),
            (r#"{"model_type": "bert"}"#, "missing field"),
            (
                r#"{"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64,
                "num_attention_heads": 0, "intermediate_size": 64, "vocab_size": 1000,
                "max_position_embeddings": 10, "rms_norm_eps": 1e-5}"#,
                "0 attention heads",
            ),
        ] {
            let error = read(text).expect_err("not a model").to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
