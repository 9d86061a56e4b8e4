//! What others measured elsewhere, each with its source.

use super::Cost;

/// A public figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// In the words of the report.
    pub text: &'static str,
    /// How many times faster it was without the fault, where the source tells.
    pub factor: Option<f64>,
    /// Address of the source.
    pub source: &'static str,
}

/// A container with less processor time than threads.
pub(super) const QUOTA: Figure = Figure {
    text: "0.27 instead of 12.07 tokens/s",
    factor: Some(12.07 / 0.27),
    source: "https://github.com/ollama/ollama/issues/17916",
};

/// A hybrid processor without hyperthreading, whose fast cores are counted by twos.
pub(super) const HYBRID: Figure = Figure {
    text: "4 threads by default on a processor of 20 cores",
    factor: None,
    source: "https://github.com/ggml-org/llama.cpp/issues/28625",
};

/// Pages of the weights on one node of two.
pub(super) const NUMA: Figure = Figure {
    text: "almost twice as fast with --numa distribute",
    factor: Some(2.0),
    source: "https://github.com/ggml-org/llama.cpp/issues/13850",
};

/// Attention that moved to the processor because of a KV type.
pub(super) const SPLITS: Figure = Figure {
    text: "prompts at 197 instead of 1511 tokens/s",
    factor: Some(1511.0 / 197.0),
    source: "https://github.com/ggml-org/llama.cpp/issues/28455",
};

impl Figure {
    /// As the cost of a finding.
    pub(super) fn cost(&self) -> Cost {
        Cost::Published {
            figure: self.text.to_owned(),
            factor: self.factor,
            source: self.source.to_owned(),
        }
    }
}
