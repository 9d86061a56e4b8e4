//! The parts of a report below its first screen, in one fixed order. A part without evidence is
//! one line that says what is missing.

mod advice;
mod environment;
mod log;
mod memory;
mod method;
mod options;
mod profile;
mod speed;
mod transfer;

use serde_json::Value;

use crate::model::{Findings, ModelProfile, Plan, QuantizationStudy, Trial, Verification};

use super::plot::Plot;
use super::view::{BlockView, SectionView};

/// What sections are made from.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) machine: &'a Value,
    pub(super) plan: &'a Plan,
    pub(super) trials: &'a [Trial],
    pub(super) findings: &'a Findings,
    pub(super) profile: Option<&'a ModelProfile>,
    pub(super) verification: Option<&'a Verification>,
    pub(super) quantization: Option<&'a QuantizationStudy>,
    pub(super) plots: &'a [Plot],
}

impl Evidence<'_> {
    /// The plots whose names pass, as a block; `None` where there are none.
    fn figures(&self, wanted: impl Fn(&str) -> bool) -> Option<BlockView> {
        let chosen = self.plots.iter().filter(|plot| wanted(&plot.name));
        let figures: Vec<_> = chosen.map(Plot::figure).collect();
        (!figures.is_empty()).then_some(BlockView::Figures { figures })
    }
}

use super::verdict::sentence;

/// Every section, in order.
pub(super) fn all(evidence: Evidence<'_>) -> Vec<SectionView> {
    vec![
        speed::metrics(evidence),
        environment::environment(evidence),
        profile::bottleneck(evidence),
        profile::utilization(evidence),
        speed::threads(evidence),
        environment::affinity(evidence),
        speed::context(evidence),
        speed::variants(evidence),
        environment::quantization(evidence),
        speed::gpu_layers(evidence),
        speed::batching(evidence),
        memory::memory(evidence),
        speed::latency(evidence),
        profile::counters(evidence),
        log::log(evidence),
        options::options(evidence),
        advice::actions(evidence),
        advice::production(evidence),
        advice::validation(evidence),
        advice::commands(evidence),
        method::method(evidence),
    ]
}
