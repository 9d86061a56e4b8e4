//! Reports of the fixture: goldens, well-formedness, hostile text, every verdict.
//!
//! `AUTOTUNE_UPDATE_GOLDENS=1 cargo test --release render::` rewrites the goldens.

use std::path::PathBuf;

use autotune_engine::api::Setting;
use jiff::Timestamp;

use super::{Format, Report, Run, Templates, fixture, report, view};
use crate::model::{Findings, Outcome, Plan, Profile, QuantizationStudy, Subject, Trial, Verdict};
use crate::stats::Separation;

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn rendered(plan: &Plan, trials: &[Trial], findings: &Findings) -> Report {
    let machine = &fixture::machine();
    report(
        &Run {
            machine,
            plan,
            trials,
            findings,
            profile: None,
            verification: None,
            quantization: None,
            unsound: &[],
        },
        now(),
    )
    .unwrap()
}

fn seen(plan: &Plan, trials: &[Trial], findings: &Findings) -> view::ReportView {
    let machine = &fixture::machine();
    view(
        &Run {
            machine,
            plan,
            trials,
            findings,
            profile: None,
            verification: None,
            quantization: None,
            unsound: &[],
        },
        now(),
    )
}

fn full() -> Report {
    rendered(&fixture::plan(), &fixture::trials(), &fixture::findings())
}

/// A run in which nothing at all is known.
fn bare() -> (Plan, Vec<Trial>, Findings) {
    let (mut plan, mut findings) = (fixture::plan(), fixture::findings());
    plan.axes.clear();
    plan.variants.clear();
    plan.baseline_notes.clear();
    plan.model.types.clear();
    for candidate in [&mut findings.baseline, &mut findings.best] {
        candidate.setting = fixture::default();
        candidate.prefill_tok_per_s = None;
        candidate.decode_tok_per_s = None;
        candidate.turn_s = None;
        candidate.ttft_s = None;
        candidate.itl_p50_s = None;
        candidate.itl_p99_s = None;
        candidate.peak_resident_bytes = None;
        candidate.buffers.clear();
        candidate.evidence.clear();
    }
    findings.verdict = Verdict::Unconfirmed { reason: "every trial failed".into() };
    findings.curves.clear();
    findings.effects.clear();
    findings.failures.clear();
    findings.tied_with.clear();
    findings.trials_measured = 0;
    findings.noise = None;
    let mut trial = fixture::trials().remove(0);
    trial.outcome = Outcome::not_run("no time");
    (plan, vec![trial], findings)
}

pub(super) fn golden(name: &str, text: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "goldens", name].iter().collect();
    if std::env::var_os("AUTOTUNE_UPDATE_GOLDENS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let line = kept.lines().zip(text.lines()).position(|(kept, now)| kept != now);
    assert!(
        kept == text,
        "{} differs from line {:?}; AUTOTUNE_UPDATE_GOLDENS=1 rewrites it",
        path.display(),
        line.map(|line| line + 1)
    );
}

/// Walks every tag: nothing unclosed, nothing crossed. Raw text of `style` is skipped.
pub(super) fn balanced(markup: &str) -> Result<usize, String> {
    const VOID: [&str; 4] = ["meta", "!doctype", "br", "input"];
    let (mut open, mut tags, mut rest) = (Vec::new(), 0, markup);
    while let Some(start) = rest.find('<') {
        let end = rest[start..].find('>').ok_or("a tag without its end")? + start;
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        tags += 1;
        let name =
            tag.trim_start_matches('/').split(|c: char| c.is_whitespace() || c == '/').next();
        let name = name.unwrap_or_default().to_lowercase();
        if tag.starts_with('/') {
            let last = open.pop().unwrap_or_default();
            if last != name {
                return Err(format!("</{name}> closes <{last}>"));
            }
        } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            if ["style", "script"].contains(&name.as_str()) {
                let end = format!("</{name}>");
                rest = &rest[rest.find(&end).ok_or("raw text without its end")?..];
            }
            open.push(name);
        }
    }
    if open.is_empty() { Ok(tags) } else { Err(format!("left open: {open:?}")) }
}

#[test]
fn the_markdown_is_the_golden_one() {
    golden("report.md", &full().markdown);
}

#[test]
fn the_page_is_the_golden_one() {
    golden("report.html", &full().html);
}

#[test]
fn a_bare_run_is_the_golden_one() {
    let (plan, trials, findings) = bare();
    golden("report-bare.md", &rendered(&plan, &trials, &findings).markdown);
}

