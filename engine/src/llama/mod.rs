//! llama.cpp in this process, behind the [`Engine`](crate::api::Engine) trait.
//!
//! What is unsafe of the engine is here: the calls into llama.cpp and ggml, and the types that
//! own what those calls return. A bad setting may still kill the process, because ggml asserts;
//! surviving that is left to [`crate::worker`].

// One of the two places that may: each block says why it is sound.
#![allow(unsafe_code)]

mod backend;
mod context;
mod crew;
mod device_modules;
mod device_rate;
mod devices;
mod distribution;
mod engine;
mod forecast;
mod graph;
mod importance;
mod importance_file;
mod language;
mod layout;
mod log;
mod memory;
mod model;
mod modules;
mod observe;
mod parts;
mod pieces;
#[cfg(feature = "planted-slowdown")]
mod planted;
mod pool;
mod probe;
mod product;
pub mod quantize;
mod quantizer;
mod refuse;
mod rounding;
pub mod rpc;
mod score;
mod scoring;
mod self_test;
mod speakers;
mod stage;
mod stored;
mod surroundings;
mod text_times;
mod together;
mod verdict;
mod weight_types;
mod widen;
mod work;

pub use backend::identity;
pub use device_modules::{FOLDERS_VARIABLE, ModuleError};
pub use device_rate::device_rates;
pub use devices::devices;
pub use engine::Llama;
pub use log::echo_to_stderr;
pub use modules::{Modules, ModulesError};
pub use probe::{Probe, probe};
pub use score::scores;
pub use self_test::self_test;
pub use stage::{Stage, observe};
pub use weight_types::weight_types;
pub use widen::widen;

/// Text that llama.cpp returned, or nothing for a null pointer.
fn text(pointer: *const std::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and every caller passes a string that llama.cpp ends with a zero byte and
    // keeps for as long as the library is loaded or, in callbacks, for the call.
    unsafe { std::ffi::CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
