//! What a mix is chosen from, asked of the engine: rounding errors, divergences, times.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{
    Bytes, Clock, Engine, Failure, Identity, Job, Language, RoundingJob, Setting, ThreadSetting,
    Token, VariantVerdict, Work,
};

use super::QuantizeError;
use super::mixing::{MixWish, Paced, Step};
use super::plan::{Planned, Recipe, Source, plan, recipe};
use super::write::{Existing, Placed, Written, write};
use crate::appraise::{self, Asked, Candidate};
use crate::gguf::{TENSOR_TYPES, Tensor, TensorType};
use crate::mix::{
    Coefficients, Cost, Guards, Probe, Problem, QuantType, Rest, Tensor as Choosable, Uniform,
    group_of,
};
use crate::quality::Accumulated;
use crate::stats::median;

/// How long rounding a whole model may take.
const DEADLINE: Duration = Duration::from_secs(86400);
/// Types that tensors may take, beside those of the file types that a mix is held against.
const TYPES: [&str; 6] = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0"];
/// File types that a mix is held against.
pub const UNIFORM: [&str; 14] = [
    "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_0", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "q3_k_l",
    "q3_k_m", "q3_k_s", "q2_k", "q4_1",
];
/// The type that a group takes while everything else stays, the first that it can take: coarse
/// enough to be seen, fine enough for the theorem, which holds for small errors.
const PROBES: [&str; 3] = ["Q3_K", "IQ4_NL", "Q4_0"];
/// Divergence below which a measured one is rounding, in nats.
const LEAST: f64 = 1e-6;
/// Rows of a tensor that are rounded at most.
const ROWS: u32 = 512;
/// Visits that time decoding with a file, after one that says how fast it is about.
const VISITS: u32 = 5;
/// Seconds that a visit takes, as far as its tokens reach.
const VISIT: f64 = 1.0;
/// Tokens of a visit: enough to be timed, and few enough for its context.
const TOKENS: std::ops::RangeInclusive<u32> = 16..=384;

/// An engine that speaks and can be timed.
pub trait Instrument: Engine + Language + Send {}

impl<T: Engine + Language + Send> Instrument for T {}

/// What uniform types would be, by name.
type Plans = BTreeMap<String, Planned>;

/// What there is to choose from.
pub(super) struct Ground {
    pub(super) problem: Problem,
    pub(super) uniforms: Vec<Uniform>,
    pub(super) plans: Plans,
    /// What a file holds beside the tensors that are chosen for.
    pub(super) rest: Rest,
}

/// Everything that is asked.
pub(super) struct Instruments<'a> {
    pub(super) engine: &'a mut dyn Instrument,
    pub(super) identity: &'a Identity,
    pub(super) clock: &'a dyn Clock,
    pub(super) interrupted: &'a AtomicBool,
    pub(super) source: &'a Source,
    pub(super) wish: &'a MixWish,
    /// The setting that everything is asked under.
    pub(super) setting: Setting,
}

