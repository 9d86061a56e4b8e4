//! What a test gave, in llama-bench's field names and meaning, with our own fields behind them.

use autotune_engine::api::{Failure, FlashAttention, GpuLayers, Identity, Run, Toggle};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::Test;
use crate::model::Outcome;

/// What is known of the place, said once for all tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Model name of the processor; `None` where it could not be seen.
    pub cpu: Option<String>,
    /// Names of the graphics cards, in order.
    pub gpus: Vec<String>,
}

/// One test with what came of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// What was asked.
    pub test: Test,
    /// Who measured.
    pub identity: Identity,
    /// Where.
    pub surroundings: Surroundings,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// What happened.
    pub outcome: Result<Run, Failure>,
}

impl Record {
    /// Nanoseconds of each repetition; none for a test that failed.
    #[must_use]
    pub fn samples_ns(&self) -> Vec<u64> {
        let run = self.outcome.as_ref().ok();
        let nanoseconds = |run: &Run| {
            run.samples.iter().map(|sample| sample.prefill_ns + sample.decode_ns).collect()
        };
        run.map(nanoseconds).unwrap_or_default()
    }

    /// Tokens per second of each repetition: prompt and generated tokens together.
    #[must_use]
    pub fn samples_ts(&self) -> Vec<f64> {
        let work = &self.test.work;
        let tokens = f64::from(work.prompt_tokens) + f64::from(work.generate_tokens);
        self.samples_ns().iter().map(|ns| tokens * 1e9 / *ns as f64).collect()
    }

    /// The contract's word for what happened.
    #[must_use]
    pub fn outcome_word(&self) -> &'static str {
        match &self.outcome {
            Ok(run) => Outcome::measured(run).kind(),
            Err(failure) => Outcome::Failed(failure.clone()).kind(),
        }
    }

    /// Every field in order: llama-bench's own, then ours. A fact that a failed test never showed
    /// is null.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let mut fields = self.place_and_model();
        fields.extend(self.asked());
        fields.extend(self.result());
        fields.extend(self.additions());
        fields
    }

    fn place_and_model(&self) -> Vec<(&'static str, Value)> {
        let model = self.outcome.as_ref().ok().map(|run| &run.model);
        vec![
            // A build from a package registry does not know llama.cpp's commit; llama-bench
            // writes the same two values when it does not. `engine_version` says what is known.
            ("build_commit", json!("unknown")),
            ("build_number", json!(0)),
            ("cpu_info", json!(self.surroundings.cpu)),
            ("gpu_info", json!(self.surroundings.gpus.join(", "))),
            ("backends", json!(self.outcome.as_ref().ok().map(backends))),
            ("model_filename", json!(self.test.model.to_string_lossy())),
            ("model_type", json!(model.map(|model| &model.description))),
            ("model_size", json!(model.map(|model| model.size_bytes))),
            ("model_n_params", json!(model.map(|model| model.parameters))),
        ]
    }

    /// The setting asked for, and what this tool leaves as llama-bench has it by default.
    fn asked(&self) -> Vec<(&'static str, Value)> {
        let setting = &self.test.setting;
        let (load, context, threads) = (&setting.load, &setting.context, &setting.threads);
        // As llama-bench writes it when nobody said how to divide.
        let split = if load.tensor_split.is_auto() {
            "0.00".to_owned()
        } else {
            load.tensor_split.to_string()
        };
        let overrides: Vec<String> = load.overrides.iter().map(ToString::to_string).collect();
        let overrides = if overrides.is_empty() { "none".to_owned() } else { overrides.join(";") };
        let mask = threads.cpu_mask.as_ref().map_or_else(|| "0x0".to_owned(), ToString::to_string);
        vec![
            ("n_batch", json!(context.batch)),
            ("n_ubatch", json!(context.ubatch)),
            ("n_threads", json!(threads.threads)),
            ("cpu_mask", json!(mask)),
            ("cpu_strict", json!(threads.strict == Toggle::On)),
            ("poll", json!(threads.poll)),
            ("type_k", json!(context.type_k)),
            ("type_v", json!(context.type_v)),
            ("n_gpu_layers", json!(layers_number(load.gpu_layers))),
            ("n_cpu_moe", json!(load.cpu_experts)),
            ("split_mode", json!(load.split_mode)),
            ("main_gpu", json!(load.main_gpu)),
            ("no_kv_offload", json!(context.kv_offload == Toggle::Off)),
            ("flash_attn", json!(flash_number(context.flash_attention))),
            ("devices", json!(load.devices)),
            ("tensor_split", json!(split)),
            ("tensor_buft_overrides", json!(overrides)),
            ("load_mode", json!(load.load_mode)),
            ("embeddings", json!(false)),
            // A number there, unlike its neighbours.
            ("no_op_offload", json!(u8::from(context.op_offload == Toggle::Off))),
            ("no_host", json!(load.no_host == Toggle::On)),
            ("n_prompt", json!(self.test.work.prompt_tokens)),
            ("n_gen", json!(self.test.work.generate_tokens)),
            ("n_depth", json!(self.test.work.depth)),
        ]
    }

    fn result(&self) -> Vec<(&'static str, Value)> {
        let times = self.samples_ns();
        let ns: Vec<f64> = times.iter().map(|ns| *ns as f64).collect();
        let speeds = self.samples_ts();
        vec![
            ("test_time", json!(self.started_at)),
            ("avg_ns", json!(mean(&ns).map(whole))),
            ("stddev_ns", json!(deviation(&ns).map(whole))),
            ("avg_ts", json!(mean(&speeds))),
            ("stddev_ts", json!(deviation(&speeds))),
            ("samples_ns", json!(times)),
            ("samples_ts", json!(speeds)),
        ]
    }

    /// What llama-bench does not say.
    fn additions(&self) -> Vec<(&'static str, Value)> {
        let run = self.outcome.as_ref().ok();
        let setting = &self.test.setting;
        let times = |pick: fn(&autotune_engine::api::Sample) -> u64| {
            run.map(|run| run.samples.iter().map(pick).collect::<Vec<u64>>()).unwrap_or_default()
        };
        let variant = match run {
            Some(run) => &run.effective.process.isa_variant,
            None => &setting.process.isa_variant,
        };
        let identity = &self.identity;
        vec![
            ("outcome", json!(self.outcome_word())),
            ("reason", json!(self.outcome.as_ref().err().map(reason))),
            ("caveats", json!(run.map(|run| run.caveats.clone()).unwrap_or_default())),
            ("n_threads_batch", json!(setting.threads.threads_batch)),
            ("isa_variant", json!(variant)),
            ("numa", json!(setting.process.numa)),
            ("priority", json!(setting.threads.priority)),
            ("nice", json!(setting.process.nice)),
            ("repack", json!(setting.load.repack)),
            ("swa_full", json!(setting.context.swa_full)),
            ("memory_policy", json!(setting.process.memory_policy)),
            ("huge_pages", json!(setting.process.huge_pages)),
            ("malloc_arenas", json!(setting.process.malloc_arenas)),
            ("tiled_products", json!(setting.process.tiled_products)),
            ("graph_reuse", json!(setting.process.graph_reuse)),
            ("warmup", json!(self.test.work.warmup)),
            ("samples_prefill_ns", json!(times(|sample| sample.prefill_ns))),
            ("samples_decode_ns", json!(times(|sample| sample.decode_ns))),
            ("load_ns", json!(run.and_then(|run| run.transition.load_ns))),
            ("peak_resident_bytes", json!(run.and_then(|run| run.memory.peak_resident_bytes))),
            ("effective", json!(run.map(|run| &run.effective))),
            ("engine", json!(identity.name)),
            ("engine_version", json!(identity.version)),
            ("ggml_version", json!(identity.ggml_version)),
            ("binding_version", json!(identity.binding_version)),
            ("threading", json!(identity.threading)),
            ("synthetic_times", json!(identity.synthetic)),
            ("tool_version", json!(env!("CARGO_PKG_VERSION"))),
        ]
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields();
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, value) in fields {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// Why there is no result, without the word for its kind.
pub(super) fn reason(failure: &Failure) -> String {
    match failure {
        Failure::Refused { reason, .. }
        | Failure::OutOfMemory { reason, .. }
        | Failure::Crashed { reason, .. }
        | Failure::Invalid { reason } => reason.clone(),
        Failure::TimedOut { .. } => failure.to_string(),
    }
}

/// Backends that held anything of the model: `CPU`, or the others' names as ggml has them.
fn backends(run: &Run) -> String {
    let mut names: Vec<&str> = Vec::new();
    for buffer in &run.memory.buffers {
        let name = buffer.name.split(['_', '[']).next().unwrap_or_default();
        let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if !name.is_empty() && name != "CPU" && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "CPU".to_owned() } else { names.join(",") }
}

/// Whole nanoseconds, as llama-bench writes them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "means and deviations of times are neither negative nor beyond a u64"
)]
fn whole(nanoseconds: f64) -> u64 {
    nanoseconds.round() as u64
}

