//! From a model, a machine and a wish to a plan: baseline, space, slices, rounds.
//!
//! Pure: the caller brings the machine's facts, the variants' self-tests, the calibration and the
//! date. What is run next under a plan is left to `search`.

mod baseline;
mod devices;
mod feasibility;
mod layers;
mod memory;
mod prior;
mod profile;
mod protocol;
mod roofline;
mod slice;
mod thumb;
mod wishes;

use autotune_engine::api::{Bytes, GpuLayers, Identity, Setting, VariantReport};
use thiserror::Error;

use crate::knob::{Ground, Knob, Terrain};
use crate::model::{Calibration, Level, ModelCard, Objective, Plan, Prior, Workload};

pub use baseline::baseline;
pub use devices::{is_remote, is_software, most_layers, shares_memory, taken};
pub use feasibility::{
    Ground as MapGround, KV_TYPES, MORE_CONTEXT, Point, cells, context_memory, contexts,
    devices_hold, does_not_fit, point, points, room, room_beside, rule_out, tight, uncounted,
};
pub use layers::layers;
pub use memory::{Need, need};
pub use prior::prior;
pub use profile::{WorkloadError, built_in, workload};
pub use protocol::{Limits, visit_seconds};
pub use roofline::Roof;
pub use slice::{Rates, Targets, first_look};
pub use thumb::{advice, class};
pub use wishes::{fixed, within};

/// What a plan depends on of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Here {
    /// Cores that llama.cpp counts: physical ones, of a hybrid processor the performance cores.
    pub physical_cores: u32,
    /// Threads that are online.
    pub online_threads: u32,
    /// Threads this process may use at once, under its CPU set and quota.
    pub usable_threads: u32,
    /// Memory that can be had without swapping, under the process's limits.
    pub available_memory: Option<Bytes>,
    /// Free memory of all devices that have their own; `None` without one.
    pub gpu_memory: Option<Bytes>,
    /// Layers that fit on devices by the engine's own count; `None` where it has not counted.
    pub gpu_layers: Option<GpuLayers>,
}

/// Everything that goes into a plan.
#[derive(Debug)]
pub struct Wish<'a> {
    /// The model.
    pub model: &'a ModelCard,
    /// The machine.
    pub here: Here,
    /// What to tune for.
    pub workload: Workload,
    /// Who measures.
    pub engine: Identity,
    /// CPU variants after their self-test, best first.
    pub variants: Vec<VariantReport>,
    /// The knobs to turn.
    pub knobs: Vec<&'static dyn Knob>,
    /// What of the machine only some knobs look at.
    pub terrain: Terrain,
    /// Knobs that stay at a level in every setting, the baseline too.
    pub fixed: Vec<(&'static dyn Knob, Level)>,
    /// Levels that were asked for instead of those that a knob would offer.
    pub levels: Vec<(&'static dyn Knob, Vec<Level>)>,
    /// What a visit to the baseline took; `None` for a dry run.
    pub calibration: Option<Calibration>,
    /// What measured peaks let expect; `None` without them.
    pub prior: Option<Prior>,
    /// How long it may take.
    pub limits: Limits,
    /// Seed of every random order.
    pub seed: u64,
    /// RFC 3339 in UTC.
    pub created_at: String,
    /// As typed.
    pub command: String,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The model is larger than what is left of the memory.
    #[error(
        "{name} does not fit: it needs at least {} ({} weights, {} KV cache for {context} tokens, \
         {} margin), {available} available",
        .need.total(), .need.weights, .need.kv_cache, .need.margin
    )]
    TooLarge {
        /// The model's name or file.
        name: String,
        /// The sum.
        need: Need,
        /// Tokens of context asked for.
        context: u32,
        /// Memory that can be had.
        available: Bytes,
    },
    /// No variant of the CPU code survived its self-test.
    #[error("no CPU variant of the engine works here: {reason}")]
    NoVariant {
        /// The first failure.
        reason: String,
    },
}