#[test]
fn the_page_is_well_formed_self_contained_and_small() {
    let (plan, trials, findings) = bare();
    for page in [full().html, rendered(&plan, &trials, &findings).html] {
        assert!(balanced(&page).unwrap() > 100);
        for outside in ["<script ", "<link", "<img", "<iframe", "@import", "url(", "src=\""] {
            assert!(!page.contains(outside), "{outside}");
        }
        let foreign =
            page.matches("http").count() - page.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(foreign, 0);
        assert!(page.len() < 2_000_000);
        assert_eq!(page.matches("<h1").count(), 1);
        assert_eq!(page.matches("<script>").count(), 1, "the page's own, and none from a name");
    }
}

#[test]
fn every_link_has_its_anchor_once() {
    let page = full().html;
    for link in page.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().unwrap();
        assert_eq!(page.matches(&format!("id=\"{anchor}\"")).count(), 1, "{anchor}");
    }
}

#[test]
fn a_hostile_model_name_is_text_everywhere() {
    let report = full();
    assert!(report.html.contains("&lt;script&gt;alert(1)"));
    assert!(!report.markdown.contains("<script>alert"));
    assert!(report.markdown.contains(r"\<script\>alert(1)"));
    assert!(!report.html.contains("SIGSEGV <b>"));
}

#[test]
fn plots_are_deterministic_well_formed_and_described() {
    let (one, two) = (full().plots, full().plots);
    assert_eq!(one, two);
    let names: Vec<_> = one.iter().map(|(name, _)| name.as_str()).collect();
    for wanted in [
        "threads-decode",
        "threads-batch-prefill",
        "ubatch-prefill",
        "flash-attention-decode",
        "isa-variant-prefill",
        "context-memory",
        "speed-memory-front",
        "token-latency",
        "optimization-log",
        "timeline",
    ] {
        for end in ["svg", "csv"] {
            let wanted = format!("{wanted}.{end}");
            assert!(names.contains(&wanted.as_str()), "{wanted} is not in {names:?}");
        }
    }
    let (csvs, svgs): (Vec<_>, Vec<_>) =
        one.iter().partition(|(name, _)| name.split('.').next_back() == Some("csv"));
    assert_eq!(csvs.len(), svgs.len(), "each picture has its numbers");
    for (name, csv) in csvs {
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let rows = reader.records().map(Result::unwrap).count();
        assert!(rows > 0, "{name}: no numbers behind the picture");
    }
    for (name, svg) in svgs {
        balanced(svg).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert!(svg.contains("role=\"img\" aria-label=\"") && svg.contains("<title>"), "{name}");
        assert!(!svg.contains("#0102"), "{name} has a key colour left");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{name}");
    }
}

#[test]
fn only_a_proven_gain_offers_the_tuned_command_first() {
    let (plan, trials) = (fixture::plan(), fixture::trials());
    let first_command = |verdict: Verdict| {
        let findings = Findings { verdict, ..fixture::findings() };
        seen(&plan, &trials, &findings).summary.command
    };
    let confirmed = |separation| Verdict::Confirmed {
        turn: fixture::change(1.1, separation),
        prefill: None,
        decode: None,
        evidence: vec![43],
    };
    let tuned = first_command(confirmed(Separation::Faster));
    assert!(tuned.code.contains("--threads 6") && tuned.label.contains("tuned"), "{}", tuned.code);
    for verdict in [
        confirmed(Separation::NotSeparated),
        confirmed(Separation::Slower),
        Verdict::Unconfirmed { reason: "no time".into() },
    ] {
        let kept = first_command(verdict);
        assert!(
            kept.code.contains("--threads 8") && kept.label.contains("default"),
            "{}",
            kept.code
        );
    }
}

#[test]
fn a_simulated_run_and_random_weights_are_marked_in_both_formats() {
    let mut plan = fixture::plan();
    plan.engine.synthetic = true;
    plan.engine.name = "sim".into();
    plan.model.synthetic = true;
    let report = rendered(&plan, &fixture::trials(), &fixture::findings());
    for text in [report.markdown.to_lowercase(), report.html.to_lowercase()] {
        assert!(text.contains("simulated run") && text.contains("random weights"));
        assert!(text.contains("crashes here"));
    }
}

#[test]
fn sections_stand_in_the_order_of_the_contract() {
    let view = seen(&fixture::plan(), &fixture::trials(), &fixture::findings());
    let order: Vec<_> = view.sections.iter().map(|section| section.id).collect();
    assert_eq!(
        order.join(" "),
        "metrics environment bottleneck utilization threads affinity context variants quantization \
         gpu-layers batching memory latency counters log options actions production validation \
         commands method"
    );
    for section in &view.sections {
        assert_eq!(section.missing.is_some(), section.blocks.is_empty(), "{}", section.id);
    }
}

