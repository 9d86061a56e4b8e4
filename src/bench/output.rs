//! llama-bench's output formats, written as the tests end, so that what was measured before an
//! interruption can be read.

use std::str::FromStr;

use autotune_engine::api::{Identity, Threading};
use serde_json::Value;

use super::markdown::{self, Column};
use super::{Grid, Record};

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A Markdown table.
    Markdown,
    /// One JSON array.
    Json,
    /// One JSON object per line.
    JsonLines,
    /// Comma-separated values with a heading.
    Csv,
}

impl Format {
    /// The words for the formats, in their order.
    pub const WORDS: [&'static str; 4] = ["md", "json", "jsonl", "csv"];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "md" => Ok(Self::Markdown),
            "json" => Ok(Self::Json),
            "jsonl" => Ok(Self::JsonLines),
            "csv" => Ok(Self::Csv),
            _ => Err(format!("`{word}` is none of {}", Self::WORDS.join(", "))),
        }
    }
}

/// Turns records into text: the header first, then a piece per record, the footer last.
#[derive(Debug)]
pub struct Writer {
    format: Format,
    columns: Vec<Column>,
    rows: usize,
}

impl Writer {
    /// A writer for the tests of a grid.
    #[must_use]
    pub fn new(format: Format, grid: &Grid) -> Self {
        Self { format, columns: markdown::columns(grid), rows: 0 }
    }

    /// What comes before the first record.
    #[must_use]
    pub fn header(&self) -> String {
        match self.format {
            Format::Markdown => markdown::header(&self.columns),
            Format::Json => "[\n".to_owned(),
            Format::JsonLines | Format::Csv => String::new(),
        }
    }

    /// One record.
    pub fn record(&mut self, record: &Record) -> String {
        self.rows += 1;
        let first = self.rows == 1;
        match self.format {
            Format::Markdown => markdown::row(&self.columns, record),
            Format::Json => {
                let text = serde_json::to_string_pretty(record).expect("plain values serialize");
                let indented = text.replace('\n', "\n  ");
                format!("{}  {indented}", if first { "" } else { ",\n" })
            }
            Format::JsonLines => {
                let text = serde_json::to_string(record).expect("plain values serialize");
                format!("{text}\n")
            }
            Format::Csv => {
                let fields = record.fields();
                let names = || fields.iter().map(|(name, _)| (*name).to_owned());
                let heading = if first { csv_line(names()) } else { String::new() };
                heading + &csv_line(fields.iter().map(|(_, value)| csv_cell(value)))
            }
        }
    }

    /// What comes after the last record.
    #[must_use]
    pub fn footer(&self, identity: &Identity) -> String {
        match self.format {
            Format::Markdown => format!("\nbuild: {}\n", build(identity)),
            Format::Json if self.rows == 0 => "]\n".to_owned(),
            Format::Json => "\n]\n".to_owned(),
            Format::JsonLines | Format::Csv => String::new(),
        }
    }
}

/// The engine in one line.
fn build(identity: &Identity) -> String {
    let threads = match identity.threading {
        Threading::Ggml => "ggml's threads",
        Threading::OpenMp => "OpenMP",
    };
    let made_up = if identity.synthetic { ", times made up by a simulator" } else { "" };
    let Identity { name, version, ggml_version, .. } = identity;
    let tool = env!("CARGO_PKG_VERSION");
    format!("{name} {version}, ggml {ggml_version}, {threads}{made_up} (autotune {tool})")
}

/// A value as one cell: lists of numbers with blanks between them, whatever is nested as JSON.
fn csv_cell(value: &Value) -> String {
    match value {
        Value::Array(items) if items.iter().all(Value::is_number) => {
            items.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
        }
        other => markdown::plain(other),
    }
}

