//! Two runs as one document, by the same templates as a single one.

use jiff::Timestamp;
use serde::Serialize;

use super::plot::phase_word;
use super::view::{
    BlockView, CellView, CodeView, FactView, MarkView, MetricView, ReportView, SectionView,
    SummaryView, Tone,
};
use super::{Run, document, engine, format, hardware, marks, summary, unsound, verdict};
use crate::knob::Tool;
use crate::model::{ComparedRun, Comparison, Curve, Level};
use crate::stats::Separation;

/// What templates see of two runs.
#[must_use]
pub fn comparison<M: Serialize>(
    first: &Run<'_, M>,
    second: &Run<'_, M>,
    found: &Comparison,
    now: Timestamp,
) -> ReportView {
    let machines = [first, second].map(|run| document(run.machine));
    let [a, b] = [first, second].map(|run| summary::model_name(&run.plan.model));
    let mut all_marks: Vec<MarkView> = Vec::new();
    for ((name, run), machine) in [("A", first), ("B", second)].into_iter().zip(&machines) {
        for mark in unsound(run).chain(marks(machine, run.plan, run.findings)) {
            all_marks.push(MarkView { text: format!("{name}: {}", mark.text), ..mark });
        }
    }
    ReportView {
        schema: super::VIEW_SCHEMA,
        title: if a == b { format!("{a}: two runs") } else { format!("{a} and {b}") },
        command: format!("A: {}\nB: {}", found.first.command, found.second.command),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        measured_at: format!("{} and {}", found.first.created_at, found.second.created_at),
        rendered_at: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        renderer: env!("CARGO_PKG_VERSION").to_owned(),
        machine: format!(
            "A: {}; B: {}",
            hardware::one_line(&machines[0]),
            hardware::one_line(&machines[1])
        ),
        engine: if first.plan.engine == second.plan.engine {
            engine(first.plan)
        } else {
            format!("A: {}; B: {}", engine(first.plan), engine(second.plan))
        },
        marks: all_marks,
        summary: first_screen(first, second, &machines, found),
        sections: vec![
            differs(found),
            settings(found),
            gains(found),
            curves(first, second),
            commands(first, second, found),
        ],
        trials: Vec::new(),
    }
}

fn first_screen<M>(
    first: &Run<'_, M>,
    second: &Run<'_, M>,
    machines: &[serde_json::Value; 2],
    found: &Comparison,
) -> SummaryView {
    let (tone, headline, interval, sentence) = words(found);
    let fact = |name: &str, value: String| FactView { name: name.to_owned(), value };
    let run = |run: &Run<'_, M>, machine, side: &ComparedRun| {
        format!(
            "{} on {}, {}",
            summary::model_name(&run.plan.model),
            hardware::one_line(machine),
            if side.tuned { "tuned" } else { "the default" }
        )
    };
    SummaryView {
        tone,
        headline,
        interval,
        sentence,
        facts: vec![
            fact("A", run(first, &machines[0], &found.first)),
            fact("B", run(second, &machines[1], &found.second)),
        ],
        metrics: metrics(found),
        tuned: true,
        columns: ["A", "B", "Speed, B over A"].map(str::to_owned),
        targets: false,
        steps: Vec::new(),
        command: command(second, &found.second, "Run what B recommends"),
        evidence: Vec::new(),
    }
}

/// The verdict by rules: which is faster for a whole turn, or why that cannot be said.
fn words(found: &Comparison) -> (Tone, String, String, String) {
    let passed = if found.differs.is_empty() {
        "Nothing but the time of the runs differs".to_owned()
    } else {
        let what: Vec<&str> = found.differs.iter().map(|it| it.what.as_str()).collect();
        format!("Besides the time of the runs these differ: {}", what.join(", "))
    };
    let caution = "The two were not measured in interleaved pairs: what changed between the runs is in the \
                   ratio, and not in its interval.";
    if let Some(why) = &found.not_comparable {
        let sentence = format!(
            "{}; speeds stand side by side without a ratio. {passed}.",
            verdict::sentence(why).trim_end_matches('.')
        );
        return (Tone::Open, "Two different workloads".into(), String::new(), sentence);
    }
    let Some(turn) = &found.turn else {
        let sentence = format!("At least one of the runs measured no whole turn. {passed}.");
        return (Tone::Open, "Not comparable".into(), String::new(), sentence);
    };
    let figure = format::change(turn);
    let headline = match turn.separation {
        Separation::Faster => format!("B is faster: {}", figure.text),
        Separation::Slower => format!("B is slower: {}", figure.text),
        Separation::NotSeparated => "~ No detectable difference".into(),
    };
    let interval = format!(
        "{} interval {}, not paired",
        format::confidence(turn.speed_ratio.confidence),
        figure.detail
    );
    (verdict::tone(turn), headline, interval, format!("{passed}. {caution}"))
}

