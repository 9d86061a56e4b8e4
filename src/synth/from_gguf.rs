//! A shape from a GGUF file: its metadata, and the presence of a few tensors.

use std::path::Path;

use super::SynthError;
use super::shape::{Architecture, Output, RopeScaling, Shape};
use crate::gguf::{Header, ModelFile};
use crate::model::ModelCard;

impl Shape {
    /// The shape of a model's file, whatever its weights and their types.
    pub fn from_gguf(path: &Path) -> Result<Self, SynthError> {
        let file = ModelFile::open(path)?;
        let card = ModelCard::of(&file)?;
        let bad = |what: String| SynthError::BadSource { path: path.to_owned(), what };
        let architecture = Architecture::from_name(&card.architecture).ok_or_else(|| {
            bad(format!(
                "its architecture is `{}`, not llama, qwen2, qwen3, qwen3moe or gpt-oss",
                card.architecture
            ))
        })?;
        if card.key_length != card.value_length {
            return Err(bad("its K and V heads differ in width".into()));
        }
        if card.experts > 0 && !architecture.has_experts() {
            return Err(bad(format!("it is a {} with experts", architecture.name())));
        }
        let has = |name: &str| file.headers.iter().any(|header| header.tensor(name).is_some());
        let mixture = card.experts > 0;
        let first = &file.headers[0];
        let key = |name: &str| format!("{}.{name}", architecture.name());
        let feed_forward = first
            .count(&key("feed_forward_length"))
            .and_then(|width| u32::try_from(width).ok())
            .unwrap_or(card.feed_forward);
        let shape = Self {
            name: stem(path),
            architecture,
            layers: card.layers,
            embedding: card.embedding,
            heads: card.heads,
            kv_heads: card.kv_heads,
            head_length: card.key_length,
            feed_forward,
            experts: card.experts,
            experts_used: card.experts_used,
            expert_feed_forward: if mixture { card.feed_forward } else { 0 },
            vocabulary: card.vocabulary,
            context: card.trained_context,
            rope_base: first.number(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scaling: scaling(first, architecture, has("rope_freqs.weight")),
            norm_epsilon: first
                .number(&key("attention.layer_norm_rms_epsilon"))
                .ok_or_else(|| bad("it has no norm epsilon".into()))?,
            sliding_window: card.sliding_window.unwrap_or(0),
            output: if has("output.weight") { Output::Own } else { Output::Tied },
        };
        shape.check()?;
        Ok(shape)
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned())
}

/// The factors themselves stay in the file's data; Llama 3.1's stand for them.
fn scaling(first: &Header, architecture: Architecture, factors: bool) -> RopeScaling {
    let key = |name: &str| format!("{}.rope.scaling.{name}", architecture.name());
    let context = first.count(&key("original_context_length"));
    let original_context = context.and_then(|tokens| u32::try_from(tokens).ok()).unwrap_or(8192);
    if factors {
        return RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context };
    }
    match (first.text(&key("type")), first.number(&key("factor"))) {
        (Some("yarn"), Some(factor)) => RopeScaling::Yarn { factor, original_context },
        _ => RopeScaling::None,
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::synth::{Replace, Request, file_type, write};

    #[test]
    fn a_written_shape_comes_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("tiny.gguf");
        let shape = Shape::named("tiny").expect("built in");
        let request =
            Request { shape: shape.clone(), file_type: file_type("q8_0").expect("known"), seed: 0 };
        write(&request, &path, Replace::Nothing, &mut |_, _| ControlFlow::Continue(()))
            .expect("written");
        let read = Shape::from_gguf(&path).expect("our own file");
        let rounded = read.norm_epsilon;
        assert!((rounded - shape.norm_epsilon).abs() < 1e-9);
        assert_eq!(Shape { norm_epsilon: shape.norm_epsilon, ..read }, shape);
    }
}
