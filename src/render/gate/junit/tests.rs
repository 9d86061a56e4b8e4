use super::super::fixture;
use super::*;

fn read(report: &GateReport, undecided: Undecided) -> (Report, String) {
    let xml = junit(report, undecided);
    (Report::deserialize_from_str(&xml).expect("well-formed"), xml)
}

fn cases(document: &Report) -> Vec<&TestCase> {
    document.test_suites.iter().flat_map(|suite| &suite.test_cases).collect()
}

fn shown(document: &Report) -> Vec<(String, String)> {
    let status = |case: &TestCase| match &case.status {
        TestCaseStatus::Success { .. } => "success".to_owned(),
        TestCaseStatus::Skipped { .. } => "skipped".to_owned(),
        TestCaseStatus::NonSuccess { kind, ty, .. } => {
            format!("{kind:?} {}", ty.as_ref().map_or("", |ty| ty.as_str()))
        }
    };
    let mut all: Vec<_> =
        cases(document).into_iter().map(|it| (it.name.to_string(), status(it))).collect();
    all.sort();
    all
}

#[test]
fn every_standing_has_its_element() {
    let (document, _) = read(&fixture::report(), Undecided::Skipped);
    let expected = [
        ("fresh/tg128", "skipped"),
        ("gone/tg128", "Failure missing"),
        ("tiny-f16/tg128", "Error not-comparable"),
        ("tiny-q4_0/tg128", "success"),
        ("tiny-q8_0/load", "skipped"),
        ("tiny-q8_0/memory", "skipped"),
        ("tiny-q8_0/pp512", "skipped"),
        ("tiny-q8_0/tg128", "Failure regression"),
    ];
    let expected = expected.map(|(name, status)| (name.to_owned(), status.to_owned()));
    assert_eq!(shown(&document), expected);
    assert_eq!((document.tests, document.failures, document.errors), (8, 2, 1));
    assert_eq!(document.skipped, 4);
}

#[test]
fn the_undecided_fail_where_they_were_told_to() {
    let mut report = fixture::report();
    let status = |report: &GateReport| {
        let (document, _) = read(report, Undecided::Failed);
        shown(&document).into_iter().find(|it| it.0 == "tiny-q8_0/pp512").unwrap().1
    };
    assert_eq!(status(&report), "Failure inconclusive");
    report.cells[3].reason = Some(GateReason::Environment);
    assert_eq!(status(&report), "Error environment");
    report.cells[3].weight = Weight::Advisory;
    assert_eq!(status(&report), "skipped");
    assert_eq!(Undecided::of(&report), Undecided::Skipped);
    (report.verdict, report.exit_code) = (GateVerdict::Inconclusive, 3);
    assert_eq!(Undecided::of(&report), Undecided::Failed);
}

#[test]
fn figures_are_properties_and_time_is_the_gates() {
    let (document, _) = read(&fixture::report(), Undecided::Skipped);
    assert_eq!(document.time, Some(Duration::from_secs(252)));
    let cases = cases(&document);
    let case = cases.iter().find(|case| case.name.as_str() == "tiny-q8_0/tg128").unwrap();
    let property = |name| {
        let found = case.properties.iter().find(|it| it.name.as_str() == name);
        found.map(|it| it.value.as_str())
    };
    assert_eq!((property("slowdown"), property("limit")), (Some("0.048"), Some("0.02")));
    assert!(case.time.is_none());
    assert!(case.system_out.as_ref().unwrap().contains("[+3.5, +6.1]"));
}

#[test]
fn hostile_names_stay_text() {
    let (document, xml) = read(&fixture::hostile(), Undecided::Skipped);
    assert_eq!(cases(&document).len(), 8);
    assert!(!xml.contains("<script>") && xml.contains("&lt;script&gt;"));
    let forbidden = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{fffe}' | '\u{ffff}')
    };
    assert!(!xml.contains(forbidden));
}

#[test]
fn a_build_whose_verdict_no_cell_shows_is_a_case_of_its_own() {
    let mut report = fixture::passed();
    (report.verdict, report.exit_code) = (GateVerdict::NotComparable, 3);
    let (document, _) = read(&report, Undecided::Skipped);
    assert_eq!((document.tests, document.errors), (2, 1));
    let (document, _) = read(&fixture::selftest(), Undecided::Skipped);
    assert_eq!(shown(&document), [("verdict".to_owned(), "success".to_owned())]);
    let (document, _) = read(&fixture::history(), Undecided::Skipped);
    assert_eq!((document.tests, document.failures, document.skipped), (2, 1, 1));
}