impl Instruments<'_> {
    pub(super) fn check(&self) -> Result<(), QuantizeError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(QuantizeError::Interrupted);
        }
        Ok(())
    }

    pub(super) fn recipe(&self, name: &str) -> Result<Recipe, QuantizeError> {
        let own = recipe(name, self.wish.importance.as_deref())?;
        Ok(Recipe { threads: self.wish.threads, ..own })
    }

    /// Tensors, types and rounding errors; the uniform types and what they would be.
    pub(super) fn ground(&mut self) -> Result<Ground, QuantizeError> {
        let mut plans = BTreeMap::new();
        for name in UNIFORM {
            let recipe = self.recipe(name)?;
            plans.insert(name.to_owned(), plan(self.engine, self.source, &recipe)?);
        }
        // What the commonest type leaves alone is never quantized.
        let changed = |tensor: &&Tensor| {
            plans["q8_0"].tensors.get(&tensor.name).is_some_and(|kind| kind.id != tensor.kind.id)
        };
        let tensors: Vec<&Tensor> = self.source.tensors().filter(changed).collect();
        let used: BTreeSet<&str> = plans
            .values()
            .flat_map(|plan| tensors.iter().filter_map(|it| plan.tensors.get(&it.name)))
            .map(|kind| kind.name)
            .chain(TYPES)
            .collect();
        let kinds: Vec<TensorType> =
            TENSOR_TYPES.iter().filter(|kind| used.contains(kind.name)).copied().collect();
        let job = RoundingJob {
            model: self.source.path.clone(),
            importance: self.wish.importance.clone(),
            tensors: tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            types: kinds.iter().map(|kind| kind.id).collect(),
            rows: ROWS,
        };
        self.check()?;
        let rounded = self.engine.rounding(&job, DEADLINE).map_err(|cause| {
            QuantizeError::Engine { what: "the rounding errors".to_owned(), cause }
        })?;
        let costs = |tensor: &Tensor, errors: &[Option<f64>]| {
            let cost = |(kind, error): (&TensorType, &Option<f64>)| {
                let bytes = kind.bytes(tensor.weights())?;
                tensor.dimensions[0].is_multiple_of(kind.block).then_some(())?;
                Some(Cost { bytes, error: (*error)?.max(0.0) })
            };
            kinds.iter().zip(errors).map(cost).collect()
        };
        let chosen = tensors
            .iter()
            .zip(&rounded)
            .map(|(tensor, rounded)| Choosable {
                name: tensor.name.clone(),
                weights: tensor.weights(),
                group: group_of(&tensor.name),
                read_share: read_share(self.source, tensor),
                costs: costs(tensor, &rounded.relative_error),
            })
            .collect();
        let place = |kind: &TensorType| kinds.iter().position(|it| it.id == kind.id);
        let uniforms = plans
            .iter()
            .filter_map(|(name, plan)| {
                let types = tensors.iter().map(|it| place(plan.tensors.get(&it.name)?));
                Some(Uniform { name: name.clone(), types: types.collect::<Option<_>>()? })
            })
            .collect();
        let types = kinds
            .iter()
            .map(|kind| QuantType { name: kind.name.to_owned(), seconds_per_byte: 1.0 })
            .collect();
        let coefficients = Coefficients::even();
        let problem = Problem { types, tensors: chosen, coefficients, guards: Guards::default() };
        let rest = rest(self.source, &problem);
        Ok(Ground { problem, uniforms, plans, rest })
    }

    /// The best CPU variant that multiplies rightly in the source's types and in all that a mix may
    /// have; as the setting has it where none does.
    pub(super) fn agree_on_variant(&mut self, problem: &Problem) -> Result<(), QuantizeError> {
        let own = self.source.tensors().map(|tensor| tensor.kind.name.to_owned());
        let chosen = problem.types.iter().map(|kind| kind.name.clone());
        let types: BTreeSet<String> = own.chain(chosen).collect();
        let types: Vec<String> = types.into_iter().collect();
        let failed =
            |cause| QuantizeError::Engine { what: "the choice of a CPU variant".to_owned(), cause };
        let variants = self.engine.variants(&types).map_err(failed)?;
        let usable = variants.into_iter().find(|it| it.verdict == VariantVerdict::Usable);
        let setting = &mut self.setting.process;
        setting.isa_variant = usable.map(|it| it.name).or_else(|| setting.isa_variant.take());
        Ok(())
    }

    /// The divergence of each group alone; groups without a type to probe are left out.
    pub(super) fn probes(
        &mut self,
        problem: &Problem,
        folder: &Path,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Vec<Probe>, QuantizeError> {
        let groups: BTreeSet<&str> = problem.tensors.iter().map(|it| it.group.as_str()).collect();
        let of = groups.len();
        let mut probes = Vec::new();
        for (number, group) in groups.into_iter().enumerate() {
            self.check()?;
            let Some(kind) = probe_of(problem, group) else { continue };
            tell(Step::Probing { group: group.to_owned(), number: number + 1, of });
            let chosen = |tensor: &Choosable| tensor.group == group;
            let name = format!("probe-{group}");
            let (written, _) = self.in_one_type(problem, kind, &chosen, folder, &name)?;
            let chunks = self.wish.probe_chunks.clone();
            let scores = self.divergences(std::slice::from_ref(&written), &chunks)?;
            let mean = scores.first().and_then(Accumulated::mean_divergence);
            let _ = std::fs::remove_file(&written.path);
            // A group that seems to matter nothing would be given nothing.
            let divergence = mean.map_or(0.0, |mean| mean.mean.max(LEAST));
            probes.push(Probe { group: group.to_owned(), kind, divergence });
        }
        Ok(probes)
    }

    /// Times decoding with each type, and gives each its time per byte; the time of this uniform
    /// type in the same unit.
    ///
    /// A file with all tensors in one type takes what that type takes, with everything else that
    /// a token needs shared out over its bytes: a mix lies between the types that it is of.
    pub(super) fn paces(
        &mut self,
        ground: &mut Ground,
        limit: &str,
        folder: &Path,
        tell: &mut dyn FnMut(Step),
    ) -> Result<f64, QuantizeError> {
        let mut paces: Vec<Option<f64>> = Vec::new();
        for kind in 0..ground.problem.types.len() {
            self.check()?;
            let name = ground.problem.types[kind].name.clone();
            tell(Step::Pacing(name.clone()));
            let problem = &ground.problem;
            let (written, read) = self.in_one_type(problem, kind, &|_| true, folder, &name)?;
            let seconds = self.seconds_per_token(&[&written.path])?.first().copied();
            let _ = std::fs::remove_file(&written.path);
            paces.push(seconds.filter(|_| read > 0.0).map(|seconds| seconds / read));
        }
        let slowest = paces.iter().flatten().copied().fold(0.0, f64::max);
        for (kind, pace) in ground.problem.types.iter_mut().zip(paces) {
            kind.seconds_per_byte = pace.unwrap_or(slowest);
        }
        let uniform = ground.uniforms.iter().find(|it| it.name == limit);
        let total = uniform.and_then(|it| ground.problem.total(&it.types));
        total.map(|it| it.seconds).ok_or_else(|| QuantizeError::UnknownType(limit.to_owned()))
    }

    /// The time for a token of a file and of a uniform type, in turn.
    pub(super) fn paced(
        &mut self,
        file: &Written,
        limit: &str,
        planned: &Planned,
        folder: &Path,
    ) -> Result<Paced, QuantizeError> {
        let recipe = self.recipe(limit)?;
        let placed = aside(folder, &format!("pace-{limit}"));
        let other = write(self.engine, self.source, &recipe, planned, &placed, &|_| {})?;
        match self.seconds_per_token(&[&file.path, &other.path])?.as_slice() {
            [seconds, limit] => Ok(Paced { seconds: *seconds, limit_seconds: *limit }),
            _ => unreachable!("a time for each of two"),
        }
    }

    /// Writes a file with some tensors in one type, where they can take it, and the others as the
    /// source has them; and the bytes in that type that decoding a token reads.
    fn in_one_type(
        &mut self,
        problem: &Problem,
        kind: usize,
        chosen: &dyn Fn(&Choosable) -> bool,
        folder: &Path,
        name: &str,
    ) -> Result<(Written, f64), QuantizeError> {
        let mut recipe = self.recipe("q8_0")?;
        name.clone_into(&mut recipe.name);
        let mut read = 0.0;
        let wanted = type_of(&problem.types[kind].name);
        for tensor in &problem.tensors {
            let cost = tensor.cost(kind).filter(|_| chosen(tensor));
            let own = self.source.tensors().find(|it| it.name == tensor.name).map(|it| it.kind);
            let Some(kind) = cost.and(wanted).or(own) else { continue };
            read += cost.map_or(0.0, |cost| cost.bytes as f64 * tensor.read_share);
            recipe.types.push((tensor.name.clone(), kind));
        }
        let planned = plan(self.engine, self.source, &recipe)?;
        let placed = aside(folder, name);
        let written = write(self.engine, self.source, &recipe, &planned, &placed, &|_| {})?;
        Ok((written, read))
    }

    /// Median seconds for a generated token, the files visited in turn.
    fn seconds_per_token(&mut self, files: &[&Path]) -> Result<Vec<f64>, QuantizeError> {
        let mut all = vec![Vec::new(); files.len()];
        let Some(first) = files.first() else { return Ok(Vec::new()) };
        let about = self.visit(first, *TOKENS.start(), 0)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let tokens = ((VISIT / about) as u32).clamp(*TOKENS.start(), *TOKENS.end());
        for visit in 1..=VISITS {
            for (model, times) in files.iter().zip(&mut all) {
                times.push(self.visit(model, tokens, visit)?);
            }
        }
        Ok(all.iter().map(|times| median(times).unwrap_or(f64::NAN)).collect())
    }

    /// Seconds for a generated token, once.
    fn visit(&mut self, model: &Path, tokens: u32, seed: u32) -> Result<f64, QuantizeError> {
        self.check()?;
        let threads = ThreadSetting::of(self.setting.threads.threads);
        let setting = Setting { threads, ..self.setting.clone() };
        let work = Work {
            prompt_tokens: 0,
            generate_tokens: tokens,
            depth: 0,
            repetitions: 1,
            warmup: true,
            delay_ms: 0,
            seed: u64::from(seed),
            parallel: 1,
        };
        let run = self.engine.run(&Job { model: model.to_owned(), setting, work }, DEADLINE);
        let failed =
            |cause| QuantizeError::Engine { what: "the times of the types".to_owned(), cause };
        let taken: u64 = run.map_err(failed)?.samples.iter().map(|it| it.decode_ns).sum();
        if taken == 0 {
            return Err(failed(Failure::Invalid { reason: "generation took no time".to_owned() }));
        }
        Ok(taken as f64 / 1e9 / f64::from(tokens))
    }

    /// How far files are from the source.
    pub(super) fn divergences(
        &mut self,
        files: &[Written],
        chunks: &[Vec<Token>],
    ) -> Result<Vec<Accumulated>, QuantizeError> {
        let candidate = |path: &Path, bytes: Bytes, digest: &str| Candidate {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            model: path.to_owned(),
            bytes: bytes.0,
            digest: digest.to_owned(),
            setting: self.setting.clone(),
        };
        let file = &self.source.file;
        let asked = Asked {
            reference: candidate(&self.source.path, Bytes(file.bytes), &file.digest),
            candidates: files
                .iter()
                .map(|file| candidate(&file.path, file.file_bytes, &file.digest))
                .collect(),
            chunks: chunks.to_vec(),
            from: self.wish.from,
            most: Some(u32::try_from(chunks.len()).unwrap_or(u32::MAX)),
            budget: None,
            fit: self.wish.fit.clone(),
        };
        let found = appraise::appraise(
            self.engine,
            self.identity,
            self.clock,
            &asked,
            None,
            self.interrupted,
            &mut |_| {},
        )?;
        self.check()?;
        Ok(found.candidates)
    }
}

