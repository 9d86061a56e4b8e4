//! `trials.csv`: the journal as one flat table, for spreadsheets and data frames.

use autotune_engine::api::{Failure, Sample, Setting, Tokens};
use std::time::Duration;

use crate::model::{Outcome, Source, Trial};

const TRIAL_COLUMNS: [&str; 8] =
    ["trial", "purpose", "block", "session", "source", "started_at", "elapsed_ms", "outcome"];
const SETTING_COLUMNS: [&str; 36] = [
    "isa_variant",
    "numa",
    "gpu_layers",
    "load_mode",
    "repack",
    "context",
    "batch",
    "ubatch",
    "flash_attention",
    "type_k",
    "type_v",
    "threads",
    "threads_batch",
    "cpu_mask",
    "strict",
    "poll",
    "priority",
    "memory_policy",
    "huge_pages",
    "malloc_arenas",
    "tiled_products",
    "graph_reuse",
    "nice",
    "cpu_experts",
    "overrides",
    "split_mode",
    "tensor_split",
    "main_gpu",
    "devices",
    "no_host",
    "kv_offload",
    "op_offload",
    "sequences",
    "kv_unified",
    "swa_full",
    "placement",
];
const WORK_COLUMNS: [&str; 3] = ["prompt_tokens", "generate_tokens", "depth"];
const SAMPLE_COLUMNS: [&str; 5] =
    ["repetition", "prefill_ns", "decode_ns", "prefill_tok_per_s", "decode_tok_per_s"];
const REST_COLUMNS: [&str; 6] =
    ["process_ns", "load_ns", "context_ns", "peak_resident_bytes", "reason", "caveats"];

/// All trials as CSV with a header: one row per repetition of a trial that ran, one row for any
/// other. A column that has no value in a row is empty. `asked_` and `effective_` columns are the
/// setting as asked for and as run.
#[must_use]
pub fn trials_csv(trials: &[Trial]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |fields: Vec<String>| {
        writer.write_record(fields).expect("rows of equal length fit into memory");
    };
    row(header());
    for trial in trials {
        let samples = trial.outcome.samples();
        let repetitions = samples.iter().enumerate().map(|(index, sample)| Some((index, sample)));
        let none = samples.is_empty().then_some(None);
        for sample in repetitions.chain(none) {
            row(fields(trial, sample));
        }
    }
    let bytes = writer.into_inner().expect("memory can always be flushed");
    String::from_utf8(bytes).expect("only text was written")
}

fn header() -> Vec<String> {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let prefixed = |prefix| SETTING_COLUMNS.map(|name| format!("{prefix}_{name}")).to_vec();
    [
        own(&TRIAL_COLUMNS),
        prefixed("asked"),
        prefixed("effective"),
        own(&WORK_COLUMNS),
        own(&SAMPLE_COLUMNS),
        own(&REST_COLUMNS),
    ]
    .concat()
}

fn fields(trial: &Trial, sample: Option<(usize, &Sample)>) -> Vec<String> {
    let head = [
        trial.id.to_string(),
        word(&trial.purpose),
        trial.block.to_string(),
        trial.session.to_string(),
        word::<Source>(&trial.source),
        trial.started_at.clone(),
        trial.elapsed_ms.to_string(),
        trial.outcome.kind().to_owned(),
    ];
    let work = [trial.work.prompt_tokens, trial.work.generate_tokens, trial.work.depth];
    [
        head.to_vec(),
        setting_fields(&trial.asked).to_vec(),
        trial.effective.as_ref().map_or_else(nothing, setting_fields).to_vec(),
        work.map(|tokens| tokens.to_string()).to_vec(),
        sample_fields(trial, sample).to_vec(),
        rest_fields(trial).to_vec(),
    ]
    .concat()
}

/// A setting that is not there.
fn nothing() -> [String; SETTING_COLUMNS.len()] {
    std::array::from_fn(|_| String::new())
}