#[test]
fn a_template_of_ones_own_is_escaped_and_its_mistakes_are_placed() {
    let view = seen(&fixture::plan(), &fixture::trials(), &fixture::findings());
    let own = |format, name: &str, text: &str| {
        Templates::built_in().with(format, name.into(), text.into()).render(format, &view)
    };
    let page = own(Format::Html, "mine.html", "{{ report.title }}").unwrap();
    assert!(page.starts_with("Llama 3.2 1B &lt;script&gt;"), "{page}");
    let text = own(Format::Markdown, "mine.md", "{{ report.title | md }}").unwrap();
    assert!(text.contains(r"\<script\>"), "{text}");
    let wrong = own(Format::Html, "mine.html", "a\n{{ report.titel }}");
    assert_eq!(wrong.unwrap_err().to_string(), "the template mine.html does not work (line 2)");
}

#[test]
fn strange_numbers_do_not_break_a_report() {
    let (plan, trials, mut findings) = (fixture::plan(), fixture::trials(), fixture::findings());
    for curve in &mut findings.curves {
        for point in &mut curve.points {
            point.tok_per_s = Some(fixture::estimate(0.0, 0.0, 1));
            point.efficiency = Some(f64::NAN);
        }
    }
    let nothing = fixture::estimate(f64::NAN, 0.0, 0);
    findings.best.decode_tok_per_s = Some(nothing);
    let far: Setting = fixture::tuned();
    findings.tied_with = vec![far; 50];
    let report = rendered(&plan, &trials, &findings);
    assert!(balanced(&report.html).is_ok() && !report.html.contains("NaN"));
}

#[test]
fn a_profile_fills_its_sections() {
    let profile: Profile =
        serde_json::from_str(include_str!("../../tests/goldens/profile.json")).unwrap();
    let (machine, plan) = (&fixture::machine(), &fixture::plan());
    let (trials, mut findings) = (&fixture::trials(), fixture::findings());
    let other = Run {
        machine,
        plan,
        trials,
        findings: &findings,
        profile: Some(&profile),
        verification: None,
        quantization: None,
        unsound: &[],
    };
    let bottleneck = |view: &view::ReportView| {
        view.sections.iter().find(|section| section.id == "bottleneck").unwrap().missing.clone()
    };
    assert!(bottleneck(&view(&other, now())).is_some(), "it is of another setting");
    let Subject::Model(model) = &profile.subject else { panic!("it is of a model") };
    findings.best.effective = Some(model.setting.clone());
    let run = Run {
        machine,
        plan,
        trials,
        findings: &findings,
        profile: Some(&profile),
        verification: None,
        quantization: None,
        unsound: &[],
    };
    let filled = view(&run, now());
    for id in ["bottleneck", "utilization", "counters"] {
        let section = filled.sections.iter().find(|section| section.id == id).unwrap();
        assert!(section.missing.is_none(), "{id}");
    }
    let report = report(&run, now()).unwrap();
    assert!(report.markdown.contains("feed-forward") && report.html.contains("feed-forward"));
    assert!(report.plots.iter().any(|(name, _)| name == "roofline.svg"));
    assert!(balanced(&report.html).is_ok());
}

#[test]
fn a_study_beside_a_run_fills_its_section() {
    let study = serde_json::from_str(include_str!("../../tests/goldens/quantization.json"));
    let study: QuantizationStudy = study.unwrap();
    let (machine, plan) = (&fixture::machine(), &fixture::plan());
    let (trials, findings) = (&fixture::trials(), &fixture::findings());
    let run = Run {
        machine,
        plan,
        trials,
        findings,
        profile: None,
        verification: None,
        quantization: Some(&study),
        unsound: &[],
    };
    let report = report(&run, now()).unwrap();
    for page in [&report.markdown, &report.html] {
        for part in ["Q4_K_S: the fastest of 4", "Speed priority", "Candidates, the largest first"]
        {
            assert!(page.contains(part), "{part}");
        }
    }
    assert!(report.plots.iter().any(|(name, _)| name == "quantization-speed.svg"));
    assert!(balanced(&report.html).is_ok());
    let without = full().markdown;
    assert!(without.contains("`autotune sweep --model F16.gguf --quant auto`"), "{without}");
}
