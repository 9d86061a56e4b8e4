//! Which candidate to take, and why in one sentence.

use std::cmp::Ordering;

use autotune_engine::api::Bytes;

use crate::model::{QualityClass, StudyCandidate};

use super::FrontPoint;
use super::words::{differing, nats};

/// One that may be taken. The source among them needs no quality: it is its own reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// Its numbers.
    pub point: FrontPoint,
    /// Share of tokens where it has the reference's likeliest token.
    pub top1_agreement: Option<f64>,
}

impl From<&StudyCandidate> for Contender {
    fn from(of: &StudyCandidate) -> Self {
        let against = of.quality.as_ref().and_then(|quality| quality.against.as_ref());
        let top1_agreement = against.map(|against| against.top1_agreement);
        Self { point: of.into(), top1_agreement }
    }
}

/// What the choice must keep to.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The worst class that is taken.
    pub floor: QualityClass,
    /// Memory that it must fit into, in bytes; `None` where nothing limits it.
    pub memory_limit_bytes: Option<u64>,
    /// What the candidates are quantizations of, known among them by its name; `None` leaves
    /// comparisons with it out of the sentence.
    pub source: Option<FrontPoint>,
    /// Whether nothing can be known of quality, so that speed alone counts.
    pub speed_only: bool,
}

/// The one to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its place.
    pub index: usize,
    /// Why, one sentence without its full stop.
    pub sentence: String,
    /// Places of the others that are as fast as far as can be told.
    pub tied: Vec<usize>,
    /// Places of those that were not compared, each with the reason.
    pub left_out: Vec<(usize, String)>,
}

/// Nothing can be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoChoice {
    /// Every place with the reason.
    pub left_out: Vec<(usize, String)>,
}

/// Takes what fits into memory, of that what keeps the class, of that the fastest to decode, and
/// of those that two standard errors do not tell from it the smallest file.
///
/// The class is that of the mean; the sentence says where two standard errors reach below the
/// floor. A model whose memory was not measured takes its file at least. Where speed alone counts
/// the sentence says so; where no speed was measured, the smallest file is taken.
pub fn choose(contenders: &[Contender], wish: &Wish) -> Result<Choice, NoChoice> {
    let question = Question { contenders, wish };
    let (mut staying, mut left_out) = (Vec::new(), Vec::new());
    for (place, contender) in contenders.iter().enumerate() {
        match question.objection(contender) {
            Some(why) => left_out.push((place, why)),
            None => staying.push(place),
        }
    }
    let speed = |place: &usize| contenders[*place].point.decode.map(|decode| decode.value);
    if staying.iter().any(|place| speed(place).is_some()) {
        let unknown = staying.extract_if(.., |place| speed(place).is_none());
        left_out.extend(unknown.map(|place| (place, "its speed was not measured".to_owned())));
        left_out.sort_unstable_by_key(|(place, _)| *place);
    }
    let order = |place: &usize| speed(place).unwrap_or_default();
    let fastest = staying.iter().copied().max_by(|a, b| order(a).total_cmp(&order(b)));
    let Some(fastest) = fastest else { return Err(NoChoice { left_out }) };
    let slower = |place: usize| {
        let beside = contenders[fastest].point.decode_beside(&contenders[place].point);
        beside == Some(Ordering::Greater)
    };
    let mut tied: Vec<usize> = staying.iter().copied().filter(|place| !slower(*place)).collect();
    let smaller = |a: &usize, b: &usize| {
        let (a, b) = (&contenders[*a].point, &contenders[*b].point);
        let mean = |point: &FrontPoint| point.divergence.map_or(0.0, |(mean, _)| mean);
        a.file_bytes.cmp(&b.file_bytes).then(mean(a).total_cmp(&mean(b)))
    };
    let index = tied.iter().copied().min_by(smaller).expect("the fastest is as fast as itself");
    let sentence = question.sentence(index, staying.len(), tied.len());
    tied.retain(|place| *place != index);
    Ok(Choice { index, sentence, tied, left_out })
}

fn is_source(contender: &Contender, wish: &Wish) -> bool {
    wish.source.as_ref().is_some_and(|source| source.name == contender.point.name)
}

struct Question<'a> {
    contenders: &'a [Contender],
    wish: &'a Wish,
}

