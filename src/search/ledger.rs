//! The trials so far, as the phases look at them.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::collections::HashMap;

use autotune_engine::api::{Failure, Setting};

use super::Ask;
use super::closure::Closure;
use super::pace::{Gain, Pace};
use crate::knob::{self, ActsOn};
use crate::model::{Outcome, Phase, Plan, Purpose, Source, Trial};
use crate::stats::median;

/// Failures of the baseline after which the sweep gives up, once it has run at least once: in the
/// sweep or, to size it, before.
const BASELINE_PATIENCE: usize = 5;
/// Time-outs of the baseline after which it gives up even though it never ran: a neighbour that
/// takes a processor away makes one, and goes away again.
const FIRST_PATIENCE: usize = 3;

/// Plan and trials with what is derived from them.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    pub(super) plan: &'a Plan,
    pub(super) trials: &'a [Trial],
    paces: Vec<Option<Pace>>,
    closure: Closure,
    /// The different settings of the trials; the baseline is the first.
    names: HashMap<&'a Setting, usize>,
    /// The setting of each trial.
    asked: Vec<usize>,
    /// Visits to the baseline that were measured here.
    anchors: Vec<usize>,
    seen: OnceCell<Vec<&'a Setting>>,
}

/// The number of the baseline among the settings.
const BASELINE: usize = 0;

impl<'a> Ledger<'a> {
    pub(super) fn new(plan: &'a Plan, trials: &'a [Trial]) -> Self {
        let paces: Vec<Option<Pace>> = trials.iter().map(Pace::of).collect();
        let mut names = HashMap::from([(&plan.baseline, BASELINE)]);
        let asked: Vec<usize> = trials
            .iter()
            .map(|trial| {
                let next = names.len();
                *names.entry(&trial.asked).or_insert(next)
            })
            .collect();
        let anchors = (0..trials.len())
            .filter(|place| asked[*place] == BASELINE && paces[*place].is_some())
            .filter(|place| trials[*place].source == Source::Measured)
            .collect();
        let closure = Closure::new(plan, trials);
        Self { plan, trials, paces, closure, names, asked, anchors, seen: OnceCell::new() }
    }