fn metrics(found: &Comparison) -> Vec<MetricView> {
    let changes = [found.turn, found.prefill, found.decode];
    let sides = [&found.first, &found.second].map(|side| summary::cells(&side.recommended));
    let [first, second] = sides;
    let rows = first.into_iter().zip(second).enumerate();
    rows.map(|(at, ((name, default), (_, tuned)))| MetricView {
        name,
        default,
        tuned,
        change: verdict::cell_or_none(changes.get(at).and_then(|it| it.as_ref())),
        target: CellView::none(),
    })
    .collect()
}

fn side_by_side(
    caption: &str,
    head: &'static str,
    rows: impl Iterator<Item = [String; 3]>,
) -> BlockView {
    let rows = rows.map(|row| row.map(CellView::plain).to_vec()).collect();
    BlockView::table(caption, &[(head, false), ("A", false), ("B", false)], rows)
}

fn differs(found: &Comparison) -> SectionView {
    let (id, title) = ("differences", "What else differs");
    if found.differs.is_empty() {
        let why = "Machine, engine, model and workload are the same, as far as the documents tell.";
        return SectionView::missing(id, title, why);
    }
    let rows =
        found.differs.iter().map(|it| [it.what.clone(), it.first.clone(), it.second.clone()]);
    SectionView::of(id, title, vec![side_by_side("Facts that differ", "Fact", rows)])
}

fn settings(found: &Comparison) -> SectionView {
    let (id, title) = ("settings", "Recommended settings");
    if found.settings.is_empty() {
        return SectionView::missing(id, title, "Both runs recommend the same setting.");
    }
    let rows = found
        .settings
        .iter()
        .map(|it| [it.knob.clone(), it.first.to_string(), it.second.to_string()]);
    SectionView::of(id, title, vec![side_by_side("Knobs that differ", "Knob", rows)])
}

fn gains(found: &Comparison) -> SectionView {
    let row = |name: &str, side: &ComparedRun| {
        let gain =
            side.gain.map_or_else(|| CellView::plain("none proven"), |it| verdict::cell(&it));
        vec![CellView::plain(name), gain]
    };
    let rows = vec![row("A", &found.first), row("B", &found.second)];
    let columns = [("Run", false), ("Tuned over its own default, paired", true)];
    let table = BlockView::table("What tuning gave in each run", &columns, rows);
    SectionView::of("gains", "Gain of each run", vec![table])
}

fn curves<M>(first: &Run<'_, M>, second: &Run<'_, M>) -> SectionView {
    let other = |curve: &Curve| {
        let mut all = second.findings.curves.iter();
        all.find(|it| (&it.knob, it.phase) == (&curve.knob, curve.phase))
    };
    let tables: Vec<BlockView> = first
        .findings
        .curves
        .iter()
        .filter_map(|curve| Some(curve_table(curve, other(curve)?)))
        .collect();
    let (id, title) = ("curves", "Curves of both");
    if tables.is_empty() {
        return SectionView::missing(id, title, "No curve was measured in both runs.");
    }
    SectionView::of(id, title, tables)
}

fn curve_table(first: &Curve, second: &Curve) -> BlockView {
    let mut levels: Vec<_> =
        first.points.iter().chain(&second.points).map(|point| &point.level).collect();
    levels.sort();
    levels.dedup();
    let cell = |curve: &Curve, level: &Level| {
        let point = curve.points.iter().find(|point| point.level == *level);
        let rate = point.and_then(|point| point.tok_per_s);
        rate.map_or_else(CellView::none, |rate| format::rate(&rate).into())
    };
    let rows = levels.into_iter().map(|level| {
        vec![CellView::plain(level.to_string()), cell(first, level), cell(second, level)]
    });
    let caption = format!("{}, {}", first.knob, phase_word(first.phase));
    let columns = [("Level", false), ("A", true), ("B", true)];
    BlockView::table(caption, &columns, rows.collect())
}

fn commands<M>(first: &Run<'_, M>, second: &Run<'_, M>, found: &Comparison) -> SectionView {
    let blocks = vec![
        BlockView::Code(command(first, &found.first, "What A recommends")),
        BlockView::Code(command(second, &found.second, "What B recommends")),
    ];
    SectionView::of("commands", "Ready commands", blocks)
}

fn command<M>(run: &Run<'_, M>, side: &ComparedRun, label: &str) -> CodeView {
    summary::code(run.plan, &side.recommended.setting, Tool::LlamaServer, label)
}