/// A file that nobody keeps.
pub(super) fn aside(folder: &Path, name: &str) -> Placed {
    Placed { folder: folder.to_owned(), stem: name.to_owned(), existing: Existing::Replace }
}

pub(super) fn type_of(name: &str) -> Option<TensorType> {
    TENSOR_TYPES.iter().find(|kind| kind.name == name).copied()
}

/// The type that tells how much a group matters: one that all of its tensors can take.
fn probe_of(problem: &Problem, group: &str) -> Option<usize> {
    let tensors = || problem.tensors.iter().filter(|tensor| tensor.group == group);
    let place = |name: &&str| problem.types.iter().position(|kind| kind.name == **name);
    let possible = |kind: &usize| tensors().all(|tensor| tensor.cost(*kind).is_some());
    PROBES.iter().filter_map(place).find(possible)
}

/// Share of a tensor that decoding one token reads.
fn read_share(source: &Source, tensor: &Tensor) -> f64 {
    let has = |name: &str| source.tensors().any(|it| it.name == name);
    if tensor.name == "token_embd.weight" && has("output.weight") {
        return 1.0 / tensor.dimensions.get(1).copied().unwrap_or(1).max(1) as f64;
    }
    if !group_of(&tensor.name).ends_with("_exps") {
        return 1.0;
    }
    let header = source.file.headers.first();
    let architecture = header.and_then(|it| it.text("general.architecture")).unwrap_or_default();
    let count = |key: &str| header.and_then(|it| it.count(&format!("{architecture}.{key}")));
    match (count("expert_used_count"), count("expert_count")) {
        (Some(used), Some(all)) if all > 0 => (used as f64 / all as f64).min(1.0),
        _ => 1.0,
    }
}

/// What the file holds beside the tensors that are chosen for.
fn rest(source: &Source, problem: &Problem) -> Rest {
    let chosen: BTreeSet<&str> = problem.tensors.iter().map(|it| it.name.as_str()).collect();
    let mut rest = Rest::default();
    for tensor in source.tensors().filter(|tensor| !chosen.contains(tensor.name.as_str())) {
        rest.weights += tensor.weights();
        rest.tensor_bytes += tensor.bytes;
    }
    let padding = 32 * source.tensors().count() as u64;
    rest.header_bytes =
        source.file.headers.iter().map(|header| header.data_start).sum::<u64>() + padding;
    rest
}
