//! Properties over generated and damaged files.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_break_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for tool in Tool::ALL {
            let _ = import(tool, &bytes, &Options::default());
        }
        let _ = detect(&bytes);
    }

    #[test]
    fn no_damage_breaks_a_reader(
        which in 0..FIXTURES.len(),
        cut in any::<prop::sample::Index>(),
        damage in "[\\PC\n,;:\"{}\\[\\]0-9.eE\u{0}-]{0,6}",
        removed in 0..9_usize,
    ) {
        let text = FIXTURES[which].1.as_bytes();
        let at = cut.index(text.len());
        let rest = text.get(at + removed..).unwrap_or_default();
        let bytes = [&text[..at], damage.as_bytes(), rest].concat();
        for tool in Tool::ALL {
            let merged = Options { repeated: Repeated::Merged, ..Options::default() };
            for options in [Options::default(), merged] {
                if let Ok(imported) = import(tool, &bytes, &options) {
                    prop_assert!(!imported.cells.is_empty());
                    for cell in &imported.cells {
                        prop_assert!(!cell.samples.is_empty());
                        prop_assert!(cell.samples.iter().all(|x| x.is_finite() && *x > 0.0));
                        let labels = cell.labels.len();
                        prop_assert!(labels == 0 || labels == cell.samples.len());
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_come_back(values in proptest::collection::vec(1e-300..1e300_f64, 1..20)) {
        let list = serde_json::to_string(&values).unwrap();
        let each = |spelled: fn(&f64) -> String| values.iter().map(spelled).collect::<Vec<_>>();
        let table = each(|value| format!("{value:?}")).join("\n");
        let lines = each(|value| format!("BenchmarkA 1 {value:?} x/op")).join("\n");
        let row = |value: &f64| {
            format!(r#"{{"name": "a", "real_time": {value:?}, "time_unit": "s"}}"#)
        };
        let rows = each(row).join(",");
        for (tool, text) in [
            (Tool::Hyperfine, format!(r#"{{"results": [{{"command": "a", "times": {list}}}]}}"#)),
            (Tool::LlamaBench, format!(r#"{{"n_prompt": 1, "n_gen": 0, "samples_ts": {list}}}"#)),
            (Tool::GoogleBenchmark, format!(r#"{{"benchmarks": [{rows}]}}"#)),
            (Tool::GoBench, lines),
            (Tool::Csv, format!("seconds\n{table}")),
        ] {
            let imported = import(tool, text.as_bytes(), &Options::default()).unwrap();
            prop_assert_eq!(&imported.cells[0].samples, &values, "{}", tool);
        }
    }
}
