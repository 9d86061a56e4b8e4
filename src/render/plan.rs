//! A feasibility map for a terminal of 80 columns, and as Markdown.

use std::fmt::Write as _;

use autotune_engine::api::{Bytes, KvType, Place, TokenRate};

use super::machine::clean as one_line;
use super::space::row;
use crate::model::{Cell, PlanMap};

/// Rejected cells that are listed with their sums; the rest are counted, and are all in the JSON.
const SUMS: usize = 12;

/// The map for people.
#[must_use]
pub fn text(map: &PlanMap) -> String {
    let mut text = model(map);
    let _ = writeln!(text, "\n{}", room(map));
    for kv_type in kv_types(map) {
        let rows = table(map, kv_type);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..rows[0].len()).filter_map(width).collect();
        let _ = writeln!(text, "\nKV cache {kv_type}");
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  "));
        }
    }
    let _ = writeln!(text, "\n{}", legend(map));
    text.push_str(&notes(map));
    text
}

/// The map as Markdown.
#[must_use]
pub fn markdown(map: &PlanMap) -> String {
    let mut text = fenced(&format!("{}\n{}", model(map), room(map)));
    for kv_type in kv_types(map) {
        let _ = writeln!(text, "\nKV cache {kv_type}\n");
        for (index, row) in table(map, kv_type).iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if index == 0 {
                let _ = writeln!(text, "|{}", " ---: |".repeat(row.len()));
            }
        }
    }
    text.push('\n');
    text.push_str(&fenced(&format!("{}\n{}", legend(map), notes(map))));
    text
}

/// Text as a block of Markdown, which nothing in it can end.
#[must_use]
pub fn fenced(text: &str) -> String {
    format!("```\n{}\n```\n", text.replace("```", "'''").trim_matches('\n'))
}

fn model(map: &PlanMap) -> String {
    let card = &map.model;
    let path = card.path.display().to_string();
    let mut text = format!("{}\n", one_line(&card.name.clone().unwrap_or(path)));
    let mixture = match card.experts {
        0 => String::new(),
        count => format!(", {} of {count} experts", card.experts_used),
    };
    let heads = match card.heads {
        0 => String::new(),
        count => format!(", {count} heads ({} KV)", card.kv_heads),
    };
    let trained = match card.trained_context {
        0 => String::new(),
        tokens => format!(", trained for {tokens} tokens"),
    };
    let parameters = card.parameters as f64 / 1e9;
    let (layers, architecture) = (card.layers, one_line(&card.architecture));
    let shape = format!("{parameters:.2} B parameters, {layers} layers{heads}{mixture}");
    row(&mut text, &format!("  {architecture}: "), &shape);
    let bytes = format!("{} of weights, {} read per token", card.file_bytes, card.bytes_per_token);
    row(&mut text, "  ", &format!("{bytes}{trained}"));
    text
}

fn room(map: &PlanMap) -> String {
    let room = &map.room;
    let mut text = match room.memory_bytes {
        None => "Available: unknown".to_owned(),
        Some(bytes) => format!(
            "Available: {} of main memory ({bytes} less a reserve of {})",
            Bytes(bytes.0.saturating_sub(room.memory_reserve_bytes.0)),
            room.memory_reserve_bytes
        ),
    };
    for device in &room.devices {
        let _ = write!(
            text,
            "\n           {} on {} ({} less {})",
            Bytes(device.free_bytes.0.saturating_sub(device.reserve_bytes.0)),
            one_line(&device.name),
            device.free_bytes,
            device.reserve_bytes
        );
    }
    text
}

fn kv_types(map: &PlanMap) -> Vec<KvType> {
    let mut types: Vec<KvType> = Vec::new();
    for cell in &map.cells {
        if !types.contains(&cell.kv_type) {
            types.push(cell.kv_type);
        }
    }
    types
}

/// One row per context, one column per physical batch, then the rates.
fn table(map: &PlanMap, kv_type: KvType) -> Vec<Vec<String>> {
    let own: Vec<&Cell> = map.cells.iter().filter(|cell| cell.kv_type == kv_type).collect();
    let mut ubatches: Vec<u32> = own.iter().map(|cell| cell.ubatch).collect();
    let mut contexts: Vec<u32> = own.iter().map(|cell| cell.context).collect();
    for list in [&mut ubatches, &mut contexts] {
        list.sort_unstable();
        list.dedup();
    }
    let mut head = vec!["context".to_owned()];
    head.extend(ubatches.iter().map(|ubatch| format!("ubatch {ubatch}")));
    let rates = map.rates_missing.is_none();
    if rates {
        head.extend(["decode", "full", "prefill"].map(str::to_owned));
    }
    let mut rows = vec![head];
    for context in contexts {
        let here = |ubatch: u32| {
            let cells = own.iter().filter(move |it| it.context == context && it.ubatch == ubatch);
            cells.copied().collect::<Vec<&Cell>>()
        };
        let mut row = vec![context.to_string()];
        row.extend(ubatches.iter().map(|ubatch| entry(map, &here(*ubatch))));
        if rates {
            let usual = here(map.baseline.context.ubatch);
            let usual = usual.iter().find(|cell| cell.gpu_layers == 0);
            let rate = |pick: fn(&Cell) -> Option<f64>| {
                let rate = usual.and_then(|cell| pick(cell));
                rate.map_or("-".to_owned(), |rate| TokenRate(rate).to_string())
            };
            row.push(rate(|cell| cell.decode_tok_per_s));
            row.push(rate(|cell| cell.full_decode_tok_per_s));
            row.push(rate(|cell| cell.prefill_tok_per_s));
        }
        rows.push(row);
    }
    rows
}

