//! Two profiles beside each other.

use serde::{Deserialize, Serialize};

use crate::model::activity::CommandProfile;
use crate::model::{LatencyProfile, ModelProfile, Profile, Subject};
use crate::stats::Estimate;

/// Two profiles beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`Comparison::SCHEMA`].
    pub schema: String,
    /// What was profiled before, in words.
    pub before: String,
    /// What was profiled after, in words.
    pub after: String,
    /// One row per figure that either has.
    pub rows: Vec<ComparedFigure>,
}

impl Comparison {
    /// Version of the document.
    pub const SCHEMA: &'static str = "autotune.profile-comparison/1";
}

/// A figure before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedFigure {
    /// Its name.
    pub name: String,
    /// Its unit; empty for words.
    pub unit: String,
    /// Before, with its interval where it has one.
    pub before: Option<Shown>,
    /// After.
    pub after: Option<Shown>,
    /// After over before; `None` for words, and where one is missing or 0.
    pub ratio: Option<f64>,
    /// Whether the two intervals leave each other alone; `None` where one has no interval.
    pub apart: Option<bool>,
}

/// A value of a profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shown {
    /// A number, perhaps with the ends of its interval.
    Number {
        /// The value.
        value: f64,
        /// The interval.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ends: Option<(f64, f64)>,
    },
    /// Words.
    Words(String),
}

