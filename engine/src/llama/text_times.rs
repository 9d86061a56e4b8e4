//! What it takes to turn text into tokens and back, and to choose a token: the work around the
//! computation, which no graph shows.

use std::ffi::c_char;
use std::ptr::NonNull;
use std::time::Instant;

use llama_cpp_sys_2 as sys;

use super::context::Context;
use super::work::{Tokens, nanoseconds};
use crate::api::{TextTimes, Work};

unsafe extern "C" {
    fn autotune_tokenize(
        vocabulary: *const sys::llama_vocab,
        text: *const c_char,
        length: i32,
        tokens: *mut sys::llama_token,
        capacity: i32,
    ) -> i32;
}

/// Tokens of the text that is read at most.
const MOST_TOKENS: u32 = 4096;
const TRIES: usize = 5;
/// Choices of a token.
const CHOICES: usize = 16;

/// Measures on the context's last logits; the reason where the model has no text.
pub(super) fn measure(context: &mut Context, work: &Work) -> Result<TextTimes, String> {
    // SAFETY: the model is alive, and so is its vocabulary.
    let vocabulary = unsafe { sys::llama_model_get_vocab(context.model().as_ptr()) };
    // SAFETY: as above; reads a number.
    if unsafe { sys::llama_vocab_type(vocabulary) } == sys::LLAMA_VOCAB_TYPE_NONE {
        return Err("the model has no vocabulary, so there is no text to read or write".to_owned());
    }
    let mut times = TextTimes::default();
    let mut tokens = Tokens::new(context, work.seed, 0);
    let mut text: Vec<u8> = Vec::new();
    for _ in 0..work.prompt_tokens.clamp(1, MOST_TOKENS) {
        let token = tokens.next();
        let mut piece = [0_u8; 256];
        let started = Instant::now();
        // SAFETY: the token is one of the vocabulary's; the buffer is as long as said, and a
        // longer piece is refused by a negative number.
        let length = unsafe {
            let room = i32::try_from(piece.len()).unwrap_or(0);
            let place = piece.as_mut_ptr().cast::<c_char>();
            sys::llama_token_to_piece(vocabulary, token, place, room, 0, false)
        };
        times.detokenize_ns.push(nanoseconds(started));
        text.extend(piece.iter().take(usize::try_from(length).unwrap_or(0)));
    }
    let length = i32::try_from(text.len()).map_err(|_| "the text is too long".to_owned())?;
    let mut read = vec![0; text.len() + 16];
    let room = i32::try_from(read.len()).unwrap_or(i32::MAX);
    for _ in 0..TRIES {
        let started = Instant::now();
        // SAFETY: text and tokens are as long as said; too many tokens, and what C++ throws, are a
        // negative number.
        let count = unsafe {
            let place = text.as_ptr().cast::<c_char>();
            autotune_tokenize(vocabulary, place, length, read.as_mut_ptr(), room)
        };
        times.tokenize_ns.push(nanoseconds(started));
        times.tokens = u64::try_from(count).map_err(|_| "the text is no tokens".to_owned())?;
    }
    if context.logits(-1).is_some() {
        let chain = Chain::usual(work.seed);
        for _ in 0..CHOICES {
            let started = Instant::now();
            // SAFETY: the chain is alive, and the context has logits of its last token.
            unsafe { sys::llama_sampler_sample(chain.0.as_ptr(), context.as_ptr(), -1) };
            times.sample_ns.push(nanoseconds(started));
        }
    }
    Ok(times)
}

/// A chain of samplers, freed when dropped.
struct Chain(NonNull<sys::llama_sampler>);

impl Chain {
    /// What llama-server and llama-cli have unless told otherwise: top-k 40, top-p 0.95, min-p
    /// 0.05, temperature 0.8; penalties are off.
    fn usual(seed: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "any number is a seed")]
        let seed = seed as u32;
        // SAFETY: each call makes a sampler, which the chain owns from then on.
        unsafe {
            let chain = sys::llama_sampler_chain_init(sys::llama_sampler_chain_default_params());
            for sampler in [
                sys::llama_sampler_init_top_k(40),
                sys::llama_sampler_init_top_p(0.95, 1),
                sys::llama_sampler_init_min_p(0.05, 1),
                sys::llama_sampler_init_temp(0.8),
                sys::llama_sampler_init_dist(seed),
            ] {
                sys::llama_sampler_chain_add(chain, sampler);
            }
            Self(NonNull::new(chain).expect("llama.cpp makes a chain or ends the process"))
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once with the samplers in it.
        unsafe { sys::llama_sampler_free(self.0.as_ptr()) }
    }
}
