//! Series made by hand: stretches of looks that are alike.

use crate::model::observation::{
    CallSeen, CardSample, CardSeries, Look, Series, Source, ThreadUse, Totals, Wait, Waiting,
};

/// Looks of 20 ms that are alike, so many of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) looks: usize,
    /// Processors had, on the average.
    pub(super) used: f64,
    /// Processors waited for.
    pub(super) queued: f64,
    pub(super) waiting: Option<Wait>,
    pub(super) card: Option<f64>,
}

impl Stretch {
    pub(super) fn new(looks: usize, used: f64, waiting: Option<Wait>) -> Self {
        Self { looks, used, queued: 0.0, waiting, card: None }
    }
}

pub(super) const SPAN_S: f64 = 0.02;

pub(super) fn series(stretches: &[Stretch]) -> Series {
    let mut series = Series {
        processors: 8,
        threads: vec![ThreadUse { name: "main".to_owned(), pid: 7, tid: 7, cpu_s: 1.0 }],
        threads_seen: 1,
        processes_seen: 1,
        ..Series::default()
    };
    let mut at_s = 0.0;
    let mut card = CardSeries { name: Some("A card".to_owned()), ..CardSeries::default() };
    for stretch in stretches {
        for _ in 0..stretch.looks {
            at_s += SPAN_S;
            let waiting = stretch.waiting.map(|kind| Waiting { kind, source: Source::SystemCall });
            series.looks.push(Look {
                at_s,
                span_s: SPAN_S,
                on_cpu_s: stretch.used * SPAN_S,
                queued_s: stretch.queued * SPAN_S,
                waiting,
                in_flight: 1,
                threads: 1,
                processes: 1,
                resident_bytes: 1 << 20,
                ..Look::default()
            });
            if let Some(busy) = stretch.card {
                let sample = CardSample { at_s, busy: Some(busy), ..CardSample::default() };
                card.samples.push(sample);
            }
            if let Some(kind) = stretch.waiting {
                let call = CallSeen { call: "recvfrom".to_owned(), on: None, kind, times: 1 };
                match series.calls.iter_mut().find(|known| known.kind == kind) {
                    Some(known) => known.times += 1,
                    None => series.calls.push(call),
                }
            }
        }
    }
    if !card.samples.is_empty() {
        series.holds_card = true;
        series.cards = vec![card];
    }
    let used: f64 = series.looks.iter().map(|look| look.on_cpu_s).sum();
    series.totals = Totals { user_s: used, ..Totals::default() };
    series
}
