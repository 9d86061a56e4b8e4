//! A look at quality as a table for spreadsheets and data frames: every number, in base units.

use super::super::machine::clean;
use crate::model::{AgainstReference, CandidateQuality, QualityReport, QualitySubject};

const COLUMNS: [&str; 29] = [
    "model",
    "variation",
    "file_type",
    "file_bytes",
    "bits_per_weight",
    "perplexity",
    "perplexity_se",
    "ln_perplexity_ratio",
    "ln_perplexity_ratio_se",
    "kl_divergence_mean_nats",
    "kl_divergence_se_nats",
    "kl_divergence_median_nats",
    "kl_divergence_p90_nats",
    "kl_divergence_p99_nats",
    "kl_divergence_max_nats",
    "top1_agreement",
    "top1_agreement_se",
    "rms_delta_p",
    "rms_delta_p_se",
    "mean_delta_p",
    "mean_delta_p_se",
    "class",
    "class_is_certain",
    "reference",
    "noise_floor_kl_divergence_nats",
    "text_digest",
    "chunk_tokens",
    "chunks",
    "scored_tokens",
];

/// One row for each candidate; a column that has no value in a row is empty.
#[must_use]
pub fn csv(report: &QualityReport) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).expect("memory takes a row");
    let shared = shared(report);
    for one in &report.candidates {
        let row = own(one).into_iter().chain(against(one.against.as_ref()));
        writer.write_record(row.chain(shared.clone())).expect("rows are of equal length");
    }
    let bytes = writer.into_inner().expect("memory can always be flushed");
    String::from_utf8(bytes).expect("only text was written")
}

fn own(one: &CandidateQuality) -> [String; 7] {
    [
        clean(&one.model),
        clean(&one.variation),
        clean(one.file_type.as_deref().unwrap_or_default()),
        one.file_bytes.0.to_string(),
        number(one.bits_per_weight),
        number(one.perplexity),
        optional(one.perplexity_se),
    ]
}

fn against(it: Option<&AgainstReference>) -> [String; 16] {
    let Some(it) = it else { return Default::default() };
    let divergence = &it.kl_divergence;
    [
        number(it.ln_perplexity_ratio),
        optional(it.ln_perplexity_ratio_se),
        number(divergence.mean),
        optional(divergence.se),
        number(divergence.median),
        number(divergence.p90),
        number(divergence.p99),
        number(divergence.max),
        number(it.top1_agreement),
        optional(it.top1_agreement_se),
        number(it.rms_delta_p),
        optional(it.rms_delta_p_se),
        number(it.mean_delta_p),
        optional(it.mean_delta_p_se),
        it.class.to_string(),
        it.class_is_certain.to_string(),
    ]
}

fn shared(report: &QualityReport) -> [String; 6] {
    let reference = report.reference.as_ref();
    let model = |it: &QualitySubject| clean(&it.model);
    let text = &report.text;
    [
        reference.map(model).unwrap_or_default(),
        optional(report.noise_floor.as_ref().map(|floor| floor.kl_divergence)),
        clean(&text.digest),
        text.chunk_tokens.to_string(),
        text.chunks.to_string(),
        text.scored_tokens.to_string(),
    ]
}

/// A number, or nothing where it is none.
fn number(value: f64) -> String {
    optional(Some(value))
}

fn optional(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(String::new, |value| value.to_string())
}
