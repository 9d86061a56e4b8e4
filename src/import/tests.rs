//! Files of every tool under `tests/fixtures/import`, read from the outside.

mod faults;
mod formats;
mod properties;

use super::*;

const LLAMA_ARRAY: &str = include_str!("../../tests/fixtures/import/llama-bench.json");
const LLAMA_LINES: &str = include_str!("../../tests/fixtures/import/llama-bench.jsonl");
const LLAMA_TABLE: &str = include_str!("../../tests/fixtures/import/llama-bench.csv");
const HYPERFINE: &str = include_str!("../../tests/fixtures/import/hyperfine.json");
const GOOGLE: &str = include_str!("../../tests/fixtures/import/google-benchmark.json");
const GO: &str = include_str!("../../tests/fixtures/import/go-bench.txt");
const CRITERION_SAMPLE: &str = include_str!("../../tests/fixtures/import/criterion-sample.json");
const CRITERION_MESSAGES: &str =
    include_str!("../../tests/fixtures/import/criterion-messages.jsonl");
const TABLE: &str = include_str!("../../tests/fixtures/import/table.csv");
const OWN_ARRAY: &str = include_str!("../../tests/goldens/bench/array.json");
const OWN_TABLE: &str = include_str!("../../tests/goldens/bench/table.csv");

const FIXTURES: [(Tool, &str); 9] = [
    (Tool::LlamaBench, LLAMA_ARRAY),
    (Tool::LlamaBench, LLAMA_LINES),
    (Tool::LlamaBench, LLAMA_TABLE),
    (Tool::Hyperfine, HYPERFINE),
    (Tool::GoogleBenchmark, GOOGLE),
    (Tool::GoBench, GO),
    (Tool::Criterion, CRITERION_SAMPLE),
    (Tool::Criterion, CRITERION_MESSAGES),
    (Tool::Csv, TABLE),
];

fn read(tool: Tool, text: &str) -> Imported {
    import(tool, text.as_bytes(), &Options::default()).unwrap()
}

fn refused(tool: Tool, text: &str) -> ImportError {
    import(tool, text.as_bytes(), &Options::default()).unwrap_err()
}

/// Names with units and samples.
fn listed(imported: &Imported) -> Vec<(&str, &str, &[f64])> {
    let cells = imported.cells.iter();
    cells.map(|cell| (cell.name.as_str(), cell.unit.as_str(), cell.samples.as_slice())).collect()
}