/// A figure of one profile: its name, unit and value.
type Figure = (String, &'static str, Shown);

/// Puts two profiles beside each other; why that makes no sense, where it does not.
pub fn compare(before: &Profile, after: &Profile) -> Result<Comparison, String> {
    let (old, new) = (figures(&before.subject), figures(&after.subject));
    if std::mem::discriminant(&before.subject) != std::mem::discriminant(&after.subject) {
        return Err("a model and a command have nothing to compare".to_owned());
    }
    let mut rows: Vec<ComparedFigure> = Vec::new();
    for (name, unit, _) in old.iter().chain(&new) {
        if rows.iter().any(|row| row.name == *name) {
            continue;
        }
        let find = |figures: &[Figure]| {
            figures.iter().find(|(other, ..)| other == name).map(|(.., shown)| shown.clone())
        };
        let (before, after) = (find(&old), find(&new));
        rows.push(ComparedFigure {
            name: name.clone(),
            unit: (*unit).to_owned(),
            ratio: ratio(before.as_ref(), after.as_ref()),
            apart: apart(before.as_ref(), after.as_ref()),
            before,
            after,
        });
    }
    Ok(Comparison {
        schema: Comparison::SCHEMA.to_owned(),
        before: words(&before.subject),
        after: words(&after.subject),
        rows,
    })
}

fn ratio(before: Option<&Shown>, after: Option<&Shown>) -> Option<f64> {
    match (before?, after?) {
        (Shown::Number { value: old, .. }, Shown::Number { value: new, .. }) if *old > 0.0 => {
            Some(new / old)
        }
        _ => None,
    }
}

fn apart(before: Option<&Shown>, after: Option<&Shown>) -> Option<bool> {
    match (before?, after?) {
        (Shown::Number { ends: Some(old), .. }, Shown::Number { ends: Some(new), .. }) => {
            Some(old.1 < new.0 || new.1 < old.0)
        }
        _ => None,
    }
}

fn words(subject: &Subject) -> String {
    match subject {
        Subject::Model(model) => {
            let variant = model.setting.process.isa_variant.as_ref();
            format!(
                "{}, {} threads{}",
                model.description,
                model.setting.threads.threads,
                variant.map_or_else(String::new, |name| format!(", CPU variant {name}"))
            )
        }
        Subject::Command(command) => command.command.join(" "),
        Subject::Counters(counters) => counters.source.clone(),
    }
}

fn figures(subject: &Subject) -> Vec<Figure> {
    match subject {
        Subject::Model(model) => of_model(model),
        Subject::Command(command) => of_command(command),
        Subject::Counters(counters) => counters
            .metrics
            .iter()
            .map(|metric| {
                let known = ["%", "GB/s", "GHz", "/s", "W"];
                let unit = known.into_iter().find(|unit| metric.unit == *unit).unwrap_or("");
                (metric.title(), unit, number(metric.value))
            })
            .collect(),
    }
}

fn number(value: f64) -> Shown {
    Shown::Number { value, ends: None }
}

fn estimate(estimate: &Estimate, factor: f64) -> Shown {
    let ends = estimate.low.zip(estimate.high).map(|(low, high)| (low * factor, high * factor));
    Shown::Number { value: estimate.value * factor, ends }
}

fn of_model(model: &ModelProfile) -> Vec<Figure> {
    let mut figures: Vec<Figure> = Vec::new();
    for phase in &model.phases {
        let word = phase.stretch.word();
        figures.push(match &phase.tok_per_s {
            Some(rate) => (word.to_owned(), "tok/s", estimate(rate, 1.0)),
            None => (word.to_owned(), "s", number(phase.elapsed_s.value)),
        });
        figures.push((format!("processors busy in {word}"), "", number(phase.cores_busy)));
        if let Some(joules) = phase.joules_per_token {
            figures.push((format!("energy in {word}"), "J/token", number(joules)));
        }
    }
    figures.extend(of_latency(&model.latency));
    for bottleneck in &model.bottlenecks {
        let bound = Shown::Words(bottleneck.bound.words().to_owned());
        figures.push((format!("{} is", bottleneck.stretch.word()), "", bound));
    }
    for roof in &model.rooflines {
        let word = roof.stretch.word();
        let percent = |share: f64| number(share * 100.0);
        figures.extend(
            roof.bandwidth_share.map(|it| (format!("memory used in {word}"), "%", percent(it))),
        );
        figures.extend(
            roof.arithmetic_share.map(|it| (format!("units used in {word}"), "%", percent(it))),
        );
    }
    if let Some(bytes) = model.memory.peak_resident_bytes {
        figures.push(("memory".to_owned(), "MiB", number(bytes.0 as f64 / f64::from(1 << 20))));
    }
    for table in &model.components {
        let own = table.parts.iter().filter(|part| part.ms > 0.0);
        figures.extend(own.map(|part| {
            (format!("{}: {}", table.stretch.word(), part.name), "ms", number(part.ms))
        }));
    }
    figures
}

fn of_command(command: &CommandProfile) -> Vec<Figure> {
    let mut figures: Vec<Figure> = vec![
        ("class".to_owned(), "", Shown::Words(command.class.words().to_owned())),
        ("time".to_owned(), "s", number(command.duration_s)),
        ("processor time".to_owned(), "s", number(command.cpu.user_s + command.cpu.system_s)),
        ("processors in use".to_owned(), "", number(command.cpu.mean_cores)),
    ];
    figures.extend(command.shares.iter().map(|share| {
        let name = share.wait.map_or("using processors", |wait| wait.words());
        (name.to_owned(), "%", number(share.share * 100.0))
    }));
    let memory = command.memory.peak_bytes.0 as f64 / f64::from(1 << 20);
    figures.push(("memory".to_owned(), "MiB", number(memory)));
    for card in &command.cards {
        let name = card.name.as_deref().unwrap_or("card");
        figures
            .extend(card.busy.map(|busy| (format!("{name} computing"), "%", number(busy * 100.0))));
    }
    figures
}

fn of_latency(latency: &LatencyProfile) -> Vec<Figure> {
    let ms = |name: &str, time: Option<f64>| {
        time.map(|time| (name.to_owned(), "ms", number(time * 1e3)))
    };
    let first = latency.ttft_s.as_ref();
    let mut figures: Vec<Figure> = Vec::new();
    figures.extend(first.map(|time| ("first token".to_owned(), "ms", estimate(time, 1e3))));
    figures.extend(ms("token p50", latency.token_p50_s));
    figures.extend(ms("token p90", latency.token_p90_s));
    figures.extend(ms("token p99", latency.token_p99_s));
    figures.extend(ms("longest token", latency.token_max_s));
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(value: f64, low: f64, high: f64) -> Shown {
        Shown::Number { value, ends: Some((low, high)) }
    }

    #[test]
    fn a_change_counts_only_where_intervals_leave_each_other_alone() {
        let (old, new) = (between(10.0, 9.0, 11.0), between(20.0, 19.0, 21.0));
        assert_eq!(ratio(Some(&old), Some(&new)), Some(2.0));
        assert_eq!(apart(Some(&old), Some(&new)), Some(true));
        assert_eq!(apart(Some(&old), Some(&between(10.5, 8.0, 12.0))), Some(false));
        assert_eq!(apart(Some(&old), Some(&number(5.0))), None);
        assert_eq!(ratio(Some(&number(0.0)), Some(&new)), None);
        assert_eq!(ratio(None, Some(&new)), None);
    }
}