/// Refuses a model that certainly does not fit, before anything is loaded.
pub fn check_memory(model: &ModelCard, setting: &Setting, here: &Here) -> Result<(), PlanError> {
    let need = need(model, setting);
    let Some(memory) = here.available_memory else { return Ok(()) };
    let available = memory + here.gpu_memory.unwrap_or_default();
    if need.total() <= available {
        return Ok(());
    }
    let name = model.name.clone().unwrap_or_else(|| model.path.display().to_string());
    Err(PlanError::TooLarge { name, need, context: setting.context.context, available })
}

/// Refuses an engine none of whose variants works.
pub fn check_variants(variants: &[VariantReport]) -> Result<(), PlanError> {
    use autotune_engine::api::VariantVerdict::{Failed, Unsupported, Usable};
    if variants.is_empty() || variants.iter().any(VariantReport::usable) {
        return Ok(());
    }
    let reasons = variants.iter().map(|variant| match &variant.verdict {
        Failed { reason, .. } => format!("`{}` failed its self-test: {reason}", variant.name),
        Unsupported | Usable => format!("`{}` is not for this processor", variant.name),
    });
    Err(PlanError::NoVariant { reason: reasons.collect::<Vec<_>>().join("; ") })
}

/// Makes the plan. The same wish always gives the same plan.
#[must_use]
pub fn plan(wish: Wish<'_>) -> Plan {
    let (baseline, mut baseline_notes) =
        baseline(wish.model, &wish.here, &wish.workload, &wish.variants);
    let mut baseline = wishes::fixed(baseline, &wish.fixed);
    baseline.process.rpc.clone_from(&wish.terrain.servers);
    baseline_notes.extend(wishes::notes(&wish));
    let guess = Rates::guess(wish.model);
    let rates = wish.calibration.map_or(guess, |measured| Rates::measured(&measured, guess));
    let slice = slice::slice(&wish.workload, rates, Targets::under(wish.limits.budget));
    if slice.depth < wish.workload.depth {
        baseline_notes.push(format!(
            "measured with {} tokens in the KV cache instead of {}, which would take too long to \
             fill for every visit",
            slice.depth, wish.workload.depth
        ));
    }
    let space = wishes::asked(
        &wish,
        &Ground {
            physical_cores: wish.here.physical_cores,
            online_threads: wish.here.online_threads,
            usable_threads: wish.here.usable_threads,
            variants: &wish.variants,
            prompt_slice: slice.prompt_tokens,
            baseline: &baseline,
            model: wish.model,
            threading: wish.engine.threading,
            terrain: &wish.terrain,
            throughput: wish.workload.objective == Objective::Throughput,
        },
    );
    // What cards compute and read, the processor's peaks say nothing of.
    let offloads = baseline.load.gpu_layers != GpuLayers::Count(0)
        || space.axes.iter().any(|axis| axis.knob == "gpu_layers");
    let alone =
        baseline.context.sequences == 1 && !space.axes.iter().any(|axis| axis.knob == "sequences");
    Plan {
        schema: Plan::SCHEMA.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        created_at: wish.created_at,
        command: wish.command,
        model: wish.model.clone(),
        protocol: protocol::protocol(&space.axes, slice, rates, wish.calibration, wish.limits),
        workload: wish.workload,
        engine: wish.engine,
        variants: wish.variants,
        baseline,
        baseline_notes,
        axes: space.axes,
        rejected: space.rejected,
        prior: wish.prior.filter(|_| !offloads).map(|prior| Prior {
            // One pass over the weights serves a token of every sequence.
            decode_roof_tok_per_s: prior.decode_roof_tok_per_s.filter(|_| alone),
            ..prior
        }),
        seed: wish.seed,
        goals: Vec::new(),
        context_memory: Vec::new(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use autotune_engine::api::{Threading, VariantFault, VariantVerdict, Work};

    use super::*;
    use crate::knob;
    use crate::model::{Axis, Scope};

    pub(crate) fn card() -> ModelCard {
        ModelCard {
            path: "m.gguf".into(),
            name: Some("Llama 3.2 1B".into()),
            architecture: "llama".into(),
            file_bytes: Bytes(800 << 20),
            digest: "0".repeat(64),
            synthetic: true,
            parameters: 1_235_814_400,
            layers: 16,
            embedding: 2048,
            heads: 32,
            kv_heads: 8,
            key_length: 64,
            value_length: 64,
            feed_forward: 8192,
            experts: 0,
            experts_used: 0,
            vocabulary: 128_256,
            trained_context: 131_072,
            sliding_window: None,
            types: Vec::new(),
            bytes_per_token: Bytes(800 << 20),
        }
    }

    pub(crate) fn here() -> Here {
        Here {
            physical_cores: 4,
            online_threads: 8,
            usable_threads: 8,
            available_memory: Some(Bytes(8 << 30)),
            gpu_memory: None,
            gpu_layers: None,
        }
    }

    pub(crate) fn chat() -> Workload {
        built_in().remove(0)
    }

    pub(crate) fn crashed(reason: &str) -> VariantVerdict {
        VariantVerdict::Failed { fault: VariantFault::Crashed, reason: reason.into() }
    }

    pub(crate) fn variants() -> Vec<VariantReport> {
        let report =
            |name: &str, score, verdict| VariantReport { name: name.into(), score, verdict };
        vec![
            report("sapphirerapids", 9, crashed("SIGILL")),
            report("icelake", 5, VariantVerdict::Usable),
            report("haswell", 3, VariantVerdict::Usable),
        ]
    }

    pub(crate) fn work() -> Work {
        slice::slice(&chat(), Rates { prefill: 128.0, decode: 32.0 }, Targets::under(None))
    }

    pub(crate) fn axes() -> Vec<Axis> {
        let counts = [1, 2, 3, 4, 6, 8].map(Level::Count).to_vec();
        let axis =
            |knob: &str| Axis { knob: knob.into(), scope: Scope::Setter, levels: counts.clone() };
        vec![axis("threads"), axis("threads_batch")]
    }

    pub(crate) fn identity() -> Identity {
        Identity {
            name: "sim".into(),
            version: "0".into(),
            ggml_version: "0".into(),
            binding_version: "0".into(),
            threading: Threading::Ggml,
            synthetic: true,
        }
    }

    /// A plan for the machine of [`here`], slices of a second, as measured.
    pub(crate) fn wish(model: &ModelCard) -> Wish<'_> {
        Wish {
            model,
            here: here(),
            workload: chat(),
            engine: identity(),
            variants: variants(),
            knobs: knob::usual(),
            terrain: Terrain::default(),
            fixed: Vec::new(),
            levels: Vec::new(),
            calibration: Some(Calibration {
                prefill_tok_per_s: Some(600.0),
                decode_tok_per_s: Some(32.0),
                transition_ms: 900,
                elapsed_ms: 1500,
            }),
            limits: Limits::of(Some(Duration::from_secs(900)), None),
            prior: None,
            seed: 7,
            created_at: "2026-01-01T00:00:00Z".into(),
            command: "autotune sweep".into(),
        }
    }

    #[test]
    fn a_plan_is_made_of_the_machine_and_repeats_itself() {
        let card = card();
        let first = plan(wish(&card));
        assert_eq!(first, plan(wish(&card)));
        assert_eq!(first.axes.len(), 5, "all usual knobs but the layers on a GPU");
        assert_eq!(first.protocol.slice.prompt_tokens, 512);
        let json = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), first);
    }

    #[test]
    fn a_model_larger_than_memory_is_refused_with_the_sum() {
        let (mut card, here) = (card(), here());
        let baseline = baseline(&card, &here, &chat(), &variants()).0;
        assert_eq!(check_memory(&card, &baseline, &here), Ok(()));
        card.file_bytes = Bytes(40 << 30);
        let error = check_memory(&card, &baseline, &here).unwrap_err().to_string();
        assert!(error.contains("40.3 GiB") && error.contains("8.00 GiB available"), "{error}");
        let unknown = Here { available_memory: None, ..here };
        assert_eq!(check_memory(&card, &baseline, &unknown), Ok(()));
    }

    #[test]
    fn an_engine_without_a_working_variant_is_refused() {
        assert!(check_variants(&variants()).is_ok());
        let error = check_variants(&variants()[..1]).unwrap_err().to_string();
        assert!(error.contains("sapphirerapids") && error.contains("SIGILL"), "{error}");
    }
}