/// Without cards the need and whether it fits; with cards the most layers that fit on them.
fn entry(map: &PlanMap, cells: &[&Cell]) -> String {
    if map.room.devices.is_empty() {
        let Some(cell) = cells.first() else { return "-".to_owned() };
        let mark = if cell.fits == Some(false) { " no" } else { "" };
        return format!("{}{mark}", cell.memory.total());
    }
    let all = map.model.layers.saturating_add(1);
    let fitting = cells.iter().filter(|cell| cell.fits == Some(true));
    let best = fitting.max_by_key(|cell| (cell.gpu_layers, std::cmp::Reverse(cell.cpu_experts)));
    match best {
        None => "no".to_owned(),
        Some(cell) if cell.gpu_layers < all => cell.gpu_layers.to_string(),
        Some(cell) if cell.cpu_experts > 0 => format!("all-{}e", cell.cpu_experts),
        Some(_) => "all".to_owned(),
    }
}

fn legend(map: &PlanMap) -> String {
    let mut text = if map.room.devices.is_empty() {
        "Each cell: main memory it needs; `no` does not fit.".to_owned()
    } else {
        "Each cell: layers that fit on the cards, the output layer counted (all-12e:\n\
         all, but the experts of 12 layers stay with the processor); `no`: none of it\n\
         fits. Composed by layer, so count again with the card at hand."
            .to_owned()
    };
    match &map.rates_missing {
        None => text.push_str(
            "\nRates: tokens/s on the processor at most (decode, decode with a full context,\n\
             prefill): bytes over measured bandwidth, operations over measured rates. Real\n\
             ones are lower.",
        ),
        Some(why) => {
            text.push('\n');
            row(&mut text, "No rates: ", &format!("{why}."));
            text.pop();
        }
    }
    text
}

fn notes(map: &PlanMap) -> String {
    let mut text = String::new();
    let rest = map.rest.iter().filter(|rest| !rest.what.ends_with_the_load());
    let rest: Vec<String> = rest
        .filter(|rest| matches!(rest.place, Place::File | Place::Memory))
        .filter_map(|rest| rest.bytes.map(|bytes| format!("{} {bytes}", rest.what.word())))
        .collect();
    if !rest.is_empty() {
        text.push('\n');
        row(&mut text, "Beside llama.cpp's own account: ", &rest.join(", "));
    }
    let more = map.more_context.iter().map(|more| format!("{} {}", more.bytes, more.kv_type));
    if let Some(first) = map.more_context.first() {
        let cost = more.collect::<Vec<_>>().join(", ");
        let label = format!("32k more context ({} to {}): ", first.from, first.to);
        row(&mut text, &label, &cost);
    }
    let advice = &map.advice;
    let exact = match advice.exact_gpu_layers {
        Some(count) => format!("{count} fit"),
        None => "nothing fits".to_owned(),
    };
    let class = format!("{:?}", advice.class).to_lowercase();
    row(&mut text, "Decision tree: ", &format!("{class} model: {}", advice.class_says));
    row(&mut text, "               ", &advice.memory_says);
    let rule = format!(
        "{} layers on cards, {} KV per token; exact: {exact}, {}",
        advice.rule_gpu_layers, advice.rule_kv_bytes_per_token, advice.exact_kv_bytes_per_token
    );
    row(&mut text, "Rule of thumb: ", &rule);
    rejected(map, &mut text);
    text
}

fn rejected(map: &PlanMap, text: &mut String) {
    // With cards a cell that holds less of the model on them may still fit.
    let rejected = map.cells.iter().filter(|cell| cell.reason.is_some());
    let rejected: Vec<&Cell> = rejected.collect();
    if rejected.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nDoes not fit ({} of {} cells)", rejected.len(), map.cells.len());
    for cell in rejected.iter().take(SUMS) {
        let mut place = String::new();
        if cell.gpu_layers > 0 {
            let _ = write!(place, ", {} layers on cards", cell.gpu_layers);
        }
        if cell.cpu_experts > 0 {
            let _ = write!(place, ", {} layers' experts not", cell.cpu_experts);
        }
        let (context, kv, ubatch) = (cell.context, cell.kv_type, cell.ubatch);
        let _ = writeln!(text, "  {context} {kv} ubatch {ubatch}{place}");
        let reason = cell.reason.as_deref().unwrap_or_default();
        row(text, "    ", reason);
    }
    if rejected.len() > SUMS {
        let _ = writeln!(text, "  {} more with --format json", rejected.len() - SUMS);
    }
}

#[cfg(test)]
mod tests;
