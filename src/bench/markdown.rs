//! The table people paste into issues: llama-bench's columns, widths and rounding.

use std::path::PathBuf;

use autotune_engine::api::Bytes;
use serde_json::Value;

use super::record::{deviation, mean, reason};
use super::{Grid, Record};

/// One column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    /// The field it shows.
    field: &'static str,
    /// Its heading.
    heading: &'static str,
    width: usize,
    side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

const fn column(field: &'static str, heading: &'static str, width: usize, side: Side) -> Column {
    Column { field, heading, width, side }
}

/// The columns for a grid: those everybody needs, and those in which tests differ from the default.
pub(super) fn columns(grid: &Grid) -> Vec<Column> {
    let usual = Grid::defaults(PathBuf::default(), 0);
    let optional = [
        (grid.isa_variants != usual.isa_variants, column("isa_variant", "isa", 14, Side::Left)),
        (grid.gpu_layers != usual.gpu_layers, column("n_gpu_layers", "ngl", 3, Side::Right)),
        (true, column("n_threads", "threads", 7, Side::Right)),
        (!grid.threads_batch.is_empty(), column("n_threads_batch", "tb", 7, Side::Right)),
        (grid.cpu_masks != usual.cpu_masks, column("cpu_mask", "cpu_mask", 10, Side::Left)),
        (grid.strict != usual.strict, column("cpu_strict", "cpu_strict", 10, Side::Right)),
        (grid.polls != usual.polls, column("poll", "poll", 10, Side::Right)),
        (grid.batches != usual.batches, column("n_batch", "n_batch", 7, Side::Right)),
        (grid.ubatches != usual.ubatches, column("n_ubatch", "n_ubatch", 8, Side::Right)),
        (grid.types_k != usual.types_k, column("type_k", "type_k", 6, Side::Right)),
        (grid.types_v != usual.types_v, column("type_v", "type_v", 6, Side::Right)),
        (grid.flash_attention != usual.flash_attention, column("flash_attn", "fa", 3, Side::Right)),
        (grid.load_modes != usual.load_modes, column("load_mode", "lm", 10, Side::Right)),
        (grid.cpu_experts != usual.cpu_experts, column("n_cpu_moe", "n_cpu_moe", 10, Side::Right)),
        (grid.split_modes != usual.split_modes, column("split_mode", "sm", 6, Side::Right)),
        (grid.main_gpus != usual.main_gpus, column("main_gpu", "mg", 10, Side::Right)),
        (grid.kv_offload != usual.kv_offload, column("no_kv_offload", "nkvo", 4, Side::Right)),
        (grid.devices != usual.devices, column("devices", "dev", 12, Side::Left)),
        (grid.tensor_splits != usual.tensor_splits, column("tensor_split", "ts", 12, Side::Left)),
        (grid.overrides != usual.overrides, column("tensor_buft_overrides", "ot", 21, Side::Left)),
        (grid.op_offload != usual.op_offload, column("no_op_offload", "nopo", 4, Side::Right)),
        (grid.no_host != usual.no_host, column("no_host", "noh", 4, Side::Right)),
        (grid.repack != usual.repack, column("repack", "repack", 6, Side::Right)),
        (grid.swa_full != usual.swa_full, column("swa_full", "swa_full", 8, Side::Right)),
        (
            grid.memory_policies != usual.memory_policies,
            column("memory_policy", "policy", 10, Side::Right),
        ),
        (grid.huge_pages != usual.huge_pages, column("huge_pages", "thp", 6, Side::Right)),
        (
            grid.malloc_arenas != usual.malloc_arenas,
            column("malloc_arenas", "arenas", 6, Side::Right),
        ),
        (
            grid.tiled_products != usual.tiled_products,
            column("tiled_products", "tiled", 5, Side::Right),
        ),
        (grid.graph_reuse != usual.graph_reuse, column("graph_reuse", "reuse", 5, Side::Right)),
    ];
    let first = [
        column("model", "model", 30, Side::Left),
        column("size", "size", 10, Side::Right),
        column("params", "params", 10, Side::Right),
        column("backends", "backend", 10, Side::Left),
    ];
    let last = [column("test", "test", 15, Side::Right), column("t/s", "t/s", 20, Side::Right)];
    let wanted = optional.into_iter().filter(|(shown, _)| *shown).map(|(_, column)| column);
    first.into_iter().chain(wanted).chain(last).collect()
}

/// Heading and rule.
pub(super) fn header(columns: &[Column]) -> String {
    let headings = columns.iter().map(|column| column.heading.to_owned());
    let rule: String = columns
        .iter()
        .map(|column| match column.side {
            Side::Left => format!(" {} |", "-".repeat(column.width)),
            Side::Right => format!(" {}: |", "-".repeat(column.width - 1)),
        })
        .collect();
    format!("{}|{rule}\n", line(columns, headings))
}

/// One test.
pub(super) fn row(columns: &[Column], record: &Record) -> String {
    let fields = record.fields();
    let field =
        |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value);
    let cells = columns.iter().map(|column| match column.field {
        "model" => match &record.outcome {
            Ok(run) => run.model.description.clone(),
            Err(_) => {
                record.test.model.file_stem().unwrap_or_default().to_string_lossy().into_owned()
            }
        },
        "size" => {
            record.outcome.as_ref().map_or_else(|_| String::new(), |run| size(run.model.size_bytes))
        }
        "params" => record
            .outcome
            .as_ref()
            .map_or_else(|_| String::new(), |run| count(run.model.parameters)),
        "test" => record.test.name(),
        "t/s" => speed(record),
        name => plain(field(name).unwrap_or(&Value::Null)),
    });
    line(columns, cells)
}

fn line(columns: &[Column], cells: impl Iterator<Item = String>) -> String {
    let cells = columns.iter().zip(cells).map(|(column, cell)| {
        // A name from a file must not end the cell or the row.
        let cell: String = cell
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
            .replace('|', "\\|");
        match column.side {
            Side::Left => format!(" {cell:<0$} |", column.width),
            Side::Right => format!(" {cell:>0$} |", column.width),
        }
    });
    format!("|{}\n", cells.collect::<String>())
}

/// A plain value as llama-bench's table has it: two-way choices are 0 and 1.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => u8::from(*yes).to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn size(bytes: Bytes) -> String {
    let mebibytes = bytes.0 as f64 / 1024.0 / 1024.0;
    if bytes.0 < 1 << 30 {
        format!("{mebibytes:.2} MiB")
    } else {
        format!("{:.2} GiB", mebibytes / 1024.0)
    }
}

fn count(parameters: u64) -> String {
    let parameters = parameters as f64;
    if parameters < 1e9 {
        format!("{:.2} M", parameters / 1e6)
    } else {
        format!("{:.2} B", parameters / 1e9)
    }
}

/// Mean and deviation, or what happened instead.
fn speed(record: &Record) -> String {
    let samples = record.samples_ts();
    match (mean(&samples), deviation(&samples), &record.outcome) {
        (_, _, Err(failure)) => format!("{}: {}", record.outcome_word(), reason(failure)),
        (Some(mean), Some(deviation), Ok(_)) => format!("{mean:.2} ± {deviation:.2}"),
        _ => String::new(),
    }
}
