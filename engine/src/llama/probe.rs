//! Is a model's file sound? One text goes through its tokenizer and its layers.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;

use llama_cpp_sys_2 as sys;

use super::backend::Backend;
use super::context::Context;
use super::log;
use super::model::{Model, Weights};
use crate::api::{Failure, Setting};

/// What came of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// llama.cpp's one-line description of the model.
    pub description: String,
    /// The text as tokens, with what the vocabulary puts before it.
    pub tokens: Vec<i32>,
    /// The tokens as text again.
    pub text: String,
    /// What the model says to the last token: one number per entry of its vocabulary.
    pub logits: Vec<f32>,
}

/// Loads a model in this process and passes a text through it.
pub fn probe(path: &Path, setting: &Setting, text: &str) -> Result<Probe, Failure> {
    log::capture();
    let backend = Backend::start(&setting.process)?;
    let model = Arc::new(Model::load(path, &setting.load, &backend, Weights::Read)?);
    let mut tokens = tokenize(&model, text)?;
    let again = detokenize(&model, &tokens)?;
    let mut context = Context::new(&model, &setting.context)?;
    context.attach(&setting.threads)?;
    context.decode(&mut tokens)?;
    context.synchronize()?;
    let logits = context
        .logits(-1)
        .ok_or_else(|| Failure::Invalid { reason: "the model gave no logits".into() })?
        .to_vec();
    context.rest();
    Ok(Probe { description: model.facts().description, tokens, text: again, logits })
}

fn tokenize(model: &Model, text: &str) -> Result<Vec<i32>, Failure> {
    let wrong = || Failure::refused("the text cannot be tokenized");
    // No token is shorter than a byte, and at most one is put at either end.
    let mut tokens = vec![0; text.len() + 2];
    let length = i32::try_from(text.len()).map_err(|_| wrong())?;
    let room = i32::try_from(tokens.len()).map_err(|_| wrong())?;
    // SAFETY: the model is alive; text and tokens have the lengths named.
    let count = unsafe {
        sys::llama_tokenize(
            sys::llama_model_get_vocab(model.as_ptr()),
            text.as_ptr().cast(),
            length,
            tokens.as_mut_ptr(),
            room,
            true,
            false,
        )
    };
    tokens.truncate(usize::try_from(count).map_err(|_| wrong())?);
    if tokens.is_empty() { Err(wrong()) } else { Ok(tokens) }
}

fn detokenize(model: &Model, tokens: &[i32]) -> Result<String, Failure> {
    let wrong = || Failure::refused("the tokens cannot be turned into text");
    let mut bytes = vec![0_u8; 64 * tokens.len()];
    let count = i32::try_from(tokens.len()).map_err(|_| wrong())?;
    let room = i32::try_from(bytes.len()).map_err(|_| wrong())?;
    // SAFETY: the model is alive; tokens and bytes have the lengths named.
    let length = unsafe {
        sys::llama_detokenize(
            sys::llama_model_get_vocab(model.as_ptr()),
            tokens.as_ptr(),
            count,
            bytes.as_mut_ptr().cast::<c_char>(),
            room,
            true,
            false,
        )
    };
    bytes.truncate(usize::try_from(length).map_err(|_| wrong())?);
    String::from_utf8(bytes).map_err(|_| wrong())
}
