//! What the user's own llama-server showed of the recommendation.

use crate::model::{Proof, Served, Transfer, Verification};
use crate::render::view::{BlockView, CellView, ItemView};
use crate::render::{format, verdict};
use crate::stats::{Change, Estimate};

/// The line of the checklist: checked where the gain, or part of it, was found there too.
pub(super) fn check(verification: Option<&Verification>) -> ItemView {
    let (checked, text) = match verification {
        None => (
            false,
            "Transfer to your own llama-server: `autotune verify` with this run and `--server PATH` \
             asks it"
                .to_owned(),
        ),
        Some(made) => {
            let found = matches!(
                made.result,
                Proof::Compared { transfer: Transfer::Holds | Transfer::Smaller, .. }
            );
            (found, format!("Transfer to a llama-server: {}", made.sentence))
        }
    };
    ItemView { label: None, text, checked: Some(checked) }
}

/// Default and tuned as that server ran them.
pub(super) fn table(verification: &Verification) -> Option<BlockView> {
    let Proof::Compared { turn, prefill, decode, pairs, .. } = &verification.result else {
        return None;
    };
    let [default, tuned] = verification.servers.as_slice() else { return None };
    let time = |of: fn(&Served) -> Option<Estimate>, server: &Served| {
        of(server).map_or_else(CellView::none, |it| format::duration(&it).into())
    };
    let rate = |of: fn(&Served) -> Option<Estimate>, server: &Served| {
        of(server).map_or_else(CellView::none, |it| format::rate(&it).into())
    };
    let row = |name: &str, cells: [CellView; 2], change: &Option<Change>| {
        let [default, tuned] = cells;
        vec![CellView::plain(name), default, tuned, verdict::cell_or_none(change.as_ref())]
    };
    let rows = vec![
        row("Turn, whole", [default, tuned].map(|it| time(|s| s.turn_s, it)), turn),
        row(
            "Prompt (prefill)",
            [default, tuned].map(|it| rate(|s| s.prefill_tok_per_s, it)),
            prefill,
        ),
        row(
            "Generation (decode)",
            [default, tuned].map(|it| rate(|s| s.decode_tok_per_s, it)),
            decode,
        ),
    ];
    let build = default.build.as_deref().unwrap_or("of an unknown build");
    let caption = format!(
        "llama-server {build}, {} interleaved pairs, {}",
        pairs.len(),
        verification.created_at
    );
    let columns = [("Metric", false), ("Default", true), ("Tuned", true), ("Speed, paired", true)];
    Some(BlockView::table(caption, &columns, rows))
}
