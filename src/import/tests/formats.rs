//! What comes out of each format.

use super::*;

#[test]
fn each_file_is_known_by_its_beginning() {
    for (tool, text) in FIXTURES {
        assert_eq!(detect(text.as_bytes()), Some(tool));
    }
    for text in ["", "[]", "{}", "hello\nworld\n", "\u{feff}"] {
        assert_eq!(detect(text.as_bytes()), None, "{text}");
    }
    for tool in Tool::ALL {
        assert_eq!(tool.word().parse(), Ok(tool));
    }
    assert!("llama".parse::<Tool>().unwrap_err().contains("llama-bench, hyperfine"));
}

#[test]
fn llama_bench_gives_each_repetition_of_each_test() {
    let model = "qwen2.5-0.5b-instruct-q4_k_m";
    let wanted = [
        ("pp512 n_threads=4", "pp", [151.2, 150.75, 152.125]),
        ("pp512 n_threads=8", "pp", [262.5, 260.25, 261.0]),
        ("tg128", "tg", [48.25, 48.5, 47.875]),
        ("pp256+tg64", "pp+tg", [101.5, 102.25, 100.75]),
        ("tg128 @ d4096", "tg", [31.125, 31.25, 30.875]),
    ];
    let array = read(Tool::LlamaBench, LLAMA_ARRAY);
    assert_eq!(array, read(Tool::LlamaBench, LLAMA_LINES));
    let table = read(Tool::LlamaBench, LLAMA_TABLE);
    assert_eq!((array.cells.len(), table.cells.len()), (5, 5));
    for ((cell, mean), (name, metric, samples)) in array.cells.iter().zip(&table.cells).zip(wanted)
    {
        assert_eq!(
            (cell.name.as_str(), cell.metric.as_str()),
            (&*format!("{model}/{name}"), metric)
        );
        assert_eq!((cell.unit.as_str(), cell.better), ("tok/s", Better::Higher));
        assert_eq!((cell.group.as_str(), cell.independent), (model, Independence::Repetitions));
        assert_eq!(cell.samples, samples);
        assert_eq!((&mean.name, mean.samples.len()), (&cell.name, 1));
    }
    assert_eq!((array.commit.as_deref(), array.synthetic), (Some("3f1ae2c8"), false));
    assert!(array.notes.is_empty(), "{:?}", array.notes);
}

#[test]
fn what_this_program_writes_is_read() {
    for text in [OWN_ARRAY, OWN_TABLE] {
        assert_eq!(detect(text.as_bytes()), Some(Tool::LlamaBench));
        let imported = read(Tool::LlamaBench, text);
        let pairs = [[256.0, 204.8], [80.0, 64.0], [256.0, 204.8], [80.0, 64.0]];
        let names = ["m/pp512", "m/pp256+tg64", "m/pp512 @ d32", "m/pp256+tg64 @ d32"];
        for ((cell, name), pair) in imported.cells.iter().zip(names).zip(pairs) {
            assert_eq!((cell.name.as_str(), cell.samples.as_slice()), (name, pair.as_slice()));
        }
        assert_eq!((imported.cells.len(), imported.notes.len()), (4, 2));
        assert!(imported.notes[0].starts_with("`m/tg128` is left out: out-of-memory: cannot"));
    }
}

#[test]
fn what_failed_is_a_note() {
    let text = r#"[{"n_prompt": 512, "n_gen": 0, "model_filename": "a\\m.gguf", "isa_variant": "avx2",
        "samples_ts": [2, 3.5], "outcome": "measured", "synthetic_times": true},
      {"n_prompt": 512, "n_gen": 0, "model_filename": "a\\m.gguf", "isa_variant": null,
        "avg_ts": null, "samples_ts": [], "outcome": "out-of-memory", "reason": "40 GiB\n"}]"#;
    let imported = read(Tool::LlamaBench, text);
    assert_eq!(listed(&imported), [("m/pp512", "tok/s", [2.0, 3.5].as_slice())]);
    assert_eq!(imported.notes[0], "`m/pp512` is left out: out-of-memory: 40 GiB\\n");
    assert!(imported.synthetic && imported.commit.is_none());
    let error = refused(Tool::LlamaBench, &text.replace("[2, 3.5]", "null"));
    assert!(error.to_string().contains("`m/pp512` is left out: measured"), "{error}");
}

