//! Guesses who wrote a file from how it begins.

use super::Tool;

/// How much of a file is looked at.
const HEAD_BYTES: usize = 64 << 10;

/// Who seems to have written a file; `None` where nothing tells.
#[must_use]
pub fn detect(bytes: &[u8]) -> Option<Tool> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD_BYTES)]);
    let head = head.trim_start_matches('\u{feff}').trim_start();
    match head.as_bytes().first()? {
        b'{' | b'[' => json(head),
        b'|' => (head.contains("| test") && head.contains("t/s")).then_some(Tool::LlamaBench),
        _ if is_go(head) => Some(Tool::GoBench),
        _ if head.contains("llama_bench") && is_sql(head) => Some(Tool::LlamaBench),
        _ => table(head),
    }
}

fn json(head: &str) -> Option<Tool> {
    let has = |field: &str| {
        head.match_indices(field)
            .any(|(at, _)| head[..at].ends_with('"') && head[at + field.len()..].starts_with('"'))
    };
    if has("n_prompt") && has("n_gen") {
        Some(Tool::LlamaBench)
    } else if has("benchmark-complete") || has("group-complete") || (has("iters") && has("times")) {
        Some(Tool::Criterion)
    } else if has("benchmarks") {
        Some(Tool::GoogleBenchmark)
    } else if has("results") && has("command") {
        Some(Tool::Hyperfine)
    } else {
        None
    }
}

fn is_go(head: &str) -> bool {
    head.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        line.starts_with("Benchmark")
            && fields.next().is_some_and(|count| count.parse::<u64>().is_ok())
            && fields.next().is_some_and(|value| value.parse::<f64>().is_ok())
    })
}

fn is_sql(head: &str) -> bool {
    head.starts_with("CREATE TABLE") || head.starts_with("INSERT INTO")
}

/// A heading and a row of as many values.
fn table(head: &str) -> Option<Tool> {
    let mut lines = head.lines().filter(|line| !line.trim().is_empty());
    let (heading, row) = (lines.next()?, lines.next()?);
    if heading.contains("n_prompt") && heading.contains("avg_ts") {
        return Some(Tool::LlamaBench);
    }
    let as_many = |mark: char| {
        let count = heading.matches(mark).count();
        // Marks inside of quotes are not counted apart, so that there may be more.
        count > 0 && row.matches(mark).count() >= count
    };
    [',', ';', '\t'].into_iter().any(as_many).then_some(Tool::Csv)
}
