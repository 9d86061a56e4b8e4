//! Where the time went: processors wanted, and kinds of waiting.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::observation::{CardSample, Look, Series, Source, Wait, Waiting};

/// From so many processors wanted at once on, a look is parallel.
const PARALLEL: f64 = 1.5;
/// A sample of a card holds for so long at least, ...
const CARD_HOLDS_S: f64 = 1.0;
/// ... and for so many times the time between two of them, which grows in long runs.
const CARD_SPACINGS: f64 = 1.2;

/// A look in which every wait has a name, and the busiest card's use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) look: &'a Look,
    /// What was waited for in the part of it in which nobody wanted a processor.
    pub(super) waiting: Waiting,
    /// Share that the busiest card computed; `None` where the command has none.
    pub(super) card: Option<f64>,
}

/// Use of the busiest card over time.
pub(super) struct Cards {
    samples: Vec<(f64, f64)>,
    holds_s: f64,
}

impl Cards {
    /// Of a command that holds no card, nothing.
    pub(super) fn of(series: &Series) -> Self {
        let busy = |samples: &[CardSample]| -> f64 {
            samples.iter().filter_map(|sample| sample.busy).sum()
        };
        let busiest = series
            .cards
            .iter()
            .filter(|_| series.holds_card)
            .max_by(|a, b| busy(&a.samples).total_cmp(&busy(&b.samples)));
        let samples = busiest.into_iter().flat_map(|card| &card.samples);
        let samples: Vec<(f64, f64)> =
            samples.filter_map(|sample| Some((sample.at_s, sample.busy?))).collect();
        let spacing = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).fold(0.0, f64::max);
        Self { samples, holds_s: CARD_HOLDS_S.max(CARD_SPACINGS * spacing) }
    }

    /// At a time: the driver's number is about the time before it, so the next sample counts.
    fn at(&self, at_s: f64) -> Option<f64> {
        let next = self.samples.partition_point(|(sampled, _)| *sampled < at_s);
        let found = self.samples.get(next).or_else(|| self.samples.last())?;
        (found.0 - at_s).abs().le(&self.holds_s).then_some(found.1)
    }
}

/// Every look with a name for its wait: its own, else that of the nearest look that has one.
pub(super) fn filled<'a>(looks: &'a [Look], cards: &Cards) -> Vec<Moment<'a>> {
    let mut before = None;
    let mut names: Vec<Option<(usize, Waiting)>> = Vec::with_capacity(looks.len());
    for (at, look) in looks.iter().enumerate() {
        before = look.waiting.map(|waiting| (at, waiting)).or(before);
        names.push(before);
    }
    let mut after = None;
    for (at, look) in looks.iter().enumerate().rev() {
        after = look.waiting.map(|waiting| (at, waiting)).or(after);
        let near = |found: &Option<(usize, Waiting)>| {
            found.map_or(usize::MAX, |(seen, _)| seen.abs_diff(at))
        };
        if near(&after) < near(&names[at]) {
            names[at] = after;
        }
    }
    let name = |at: usize, found: Option<(usize, Waiting)>| match found {
        Some((seen, waiting)) if seen == at => waiting,
        Some((_, waiting)) => Waiting { source: Source::Neighbours, ..waiting },
        None => Waiting { kind: Wait::Unknown, source: Source::Neighbours },
    };
    looks
        .iter()
        .zip(names)
        .enumerate()
        .map(|(at, (look, found))| Moment {
            look,
            waiting: name(at, found),
            card: cards.at(look.at_s - look.span_s / 2.0),
        })
        .collect()
}

/// A kind of waiting.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    pub(super) seconds: f64,
    pub(super) sources: BTreeSet<Source>,
    threads_seconds: f64,
}

impl Part {
    /// Threads that waited at once, on the average.
    pub(super) fn in_flight(&self) -> f64 {
        if self.seconds > 0.0 { self.threads_seconds / self.seconds } else { 0.0 }
    }
}