impl Question<'_> {
    /// Why one cannot be taken whatever its speed is.
    fn objection(&self, contender: &Contender) -> Option<String> {
        let point = &contender.point;
        let needs = point.memory_bytes.unwrap_or(point.file_bytes);
        if let Some(limit) = self.wish.memory_limit_bytes.filter(|limit| needs > *limit) {
            let (needs, limit) = (Bytes(needs), Bytes(limit));
            return Some(match point.memory_bytes {
                Some(_) => format!("it takes {needs} of memory and {limit} are allowed"),
                None => format!("its file has {needs} and {limit} of memory are allowed"),
            });
        }
        if self.wish.speed_only || is_source(contender, self.wish) {
            return None;
        }
        let Some((mean, se)) = point.divergence else {
            return Some("its quality was not measured".to_owned());
        };
        let (class, floor) = (QualityClass::of(mean), self.wish.floor);
        let nats = nats(mean, Some(se));
        (class < floor).then(|| format!("it is `{class}` (KL divergence {nats}), below `{floor}`"))
    }

    fn sentence(&self, index: usize, staying: usize, tied: usize) -> String {
        let contender = &self.contenders[index];
        let limit = self.wish.memory_limit_bytes.map(Bytes);
        let what = self.conditions(staying);
        let lead = match (staying, tied) {
            (1, _) => format!("the only one{what}"),
            (all, _) if contender.point.decode.is_none() => format!("the smallest of {all}{what}"),
            (all, 1) => format!("the fastest of {all}{what}"),
            (all, tied) if tied == all => {
                format!("the smallest of {all}{what}, equally fast as far as can be told")
            }
            (all, tied) => format!(
                "the smallest of {tied} that are equally fast as far as can be told, of {all}{what}"
            ),
        };
        let mut said = vec![format!("{}: {lead}", contender.point.name)];
        if is_source(contender, self.wish) {
            said.push(", the source itself".to_owned());
        } else {
            said.push(told_quality(contender));
            said.push(self.beside_source(&contender.point));
        }
        if contender.point.decode.is_none() {
            said.push("; its speed was not measured".to_owned());
        }
        if self.wish.speed_only {
            said.push("; speed only, quality not measured".to_owned());
        } else if self.may_be_below(&contender.point) {
            said.push(format!("; that it keeps `{}` is not certain", self.wish.floor));
        }
        if let Some(limit) = limit.filter(|_| contender.point.memory_bytes.is_none()) {
            said.push(format!("; whether it fits into {limit} was not measured"));
        }
        said.concat()
    }

    /// What those that stay have in common, with a blank before it.
    fn conditions(&self, staying: usize) -> String {
        let (fit, keep) = if staying == 1 { ("fits", "keeps") } else { ("fit", "keep") };
        let limit = self.wish.memory_limit_bytes.map(|it| format!("{fit} into {}", Bytes(it)));
        let floor =
            (!self.wish.speed_only).then(|| format!("{keep} at least `{}`", self.wish.floor));
        let all: Vec<String> = limit.into_iter().chain(floor).collect();
        if all.is_empty() { String::new() } else { format!(" that {}", all.join(" and ")) }
    }

    fn beside_source(&self, point: &FrontPoint) -> String {
        let Some(source) = &self.wish.source else { return String::new() };
        let size = 100.0 * point.file_bytes as f64 / source.file_bytes as f64;
        let times = point.decode.zip(source.decode).map(|(own, its)| own.value / its.value);
        match point.decode_beside(source).zip(times) {
            Some((Ordering::Equal, _)) => {
                format!(", as fast as the source and {size:.0} % of its size")
            }
            Some((_, times)) => {
                format!(", {times:.1} times as fast as the source and {size:.0} % of its size")
            }
            None => format!(", {size:.0} % of the source's size"),
        }
    }

    fn may_be_below(&self, point: &FrontPoint) -> bool {
        let reach = |(mean, se): (f64, f64)| QualityClass::of(mean + 2.0 * se) < self.wish.floor;
        point.divergence.is_some_and(reach)
    }
}

fn told_quality(contender: &Contender) -> String {
    let Some((mean, se)) = contender.point.divergence else { return String::new() };
    let differs = contender.top1_agreement.map(|share| format!(", {}", differing(share)));
    format!(" (KL divergence {}{})", nats(mean, Some(se)), differs.unwrap_or_default())
}