fn csv_line(cells: impl Iterator<Item = String>) -> String {
    let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
    writer.write_record(cells).expect("memory takes any record");
    let bytes = writer.into_inner().expect("memory takes any record");
    String::from_utf8(bytes).expect("made of strings")
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::{Engine, Failure, FlashAttention, Run};
    use proptest::prelude::*;
    use snapbox::{Data, assert_data_eq};

    use super::*;
    use crate::bench::run::fake::{self, Fake};
    use crate::bench::{Event, Session, Surroundings, run};

    /// Records of these answers.
    fn records(grid: &Grid, answers: Vec<Result<Run, Failure>>) -> Vec<Record> {
        let mut engine = Fake::new(answers);
        let identity = engine.identity().unwrap();
        let mut session = Session {
            engine: &mut engine,
            surroundings: Surroundings { cpu: Some("A \"fast\" CPU".to_owned()), gpus: vec![] },
            now: &|| "2026-01-02T03:04:05Z".to_owned(),
            stopped: &|| false,
            deadline: std::time::Duration::from_secs(60),
        };
        let mut records = Vec::new();
        run(&mut session, &identity, &grid.tests().unwrap(), |event| {
            if let Event::Finished(record) = event {
                records.push(record.clone());
            }
            Ok::<_, std::convert::Infallible>(())
        })
        .unwrap();
        records
    }

    /// Everything that is written for these records.
    fn written(format: Format, grid: &Grid, records: &[Record]) -> String {
        let mut writer = Writer::new(format, grid);
        let mut text = writer.header();
        for record in records {
            text += &writer.record(record);
        }
        text += &writer.footer(&fake::identity());
        text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    }

    /// A prompt test, a generation test that ran out of memory, and a combined one at a depth.
    fn example() -> (Grid, Vec<Record>) {
        let grid = Grid {
            repetitions: 2,
            pairs: vec![(256, 64)],
            depths: vec![0, 32],
            threads_batch: vec![4],
            flash_attention: vec![FlashAttention::On],
            ..Grid::defaults("models/m.gguf".into(), 2)
        };
        let full = || {
            let reason = "cannot allocate 40 GiB | for KV\nat all".to_owned();
            Err(Failure::OutOfMemory { reason, log: vec!["last words".to_owned()] })
        };
        let prompt = || Ok(fake::run(&[(2_000_000_000, 0), (2_500_000_000, 0)]));
        let second = 1_000_000_000;
        let both = || Ok(fake::run(&[(second, 3 * second), (second, 4 * second)]));
        let records = records(&grid, vec![prompt(), full(), both(), prompt(), full(), both()]);
        (grid, records)
    }

    fn example_text(format: Format) -> String {
        let (grid, records) = example();
        written(format, &grid, &records)
    }

    fn golden(format: Format, wanted: Data) {
        assert_data_eq!(example_text(format), wanted.raw());
    }

    #[test]
    fn the_table_looks_like_llama_benchs() {
        golden(Format::Markdown, snapbox::file!["../../tests/goldens/bench/table.md"]);
    }

    #[test]
    fn json_is_one_document() {
        golden(Format::Json, snapbox::file!["../../tests/goldens/bench/array.json"]);
        let document: Value = serde_json::from_str(&example_text(Format::Json)).unwrap();
        let records = document.as_array().unwrap();
        assert_eq!(records.len(), 6);
        assert_eq!(records[0]["samples_ts"], serde_json::json!([256.0, 204.8]));
        assert_eq!(
            (&records[1]["outcome"], &records[1]["avg_ts"]),
            (&"out-of-memory".into(), &Value::Null)
        );
    }

    #[test]
    fn lines_and_cells_hold_what_the_document_holds() {
        golden(Format::Csv, snapbox::file!["../../tests/goldens/bench/table.csv"]);
        let document: Vec<Value> = serde_json::from_str(&example_text(Format::Json)).unwrap();
        let lines: Vec<Value> = example_text(Format::JsonLines)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines, document);
        let text = example_text(Format::Csv);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let heading = reader.headers().unwrap().clone();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        let (_, records) = example();
        assert_eq!(rows.len(), records.len());
        for (row, record) in rows.iter().zip(&records) {
            for ((name, value), (heading, cell)) in
                record.fields().iter().zip(heading.iter().zip(row))
            {
                let wanted = csv_cell(value).replace(env!("CARGO_PKG_VERSION"), "VERSION");
                assert_eq!((heading, cell), (*name, wanted.as_str()));
            }
        }
    }

    #[test]
    fn llama_benchs_fields_are_all_there() {
        let document: Vec<Value> = serde_json::from_str(&example_text(Format::Json)).unwrap();
        for name in [
            "build_commit",
            "build_number",
            "cpu_info",
            "gpu_info",
            "backends",
            "model_filename",
            "model_type",
            "model_size",
            "model_n_params",
            "n_batch",
            "n_ubatch",
            "n_threads",
            "cpu_mask",
            "cpu_strict",
            "poll",
            "type_k",
            "type_v",
            "n_gpu_layers",
            "n_cpu_moe",
            "split_mode",
            "main_gpu",
            "no_kv_offload",
            "flash_attn",
            "devices",
            "tensor_split",
            "tensor_buft_overrides",
            "load_mode",
            "embeddings",
            "no_op_offload",
            "no_host",
            "n_prompt",
            "n_gen",
            "n_depth",
            "test_time",
            "avg_ns",
            "stddev_ns",
            "avg_ts",
            "stddev_ts",
            "samples_ns",
            "samples_ts",
        ] {
            assert!(document[0].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn no_tests_at_all_are_still_a_document() {
        let writer = Writer::new(Format::Json, &Grid::defaults("m".into(), 1));
        let text = writer.header() + &writer.footer(&fake::identity());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), serde_json::json!([]));
    }

    proptest! {
        #[test]
        fn no_name_breaks_a_format(name in "\\PC{1,20}|[\"\\\\|,\n\r\t\u{1b}]{1,9}") {
            let grid = Grid { repetitions: 1, generates: vec![0], ..Grid::defaults(name.clone().into(), 1) };
            let records = records(&grid, vec![Ok(fake::run(&[(5, 0)]))]);
            let table = written(Format::Markdown, &grid, &records);
            prop_assert_eq!(table.lines().count(), 5);
            let document: Vec<Value> =
                serde_json::from_str(&written(Format::Json, &grid, &records)).unwrap();
            prop_assert_eq!(&document[0]["model_filename"], &Value::from(name));
            let cells = written(Format::Csv, &grid, &records);
            prop_assert_eq!(csv::Reader::from_reader(cells.as_bytes()).records().count(), 1);
        }
    }
}