/// llama.cpp's number for a count of layers; -1 is all.
fn layers_number(layers: GpuLayers) -> i64 {
    match layers {
        GpuLayers::All => -1,
        GpuLayers::Count(count) => i64::from(count),
    }
}

/// llama.cpp's number for a flash attention mode.
fn flash_number(mode: FlashAttention) -> i8 {
    match mode {
        FlashAttention::Auto => -1,
        FlashAttention::Off => 0,
        FlashAttention::On => 1,
    }
}

/// Arithmetic mean; `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() { None } else { Some(values.iter().sum::<f64>() / values.len() as f64) }
}

/// Sample standard deviation; 0 of a single value, as llama-bench prints it; `None` of nothing.
///
/// In two passes: the sum of squares minus the square of the sum cancels where the spread is
/// small against the mean, which is what a quiet machine gives.
pub(super) fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some(if values.len() == 1 { 0.0 } else { (squares / (values.len() - 1) as f64).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use autotune_engine::api::{BufferUse, Bytes};

    #[test]
    fn the_deviation_does_not_cancel() {
        let values = [1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0];
        assert_eq!(mean(&values), Some(1e9 + 10.0));
        assert_eq!(deviation(&values), Some(30.0_f64.sqrt()));
        assert_eq!(deviation(&[5.0]), Some(0.0));
        assert_eq!((mean(&[]), deviation(&[])), (None, None));
    }

    #[test]
    fn backends_are_what_holds_the_model() {
        let buffers = |names: &[&str]| {
            let mut run = crate::bench::run::fake::run(&[]);
            run.memory.buffers = names
                .iter()
                .map(|name| BufferUse {
                    name: (*name).to_owned(),
                    model_bytes: Bytes(1),
                    context_bytes: Bytes(0),
                    compute_bytes: Bytes(0),
                })
                .collect();
            backends(&run)
        };
        assert_eq!(buffers(&["CPU_Mapped", "CPU_REPACK", "CPU"]), "CPU");
        assert_eq!(buffers(&["CPU", "CUDA0", "CUDA1", "CUDA_Host"]), "CUDA");
        assert_eq!(buffers(&["CPU", "RPC0[10.0.0.2:50052]", "RPC0[10.0.0.3:50052]"]), "RPC");
        assert_eq!(buffers(&[]), "CPU");
    }
}
