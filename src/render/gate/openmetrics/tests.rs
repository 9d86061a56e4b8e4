use std::collections::{BTreeMap, BTreeSet};

use super::super::fixture;
use super::*;

/// Samples by name and labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads the text strictly, after the ABNF of `OpenMetrics` 1.0, as far as gauges go.
fn read(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF and a line break");
    let mut samples = Samples::new();
    let mut closed = BTreeSet::new();
    let mut family = String::new();
    for line in body.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            family = described.strip_suffix(" gauge").expect("a gauge").to_owned();
            assert!(closed.insert(family.clone()), "{family} comes twice");
        } else if let Some(unit) = line.strip_prefix("# UNIT ") {
            let (name, unit) = unit.split_once(' ').unwrap();
            assert!(name == family && name.ends_with(&format!("_{unit}")), "{line}");
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.split_once(' ').is_some_and(|it| it.0 == family), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            assert_eq!(name, family, "{line}");
            let before = samples.insert((name, labels), value);
            assert_eq!(before, None, "{line} comes twice");
        }
    }
    samples
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (name, mut rest) = line.split_once('{').expect(line);
    let mut labels = BTreeMap::new();
    loop {
        let (label, after) = rest.split_once("=\"").expect(line);
        assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        let (value, after) = quoted(after);
        assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
        if let Some(more) = after.strip_prefix(',') {
            rest = more;
            continue;
        }
        let number = after.strip_prefix("} ").expect(line);
        return (name.to_owned(), labels, number.parse().expect(line));
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => match letters.next().map(|it| it.1) {
                Some('n') => value.push('\n'),
                Some(escaped @ ('\\' | '"')) => value.push(escaped),
                other => panic!("no escape: {other:?}"),
            },
            letter => value.push(letter),
        }
    }
    panic!("no closing quote: {text}")
}

#[test]
fn every_value_is_read_back_with_three_digits() {
    let mut report = fixture::report();
    report.cells[0].slowdown = Some(0.048_214_9);
    let samples = read(&openmetrics(&report));
    let value = |name: &str, wanted: &str| {
        let found = samples.iter().find(|((family, labels), _)| {
            family == name && labels.get("cell").is_some_and(|cell| cell == wanted)
        });
        found.map(|it| *it.1)
    };
    assert_eq!(value("autotune_gate_slowdown_ratio", "tiny-q8_0/tg128"), Some(0.0482));
    assert_eq!(value("autotune_gate_head", "tiny-q8_0/load"), Some(0.461));
    assert_eq!(value("autotune_gate_slowdown_ratio", "gone/tg128"), None);
}

#[test]
fn exactly_one_verdict_is_set() {
    let samples = read(&openmetrics(&fixture::report()));
    let set = samples
        .iter()
        .filter(|((name, _), value)| name == "autotune_gate_verdict" && **value > 0.0);
    let words: Vec<&str> = set.map(|((_, labels), _)| labels["verdict"].as_str()).collect();
    assert_eq!(words, ["fail"]);
}

#[test]
fn hostile_names_and_numbers_keep_the_grammar() {
    let mut report = fixture::hostile();
    report.cells[0].slowdown = Some(f64::NAN);
    report.cells[1].base = Some(f64::INFINITY);
    let text = openmetrics(&report);
    let samples = read(&text);
    assert!(samples.len() > 8 && !text.contains("NaN") && !text.contains("inf"));
    assert_eq!(read(&openmetrics(&fixture::selftest())).len(), 6);
}
