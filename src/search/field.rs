//! The space as coordinates: one level per axis, and what a surrogate sees of it.
//!
//! Two points are the same run where they give the same canonical setting; only the one whose
//! levels read back as they are written counts.

use autotune_engine::api::Setting;
use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::knob::{self, ActsOn, Knob};
use crate::model::{Axis, Level, Phase, Plan};

/// Spaces up to this size are looked at whole, larger ones by a sample.
const WHOLE: usize = 4000;
/// Points of a sample of a larger space.
const SAMPLE: usize = 1500;
/// Changes from a centre that a point of a sample has at most.
const MOST_CHANGES: usize = 4;

/// One level of each axis, by its place there.
pub(super) type Point = Vec<u8>;

/// The axes of a plan as a field of points.
#[derive(Debug)]
pub(super) struct Field<'a> {
    plan: &'a Plan,
    tracks: Vec<Track<'a>>,
}

/// One axis with the coordinates of its levels.
#[derive(Debug)]
struct Track<'a> {
    axis: &'a Axis,
    knob: &'static dyn Knob,
    /// 0 to 1 in order; `None` where the levels have none.
    scale: Option<Vec<f64>>,
}

impl<'a> Field<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let tracks = plan.axes.iter().filter_map(|axis| {
            let knob = knob::named(&axis.knob).ok()?;
            let usable = axis.levels.len() >= 2 && u8::try_from(axis.levels.len()).is_ok();
            usable.then(|| Track { axis, knob, scale: scale(axis) })
        });
        Self { plan, tracks: tracks.collect() }
    }

    /// Axes.
    pub(super) fn dimensions(&self) -> usize {
        self.tracks.len()
    }

    /// Levels of an axis.
    pub(super) fn levels(&self, axis: usize) -> u8 {
        u8::try_from(self.tracks[axis].axis.levels.len()).unwrap_or(u8::MAX)
    }

    /// Whether the levels of an axis have an order.
    pub(super) fn is_ordered(&self, axis: usize) -> bool {
        self.tracks[axis].scale.is_some()
    }

    /// Points, those that are the same run counted apart.
    pub(super) fn size(&self) -> usize {
        self.tracks.iter().fold(1_usize, |size, it| size.saturating_mul(it.axis.levels.len()))
    }

    /// Where a setting lies; `None` for one with a level that is not the field's.
    pub(super) fn point(&self, setting: &Setting) -> Option<Point> {
        // Each sequence keeps its share of the context, so the levels of `context` are those of as
        // many sequences as the baseline has.
        let mut shared = setting.clone();
        let wanted = self.plan.baseline.context.sequences;
        if shared.context.sequences != wanted {
            let level = Level::Count(wanted);
            knob::put(knob::named("sequences").ok()?, &mut shared, &level).ok()?;
        }
        let place = |track: &Track<'_>| {
            let is_context = track.knob.name() == "context";
            let own = track.knob.read(if is_context { &shared } else { setting });
            let place = track.axis.levels.iter().position(|level| *level == own)?;
            u8::try_from(place).ok()
        };
        self.tracks.iter().map(place).collect()
    }

    /// The setting at a point; `None` where it is the same run as another point's.
    pub(super) fn setting(&self, point: &[u8]) -> Option<Setting> {
        let setting = knob::canonical(self.written(point)?);
        (self.point(&setting).as_deref() == Some(point)).then_some(setting)
    }

    /// The levels of a point as they are written, whether another point is the same run or not.
    pub(super) fn written(&self, point: &[u8]) -> Option<Setting> {
        let mut setting = self.plan.baseline.clone();
        let own = || self.tracks.iter().zip(point);
        // The context is shared out among the sequences last.
        let last = |track: &Track<'_>| track.knob.name() == "sequences";
        let order = own().filter(|(it, _)| !last(it)).chain(own().filter(|(it, _)| last(it)));
        for (track, place) in order {
            knob::put(track.knob, &mut setting, &track.axis.levels[usize::from(*place)]).ok()?;
        }
        Some(setting)
    }

    /// What the surrogate of a phase sees of a point: one number per axis that acts on it.
    pub(super) fn coordinates(&self, point: &[u8], phase: Phase) -> Vec<f64> {
        let tracks = self.tracks.iter().zip(point).filter(|(track, _)| acts(track.knob, phase));
        tracks
            .map(|(track, place)| match &track.scale {
                Some(scale) => scale[usize::from(*place)],
                None => f64::from(*place),
            })
            .collect()
    }

    /// Which of these coordinates have no order.
    pub(super) fn unordered(&self, phase: Phase) -> Vec<bool> {
        let tracks = self.tracks.iter().filter(|track| acts(track.knob, phase));
        tracks.map(|track| track.scale.is_none()).collect()
    }

    /// All points of a small space; of a large one a sample, most of it few changes away from
    /// these centres: what differs from a good setting in everything is good by luck only.
    pub(super) fn pool(&self, centres: &[Point], chance: &mut impl rand::Rng) -> Vec<Point> {
        if self.size() <= WHOLE || centres.is_empty() {
            return if self.size() <= WHOLE {
                self.all().collect()
            } else {
                self.sample(SAMPLE, chance)
            };
        }
        let mut pool: Vec<Point> = centres.iter().flat_map(|it| self.neighbours(it)).collect();
        while pool.len() < SAMPLE {
            let Some(mut point) = centres.choose(chance).cloned() else { break };
            for _ in 0..chance.random_range(2..=MOST_CHANGES) {
                let axis = chance.random_range(0..self.dimensions());
                point[axis] = chance.random_range(0..self.levels(axis));
            }
            pool.push(point);
        }
        pool
    }

    /// So many points by chance.
    pub(super) fn sample(&self, count: usize, chance: &mut impl rand::Rng) -> Vec<Point> {
        let mut point = || -> Point {
            (0..self.dimensions()).map(|axis| chance.random_range(0..self.levels(axis))).collect()
        };
        (0..count).map(|_| point()).collect()
    }

    /// Every point, the last axis fastest.
    pub(super) fn all(&self) -> impl Iterator<Item = Point> + '_ {
        (0..self.size()).map(|number| {
            let mut rest = number;
            let mut point = vec![0; self.dimensions()];
            for axis in (0..self.dimensions()).rev() {
                let levels = usize::from(self.levels(axis));
                point[axis] = u8::try_from(rest % levels).unwrap_or(0);
                rest /= levels;
            }
            point
        })
    }

    /// The points one step away in a single axis: the next levels where they have an order, every
    /// other level where they have none.
    pub(super) fn steps<'p>(&'p self, point: &'p [u8]) -> impl Iterator<Item = Point> + 'p {
        self.neighbours(point).filter(|other| {
            let mut differing = (0..point.len()).filter(|axis| point[*axis] != other[*axis]);
            differing.all(|axis| !self.is_ordered(axis) || point[axis].abs_diff(other[axis]) == 1)
        })
    }

    /// The points that differ from one in a single axis.
    pub(super) fn neighbours<'p>(&'p self, point: &'p [u8]) -> impl Iterator<Item = Point> + 'p {
        (0..self.dimensions()).flat_map(move |axis| {
            (0..self.levels(axis)).filter(move |level| *level != point[axis]).map(move |level| {
                let mut neighbour = point.to_vec();
                neighbour[axis] = level;
                neighbour
            })
        })
    }
}

