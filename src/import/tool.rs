//! The tools whose files are read, by the words that people type.

use std::fmt;
use std::str::FromStr;

/// Who wrote a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// llama.cpp's llama-bench, with `-o json`, `jsonl` or `csv`; `autotune bench` with the same.
    LlamaBench,
    /// hyperfine with `--export-json`.
    Hyperfine,
    /// Google Benchmark with `--benchmark_format=json`.
    GoogleBenchmark,
    /// `go test -bench`, and everything else that writes Go's benchmark format.
    GoBench,
    /// `cargo criterion --message-format=json`, or a `sample.json` of criterion.rs.
    Criterion,
    /// Any table with a heading.
    Csv,
}

impl Tool {
    /// All of them, in the order of help texts.
    pub const ALL: [Self; 6] = [
        Self::LlamaBench,
        Self::Hyperfine,
        Self::GoogleBenchmark,
        Self::GoBench,
        Self::Criterion,
        Self::Csv,
    ];

    /// Its name, as typed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::LlamaBench => "llama-bench",
            Self::Hyperfine => "hyperfine",
            Self::GoogleBenchmark => "google-benchmark",
            Self::GoBench => "gobench",
            Self::Criterion => "criterion",
            Self::Csv => "csv",
        }
    }

    /// How to have it write what can be read here.
    #[must_use]
    pub fn recipe(self) -> &'static str {
        match self {
            Self::LlamaBench => "run llama-bench with -o json (or jsonl, or csv)",
            Self::Hyperfine => "run hyperfine with --export-json FILE",
            Self::GoogleBenchmark => {
                "run the benchmark with --benchmark_repetitions=10 --benchmark_out=FILE \
                 --benchmark_out_format=json"
            }
            Self::GoBench => "run go test -bench . -count 10, without -json",
            Self::Criterion => {
                "run cargo criterion --message-format=json, or name the new/sample.json of one \
                 benchmark"
            }
            Self::Csv => "a table has one heading line, and commas, semicolons or tabs",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Tool {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|tool| tool.word() == word)
            .ok_or_else(|| format!("`{word}` is none of {}", Self::ALL.map(Self::word).join(", ")))
    }
}
