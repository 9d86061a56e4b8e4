use autotune_engine::api::{BufferForecast, ContextSetting, Forecast, Rest, RestKind, Setting};

use super::super::{fixture, space, tests::golden};
use super::*;
use crate::model::{DeviceRoom, LayerWeights, Level, MoreContext, Plan, Rejected, Room, TypeShare};
use crate::plan;

const MIB: u64 = 1 << 20;

/// 16 layers of 256 MiB; cache and scratch grow with what is asked for.
fn counted(setting: &Setting) -> Forecast {
    let context = &setting.context;
    let each = match context.type_k {
        KvType::F16 => 128 << 10,
        KvType::Q8_0 => 68 << 10,
        _ => 36 << 10,
    };
    let place = Place::Memory;
    let buffer = BufferForecast {
        name: "CPU".into(),
        place: place.clone(),
        model_place: Place::File,
        model_bytes: Bytes(4608 * MIB),
        context_bytes: Bytes(u64::from(context.context) * each),
        compute_bytes: Bytes(u64::from(context.ubatch) * (512 << 10)),
        touched_bytes: Bytes(0),
    };
    let rest = [
        (RestKind::Logits, 501 << 10),
        (RestKind::Work, 9 * MIB),
        (RestKind::Process, 27 * MIB),
        (RestKind::Libraries, 12 * MIB),
        (RestKind::Staging, 300 * MIB),
    ];
    let rest =
        rest.map(|(what, bytes)| Rest { what, place: place.clone(), bytes: Some(Bytes(bytes)) });
    Forecast { effective: ContextSetting::default(), buffers: vec![buffer], rest: rest.into() }
}

fn map(room: Room, rates: bool) -> PlanMap {
    let (mut card, baseline) = (fixture::plan().model, fixture::default());
    card.trained_context = 131_072;
    card.layers = 16;
    card.types = vec![TypeShare { name: "Q4_K".into(), ..card.types[0].clone() }];
    let layers = LayerWeights {
        layer_bytes: vec![Bytes(256 * MIB); 16],
        expert_bytes: vec![Bytes(0); 16],
        embedding_bytes: Bytes(256 * MIB),
        output_bytes: Bytes(256 * MIB),
        active_parameters: card.parameters,
        quantized: true,
    };
    let ground = plan::MapGround { card: &card, layers: &layers, room: &room, roof: None };
    let mut cells = Vec::new();
    for point in plan::points(&card, &baseline, &[]) {
        cells.extend(plan::cells(ground, &point, &counted(&point.setting)));
    }
    for cell in cells.iter_mut().filter(|cell| rates && cell.gpu_layers == 0) {
        cell.decode_tok_per_s = Some(6.261);
        cell.full_decode_tok_per_s = Some(6.261 / (1.0 + f64::from(cell.context) / 40_000.0));
        cell.prefill_tok_per_s = Some(552.4);
    }
    let more = |(kv_type, bytes)| MoreContext { kv_type, from: 4096, to: 36_864, bytes };
    let more_context = [(KvType::F16, Bytes(4096 * MIB)), (KvType::Q8_0, Bytes(2176 * MIB))];
    PlanMap {
        schema: PlanMap::SCHEMA.into(),
        tool_version: "0.1.0".into(),
        created_at: "2026-11-20T09:30:00Z".into(),
        command: "autotune plan --model m.gguf".into(),
        advice: plan::advice(&card, &layers, &room, &baseline, &cells),
        rest: counted(&baseline).rest,
        model: card,
        layers,
        room,
        baseline,
        cells,
        more_context: more_context.map(more).into(),
        rates_missing: (!rates).then(|| {
            "peaks were not measured: `autotune detect --ceilings` on that machine measures them"
                .into()
        }),
        axes: Vec::new(),
        rejected: Vec::new(),
    }
}

/// Main memory that is too small for some, and no card.
fn processor() -> PlanMap {
    let (memory, reserve) = (Some(Bytes(12 << 30)), Bytes(512 * MIB));
    map(Room { memory_bytes: memory, memory_reserve_bytes: reserve, devices: Vec::new() }, true)
}

/// Two cards, the second with a name that is up to no good.
fn cards() -> PlanMap {
    let card = |name: &str, free: u64| DeviceRoom {
        shared: false,
        name: name.into(),
        free_bytes: Bytes(free * MIB),
        reserve_bytes: Bytes(1 << 30),
    };
    let devices = vec![card("a card", 4096), card("RPC0 (host|name\u{1b}[2J:50052)", 3072)];
    let memory = Some(Bytes(12 << 30));
    map(Room { memory_bytes: memory, memory_reserve_bytes: Bytes(512 * MIB), devices }, false)
}

fn left_out() -> Plan {
    let mut plan = fixture::plan();
    for level in ["cascadelake", "cannonlake", "skylakex", "alderlake", "haswell", "piledriver"] {
        plan.rejected.push(Rejected {
            knob: "isa_variant".into(),
            level: Some(Level::Word(level.into())),
            reason: "4 variants that the engine ranks higher are tried instead".into(),
        });
    }
    plan
}

#[test]
fn the_texts_are_the_golden_ones() {
    golden("plan/processor.txt", &text(&processor()));
    golden("plan/cards.txt", &text(&cards()));
    golden("plan/space.txt", &space::text(&left_out()));
}

#[test]
fn the_markdown_is_the_golden_one() {
    golden("plan/processor.md", &markdown(&processor()));
    golden("plan/cards.md", &markdown(&cards()));
}

#[test]
fn a_name_cannot_end_the_block_it_stands_in() {
    let mut map = processor();
    map.model.name = Some("```\n# not a headline".into());
    let text = markdown(&map);
    assert_eq!(text.lines().filter(|line| line.starts_with("```")).count(), 4, "{text}");
}

#[test]
fn no_line_is_wider_than_a_terminal_and_none_steers_it() {
    for text in [text(&processor()), text(&cards()), space::text(&left_out())] {
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert!(!line.contains('\u{1b}'), "{line}");
        }
    }
}

#[test]
fn levels_left_out_for_one_reason_stand_in_one_row() {
    let text = space::text(&left_out());
    assert_eq!(text.matches("rank").count(), 1, "{text}");
    assert!(text.contains("isa_variant cascadelake, cannonlake, skylakex"), "{text}");
}
