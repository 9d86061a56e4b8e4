//! A model of a few hundred kilobytes, written byte by byte: the format's own specification, and
//! no code of ours, says what is in it.
#![expect(clippy::cast_possible_truncation, reason = "every number here is small")]

use std::path::Path;

/// ggml's number of the type.
const F32: u32 = 0;
const Q4_0: u32 = 2;

const EMBEDDING: u64 = 256;
const FEED_FORWARD: u64 = 512;
const VOCABULARY: u64 = 384;
const LAYERS: u32 = 2;

/// Writes the model; `poison` makes a NaN of the first logit.
#[allow(dead_code, reason = "not every test that includes this file needs both sizes")]
pub(crate) fn write(path: &Path, poison: bool) {
    write_with(path, poison, VOCABULARY);
}

/// Writes one that is larger: 288 bytes of weights for every token that the vocabulary has.
pub(crate) fn write_with(path: &Path, poison: bool, vocabulary: u64) {
    let tensors = tensors(vocabulary);
    let mut file = Vec::new();
    file.extend(b"GGUF");
    file.extend(3_u32.to_le_bytes());
    let metadata = metadata(vocabulary);
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    file.extend(metadata.concat());
    let mut offset = 0;
    for tensor in &tensors {
        string(&mut file, &tensor.name);
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        file.extend(tensor.shape.iter().flat_map(|length| length.to_le_bytes()));
        file.extend(tensor.kind.to_le_bytes());
        file.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes().len().next_multiple_of(32);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    for tensor in &tensors {
        let mut bytes = tensor.bytes();
        if poison && tensor.name == "output.weight" {
            // The scale of its first block, as a half.
            bytes[..2].copy_from_slice(&0x7e00_u16.to_le_bytes());
        }
        file.extend(bytes);
        file.resize(file.len().next_multiple_of(32), 0);
    }
    std::fs::write(path, file).unwrap();
}

struct Tensor {
    name: String,
    shape: Vec<u64>,
    kind: u32,
}

impl Tensor {
    /// Ones for norms; for matrices, 4-bit values that look random, scaled to keep sums near one.
    fn bytes(&self) -> Vec<u8> {
        let count = self.shape.iter().product::<u64>() as usize;
        if self.kind == F32 {
            return 1.0_f32.to_le_bytes().repeat(count);
        }
        // 2^-7 as a half: ±8 steps of it over 256 columns.
        let scale = 0x2000_u16.to_le_bytes();
        let mut state =
            self.name.bytes().fold(1_u32, |hash, byte| hash * 31 % 65_521 + u32::from(byte));
        let mut bytes = Vec::new();
        for _ in 0..count / 32 {
            bytes.extend(scale);
            bytes.extend((0..16).map(|_| {
                state = state * 75 % 65_537;
                (state >> 3) as u8
            }));
        }
        bytes
    }
}

fn tensors(vocabulary: u64) -> Vec<Tensor> {
    let tensor = |name: &str, shape: &[u64]| Tensor {
        name: format!("{name}.weight"),
        shape: shape.to_vec(),
        kind: if shape.len() == 1 { F32 } else { Q4_0 },
    };
    let mut tensors = vec![
        tensor("token_embd", &[EMBEDDING, vocabulary]),
        tensor("output_norm", &[EMBEDDING]),
        tensor("output", &[EMBEDDING, vocabulary]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("attn_norm", &[EMBEDDING][..]),
            ("attn_q", &[EMBEDDING, EMBEDDING]),
            ("attn_k", &[EMBEDDING, EMBEDDING / 2]),
            ("attn_v", &[EMBEDDING, EMBEDDING / 2]),
            ("attn_output", &[EMBEDDING, EMBEDDING]),
            ("ffn_norm", &[EMBEDDING]),
            ("ffn_gate", &[EMBEDDING, FEED_FORWARD]),
            ("ffn_up", &[EMBEDDING, FEED_FORWARD]),
            ("ffn_down", &[FEED_FORWARD, EMBEDDING]),
        ] {
            tensors.push(tensor(&format!("blk.{layer}.{name}"), shape));
        }
    }
    tensors
}

fn metadata(vocabulary: u64) -> Vec<Vec<u8>> {
    let number = |key: &str, value: u32| entry(key, 4, &value.to_le_bytes());
    let text = |key: &str, value: &str| {
        let mut bytes = Vec::new();
        string(&mut bytes, value);
        entry(key, 8, &bytes)
    };
    vec![
        text("general.architecture", "llama"),
        text("general.name", "tiny"),
        number("llama.context_length", 4096),
        number("llama.embedding_length", EMBEDDING as u32),
        number("llama.block_count", LAYERS),
        number("llama.feed_forward_length", FEED_FORWARD as u32),
        number("llama.attention.head_count", 4),
        number("llama.attention.head_count_kv", 2),
        entry("llama.attention.layer_norm_rms_epsilon", 6, &1e-5_f32.to_le_bytes()),
        number("llama.vocab_size", vocabulary as u32),
        text("tokenizer.ggml.model", "no_vocab"),
    ]
}

fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    string(&mut bytes, key);
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes
}

fn string(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}
