//! Systems that we do not know how to sample.

use super::{Mark, Sampled, Samples};

/// No sampler.
#[derive(Debug)]
pub struct Sampler;

impl Sampler {
    /// Says why there is none.
    pub fn open(_what: Sampled, _hz: u32) -> Result<Self, String> {
        Err("functions are sampled on Linux only".to_owned())
    }

    /// Nothing.
    pub fn event(&self) -> &'static str {
        "nothing"
    }

    /// Nothing.
    pub fn resume(&self) {}

    /// Nothing.
    pub fn pause(&self) {}

    /// Nothing.
    pub fn finish(self, _marks: &[Mark]) -> Samples {
        Samples::default()
    }
}