    /// The trials of a setting, in order.
    fn places(&self, setting: &Setting) -> impl Iterator<Item = usize> + '_ {
        let name = self.names.get(setting).copied();
        (0..self.trials.len()).filter(move |place| Some(self.asked[*place]) == name)
    }

    /// Whether an ask is still open and may be run.
    pub(super) fn wants(&self, ask: &Ask) -> bool {
        !self.has_answer(ask) && self.may_run(&ask.setting)
    }

    /// Whether an ask was answered, however that ended.
    pub(super) fn has_answer(&self, ask: &Ask) -> bool {
        self.places(&ask.setting).any(|place| {
            let trial = &self.trials[place];
            (trial.purpose, trial.block) == (ask.purpose, ask.block) && trial.work == ask.work
        })
    }

    /// Whether a setting is worth asking for: nothing it holds has failed, and it is not the
    /// baseline in other words.
    pub(super) fn may_run(&self, setting: &Setting) -> bool {
        let skipped = |place: usize| matches!(self.trials[place].outcome, Outcome::NotRun(_));
        *setting == self.plan.baseline
            || !(self.closure.forbids(setting)
                || self.runs_as_baseline(setting)
                || self.places(setting).any(skipped))
    }

    /// Whether the engine has shown that the baseline already runs with these levels, as when
    /// `auto` turned out to mean `on`.
    fn runs_as_baseline(&self, setting: &Setting) -> bool {
        let baseline = &self.plan.baseline;
        let Some(effective) = self
            .trials
            .iter()
            .filter(|trial| trial.asked == *baseline)
            .find_map(|trial| trial.effective.as_ref())
        else {
            return false;
        };
        knob::changed(baseline, setting).iter().any(|(knob, _, to)| knob.read(effective) == *to)
    }

    /// Whether the baseline cannot be compared with: it never ran, or fails again and again.
    pub(super) fn baseline_is_dead(&self) -> bool {
        let calibrated = self.plan.protocol.calibration.is_some();
        let (mut ran, mut failed, mut late) = (usize::from(calibrated), 0, 0);
        for trial in self.trials.iter().filter(|trial| trial.asked == self.plan.baseline) {
            match trial.outcome {
                Outcome::Measured(_) => ran += 1,
                Outcome::Failed(Failure::TimedOut { .. }) => late += 1,
                Outcome::Failed(_) | Outcome::NotRun(_) => failed += 1,
            }
        }
        if ran == 0 {
            return failed > 0 || late >= FIRST_PATIENCE;
        }
        failed + late >= BASELINE_PATIENCE && failed + late > ran
    }

    /// The settings besides the baseline that the search looked at and that may run, in the order
    /// of their first visit.
    pub(super) fn seen(&self) -> &[&'a Setting] {
        self.seen.get_or_init(|| {
            let mut new = vec![true; self.names.len()];
            new[BASELINE] = false;
            let looked = |place: &usize| {
                let place = *place;
                self.trials[place].purpose == Purpose::Search
                    && self.paces[place].is_some()
                    && std::mem::take(&mut new[self.asked[place]])
            };
            let settings = (0..self.trials.len()).filter(looked);
            let settings = settings.map(|place| &self.trials[place].asked);
            settings.filter(|setting| self.may_run(setting)).collect()
        })
    }

    /// Whether the search looked at a setting.
    pub(super) fn has_seen(&self, setting: &Setting) -> bool {
        self.names.get(setting).is_some_and(|name| {
            (0..self.trials.len()).any(|place| {
                self.asked[place] == *name
                    && self.trials[place].purpose == Purpose::Search
                    && self.paces[place].is_some()
            })
        })
    }

    /// The measured trials of these purposes besides those of the baseline, each over the baseline
    /// beside it.
    pub(super) fn looks(&self, purposes: &[Purpose]) -> Vec<Look<'a>> {
        (0..self.trials.len())
            .filter(|place| self.asked[*place] != BASELINE)
            .filter(|place| purposes.contains(&self.trials[*place].purpose))
            .filter_map(|place| {
                Some(Look { trial: &self.trials[place], gain: self.gain_at(place)? })
            })
            .collect()
    }

    /// Logarithms of the seconds that a turn of each of these settings took in a block; `None` where
    /// no session ran all of them: what lies between two sessions may be days.
    pub(super) fn turns_in<S: Borrow<Setting>>(
        &self,
        purpose: Purpose,
        block: u32,
        settings: &[S],
    ) -> Option<Vec<f64>> {
        let last = self.trials.last()?.session;
        let turn = |session: u32, setting: &Setting| {
            self.places(setting).find_map(|place| {
                let trial = &self.trials[place];
                let own = (trial.purpose, trial.block, trial.session) == (purpose, block, session);
                self.paces[place].filter(|_| own).map(|pace| pace.turn(&self.plan.workload))
            })
        };
        (0..=last).find_map(|session| {
            settings.iter().map(|setting| turn(session, setting.borrow())).collect()
        })
    }

    /// The cost of a turn that was seen of a setting in the search, in units of the baseline's.
    pub(super) fn seen_cost(&self, setting: &Setting) -> Option<f64> {
        let gain = self.gain(setting, |trial| trial.purpose == Purpose::Search)?;
        Some((-self.turn_gain(&gain, self.part(setting))?).exp())
    }

    /// The shares of prefill and decode in a turn of the baseline; `None` before it ran.
    pub(super) fn shares(&self) -> Option<[f64; 2]> {
        let pace = self.baseline_pace()?;
        let [prefill, decode] = [pace.prefill, pace.decode].map(|it| it.map_or(0.0, f64::exp));
        let workload = &self.plan.workload;
        let parts = [workload.cost(prefill, 0.0), workload.cost(0.0, decode)];
        let whole = parts[0] + parts[1];
        (whole > 0.0).then(|| parts.map(|part| part / whole))
    }

    /// The median gain of a setting over the baseline, over its trials that `counts` accepts.
    pub(super) fn gain(&self, setting: &Setting, counts: impl Fn(&Trial) -> bool) -> Option<Gain> {
        let gains: Vec<Gain> = self
            .places(setting)
            .filter(|place| counts(&self.trials[*place]))
            .filter_map(|place| self.gain_at(place))
            .collect();
        let middle = |part: fn(&Gain) -> f64| median(&gains.iter().map(part).collect::<Vec<_>>());
        Some(Gain { prefill: middle(|gain| gain.prefill)?, decode: middle(|gain| gain.decode)? })
    }

    /// What a gain, as far as this part of a turn can cause it, does to whole turns.
    pub(super) fn turn_gain(&self, gain: &Gain, part: ActsOn) -> Option<f64> {
        let baseline = self.baseline_pace()?;
        Some(gain.caused_by(part).of_turn(&baseline, &self.plan.workload))
    }

    /// The gain of one trial over the visits to the baseline of its session that it belongs to:
    /// those of the same block, in the search also the one that follows; or else the last one
    /// before it. Visits of another session may be days away.
    fn gain_at(&self, place: usize) -> Option<Gain> {
        let own = &self.trials[place];
        let own_pace = self.paces[place]?;
        let near = |other: &&usize| self.trials[**other].session == own.session;
        let anchors: Vec<usize> = self.anchors.iter().filter(near).copied().collect();
        let distance = |other: &usize| {
            let trial = &self.trials[*other];
            let same = (trial.purpose, trial.block) == (own.purpose, own.block);
            (!same, *other > place, other.abs_diff(place))
        };
        let nearest = *anchors.iter().min_by_key(|other| distance(other))?;
        let mut gain = own_pace.gain_over(&self.paces[nearest]?);
        if own.purpose == Purpose::Search {
            // What lies between two visits to the baseline is compared with both: a drift that is
            // even between them cancels.
            let after =
                |other: &&usize| **other > place && self.trials[**other].purpose == Purpose::Search;
            if let Some(next) = anchors.iter().find(after).filter(|next| **next != nearest) {
                let other = own_pace.gain_over(&self.paces[*next]?);
                gain = Gain {
                    prefill: f64::midpoint(gain.prefill, other.prefill),
                    decode: f64::midpoint(gain.decode, other.decode),
                };
            }
        }
        Some(gain)
    }

    /// The paces of the baseline while it was compared with itself, and in the search where that
    /// was too seldom to tell how it scatters.
    fn first_anchors(&self) -> Vec<(u32, Pace)> {
        let of = |purpose: Purpose| -> Vec<(u32, Pace)> {
            self.anchors
                .iter()
                .filter(|place| self.trials[**place].purpose == purpose)
                .filter_map(|place| Some((self.trials[*place].session, self.paces[*place]?)))
                .collect()
        };
        let mut anchors = of(Purpose::Fitness);
        if anchors.len() < 3 {
            anchors.extend(of(Purpose::Search));
        }
        anchors
    }

    /// The median pace of the baseline.
    pub(super) fn baseline_pace(&self) -> Option<Pace> {
        let anchors = self.first_anchors();
        let middle = |part: fn(&Pace) -> Option<f64>| {
            median(&anchors.iter().filter_map(|(_, pace)| part(pace)).collect::<Vec<_>>())
        };
        (!anchors.is_empty()).then(|| Pace {
            prefill: middle(|pace| pace.prefill),
            decode: middle(|pace| pace.decode),
        })
    }

    /// How far one visit to the baseline is from the next one in its session (root mean square of
    /// the difference in the logarithm of a turn's time); 0 with fewer than two differences.
    pub(super) fn noise(&self) -> f64 {
        self.scatter(|pace| Some(pace.turn(&self.plan.workload))).unwrap_or(0.0)
    }

    /// The same of one part of a turn.
    pub(super) fn noise_of(&self, phase: Phase) -> Option<f64> {
        self.scatter(|pace| match phase {
            Phase::Prefill => pace.prefill,
            Phase::Decode => pace.decode,
        })
    }

    fn scatter(&self, log_time: impl Fn(&Pace) -> Option<f64>) -> Option<f64> {
        let squares: Vec<f64> = self
            .first_anchors()
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .filter_map(|pair| Some((log_time(&pair[1].1)? - log_time(&pair[0].1)?).powi(2)))
            .collect();
        (squares.len() >= 2).then(|| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt())
    }

    /// Which part of a turn the knobs that a setting changes can act on.
    pub(super) fn part(&self, setting: &Setting) -> ActsOn {
        let changed = knob::changed(&self.plan.baseline, setting);
        let mut parts = changed.iter().map(|(knob, _, _)| knob.acts_on());
        match parts.next() {
            Some(first) if parts.all(|part| part == first) => first,
            _ => ActsOn::Both,
        }
    }

    /// The pace of each trial, in the order of the journal.
    pub(super) fn paced(&self) -> impl Iterator<Item = (&'a Trial, Option<&Pace>)> {
        self.trials.iter().zip(self.paces.iter().map(Option::as_ref))
    }

    /// How far a setting is from the baseline, for ties: fewer changes first, then fewer threads.
    pub(super) fn simplicity(&self, setting: &Setting) -> (usize, u32) {
        let changes = knob::changed(&self.plan.baseline, setting).len();
        (changes, setting.threads.threads + setting.threads.threads_batch)
    }
}

/// A measured trial over the baseline beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) trial: &'a Trial,
    gain: Gain,
}

impl Look<'_> {
    /// How much more time a token of a phase takes than with the baseline, as a difference of
    /// logarithms; `None` where the phase was not timed.
    pub(super) fn slower(&self, phase: Phase) -> Option<f64> {
        let (timed, gain) = match phase {
            Phase::Prefill => (self.trial.prefill_seconds_per_token(), self.gain.prefill),
            Phase::Decode => (self.trial.decode_seconds_per_token(), self.gain.decode),
        };
        timed.map(|_| -gain)
    }
}