#[test]
fn appended_runs_are_merged_only_when_asked() {
    let once = LLAMA_LINES;
    let twice = format!("{once}{}", once.replace("3f1ae2c8", "81b0c44a"));
    let error = refused(Tool::LlamaBench, &twice);
    assert!(matches!(&error, ImportError::Repeated { place, .. } if place == "test 6"), "{error}");
    assert!(error.hint().unwrap().contains("--merge"));
    let options = Options { repeated: Repeated::Merged, ..Options::default() };
    let merged = import(Tool::LlamaBench, twice.as_bytes(), &options).unwrap();
    assert_eq!((merged.cells.len(), merged.cells[0].samples.len()), (5, 6));
    assert_eq!(merged.notes, ["the file has results of 2 builds: 3f1ae2c8, 81b0c44a"]);
    assert_eq!(merged.commit, None);
}

#[test]
fn hyperfine_gives_the_time_of_each_run() {
    let imported = read(Tool::Hyperfine, HYPERFINE);
    let name = "./sort-old --threads 4 threads=4";
    let times = [0.508, 0.511, 0.5195, 0.5103];
    assert_eq!(
        listed(&imported),
        [(name, "s", times.as_slice()), ("./flaky", "s", [1.0, 1.5].as_slice())]
    );
    assert_eq!(imported.cells[0].independent, Independence::Runs);
    assert_eq!(imported.notes.len(), 1);
    assert!(imported.notes[0].starts_with("`./flaky`: 1 of 2 runs"), "{:?}", imported.notes);
}

#[test]
fn google_benchmark_gives_the_repetitions_and_no_summary() {
    let imported = read(Tool::GoogleBenchmark, GOOGLE);
    assert_eq!(listed(&imported), [("BM_Multiply/64", "s", [65e-6, 66e-6].as_slice())]);
    assert_eq!(imported.cells[0].group, "BM_Multiply");
    let notes = imported.notes.join("\n");
    for words in ["debugging", "cannot open weights.bin", "`BM_Sort` is left out", "2 rows are"] {
        assert!(notes.contains(words), "{notes}");
    }
    let error = refused(Tool::GoogleBenchmark, &GOOGLE.replace("\"iteration\"", "\"aggregate\""));
    assert!(error.hint().unwrap().contains("report_aggregates_only"), "{error}");
    let error = refused(
        Tool::GoogleBenchmark,
        &GOOGLE.replace("\"repetition_index\": 1", "\"repetition_index\": 0"),
    );
    assert!(matches!(error, ImportError::Repeated { .. }), "{error}");
    let error = refused(Tool::GoogleBenchmark, &GOOGLE.replace("4.0330000000000000e+09", "NaN"));
    assert!(matches!(error, ImportError::NotFinite { .. }), "{error}");
}

