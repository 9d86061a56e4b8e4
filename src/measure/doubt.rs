//! What makes a trial doubtful: a neighbour, a hypervisor, a setting that became another one.

use std::time::Duration;

use autotune_engine::api::{Bytes, FlashAttention, GpuLayers, Run, Setting};

use super::Reading;
use crate::knob;
use crate::model::{CardUse, DeviceMemory, Level, Trial};

/// Stolen share of all processor time from which on it is said.
const STOLEN: f64 = 0.02;
/// Processors that others used during a visit, from which on it is said.
const FOREIGN: f64 = 0.3;
/// What the driver's count of a card's memory may be short by.
const PAGE: Bytes = Bytes(2 << 20);
/// Visits shorter than this say nothing about neighbours: the counters tick every 10 ms.
const SHORTEST: Duration = Duration::from_millis(200);

/// Doubts from two readings of the machine around work under a setting, each one sentence.
#[must_use]
pub fn of_readings(setting: &Setting, before: Reading, after: Reading) -> Vec<String> {
    let span = after.at.saturating_sub(before.at);
    if span < SHORTEST {
        return Vec::new();
    }
    let used = |from: Option<Duration>, to: Option<Duration>| {
        Some(to?.saturating_sub(from?).as_secs_f64() / span.as_secs_f64())
    };
    let mut doubts = Vec::new();
    let processors = after.processors.map_or(1.0, f64::from);
    let stolen = used(before.stolen, after.stolen).unwrap_or(0.0);
    if stolen / processors > STOLEN {
        doubts.push(format!(
            "{} {:.0} % of the processors to others",
            Trial::STOLEN,
            100.0 * stolen / processors
        ));
    }
    // Where nobody tells what the engine used, it is at most one processor per thread.
    let threads = setting.threads.threads.max(setting.threads.threads_batch);
    let own = used(before.own, after.own).unwrap_or(f64::from(threads));
    let foreign = used(before.busy, after.busy).unwrap_or(0.0) - own;
    if foreign > FOREIGN {
        // In halves, so that trials beside the same neighbour have the same doubt.
        let foreign = (2.0 * foreign).round().max(1.0) / 2.0;
        doubts.push(format!("{} about {foreign:.1} processors busy", Trial::OTHERS_BUSY));
    }
    doubts
}

/// Doubts from what held the cards' clocks down.
pub(super) fn of_cards(cards: &[CardUse]) -> Vec<String> {
    let held = cards.iter().filter(|card| !card.throttle_reasons.is_empty());
    held.map(|card| {
        let (card, reasons) = (card.title(), card.throttle_reasons.join(", "));
        format!("{} {card} were held down: {reasons}", Trial::CLOCKS_HELD)
    })
    .collect()
}

/// Doubts from cards that never had as much in use, of all programs together, as the engine put
/// on them: the driver has moved the rest to main memory.
pub(super) fn of_spills(devices: &[DeviceMemory], cards: &[CardUse]) -> Vec<String> {
    let spill = |device: &DeviceMemory| {
        let card = cards.iter().find(|card| card.device.as_ref() == Some(&device.device))?;
        let peak = card.used_peak_bytes?;
        // The driver counts in pages of up to 2 MiB, the engine in bytes.
        (peak + PAGE < device.allocated_bytes).then(|| {
            format!(
                "{} holds at most {peak} of the {} that the engine put on it: the rest is in main \
                 memory",
                device.device, device.allocated_bytes
            )
        })
    };
    devices.iter().filter_map(spill).collect()
}

/// Doubts from the run itself: the engine's own, and levels that it changed.
pub(super) fn of_run(asked: &Setting, run: &Run) -> Vec<String> {
    let auto = Level::Word(FlashAttention::Auto.word().to_owned());
    let mut asked = asked.clone();
    // All layers are a count once the model is known; the output is one more.
    let all = GpuLayers::Count(run.model.layers.saturating_add(1));
    if (asked.load.gpu_layers, run.effective.load.gpu_layers) == (GpuLayers::All, all) {
        asked.load.gpu_layers = all;
    }
    let changed = knob::changed(&asked, &run.effective);
    let changed = changed
        .into_iter()
        .filter(|(_, asked, _)| *asked != auto)
        .map(|(knob, asked, ran)| format!("ran with {} {ran} instead of {asked}", knob.name()));
    run.caveats.iter().cloned().chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use autotune_engine::api::{ContextSetting, LoadSetting, ProcessSetting, ThreadSetting};

    fn reading(at_s: u64, busy_ms: u64, stolen_ms: u64) -> Reading {
        Reading {
            at: Duration::from_secs(at_s),
            busy: Some(Duration::from_millis(busy_ms)),
            own: None,
            stolen: Some(Duration::from_millis(stolen_ms)),
            processors: Some(4),
        }
    }

    #[test]
    fn neighbours_are_told_from_the_engine() {
        let setting = Setting {
            process: ProcessSetting::default(),
            load: LoadSetting::default(),
            context: ContextSetting::default(),
            threads: ThreadSetting::of(2),
        };
        let doubts =
            |busy, stolen| of_readings(&setting, reading(10, 0, 0), reading(20, busy, stolen));
        assert_eq!(doubts(20_000, 100), Vec::<String>::new());
        assert!(doubts(31_000, 0)[0].contains("about 1.0 processors"));
        assert!(doubts(0, 4_000)[0].contains("10 %"));
        assert!(of_readings(&setting, Reading::default(), Reading::default()).is_empty());
        // Two threads that share two processors with somebody else keep no more than two busy.
        let own = |own_ms, reading: Reading| Reading {
            own: Some(Duration::from_millis(own_ms)),
            ..reading
        };
        let crowded =
            of_readings(&setting, own(0, reading(10, 0, 0)), own(11_000, reading(20, 20_000, 0)));
        assert!(crowded[0].contains("about 1.0 processors"), "{crowded:?}");
    }

    #[test]
    fn a_card_that_holds_less_than_was_put_on_it_has_spilled() {
        let gib = |count: u64| Bytes(count << 30);
        let device = DeviceMemory {
            device: "CUDA0".to_owned(),
            foreseen_bytes: gib(30),
            allocated_bytes: gib(30),
        };
        let card = |name: &str, peak: Option<Bytes>| CardUse {
            device: Some(name.to_owned()),
            used_peak_bytes: peak,
            ..CardUse::default()
        };
        let spills = |card: CardUse| of_spills(std::slice::from_ref(&device), &[card]);
        let told = spills(card("CUDA0", Some(gib(24))));
        assert!(told[0].contains("24.0 GiB of the 30.0 GiB"), "{told:?}");
        for fine in [card("CUDA0", Some(gib(31))), card("CUDA0", None), card("CUDA1", Some(gib(1)))]
        {
            assert_eq!(spills(fine), Vec::<String>::new());
        }
        let throttled =
            CardUse { throttle_reasons: vec!["power limit".to_owned()], ..card("CUDA0", None) };
        assert_eq!(of_cards(&[throttled]), ["clocks of CUDA0 were held down: power limit"]);
    }
}
