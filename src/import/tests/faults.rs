//! What is wrong with files, and what is said of it.

use super::*;

#[test]
fn what_llama_bench_writes_for_people_is_named() {
    for text in [
        "| model | size | params | backend | threads | test | t/s |\n| --- | --- |\n",
        "CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n",
    ] {
        let error = refused(Tool::LlamaBench, text);
        assert!(matches!(error, ImportError::ForPeople { .. }), "{error}");
        assert!(error.hint().unwrap().contains("-o json"));
        assert_eq!(detect(text.as_bytes()), Some(Tool::LlamaBench));
    }
}

#[test]
fn lines_of_go_that_are_no_results_are_told_or_refused() {
    let good = "BenchmarkA-8 100 5 ns/op\n";
    for line in ["  100  5 ns/op", "BenchmarkB-8 log output", "--- SKIP: BenchmarkB"] {
        let imported = read(Tool::GoBench, &format!("{good}{line}\n"));
        assert_eq!((imported.cells.len(), imported.notes.len()), (1, 1), "{line}");
        assert!(imported.notes[0].starts_with("line 2 "), "{:?}", imported.notes);
    }
    let changed = format!("cpu: one\n{good}cpu: two\n{good}");
    let imported = read(Tool::GoBench, &changed);
    assert_eq!(imported.cells[0].samples.len(), 2);
    assert_eq!(imported.notes, ["`cpu` is not the same all through the file"]);
    for (line, words) in [
        ("BenchmarkB-8 100 5", "a value without its unit (line 1)"),
        ("BenchmarkB-8 100", "a result without values (line 1)"),
        ("BenchmarkB-8 100 x ns/op", "a value of `B-8` (line 1) is `x`, not a number"),
        ("BenchmarkB-8 100 NaN ns/op", "`B-8 sec/op` (line 1) is NaN, not a finite number"),
        ("BenchmarkB-8 100 0 ns/op", "`B-8 sec/op` (line 1) is 0, and only values above zero"),
        ("BenchmarkB-8 100 1e999 ns/op", "beyond what 64 bits can hold"),
        ("BenchmarkB-8 100 -5 B/op", "`B-8 B/op` (line 1) is -5"),
        ("PASS", "holds no measurement of gobench"),
    ] {
        let error = refused(Tool::GoBench, line).to_string();
        assert!(error.contains(words), "{line}: {error}");
    }
}

