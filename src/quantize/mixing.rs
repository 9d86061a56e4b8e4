//! A type for each tensor, so that a file of a wanted size answers most like its source: rounding
//! errors of every tensor, a measured divergence for each group of tensors, the choice, and the
//! proof by a measured divergence of the file that came out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{Bytes, Clock, Identity, Language, RoundingJob, Setting, Token};

use super::QuantizeError;
use super::plan::{Planned, Recipe, Source, plan, recipe};
use super::write::{Existing, Placed, Written, write};
use crate::appraise::{self, Asked, Candidate, Fit};
use crate::gguf::{TENSOR_TYPES, Tensor, TensorType};
use crate::mix::{
    Budget, Coefficients, Cost, Guards, Mix, MixSource, Probe, Problem, QuantType, Remainder, Rest,
    Target, Tensor as Choosable, Uniform, choose, group_of,
};
use crate::quality::Accumulated;

/// How long rounding a whole model may take.
const DEADLINE: Duration = Duration::from_secs(86400);
/// Types that tensors may take, beside those of the file types that a mix is held against.
const TYPES: [&str; 6] = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_0"];
/// File types that a mix is held against.
const UNIFORM: [&str; 14] = [
    "q8_0", "q6_k", "q5_k_m", "q5_k_s", "q5_0", "q4_k_m", "q4_k_s", "q4_0", "iq4_xs", "q3_k_l",
    "q3_k_m", "q3_k_s", "q2_k", "q4_1",
];
/// The type that a group takes while everything else stays: coarse enough to be seen, fine enough
/// for the theorem, which holds for small errors.
const PROBE: &str = "Q3_K";
/// Divergence below which a measured one is rounding, in nats.
const LEAST: f64 = 1e-6;
/// Rows of a tensor that are rounded at most.
const ROWS: u32 = 512;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct MixWish {
    /// The size.
    pub target: Target,
    /// The importance matrix.
    pub importance: Option<PathBuf>,
    /// The setting that divergences are measured under.
    pub setting: Setting,
    /// Text for the groups.
    pub probe_chunks: Vec<Vec<Token>>,
    /// Text for the proof; another one.
    pub proof_chunks: Vec<Vec<Token>>,
    /// Tokens at the start of a chunk whose successors are not scored.
    pub from: u32,
    /// Memory that models may take.
    pub fit: Fit,
    /// Where the file goes.
    pub placed: Placed,
    /// Threads of the quantizer; 0: one for each CPU.
    pub threads: u32,
}

/// What is being done.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Every tensor is rounded into every type.
    Rounding,
    /// The divergence of a group alone is measured.
    Probing {
        /// The group.
        group: String,
        /// From 1.
        number: usize,
        /// Groups in all.
        of: usize,
    },
    /// The file is written.
    Writing(String),
    /// The file and the uniform type that is next to it are measured.
    Proving(String),
}

/// A group and what its rounding does.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The group.
    pub group: String,
    /// Mean divergence with only this group in the probe's type, in nats.
    pub divergence: f64,
    /// Types that the mix gave it and how many tensors have each.
    pub types: Vec<(String, usize)>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// The file.
    pub written: Written,
    /// What is in it.
    pub planned: Planned,
    /// The name of the uniform type that was kept instead, because the mix measured worse or was
    /// not predicted better.
    pub instead: Option<String>,
    /// Predicted divergence in nats.
    pub predicted: f64,
    /// Measured scores of the file.
    pub measured: Accumulated,
    /// The best uniform type that is no larger, with its bytes, its bits and its measured scores.
    pub uniform: Option<(String, Bytes, f64, Accumulated)>,
    /// Groups.
    pub groups: Vec<Probed>,
}

/// What uniform types would be, by name.
type Plans = BTreeMap<String, Planned>;

/// Everything that is asked.
struct Bench<'a> {
    language: &'a mut (dyn Language + Send),
    identity: &'a Identity,
    clock: &'a dyn Clock,
    interrupted: &'a AtomicBool,
    source: &'a Source,
    wish: &'a MixWish,
}

