//! What has to be known about candidates beside their numbers, one sentence each.

use super::super::super::format;
use super::super::super::machine::clean;
use super::super::words;
use super::on_front;
use crate::model::QuantizationStudy;

/// Why nothing is known of quality, where speed alone was measured.
pub(super) const SPEED_ONLY: &str =
    "speed only: the weights are noise, so nothing is known of quality";

/// About single candidates: ties, those left out, fallbacks, twins.
pub(super) fn of_candidates(study: &QuantizationStudy) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(tied) = study.choice.as_ref().map(|it| &it.tied).filter(|tied| !tied.is_empty()) {
        all.push(format!("as fast as the choice as far as can be told: {}", tied.join(", ")));
    }
    for one in &study.candidates {
        all.extend(one.left_out.iter().map(|why| format!("left out: {}: {why}", one.name)));
    }
    for one in &study.candidates {
        let fallbacks = one.fallbacks.iter();
        all.extend(fallbacks.map(|what| format!("not what was asked for: {}: {what}", one.name)));
    }
    for one in &study.candidates {
        all.extend(one.same_as.iter().map(|twin| {
            format!("{} has the very contents of {twin}, which was measured in its place", one.name)
        }));
    }
    all.into_iter().map(|text| clean(&text)).collect()
}

/// About how to read the table.
pub(super) fn of_table(study: &QuantizationStudy) -> Vec<String> {
    let mut all = vec![format!("asked for: {}", wish(study))];
    if study.candidates.iter().any(|one| on_front(study, one)) {
        all.push("front (*): no other is better in something and worse in nothing".to_owned());
    }
    let speeds = study.candidates.iter().filter_map(|one| one.decode_tok_per_s);
    let confidence = speeds.map(|it| it.confidence).next();
    all.extend(confidence.map(|level| {
        format!("± of a speed is half of its {} interval", format::confidence(level))
    }));
    all
}

/// What the choice had to keep to.
pub(super) fn wish(study: &QuantizationStudy) -> String {
    let limit = study.memory_limit_bytes.map(|limit| format!("at most {limit} of memory"));
    let class = (!study.speed_only).then(|| format!("at least `{}`", study.floor));
    let wished: Vec<String> = class.into_iter().chain(limit).collect();
    match wished.as_slice() {
        [] => "the fastest".to_owned(),
        wished => format!("{}, and of those the fastest", wished.join(", ")),
    }
}

/// About how quality was measured.
pub(super) fn of_quality(study: &QuantizationStudy) -> Vec<String> {
    let Some(report) = &study.quality else {
        let why = if study.speed_only { SPEED_ONLY } else { "quality was not measured" };
        return vec![why.to_owned()];
    };
    let mut all = vec![format!("text: {}; {}", words::source(report), words::read(report))];
    all.extend(words::noise(report));
    all.push(format!("stopped: {}", words::stopped(report.stopped)));
    all.extend(words::open(report));
    all.push("± of a divergence is one standard error, clustered by chunk".to_owned());
    all.push(words::classes());
    all.extend(report.notes.iter().map(|note| clean(note)));
    all
}

/// Everything, as it stands below a table.
pub(super) fn all(study: &QuantizationStudy) -> Vec<String> {
    let mut all = of_table(study);
    all.extend(of_candidates(study));
    all.extend(of_quality(study));
    all.extend(study.notes.iter().map(|note| clean(note)));
    all
}