fn acts(knob: &dyn Knob, phase: Phase) -> bool {
    match knob.acts_on() {
        ActsOn::Both => true,
        ActsOn::Prefill => phase == Phase::Prefill,
        ActsOn::Decode => phase == Phase::Decode,
    }
}

/// Coordinates from 0 to 1: sizes by their logarithm, because what doubles costs double; layers as
/// they are, because each costs the same. Words have no order but for `all`, the last of layers.
fn scale(axis: &Axis) -> Option<Vec<f64>> {
    let by_layer = matches!(axis.knob.as_str(), "gpu_layers" | "cpu_experts" | "poll" | "nice");
    let counts: Vec<Option<u32>> = axis
        .levels
        .iter()
        .map(|level| match level {
            Level::Count(count) => Some(*count),
            Level::Word(_) => None,
        })
        .collect();
    let most = counts.iter().flatten().max()?;
    let value = |(level, count): (&Level, &Option<u32>)| {
        let whole = by_layer && level.to_string() == "all";
        let count = f64::from((*count).or(whole.then(|| most.saturating_add(1)))?);
        Some(if by_layer { count } else { (count + 1.0).log2() })
    };
    let values: Vec<f64> = axis.levels.iter().zip(&counts).map(value).collect::<Option<_>>()?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let span = values.iter().copied().fold(f64::NEG_INFINITY, f64::max) - least;
    Some(values.iter().map(|value| (value - least) / span.max(1e-9)).collect())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::plan;
    use crate::plan::tests::{card, wish};

    #[test]
    fn points_and_settings_are_two_names_of_one_thing() {
        let card = card();
        let plan = plan::plan(wish(&card));
        let field = Field::new(&plan);
        assert_eq!(field.dimensions(), plan.axes.len());
        let own = field.point(&plan.baseline).unwrap();
        assert_eq!(field.setting(&own).as_ref(), Some(&plan.baseline));
        let mut runs = 0;
        for point in field.all() {
            if let Some(setting) = field.setting(&point) {
                assert_eq!(field.point(&setting), Some(point));
                runs += 1;
            }
        }
        assert!(runs > 100 && runs <= field.size());
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(1);
        assert!(!field.pool(std::slice::from_ref(&own), &mut chance).is_empty());
        let axes: usize = plan.axes.iter().map(|axis| axis.levels.len() - 1).sum();
        assert_eq!(field.neighbours(&own).count(), axes);
    }

    #[test]
    fn sizes_are_scaled_by_doublings_and_layers_by_count() {
        let axis = |knob: &str, levels: Vec<Level>| Axis {
            knob: knob.into(),
            scope: crate::model::Scope::Load,
            levels,
        };
        let counts = |levels: &[u32]| levels.iter().copied().map(Level::Count).collect::<Vec<_>>();
        let threads = scale(&axis("threads", counts(&[1, 3, 7]))).unwrap();
        assert!((threads[1] - 0.5).abs() < 1e-12 && threads[2] > 0.999);
        let mut layers = counts(&[0, 5]);
        layers.push(Level::Word("all".into()));
        let layers = scale(&axis("gpu_layers", layers)).unwrap();
        assert!((layers[1] - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!(scale(&axis("isa_variant", vec![Level::Word("a".into())])), None);
    }
}
