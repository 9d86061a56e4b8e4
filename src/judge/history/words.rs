//! Why a series is what it is, and what to do about it: one sentence each.

use crate::stats::{CHANGE_POINTS_FROM, Drift, Instability, LevelChange};

use super::HistorySeries;
use super::search::value;

/// Why, and what to do.
pub(super) type Told = (String, String);

pub(super) fn thin(sessions: usize) -> Told {
    (
        format!("{sessions} of the {CHANGE_POINTS_FROM} sessions that a search needs"),
        format!("record {} more", plural(CHANGE_POINTS_FROM.saturating_sub(sessions), "session")),
    )
}

pub(super) fn unstable(why: &Instability) -> Told {
    let why = match why {
        Instability::Bimodal { gap, alternations } => format!(
            "two levels {} apart take turns: {alternations} times from one to the other",
            percent(gap.exp_m1())
        ),
        Instability::TooManyChanges { changes } => {
            format!("{changes} changes of level, more than one in 15 sessions")
        }
        Instability::Autocorrelated { correlation } => format!(
            "the level wanders: each session resembles the one before (correlation \
             {correlation:.2})"
        ),
    };
    (why, "pin clocks, threads and NUMA nodes, and record again".to_owned())
}

pub(super) fn step(series: &HistorySeries, suspect: &LevelChange, level: f64) -> Told {
    let why =
        format!("{}, p = {:.1e} within {level:.1e}", change(series, suspect), suspect.p_value);
    (why, look_at(series, suspect))
}

pub(super) fn doubtful(series: &HistorySeries, suspect: &LevelChange, level: f64) -> Told {
    let why = format!(
        "{}, but p = {:.1e} is above the {level:.1e} that a failure needs",
        change(series, suspect),
        suspect.p_value
    );
    (why, format!("record more sessions, or {}", look_at(series, suspect)))
}

pub(super) fn cannot_fail(
    series: &HistorySeries,
    suspect: &LevelChange,
    level: f64,
    needed: usize,
) -> Told {
    let why = format!(
        "{}; cannot fail: needs {} after it for p = {level:.1e}, has {}",
        change(series, suspect),
        plural(needed, "session"),
        suspect.points_after
    );
    (why, format!("record {} more", plural(needed - suspect.points_after, "session")))
}

pub(super) fn drift(series: &HistorySeries, drifted: &Drift, level: f64) -> Told {
    let why = format!(
        "worse by {} than the level from session {} (`{}`) on, more than twice the {} allowed, \
         although no recent step fails; p = {:.1e} within {level:.1e}",
        percent(drifted.difference.exp_m1()),
        drifted.from + 1,
        series.labels[drifted.from],
        percent(series.delta),
        drifted.p_value
    );
    let last = series.labels.last().map_or("", String::as_str);
    (
        why,
        format!(
            "compare `{}` with `{last}`, or accept it with --accept",
            series.labels[drifted.from]
        ),
    )
}

pub(super) fn blind(
    minimum_detectable: Option<f64>,
    blind_above: f64,
    sessions_needed: Option<usize>,
) -> Told {
    match (minimum_detectable, sessions_needed) {
        (Some(least), _) => (
            format!(
                "only a slowdown of {} or more would be seen, and {} is the most that is worth a \
                 verdict",
                percent(least),
                percent(blind_above)
            ),
            "record more sessions, or lower the noise: pin clocks, threads and NUMA nodes"
                .to_owned(),
        ),
        (None, Some(needed)) => (
            format!("cannot fail: needs {}", plural(needed, "session")),
            format!("record until there are {}", plural(needed, "session")),
        ),
        (None, None) => (
            "no slowdown would be seen: the recent sessions are too few".to_owned(),
            "count more sessions as recent".to_owned(),
        ),
    }
}

/// How much worse, since when, and from what to what.
fn change(series: &HistorySeries, change: &LevelChange) -> String {
    format!(
        "worse by {} since session {} of {} (`{}`): {} to {} {}",
        percent((change.after - change.before).exp_m1()),
        change.index + 1,
        series.values.len(),
        series.labels[change.index],
        figure(value(series.better, change.before)),
        figure(value(series.better, change.after)),
        series.unit
    )
}

fn look_at(series: &HistorySeries, change: &LevelChange) -> String {
    let (first, last) = (&series.labels[change.range.0], &series.labels[change.range.1]);
    if first == last {
        return format!("look at what changed with `{first}`, or accept it with --accept");
    }
    format!("look at what changed from `{first}` to `{last}`, or accept it with --accept")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Four significant digits, without an exponent.
fn figure(value: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "an exponent of ten")]
    let whole = value.log10().floor() as i32;
    let digits = usize::try_from(3 - whole).unwrap_or(0);
    format!("{value:.digits$}")
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