/// Where the time of some looks went.
#[derive(Debug, Clone, Default)]
pub(super) struct Split {
    /// All of it.
    pub(super) seconds: f64,
    /// That in which somebody wanted a processor.
    pub(super) cpu_s: f64,
    /// Processor time that was wanted, the sum over threads.
    pub(super) wanted_s: f64,
    /// Processor time that was had.
    pub(super) on_cpu_s: f64,
    /// That in which several processors were wanted.
    pub(super) parallel_s: f64,
    /// Wanted in that time.
    pub(super) parallel_wanted_s: f64,
    /// Kinds of waiting.
    pub(super) waits: BTreeMap<Wait, Part>,
    /// Seconds with a card's number, and the same weighted by its use.
    card_s: f64,
    card_busy_s: f64,
}

impl Split {
    pub(super) fn of(moments: &[Moment<'_>]) -> Self {
        let mut split = Self::default();
        for moment in moments {
            split.add(moment);
        }
        split
    }

    pub(super) fn add(&mut self, moment: &Moment<'_>) {
        let look = moment.look;
        let cpu_s = look.cpu_share() * look.span_s;
        self.seconds += look.span_s;
        self.cpu_s += cpu_s;
        self.wanted_s += look.wanted_s();
        self.on_cpu_s += look.on_cpu_s;
        if look.wanted() >= PARALLEL {
            self.parallel_s += look.span_s;
            self.parallel_wanted_s += look.wanted_s();
        }
        let waited_s = look.span_s - cpu_s;
        if waited_s > 0.0 {
            let part = self.waits.entry(moment.waiting.kind).or_default();
            part.seconds += waited_s;
            part.threads_seconds += waited_s * f64::from(look.in_flight.max(1));
            part.sources.insert(moment.waiting.source);
        }
        if let Some(busy) = moment.card {
            self.card_s += look.span_s;
            self.card_busy_s += busy * look.span_s;
        }
    }

    /// A share of all of it.
    pub(super) fn share(&self, seconds: f64) -> f64 {
        if self.seconds > 0.0 { (seconds / self.seconds).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Share in which somebody wanted a processor.
    pub(super) fn cpu(&self) -> f64 {
        self.share(self.cpu_s)
    }

    /// Share of waiting for one kind.
    pub(super) fn wait(&self, kind: Wait) -> f64 {
        self.waits.get(&kind).map_or(0.0, |part| self.share(part.seconds))
    }

    /// Share of waiting for what no tuning of the program makes faster.
    pub(super) fn idle(&self) -> f64 {
        let busy = [Wait::Disk, Wait::Network, Wait::Gpu];
        self.waits
            .iter()
            .filter(|(kind, _)| !busy.contains(kind))
            .map(|(_, part)| self.share(part.seconds))
            .sum()
    }

    /// Processors wanted at once while any was.
    pub(super) fn parallelism(&self) -> f64 {
        if self.cpu_s > 0.0 { self.wanted_s / self.cpu_s } else { 0.0 }
    }

    /// Of the time in which a processor was wanted, that in which it was one.
    pub(super) fn serial_share(&self) -> f64 {
        if self.cpu_s > 0.0 { ((self.cpu_s - self.parallel_s) / self.cpu_s).max(0.0) } else { 0.0 }
    }

    /// Processors in use.
    pub(super) fn cores(&self) -> f64 {
        if self.seconds > 0.0 { self.on_cpu_s / self.seconds } else { 0.0 }
    }

    /// Share of the time that the busiest card computed; `None` where the command has none, or
    /// where it was seen for less than a third of the time.
    pub(super) fn card(&self) -> Option<f64> {
        (self.card_s > self.seconds / 3.0 && self.card_s > 0.0)
            .then(|| self.card_busy_s / self.card_s)
    }
}

impl Split {
    /// Adds what another part took.
    pub(super) fn join(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.cpu_s += other.cpu_s;
        self.wanted_s += other.wanted_s;
        self.on_cpu_s += other.on_cpu_s;
        self.parallel_s += other.parallel_s;
        self.parallel_wanted_s += other.parallel_wanted_s;
        self.card_s += other.card_s;
        self.card_busy_s += other.card_busy_s;
        for (kind, part) in &other.waits {
            let own = self.waits.entry(*kind).or_default();
            own.seconds += part.seconds;
            own.threads_seconds += part.threads_seconds;
            own.sources.extend(&part.sources);
        }
    }
}
