//! Loops that do one thing as fast as the processor can: read, copy, triad, multiply-add of
//! floats, multiply-add of bytes, dependent loads. And [`instructions`], which executes what the
//! processor announces.
//!
//! Each loop exists for several instruction sets and is chosen at run time. How long it runs, on
//! which CPU and with how many others is left to [`crate::probe`]; here nothing reads a clock.

// The second place that may: each block says why it is sound.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod amx;
mod arithmetic;
#[cfg(target_arch = "aarch64")]
mod arm;
mod chain;
pub mod instructions;
mod memory;
mod portable;
mod stream;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use arithmetic::{Arithmetic, Element};
pub use chain::Chain;
pub use memory::Buffer;
pub use stream::Stream;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_there_once_and_the_portable_one_last() {
        let streams: Vec<_> = Stream::all().map(|stream| stream.isa()).collect();
        assert_eq!(streams.last(), Some(&Stream::portable().isa()));
        for element in [Element::Float32, Element::Int8] {
            let mut names: Vec<_> = Arithmetic::all(element).map(|set| set.isa()).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
            assert!(count > 0);
        }
    }
}
