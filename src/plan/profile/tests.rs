use autotune_engine::api::Bytes;
use proptest::prelude::*;

use super::*;

const CHAT: &str = BUILT_IN[0];

const MIXED: &str = r#"
name = "mixed"
description = "two kinds"
context = 8192
parallel = 4
objective = "throughput"
report = ["ttft", "memory"]

[[requests]]
prompt_tokens = 1000
generate_tokens = 10

[[requests]]
prompt_tokens = 4000
generate_tokens = 50
depth = 100
prefix_reuse = 0.75
weight = 3

[limits]
ttft_ms = 500
memory = "32GB"
min_context = 4096
max_kl_divergence = 0.01
"#;

#[test]
fn every_profile_is_a_workload_with_a_name_of_its_own() {
    let mut names: Vec<String> = built_in().into_iter().map(|it| it.name).collect();
    assert_eq!(names[0], "chat");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), BUILT_IN.len());
}

#[test]
fn a_mix_is_read_whole_and_survives_a_plan() {
    let mixed = workload(MIXED, "mine.toml").unwrap();
    // New: (1000 + 3 · 1000) / 4; generated: (10 + 3 · 50) / 4; depth: 3 · (100 + 3000) / 4.
    assert_eq!((mixed.prompt_tokens, mixed.generate_tokens, mixed.depth), (1000, 40, 2325));
    assert_eq!((mixed.parallel, mixed.objective), (4, Objective::Throughput));
    assert_eq!(mixed.limits.memory, Some(Bytes(32_000_000_000)));
    assert_eq!(mixed.report, [Figure::Ttft, Figure::Memory]);
    let json = serde_json::to_string(&mixed).unwrap();
    assert_eq!(serde_json::from_str::<Workload>(&json).unwrap(), mixed);
}

#[test]
fn a_workload_of_an_older_plan_is_still_read() {
    let json = r#"{"name":"a","description":"","prompt_tokens":1,"generate_tokens":2,"depth":0,
        "context":64}"#;
    let old: Workload = serde_json::from_str(json).unwrap();
    assert_eq!((old.sequences(), old.objective), (1, Objective::TurnTime));
    assert!(old.limits.is_empty() && old.requests.is_empty());
}

#[test]
fn mistakes_are_named_with_line_and_path() {
    for (text, from, to, expected) in [
        (CHAT, "prompt_tokens = 512", "prompt_tokens = \"many\"", "line 4: `prompt_tokens`"),
        (CHAT, "prompt_tokens = 512", "promt_tokens = 512", "line 4: `promt_tokens`"),
        (CHAT, "prompt_tokens = 512", "prompt_tokens = -1", "line 4: `prompt_tokens`"),
        (CHAT, "prompt_tokens = 512\n", "", "line 1: neither `prompt_tokens` nor"),
        (CHAT, "context = 4096", "context = 100", "line 6: `context`: is 100 tokens, but a turn"),
        (CHAT, "context = 4096", "context = 4294967295", "line 6: `context`: is 4294967295; the"),
        (CHAT, "name = \"chat\"", "name = \"\"", "line 2: `name`: must"),
        (CHAT, "name = \"chat\"", "name = \"chat", "line 2: "),
        (MIXED, "depth = 100", "depth = 100.5", "line 16: `requests[1].depth`"),
        (MIXED, "depth = 100", "dept = 100", "line 16: `requests[1].dept`: unknown field"),
        (MIXED, "depth = 100", "depth = 99999999", "line 16: `requests[1].depth`: is 99999999"),
        (MIXED, "0.75", "1.5", "line 17: `requests[1].prefix_reuse`: is 1.5, but a share"),
        (MIXED, "weight = 3", "weight = 0", "line 18: `requests[1].weight`"),
        (MIXED, "weight = 3", "weight = nan", "line 18: `requests[1].weight`"),
        (MIXED, "prompt_tokens = 1000\n", "", "line 9: `requests[0]`: missing field `prompt"),
        (MIXED, "parallel = 4", "parallel = 0", "line 5: `parallel`: must be 1 to 256"),
        (MIXED, "parallel = 4", "prompt_tokens = 4", "line 5: `prompt_tokens`: stands beside"),
        (MIXED, "\"throughput\"", "\"speed\"", "line 6: `objective`: unknown variant `speed`"),
        (MIXED, "\"memory\"]", "\"watts\"]", "line 7: `report[1]`: unknown variant `watts`"),
        (MIXED, "\"32GB\"", "\"32 gigs\"", "line 22: `limits.memory`: `32 gigs` is no amount"),
        (MIXED, "\"32GB\"", "-5", "line 22: `limits.memory`: invalid value"),
        (MIXED, "= 500", "= inf", "line 21: `limits.ttft_ms`: must be a number above 0"),
        (MIXED, "min_context = 4096", "min_context = 9000", "line 23: `limits.min_context`"),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(text, changed);
        let error = workload(&changed, "mine.toml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("mine.toml, {expected}")), "{expected}\n{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = workload(&text, "x");
    }

    #[test]
    fn whatever_stands_where_a_value_was_is_taken_or_told(
        line in 0_usize..23,
        value in "(-?[0-9]{1,12}(\\.[0-9])?|nan|\"[a-z]{0,4}\"|\\[\\]|\\{\\}|\\[\\[1\\]\\])",
    ) {
        let mut lines: Vec<String> = MIXED.lines().map(str::to_owned).collect();
        if let Some((key, _)) = lines[line].clone().split_once('=') {
            lines[line] = format!("{key}= {value}");
        }
        match workload(&lines.join("\n"), "x") {
            Ok(workload) => {
                let turn = workload.turn_seconds(1e-3, 1e-2);
                prop_assert!(turn.is_finite() && turn > 0.0);
                prop_assert!(workload.cost(1e-3, 1e-2) > 0.0);
                prop_assert!(workload.longest_turn() <= u64::from(workload.context));
                let json = serde_json::to_string(&workload).unwrap();
                prop_assert_eq!(serde_json::from_str::<Workload>(&json).unwrap(), workload);
            }
            Err(error) => prop_assert!((1..=23).contains(&error.line), "{}", error),
        }
    }
}