#[test]
fn google_benchmark_once_said_less() {
    let old = r#"{"benchmarks": [{"name": "BM_A", "real_time": 5, "cpu_time": 4},
        {"name": "BM_A_mean", "real_time": 5, "cpu_time": 4, "time_unit": "ns"}]}"#;
    let imported = read(Tool::GoogleBenchmark, old);
    assert_eq!(listed(&imported), [("BM_A", "s", [5e-9].as_slice())]);
    for (text, words) in [
        (old.replace("\"real_time\": 5, ", ""), "`BM_A` has no real_time (benchmarks[0])"),
        (old.replace("\"cpu_time\": 4}", "\"time_unit\": \"h\"}"), "`h` is no unit of time"),
    ] {
        let error = refused(Tool::GoogleBenchmark, &text).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn go_benchmarks_are_one_cell_per_package_name_and_unit() {
    let imported = read(Tool::GoBench, GO);
    let decode = "example.org/codec/Decode/text=digits-8";
    let names: Vec<(&str, &str, usize)> = imported
        .cells
        .iter()
        .map(|cell| (cell.name.as_str(), cell.unit.as_str(), cell.samples.len()))
        .collect();
    assert_eq!(
        names,
        [
            (&*format!("{decode} sec/op"), "sec/op", 2),
            (&*format!("{decode} B/s"), "B/s", 2),
            (&*format!("{decode} B/op"), "B/op", 2),
            (&*format!("{decode} allocs/op"), "allocs/op", 2),
            ("example.org/codec/Hash-8 sec/op", "sec/op", 1),
            ("example.org/codec/Hash-8 frames", "frames", 1),
            ("example.org/codec/internal/Hash-8 sec/op", "sec/op", 1),
            ("example.org/codec/internal/Hash-8 p99-sec", "p99-sec", 1),
        ]
    );
    assert_eq!(imported.cells[0].samples, [154_125e-9, 153_210e-9]);
    assert_eq!(imported.cells[1].samples, [64.88 * 1e6, 65.27 * 1e6]);
    let kinds: Vec<_> = imported.cells.iter().map(|cell| (cell.better, cell.class)).collect();
    assert_eq!(kinds[1], (Better::Higher, GateClass::Timing));
    assert_eq!(kinds[2], (Better::Lower, GateClass::Memory));
    assert_eq!(kinds[5], (Better::Higher, GateClass::Timing));
    assert_eq!(
        imported.zero,
        ["example.org/codec/Hash-8 B/op", "example.org/codec/Hash-8 allocs/op"]
    );
    let notes = imported.notes.join("\n");
    for words in ["Encode-8", "`widgets` is left out", "B/op` is left out: a value of it is zero"] {
        assert!(notes.contains(words), "{notes}");
    }
    let options = Options { better: Some(Better::Lower), ..Options::default() };
    let told = import(Tool::GoBench, GO.as_bytes(), &options).unwrap();
    assert_eq!(told.cells.len(), 9);
}

#[test]
fn criterion_gives_the_time_per_iteration() {
    let imported = read(Tool::Criterion, CRITERION_SAMPLE);
    assert_eq!(listed(&imported), [("benchmark", "s", [100e-9, 105e-9, 98e-9].as_slice())]);
    let options = Options { name: Some("sort/1000".to_owned()), ..Options::default() };
    let named = import(Tool::Criterion, CRITERION_SAMPLE.as_bytes(), &options).unwrap();
    assert_eq!((&*named.cells[0].name, &*named.cells[0].group), ("sort/1000", "sort"));
    let imported = read(Tool::Criterion, CRITERION_MESSAGES);
    assert_eq!(
        listed(&imported),
        [
            ("sort/1000", "s", [1.25e-6, 1.2e-6].as_slice()),
            ("sort/cycles", "cycles", [3500.0, 3550.0].as_slice())
        ]
    );
    let error = refused(Tool::Criterion, r#"{"iters": [1, 2], "times": [5]}"#);
    assert!(matches!(error, ImportError::LengthsDiffer { values: 1, counts: 2, .. }), "{error}");
    let error = refused(Tool::Criterion, r#"{"iters": [0], "times": [5]}"#);
    assert_eq!(error.to_string(), "`benchmark` (message 1, sample 1) is inf, not a finite number");
    let text = CRITERION_MESSAGES.replace("sort/cycles", "sort/1000");
    let options = Options { repeated: Repeated::Merged, ..Options::default() };
    let error = import(Tool::Criterion, text.as_bytes(), &options).unwrap_err();
    assert_eq!(error.to_string(), "`sort/1000` is in s and in cycles (message 2)");
}

#[test]
fn a_table_says_which_column_is_which() {
    let columns = Columns {
        names: vec!["model".to_owned(), "test".to_owned()],
        label: Some("commit".to_owned()),
        ..Columns::default()
    };
    let options = Options { columns, ..Options::default() };
    let imported = import(Tool::Csv, TABLE.as_bytes(), &options).unwrap();
    assert_eq!(
        listed(&imported),
        [
            ("qwen-0.5b/tg128", "tok/s", [48.5, 48.25].as_slice()),
            ("qwen-0.5b/tg512", "tok/s", [44.0].as_slice())
        ]
    );
    let cell = &imported.cells[0];
    assert_eq!((&*cell.metric, &*cell.group), ("decode_tok_per_s", "qwen-0.5b"));
    assert_eq!((cell.better, cell.independent), (Better::Higher, Independence::Runs));
    assert_eq!(cell.labels, ["3f1ae2c", "81b0c44"]);
    let alone = read(Tool::Csv, TABLE);
    assert_eq!((alone.cells.len(), &*alone.cells[0].name), (1, "decode_tok_per_s"));
    assert_eq!(alone.cells[0].independent, Independence::Repetitions);
    let imported = read(Tool::Csv, "run;load_ms\n1;250\n2;\"260\"\n\n");
    assert_eq!(listed(&imported), [("load_ms", "s", [0.25, 0.26].as_slice())]);
    let columns = Columns { names: vec!["name".to_owned()], ..Columns::default() };
    let options = Options { columns, ..Options::default() };
    let rows = b"name,value,unit\na,5,us\nb,7,tok/s\na,6,us\n";
    let imported = import(Tool::Csv, rows, &options).unwrap();
    assert_eq!(
        listed(&imported),
        [("a", "s", [5e-6, 6e-6].as_slice()), ("b", "tok/s", [7.0].as_slice())]
    );
    let columns = Columns { unit: Some("ms".to_owned()), ..Columns::default() };
    let options = Options { columns, better: Some(Better::Higher), ..Options::default() };
    let imported = import(Tool::Csv, b"value\n5\n", &options).unwrap();
    assert_eq!(listed(&imported), [("value", "s", [0.005].as_slice())]);
    assert_eq!(imported.cells[0].better, Better::Higher);
}