#[test]
fn tables_that_do_not_say_enough_are_refused() {
    for (text, words) in [
        ("a,b\n1,2\n", "cannot tell which column holds the values: `a`, `b`"),
        ("a,b\nx,y\n", "no column is all numbers"),
        ("time,tok_per_s\n1767312000,50\n", "`time`, `tok_per_s`"),
        ("value\n5\n", "cannot tell whether more is better in column `value`"),
        ("a,value_ms\nx,5\ny,\n", "`value_ms` of `value_ms` (line 3) is blank, not a number"),
        ("a,value_ms\nx,5\ny,\"1,5\"\n", "is `1,5`, not a number"),
        ("a,value_ms\nx,5\ny,inf\n", "is inf, not a finite number"),
        ("a,value_ms\nx,5\ny,0\n", "is 0, and only values above zero"),
        ("a,value_ms\nx,5\ny\n", "a row of 1 values under 2 headings (line 3)"),
        ("a,value_ms\n", "holds no measurement of csv"),
        ("value,unit\n5,ms\n6,tok/s\n", "is in s and in tok/s (line 3)"),
        ("unit,unit,t_ms\ns,s,1\n", "two columns `unit`"),
    ] {
        let error = refused(Tool::Csv, text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    let columns = Columns { value: Some("speed".to_owned()), ..Columns::default() };
    let options = Options { columns, ..Options::default() };
    let error = import(Tool::Csv, TABLE.as_bytes(), &options).unwrap_err();
    assert!(error.to_string().contains("no column `speed`, only `commit`, `date`"), "{error}");
}

#[test]
fn another_tools_file_is_named_as_such() {
    for (asked, _) in FIXTURES {
        for (written, text) in FIXTURES {
            if asked == written {
                continue;
            }
            let error = import(asked, text.as_bytes(), &Options::default()).unwrap_err();
            assert_eq!(
                error,
                ImportError::NotThisFormat { tool: asked, looks_like: written },
                "{asked} {written}"
            );
            assert_eq!(error.hint(), Some(format!("try --from {written}")));
        }
    }
}

#[test]
fn files_without_anything_say_so() {
    for tool in Tool::ALL {
        assert_eq!(refused(tool, " \n"), ImportError::Empty);
        let error = import(tool, b"\xff\xfe[\0", &Options::default()).unwrap_err();
        assert!(error.hint().unwrap().contains("UTF-16"), "{error}");
    }
    for (tool, text) in [
        (Tool::LlamaBench, "[]"),
        (Tool::Hyperfine, r#"{"results": []}"#),
        (Tool::GoogleBenchmark, r#"{"benchmarks": []}"#),
        (Tool::Criterion, r#"{"reason": "group-complete"}"#),
    ] {
        let error = refused(tool, text);
        assert_eq!(error, ImportError::NoCells { tool, left_out: None });
        assert_eq!(error.hint(), Some(tool.recipe().to_owned()));
    }
    let error = refused(Tool::Hyperfine, r#"{"results": [{"command": "a", "mean": 1}]}"#);
    assert!(matches!(error, ImportError::SummariesOnly { .. }), "{error}");
}

#[test]
fn values_that_cannot_be_compared_are_named_with_their_place() {
    let hyperfine = |times: &str| {
        let text = format!(r#"{{"results": [{{"command": "a\u001b", "times": {times}}}]}}"#);
        refused(Tool::Hyperfine, &text).to_string()
    };
    let place = "`a\\u{1b}` (results[0].times[1])";
    assert_eq!(
        hyperfine("[1, 0]"),
        format!("{place} is 0, and only values above zero can be compared")
    );
    assert_eq!(
        hyperfine("[1, -1e-3]"),
        format!("{place} is -0.001, and only values above zero can be compared")
    );
    assert!(hyperfine("[1, NaN]").ends_with("is NaN, not a finite number"));
    assert!(hyperfine("[1, 1e400]").starts_with("a number is beyond"));
    assert!(hyperfine("[1, null]").contains("invalid type: null"));
}

#[test]
fn names_are_bounded_and_never_confused() {
    let long = |middle: &str| format!("{}{middle}{}", "a".repeat(200), "b".repeat(200));
    let text = |first: &str, second: &str| format!("name,t_ms\n{first},1\n{second},2\n{first},3\n");
    let columns = Columns { names: vec!["name".to_owned()], ..Columns::default() };
    let options = Options { columns, ..Options::default() };
    let read = |text: String| import(Tool::Csv, text.as_bytes(), &options);
    let imported = read(text(&long(""), &format!("c{}", long("")))).unwrap();
    assert_eq!(imported.cells[0].samples, [0.001, 0.003]);
    assert!(imported.cells.iter().all(|cell| cell.name.chars().count() == MAX_NAME_CHARS));
    let error = read(text(&long("x"), &long("y"))).unwrap_err();
    assert!(matches!(error, ImportError::NamesAlike { .. }), "{error}");
    let control = read(text("\u{1b}[31mred", "x")).unwrap();
    assert_eq!(control.cells[0].name, "\u{1b}[31mred");
}

#[test]
fn more_cells_than_are_held_are_refused() {
    use std::fmt::Write;
    let mut text = String::new();
    for number in 0..=MAX_CELLS {
        writeln!(text, "BenchmarkA{number} 1 5 ns/op").unwrap();
    }
    let error = refused(Tool::GoBench, &text);
    assert_eq!(error, ImportError::TooMany { what: "cells", limit: MAX_CELLS });
    let error = refused(Tool::Csv, &",".repeat(20_000)).to_string();
    assert!(error.contains("more than 10000 columns (the heading)"), "{error}");
}
