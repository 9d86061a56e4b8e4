//! The metadata of a synthetic model, in the bytes of GGUF version 3. llama.cpp is strict about
//! the kinds: counts are 32-bit unsigned, scales 32-bit floats.

use autotune_engine::llama::quantize::FileType;

use super::shape::{RopeScaling, Shape};
use super::vocabulary::vocabulary;

/// Marks a file as ours, with random weights.
pub(super) const SYNTHETIC_KEY: &str = "autotune.synthetic";

/// Numbers of the format for the kinds that are written.
mod kind {
    pub(super) const U32: u32 = 4;
    pub(super) const I32: u32 = 5;
    pub(super) const F32: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const TEXT: u32 = 8;
    pub(super) const LIST: u32 = 9;
    pub(super) const U64: u32 = 10;
}

/// Metadata entries as they go into a file.
#[derive(Default)]
pub(super) struct Metadata {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: u64,
}

/// A length and the bytes of a text.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

impl Metadata {
    fn key(&mut self, key: &str, kind: u32) {
        put_text(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
        self.entries += 1;
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key, kind::TEXT);
        put_text(&mut self.bytes, value);
    }

    fn count(&mut self, key: &str, value: u32) {
        self.key(key, kind::U32);
        self.bytes.extend(value.to_le_bytes());
    }

    fn long(&mut self, key: &str, value: u64) {
        self.key(key, kind::U64);
        self.bytes.extend(value.to_le_bytes());
    }

    #[expect(clippy::cast_possible_truncation, reason = "the format holds 32-bit floats")]
    fn float(&mut self, key: &str, value: f64) {
        self.key(key, kind::F32);
        self.bytes.extend((value as f32).to_le_bytes());
    }

    fn truth(&mut self, key: &str, value: bool) {
        self.key(key, kind::BOOL);
        self.bytes.push(u8::from(value));
    }

    fn texts(&mut self, key: &str, list: &[String]) {
        self.list(key, kind::TEXT, list.len());
        for text in list {
            put_text(&mut self.bytes, text);
        }
    }

    fn list(&mut self, key: &str, kind: u32, length: usize) {
        self.key(key, kind::LIST);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((length as u64).to_le_bytes());
    }

    fn integers(&mut self, key: &str, list: &[i32]) {
        self.list(key, kind::I32, list.len());
        for number in list {
            self.bytes.extend(number.to_le_bytes());
        }
    }
}

/// Everything a file says about a shape, its vocabulary included.
pub(super) fn metadata(shape: &Shape, file_type: FileType, seed: u64) -> Metadata {
    let mut data = Metadata::default();
    data.text("general.architecture", shape.architecture.name());
    data.text("general.type", "model");
    data.text("general.name", &format!("{} (random weights, autotune synth)", shape.name));
    data.count("general.file_type", file_type.id);
    data.count("general.quantization_version", 2);
    data.truth(SYNTHETIC_KEY, true);
    data.long("autotune.seed", seed);
    hyperparameters(shape, &mut data);
    tokenizer(shape, &mut data);
    data
}

fn hyperparameters(shape: &Shape, data: &mut Metadata) {
    let key = |name: &str| format!("{}.{name}", shape.architecture.name());
    data.count(&key("block_count"), shape.layers);
    data.count(&key("context_length"), shape.context);
    data.count(&key("embedding_length"), shape.embedding);
    data.count(&key("feed_forward_length"), shape.feed_forward);
    data.count(&key("vocab_size"), shape.vocabulary);
    data.count(&key("attention.head_count"), shape.heads);
    data.count(&key("attention.head_count_kv"), shape.kv_heads);
    data.count(&key("attention.key_length"), shape.head_length);
    data.count(&key("attention.value_length"), shape.head_length);
    data.float(&key("attention.layer_norm_rms_epsilon"), shape.norm_epsilon);
    data.count(&key("rope.dimension_count"), shape.head_length);
    data.float(&key("rope.freq_base"), shape.rope_base);
    if let RopeScaling::Yarn { factor, original_context } = shape.rope_scaling {
        data.text(&key("rope.scaling.type"), "yarn");
        data.float(&key("rope.scaling.factor"), factor);
        data.count(&key("rope.scaling.original_context_length"), original_context);
    }
    if shape.sliding_window > 0 {
        data.count(&key("attention.sliding_window"), shape.sliding_window);
    }
    if shape.experts > 0 {
        data.count(&key("expert_count"), shape.experts);
        data.count(&key("expert_used_count"), shape.experts_used);
        data.count(&key("expert_feed_forward_length"), shape.expert_feed_forward);
    }
}

fn tokenizer(shape: &Shape, data: &mut Metadata) {
    let words = vocabulary(shape);
    data.text("tokenizer.ggml.model", "gpt2");
    data.text("tokenizer.ggml.pre", words.pre);
    data.texts("tokenizer.ggml.tokens", &words.tokens);
    data.integers("tokenizer.ggml.token_type", &words.types);
    data.texts("tokenizer.ggml.merges", &words.merges);
    data.count("tokenizer.ggml.bos_token_id", words.begin);
    data.count("tokenizer.ggml.eos_token_id", words.end);
    data.truth("tokenizer.ggml.add_bos_token", words.add_begin);
    data.text("tokenizer.chat_template", words.chat_template);
}