fn setting_fields(setting: &Setting) -> [String; SETTING_COLUMNS.len()] {
    let Setting { process, load, context, threads } = setting;
    let overrides: Vec<String> = load.overrides.iter().map(ToString::to_string).collect();
    [
        process.isa_variant.clone().unwrap_or_default(),
        process.numa.to_string(),
        load.gpu_layers.to_string(),
        load.load_mode.to_string(),
        load.repack.to_string(),
        context.context.to_string(),
        context.batch.to_string(),
        context.ubatch.to_string(),
        context.flash_attention.to_string(),
        context.type_k.to_string(),
        context.type_v.to_string(),
        threads.threads.to_string(),
        threads.threads_batch.to_string(),
        threads.cpu_mask.as_ref().map(ToString::to_string).unwrap_or_default(),
        threads.strict.to_string(),
        threads.poll.to_string(),
        threads.priority.to_string(),
        process.memory_policy.to_string(),
        process.huge_pages.to_string(),
        process.malloc_arenas.to_string(),
        process.tiled_products.to_string(),
        process.graph_reuse.to_string(),
        process.nice.to_string(),
        load.cpu_experts.to_string(),
        overrides.join(";"),
        load.split_mode.to_string(),
        load.tensor_split.to_string(),
        load.main_gpu.to_string(),
        load.devices.to_string(),
        load.no_host.to_string(),
        context.kv_offload.to_string(),
        context.op_offload.to_string(),
        context.sequences.to_string(),
        context.kv_unified.to_string(),
        context.swa_full.to_string(),
        threads.placement.to_string(),
    ]
}

fn sample_fields(
    trial: &Trial,
    sample: Option<(usize, &Sample)>,
) -> [String; SAMPLE_COLUMNS.len()] {
    let Some((index, sample)) = sample else { return Default::default() };
    let rate = |tokens: u64, elapsed_ns: u64| {
        let rate = Tokens(tokens).per(Duration::from_nanos(elapsed_ns));
        if tokens > 0 && elapsed_ns > 0 { rate.0.to_string() } else { String::new() }
    };
    [
        index.to_string(),
        sample.prefill_ns.to_string(),
        sample.decode_ns.to_string(),
        rate(trial.work.all_prompt_tokens(), sample.prefill_ns),
        rate(trial.work.all_generated_tokens(), sample.decode_ns),
    ]
}

fn rest_fields(trial: &Trial) -> [String; REST_COLUMNS.len()] {
    let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let caveats = trial.caveats.join("; ");
    match &trial.outcome {
        Outcome::Measured(measured) => [
            number(measured.transition.process_ns),
            number(measured.transition.load_ns),
            number(measured.transition.context_ns),
            number(measured.memory.peak_resident_bytes.map(|bytes| bytes.0)),
            String::new(),
            caveats,
        ],
        Outcome::NotRun(skipped) => rest(skipped.reason.clone(), caveats),
        Outcome::Failed(failure) => rest(Failure::to_string(failure), caveats),
    }
}

fn rest(reason: String, caveats: String) -> [String; REST_COLUMNS.len()] {
    [String::new(), String::new(), String::new(), String::new(), reason, caveats]
}

/// The word that JSON has for a plain enum value.
fn word<T: serde::Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).expect("a word can be written");
    json.as_str().expect("plain enum values are words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{crashed, measured};

    #[test]
    fn every_repetition_and_every_failure_has_a_row_and_text_survives() {
        let text = trials_csv(&[measured(1), crashed(2)]);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let headers = reader.headers().unwrap().clone();
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let field = |row: usize, name: &str| {
            rows[row][headers.iter().position(|header| header == name).unwrap()].to_owned()
        };
        assert_eq!(rows.len(), 3);
        assert_eq!((field(0, "trial"), field(0, "repetition")), ("1".into(), "0".into()));
        assert_eq!((field(1, "trial"), field(1, "repetition")), ("1".into(), "1".into()));
        assert_eq!(
            (field(0, "outcome"), field(2, "outcome")),
            ("measured".into(), "crashed".into())
        );
        assert_eq!((field(0, "purpose"), field(0, "source")), ("search".into(), "measured".into()));
        assert_eq!(field(0, "prefill_tok_per_s"), "128");
        assert_eq!(field(0, "decode_tok_per_s"), "50");
        assert_eq!(field(0, "asked_isa_variant"), "haswell");
        assert_eq!(field(0, "effective_threads"), "2");
        assert_eq!(field(2, "effective_threads"), "");
        assert_eq!(field(0, "load_ns"), "5");
        assert_eq!(field(2, "reason"), "the engine crashed: signal 11, in \u{fc}ber-kernel");
        assert_eq!(field(2, "caveats"), "the \"clock\" dropped, a lot\nindeed");
    }

    #[test]
    fn without_trials_there_is_a_header() {
        assert_eq!(trials_csv(&[]).lines().count(), 1);
    }
}
