//! What one look at quality says beside its numbers, the same in every output.

use super::super::format;
use super::super::machine::clean;
use super::figures;
use crate::model::{
    CandidateQuality, QualityClass, QualityReport, QualityStop, QualitySubject, TextSource,
};

/// The last part of a path, in the spelling of any system.
pub(super) fn file_name(path: &str) -> &str {
    let name = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or_default();
    if name.is_empty() { path } else { name }
}

/// What each candidate is called: its file and what is varied, with folders where two files have
/// one name.
pub(super) fn names(report: &QualityReport) -> Vec<String> {
    let called =
        |one: &CandidateQuality, file: &str| clean(format!("{file} {}", one.variation).trim_end());
    let short = |one: &CandidateQuality| called(one, file_name(&one.model));
    let candidates = &report.candidates;
    let name = |one: &CandidateQuality| {
        let short_name = short(one);
        let alone = candidates.iter().filter(|other| short(other) == short_name).count() < 2;
        if alone { short_name } else { called(one, &one.model) }
    };
    candidates.iter().map(name).collect()
}

/// What stands above the table, each with a word in front.
pub(super) fn facts(report: &QualityReport) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(report.reference.as_ref().map(|it| ("reference", reference(report, it))));
    facts.push(("text", text(report)));
    facts.push(("engine", engine(report)));
    let seconds = format::seconds(report.elapsed_ms as f64 / 1000.0);
    facts.push(("made", format!("{}, in {seconds}", report.created_at)));
    facts.into_iter().map(|(name, fact)| (name, clean(&fact))).collect()
}

/// llama.cpp and its version.
pub(super) fn engine(report: &QualityReport) -> String {
    let isa = report.isa_variant.as_ref().map(|isa| format!(", CPU variant {isa}"));
    let version = report.engine.trim_start_matches("llama.cpp").trim_start();
    clean(&format!("llama.cpp {version}{}", isa.unwrap_or_default()))
}

fn reference(report: &QualityReport, it: &QualitySubject) -> String {
    let kind = it.file_type.as_ref().map(|kind| format!(", {kind}"));
    let own = |one: &&CandidateQuality| one.model == it.model && one.variation.is_empty();
    let perplexity = report.candidates.iter().find(own).map(|one| {
        format!(", perplexity {}", figures::doubtful(one.perplexity, one.perplexity_se))
    });
    format!(
        "{}{}, {} bits per weight, {}{}",
        file_name(&it.model),
        kind.unwrap_or_default(),
        figures::bits(it.bits_per_weight),
        it.file_bytes,
        perplexity.unwrap_or_default()
    )
}

/// Where the text comes from.
pub(super) fn source(report: &QualityReport) -> String {
    clean(&match &report.text.source {
        TextSource::File { path } => file_name(path).to_owned(),
        TextSource::Reference { seed } => {
            format!("drawn from the reference's own distribution (seed {seed})")
        }
        TextSource::Builtin => "the corpus within autotune".to_owned(),
    })
}

/// What was read of it.
pub(super) fn read(report: &QualityReport) -> String {
    let text = &report.text;
    format!(
        "{} of {} of {} tokens, {} tokens scored",
        format::count(text.chunks.into()),
        format::plural(text.chunks_available as usize, "chunk"),
        format::count(text.chunk_tokens.into()),
        format::count(text.scored_tokens)
    )
}

fn text(report: &QualityReport) -> String {
    format!("{}; {}", source(report), read(report))
}

/// What stands below the table, one sentence each.
pub(super) fn remarks(report: &QualityReport) -> Vec<String> {
    let mut remarks: Vec<String> = noise(report).into_iter().collect();
    remarks.push(format!("stopped: {}", stopped(report.stopped)));
    remarks.extend(open(report));
    remarks.extend(below(report));
    let compared = report.candidates.iter().any(|one| one.against.is_some());
    if compared {
        remarks.push(classes());
    }
    remarks.push(meaning(compared).to_owned());
    remarks.extend(report.notes.iter().map(|note| clean(note)));
    remarks
}

/// The reference against itself.
pub(super) fn noise(report: &QualityReport) -> Option<String> {
    report.reference.as_ref()?;
    Some(match &report.noise_floor {
        None => "noise floor: the reference was not run against itself".to_owned(),
        Some(floor) => {
            let tokens = format::count(floor.tokens);
            if floor.kl_divergence == 0.0 && floor.top1_agreement >= 1.0 {
                format!("noise floor: the reference against itself is exactly 0 ({tokens} tokens)")
            } else {
                format!(
                    "noise floor: the reference against itself has a KL divergence of {} and {} of \
                     tokens the same ({tokens} tokens); less than that cannot be told from it",
                    figures::doubtful(floor.kl_divergence, None),
                    figures::share(floor.top1_agreement, None)
                )
            }
        }
    })
}

/// Why no more was read, as the end of a sentence.
pub(super) fn stopped(why: QualityStop) -> &'static str {
    match why {
        QualityStop::Asked => "as many chunks as asked for were read",
        QualityStop::Separated => "neighbours are apart and every class is certain",
        QualityStop::Budget => "the time was over",
        QualityStop::TextEnded => "the text ended",
        QualityStop::Interrupted => "it was interrupted",
    }
}

/// Whose class more text could change.
pub(super) fn open(report: &QualityReport) -> Option<String> {
    let doubted = |one: &CandidateQuality| {
        one.against.as_ref().is_some_and(|against| !against.class_is_certain)
    };
    let all = names(report).into_iter().zip(&report.candidates);
    let names: Vec<String> = all.filter(|(_, one)| doubted(one)).map(|(name, _)| name).collect();
    (!names.is_empty()).then(|| {
        let them = names.join(", ");
        format!("open: the interval reaches into another class (marked ?): {them}")
    })
}

fn below(report: &QualityReport) -> Option<String> {
    let floor = report.floor?;
    let fails = |one: &CandidateQuality| one.against.as_ref().is_some_and(|it| it.class < floor);
    let all = names(report).into_iter().zip(&report.candidates);
    let names: Vec<String> = all.filter(|(_, one)| fails(one)).map(|(name, _)| name).collect();
    Some(match names.as_slice() {
        [] => format!("floor `{floor}`: every candidate keeps it"),
        names => format!("floor `{floor}`: not kept by {}", names.join(", ")),
    })
}

/// The classes and their limits.
pub(super) fn classes() -> String {
    let limits = QualityClass::LIMITS.map(|(class, limit)| match limit {
        limit if limit.is_finite() => format!("{class} ≤ {limit}"),
        _ => format!("{class} above"),
    });
    format!(
        "classes by mean KL divergence in nats: {}; limits are autotune's own; a KL divergence is \
         no score of a task",
        limits.join(", ")
    )
}

fn meaning(compared: bool) -> &'static str {
    if compared {
        "± is one standard error, clustered by chunk; 99 % is the KL divergence that one token in \
         a hundred exceeds; same top is the share of tokens with the same likeliest next token"
    } else {
        "± is one standard error, clustered by chunk; perplexities compare models only where \
         tokens and text are the same, and are no score of a task"
    }
}

/// A class, with a mark where more text could change it.
pub(super) fn class(one: &CandidateQuality) -> String {
    one.against.as_ref().map_or_else(
        || figures::NONE.to_owned(),
        |it| format!("{}{}", it.class, if it.class_is_certain { "" } else { " ?" }),
    )
}