/// Makes the file.
pub fn mix(
    language: &mut (dyn Language + Send),
    (identity, clock): (&Identity, &dyn Clock),
    source: &Source,
    wish: &MixWish,
    interrupted: &AtomicBool,
    tell: &mut dyn FnMut(Step),
) -> Result<Mixed, QuantizeError> {
    let mut bench = Bench { language, identity, clock, interrupted, source, wish };
    tell(Step::Rounding);
    let (problem, uniforms, plans) = bench.problem()?;
    let rest = rest(source, &problem);
    let weights = problem.weights();
    let bytes = wish.target.budget(weights, &rest)?;
    let workshop = tempfile::Builder::new()
        .prefix(".autotune-mix-")
        .tempdir_in(existing(&wish.placed.folder))
        .map_err(|cause| QuantizeError::Write { path: wish.placed.folder.clone(), cause })?;
    let probes = bench.probes(&problem, workshop.path(), tell)?;
    let coefficients = Coefficients::from_probes(&problem.tensors, &probes)?;
    let problem = Problem { coefficients, ..problem };
    let budget = Budget { bytes, seconds: None, remainder: Remainder::Spent };
    let found = choose(&problem, &uniforms, &budget)?;
    // The uniform type that the mix has to beat: the best predicted of those that are no larger.
    let rival = rival(&problem, &uniforms, bytes);
    let near = rival.map_or("q4_k_m", |uniform| uniform.name.as_str());
    let mut own = bench.recipe(near)?;
    "mix".clone_into(&mut own.name);
    own.types = types(&problem, &found);
    let planned = plan(bench.language, source, &own)?;
    tell(Step::Writing(wish.placed.stem.clone()));
    bench.check()?;
    let written = write(bench.language, source, &own, &planned, &wish.placed, &|_| {})?;
    let beside = match rival {
        Some(uniform) if !matches!(&found.from, MixSource::Uniform(name) if *name == uniform.name) =>
        {
            let recipe = bench.recipe(&uniform.name)?;
            let planned = plans[&uniform.name].clone();
            tell(Step::Writing(uniform.name.clone()));
            let placed = aside(workshop.path(), &uniform.name);
            let file = write(bench.language, source, &recipe, &planned, &placed, &|_| {})?;
            Some((recipe, file, planned))
        }
        _ => None,
    };
    tell(Step::Proving(wish.placed.stem.clone()));
    let mut files = vec![written.clone()];
    files.extend(beside.iter().map(|(_, written, _)| written.clone()));
    let mut scores = bench.divergences(&files, &wish.proof_chunks)?.into_iter();
    let measured = scores.next().unwrap_or_default();
    let other = scores.next();
    let groups = groups(&problem, &probes, &found);
    let from = match &found.from {
        MixSource::Uniform(name) => Some(name.clone()),
        MixSource::Optimised => None,
    };
    let mut mixed = Mixed {
        written,
        planned,
        instead: from,
        predicted: found.predicted_divergence,
        measured,
        uniform: None,
        groups,
    };
    let Some(((recipe, file, planned), other)) = beside.zip(other) else { return Ok(mixed) };
    let mean = |scores: &Accumulated| scores.mean_divergence().map_or(f64::NAN, |mean| mean.mean);
    let uniform = (recipe.name.clone(), file.file_bytes, planned.bits_per_weight, other.clone());
    if mean(&mixed.measured) > mean(&other) {
        // Never worse than what everybody has already.
        let placed = Placed { existing: Existing::Replace, ..wish.placed.clone() };
        tell(Step::Writing(recipe.name.clone()));
        mixed.written = write(bench.language, source, &recipe, &planned, &placed, &|_| {})?;
        mixed.instead = Some(recipe.name.clone());
        mixed.planned = planned;
        mixed.measured = other;
    }
    mixed.uniform = Some(uniform);
    Ok(mixed)
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."))
}

