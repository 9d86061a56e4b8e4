//! The trials so far, as the phases look at them.

use autotune_engine::api::{Failure, Setting};

use super::Ask;
use super::closure::Closure;
use super::pace::{Gain, Pace};
use crate::knob::{self, ActsOn};
use crate::model::{Outcome, Plan, Purpose, Source, Trial};
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
}

impl<'a> Ledger<'a> {
    pub(super) fn new(plan: &'a Plan, trials: &'a [Trial]) -> Self {
        let paces = trials.iter().map(Pace::of).collect();
        Self { plan, trials, paces, closure: Closure::new(&plan.baseline, trials) }
    }

    /// Whether an ask is still open and may be run.
    pub(super) fn wants(&self, ask: &Ask) -> bool {
        !self.trials.iter().any(|trial| meets(trial, ask)) && self.may_run(&ask.setting)
    }

    /// Whether a setting is worth asking for: nothing it holds has failed, and it is not the
    /// baseline in other words.
    pub(super) fn may_run(&self, setting: &Setting) -> bool {
        *setting == self.plan.baseline
            || !(self.closure.forbids(setting) || self.runs_as_baseline(setting))
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

    /// How often a setting failed by what may be an accident, in the screening before a block.
    pub(super) fn accidents(&self, setting: &Setting, first_block: u32) -> usize {
        let own = |trial: &&Trial| {
            (trial.purpose, &trial.asked) == (Purpose::Screen, setting) && trial.block < first_block
        };
        self.trials.iter().filter(own).filter(|trial| trial.outcome.may_be_accident()).count()
    }

    /// The settings besides the baseline that were measured before the finals, in the order of
    /// their first visit.
    pub(super) fn candidates(&self) -> Vec<&'a Setting> {
        let mut candidates: Vec<&Setting> = Vec::new();
        for (trial, pace) in self.trials.iter().zip(&self.paces) {
            let early = matches!(trial.purpose, Purpose::Screen | Purpose::Combine);
            let new = trial.asked != self.plan.baseline && !candidates.contains(&&trial.asked);
            if early && pace.is_some() && new && self.may_run(&trial.asked) {
                candidates.push(&trial.asked);
            }
        }
        candidates
    }

    /// The median gain of a setting over the baseline, over its trials that `counts` accepts.
    pub(super) fn gain(&self, setting: &Setting, counts: impl Fn(&Trial) -> bool) -> Option<Gain> {
        let gains: Vec<Gain> = (0..self.trials.len())
            .filter(|place| self.trials[*place].asked == *setting && counts(&self.trials[*place]))
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

    /// The gain of one trial over the baseline visit of its session that it belongs to: the one of
    /// the same block, or else the last one before it. Later ones are a last resort, because what
    /// is known of a trial should not change while the journal grows. Visits of another session
    /// may be days away.
    fn gain_at(&self, place: usize) -> Option<Gain> {
        let own = &self.trials[place];
        let distance = |other: usize| {
            let trial = &self.trials[other];
            let same = (trial.purpose, trial.block) == (own.purpose, own.block);
            (!same, other > place, other.abs_diff(place))
        };
        let partner = (0..self.trials.len())
            .filter(|other| self.is_anchor(*other))
            .filter(|other| self.trials[*other].session == own.session)
            .min_by_key(|other| distance(*other))?;
        Some(self.paces[place]?.gain_over(&self.paces[partner]?))
    }

    fn is_anchor(&self, place: usize) -> bool {
        let trial = &self.trials[place];
        trial.asked == self.plan.baseline
            && trial.source == Source::Measured
            && self.paces[place].is_some()
    }

    /// The paces of the baseline in the first round of screening, which is over before anything is
    /// decided with them.
    fn first_anchors(&self) -> Vec<(u32, Pace)> {
        let blocks = super::screen::blocks_per_round(self.plan);
        let first = |trial: &Trial| trial.purpose == Purpose::Screen && trial.block < blocks;
        (0..self.trials.len())
            .filter(|place| self.is_anchor(*place) && first(&self.trials[*place]))
            .filter_map(|place| Some((self.trials[place].session, self.paces[place]?)))
            .collect()
    }

    /// The median pace of the baseline.
    fn baseline_pace(&self) -> Option<Pace> {
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
        let turn = |pace: &Pace| pace.turn(&self.plan.workload);
        let squares: Vec<f64> = self
            .first_anchors()
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| (turn(&pair[1].1) - turn(&pair[0].1)).powi(2))
            .collect();
        if squares.len() < 2 {
            return 0.0;
        }
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
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

/// Whether a trial is the answer to an ask.
pub(super) fn meets(trial: &Trial, ask: &Ask) -> bool {
    trial.purpose == ask.purpose && trial.block == ask.block && trial.asked == ask.setting
}

/// The settings one level away from the baseline.
pub(super) fn star(plan: &Plan) -> Vec<Setting> {
    let mut star: Vec<Setting> = Vec::new();
    for axis in &plan.axes {
        for level in &axis.levels {
            if let Some(setting) = knob::apply(axis, &plan.baseline, level)
                && setting != plan.baseline
                && !star.contains(&setting)
            {
                star.push(setting);
            }
        }
    }
    star
}
