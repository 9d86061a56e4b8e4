//! Layers on the GPU.

use autotune_engine::api::{GpuLayers, Setting};

use super::{ActsOn, Ground, Knob, Offer, Tool, WrongLevel, flag, parsed, word};
use crate::model::{Level, Scope};

/// Counts up to the edge less one: each is a load of the model.
const MOST_COUNTS: usize = 5;

/// `gpu_layers`: layers kept on devices.
#[derive(Debug)]
pub struct GpuLayersKnob;

impl Knob for GpuLayersKnob {
    fn name(&self) -> &'static str {
        "gpu_layers"
    }

    fn summary(&self) -> &'static str {
        "layers kept on devices, counted from the end; one more than the model has includes the output"
    }

    fn explanation(&self) -> &'static str {
        "What fits into the memory of a device is computed there at its bandwidth; each layer \
         that does not is left to the CPU, and every token waits for it. Full offload is \
         tried first where it fits."
    }

    fn scope(&self) -> Scope {
        Scope::Load
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn usual(&self) -> bool {
        true
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        if ground.terrain.devices.is_empty() {
            return Offer::nothing(self, ground, "the engine has no device to offload to");
        }
        let all = ground.model.layers.saturating_add(1);
        Offer::of(self, ground, levels(all, edge(ground, all)))
    }

    fn read(&self, setting: &Setting) -> Level {
        match setting.load.gpu_layers {
            GpuLayers::Count(count) => Level::Count(count),
            GpuLayers::All => word(GpuLayers::All),
        }
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        setting.load.gpu_layers = parsed(self.name(), level, "a count or `all`")?;
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        match tool {
            Tool::LlamaServer | Tool::LlamaCli => flag("--gpu-layers", level),
            // It takes a number only; more layers than a model has mean all of them.
            Tool::LlamaBench if level.to_string() == "all" => {
                vec!["--n-gpu-layers".into(), "99".into()]
            }
            Tool::LlamaBench => flag("--n-gpu-layers", level),
            Tool::Ollama if level.to_string() == "all" => vec!["num_gpu".into(), "999".into()],
            Tool::Ollama => flag("num_gpu", level),
        }
    }
}

/// The most layers that fit, which is what the baseline has; without any, all might.
fn edge(ground: &Ground<'_>, all: u32) -> u32 {
    match ground.baseline.load.gpu_layers {
        GpuLayers::Count(count) if (1..all).contains(&count) => count,
        GpuLayers::Count(_) | GpuLayers::All => all,
    }
}

/// None, a quarter of what fits, then ever closer to the edge by halves of what is left, as a card
/// that is faster than the processor wants it; and the first count beyond the edge, whose sum tells
/// why it is one.
fn levels(all: u32, edge: u32) -> Vec<Level> {
    let mut counts = vec![0, edge / 4];
    let mut left = edge;
    while left > 1 && counts.len() < MOST_COUNTS {
        left = left.div_ceil(2);
        counts.push(edge - left);
    }
    counts.extend([edge.saturating_sub(1), edge, edge + 1]);
    counts.sort_unstable();
    counts.dedup();
    let below = counts.into_iter().filter(|count| *count < all).map(Level::Count);
    below.chain([word(GpuLayers::All)]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Terrain;
    use super::super::tests::{ground, setting};
    use super::*;

    /// The levels under a baseline with so many of the 17 layers on a device.
    fn offered(layers: GpuLayers) -> Vec<String> {
        let mut baseline = setting();
        baseline.load.gpu_layers = layers;
        let terrain = Terrain { devices: vec!["CUDA0".into()], ..Terrain::default() };
        let ground = Ground { terrain: &terrain, ..ground(&baseline, &[]) };
        GpuLayersKnob.offer(&ground).levels.iter().map(Level::to_string).collect()
    }

    #[test]
    fn levels_close_in_on_the_edge_of_the_memory() {
        let baseline = setting();
        assert!(GpuLayersKnob.offer(&ground(&baseline, &[])).levels.len() < 2);
        let whole = ["0", "4", "8", "12", "14", "16", "all"];
        assert_eq!(offered(GpuLayers::All), whole);
        assert_eq!(offered(GpuLayers::Count(0)), whole);
        assert_eq!(
            offered(GpuLayers::Count(12)),
            ["0", "3", "6", "9", "10", "11", "12", "13", "all"]
        );
        assert_eq!(offered(GpuLayers::Count(1)), ["0", "1", "2", "all"]);
    }

    #[test]
    fn models_of_any_size_have_few_levels_and_no_count_that_means_all() {
        for all in [1, 2, 3, 33, 127] {
            for edge in 1..=all {
                let levels = levels(all, edge);
                assert!((2..=9).contains(&levels.len()), "{all} {edge}: {levels:?}");
                assert_eq!(
                    (levels.first(), levels.last()),
                    (Some(&Level::Count(0)), Some(&word(GpuLayers::All)))
                );
                assert!(!levels.contains(&Level::Count(all)), "{all} {edge}: {levels:?}");
            }
        }
    }
}