impl Bench<'_> {
    fn check(&self) -> Result<(), QuantizeError> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(QuantizeError::Interrupted);
        }
        Ok(())
    }

    fn recipe(&self, name: &str) -> Result<Recipe, QuantizeError> {
        let own = recipe(name, self.wish.importance.as_deref())?;
        Ok(Recipe { threads: self.wish.threads, ..own })
    }

    /// Tensors, types and rounding errors; the uniform types and what they would be.
    fn problem(&mut self) -> Result<(Problem, Vec<Uniform>, Plans), QuantizeError> {
        let mut plans = BTreeMap::new();
        for name in UNIFORM {
            let recipe = self.recipe(name)?;
            plans.insert(name.to_owned(), plan(self.language, self.source, &recipe)?);
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
        let rounded = self.language.rounding(&job, DEADLINE).map_err(|cause| {
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
                read_share: 1.0,
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
        let guards = Guards::default();
        let problem =
            Problem { types, tensors: chosen, coefficients: Coefficients::even(), guards };
        Ok((problem, uniforms, plans))
    }

    /// The divergence of each group alone.
    fn probes(
        &mut self,
        problem: &Problem,
        folder: &Path,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Vec<Probe>, QuantizeError> {
        let groups: BTreeSet<&str> = problem.tensors.iter().map(|it| it.group.as_str()).collect();
        let kind = problem.types.iter().position(|kind| kind.name == PROBE).unwrap_or(0);
        let of = groups.len();
        let mut probes = Vec::new();
        for (number, group) in groups.into_iter().enumerate() {
            self.check()?;
            tell(Step::Probing { group: group.to_owned(), number: number + 1, of });
            let mut recipe = self.recipe("q8_0")?;
            recipe.name = format!("probe-{group}");
            recipe.types = problem
                .tensors
                .iter()
                .filter_map(|tensor| {
                    let chosen = tensor.group == group && tensor.cost(kind).is_some();
                    let own = self.source.tensors().find(|it| it.name == tensor.name)?.kind;
                    let wanted = if chosen { type_of(&problem.types[kind].name)? } else { own };
                    Some((tensor.name.clone(), wanted))
                })
                .collect();
            let planned = plan(self.language, self.source, &recipe)?;
            let placed = aside(folder, &recipe.name);
            let written = write(self.language, self.source, &recipe, &planned, &placed, &|_| {})?;
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

    /// How far files are from the source.
    fn divergences(
        &mut self,
        files: &[Written],
        chunks: &[Vec<Token>],
    ) -> Result<Vec<Accumulated>, QuantizeError> {
        let candidate = |path: &Path, bytes: Bytes, digest: &str| Candidate {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            model: path.to_owned(),
            bytes: bytes.0,
            digest: digest.to_owned(),
            setting: self.wish.setting.clone(),
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
            self.language,
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
fn aside(folder: &Path, name: &str) -> Placed {
    Placed { folder: folder.to_owned(), stem: name.to_owned(), existing: Existing::Replace }
}

fn type_of(name: &str) -> Option<TensorType> {
    TENSOR_TYPES.iter().find(|kind| kind.name == name).copied()
}

/// The types of a mix by the tensors' names.
fn types(problem: &Problem, mix: &Mix) -> Vec<(String, TensorType)> {
    mix.types
        .iter()
        .filter_map(|(tensor, kind)| {
            let kind = type_of(&problem.types[*kind].name)?;
            Some((problem.tensors[*tensor].name.clone(), kind))
        })
        .collect()
}

/// The uniform type that is predicted best among those that are no larger.
fn rival<'a>(problem: &Problem, uniforms: &'a [Uniform], bytes: u64) -> Option<&'a Uniform> {
    uniforms
        .iter()
        .filter_map(|uniform| Some((uniform, problem.total(&uniform.types)?)))
        .filter(|(_, total)| total.bytes <= bytes)
        .min_by(|(_, one), (_, other)| one.divergence.total_cmp(&other.divergence))
        .map(|(uniform, _)| uniform)
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

fn groups(problem: &Problem, probes: &[Probe], mix: &Mix) -> Vec<Probed> {
    let types = |group: &str| {
        let of = mix.groups.iter().find(|it| it.group == group);
        let types = of.map(|it| it.types.as_slice()).unwrap_or_default();
        types.iter().map(|(kind, count)| (problem.types[*kind].name.clone(), *count)).collect()
    };
    probes
        .iter()
        .map(|probe| Probed {
            group: probe.group.clone(),
            divergence: probe.divergence,
            types: types(&probe.group),
        })
        .collect()
}
