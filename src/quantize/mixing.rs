//! A type for each tensor, so that a file of a wanted size answers most like its source: rounding
//! errors of every tensor, a measured divergence for each group of tensors, where it matters the
//! time that each type takes, the choice, and the proof by a measured divergence of the file that
//! came out.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use autotune_engine::api::{Bytes, Clock, Identity, Setting, Token};

use super::QuantizeError;
use super::instruments::{Ground, Instrument, Instruments, aside, type_of};
use super::plan::{Planned, Recipe, Source, plan};
use super::write::{Existing, Placed, Written, moved, write};
use crate::appraise::Fit;
use crate::gguf::TensorType;
use crate::mix::{Budget, Coefficients, Mix, MixSource, Probe, Problem, Target, Uniform, choose};
use crate::quality::Accumulated;
use crate::store::workshop;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct MixWish {
    /// A file for each.
    pub targets: Vec<MixTarget>,
    /// The uniform type that every file has to be as fast as, by its name.
    pub no_slower_than: Option<String>,
    /// The importance matrix.
    pub importance: Option<PathBuf>,
    /// The setting that divergences are measured under.
    pub setting: Setting,
    /// Chunks that the groups' divergences are measured on.
    pub probe_chunks: Vec<Vec<Token>>,
    /// Chunks for the proof.
    pub proof_chunks: Vec<Vec<Token>>,
    /// Tokens at the start of a chunk whose successors are not scored.
    pub from: u32,
    /// Memory that models may take.
    pub fit: Fit,
    /// Threads; 0: one for each CPU.
    pub threads: u32,
}

/// A size and a place.
#[derive(Debug, Clone)]
pub struct MixTarget {
    /// The size.
    pub target: Target,
    /// Where the file goes.
    pub placed: Placed,
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
    /// The speed of a type is measured.
    Pacing(String),
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
    /// Mean divergence with only this group in a coarse type, in nats; `None` where there is no such
    /// type for it.
    pub divergence: Option<f64>,
    /// Types in the file and how many tensors have each.
    pub types: Vec<(String, usize)>,
}

/// A file beside what it was made instead of.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// The uniform type.
    pub name: String,
    /// Bytes of its file.
    pub file_bytes: Bytes,
    /// Bits of all tensors over their weights.
    pub bits_per_weight: f64,
    /// Measured scores.
    pub measured: Accumulated,
}

/// Time for a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Paced {
    /// Of the file, in seconds.
    pub seconds: f64,
    /// Of the type that it has to be as fast as, measured in turn with it.
    pub limit_seconds: f64,
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
    /// Divergence that was predicted for what is in the file, in nats.
    pub predicted: f64,
    /// Measured scores of the file.
    pub measured: Accumulated,
    /// The best uniform type that is no larger.
    pub rival: Option<Rival>,
    /// Its speed, where one was asked for.
    pub paced: Option<Paced>,
    /// Groups.
    pub groups: Vec<Probed>,
}

/// Makes the files.
pub fn mix(
    engine: &mut dyn Instrument,
    (identity, clock): (&Identity, &dyn Clock),
    source: &Source,
    wish: &MixWish,
    interrupted: &AtomicBool,
    tell: &mut dyn FnMut(Step),
) -> Result<Vec<Mixed>, QuantizeError> {
    for MixTarget { placed, .. } in &wish.targets {
        let place = placed.folder.join(format!("{}.gguf", placed.stem));
        if placed.existing == Existing::Keep && place.symlink_metadata().is_ok() {
            return Err(QuantizeError::Exists(place));
        }
    }
    let setting = wish.setting.clone();
    let mut bench = Instruments { engine, identity, clock, interrupted, source, wish, setting };
    tell(Step::Rounding);
    let mut ground = bench.ground()?;
    let weights = ground.problem.weights();
    let budgets: Vec<u64> = wish
        .targets
        .iter()
        .map(|it| it.target.budget(weights, &ground.rest))
        .collect::<Result<_, _>>()?;
    let Some(first) = wish.targets.first() else { return Ok(Vec::new()) };
    bench.agree_on_variant(&ground.problem)?;
    let folder = existing(&first.placed.folder);
    let workshop = workshop(folder, "mix")
        .map_err(|cause| QuantizeError::Write { path: folder.to_owned(), cause })?;
    let probes = bench.probes(&ground.problem, workshop.path(), tell)?;
    ground.problem.coefficients = Coefficients::from_probes(&ground.problem.tensors, &probes)?;
    let seconds = match &wish.no_slower_than {
        Some(name) => Some(bench.paces(&mut ground, name, workshop.path(), tell)?),
        None => None,
    };
    let mut files = Vec::new();
    for (target, bytes) in wish.targets.iter().zip(budgets) {
        let budget = Budget { bytes, seconds };
        let found = choose(&ground.problem, &ground.uniforms, &budget)?;
        files.push(one(&mut bench, &ground, &probes, (target, &budget), &found, tell)?);
    }
    Ok(files)
}

/// Writes a choice and the uniform type that it has to beat, and keeps what measures better.
fn one(
    bench: &mut Instruments<'_>,
    ground: &Ground,
    probes: &[Probe],
    (target, budget): (&MixTarget, &Budget),
    found: &Mix,
    tell: &mut dyn FnMut(Step),
) -> Result<Mixed, QuantizeError> {
    let Ground { problem, uniforms, plans, .. } = ground;
    let rival = rival(problem, uniforms, budget);
    let near = rival.map_or("q4_k_m", |uniform| uniform.name.as_str());
    let mut own = bench.recipe(near)?;
    "mix".clone_into(&mut own.name);
    own.types = types(problem, found);
    let planned = plan(bench.engine, bench.source, &own)?;
    let mut entrants: Vec<(Recipe, Planned)> = vec![(own, planned)];
    // Unless the choice is that type anyway.
    let other = rival.filter(|it| found.from != MixSource::Uniform(it.name.clone()));
    if let Some(uniform) = other {
        entrants.push((bench.recipe(&uniform.name)?, plans[&uniform.name].clone()));
    }
    let shop = workshop(existing(&target.placed.folder), "mix");
    let shop =
        shop.map_err(|cause| QuantizeError::Write { path: target.placed.folder.clone(), cause })?;
    let mut files = Vec::new();
    for (recipe, planned) in &entrants {
        bench.check()?;
        tell(Step::Writing(recipe.name.clone()));
        let placed = aside(shop.path(), &recipe.name);
        files.push(write(bench.engine, bench.source, recipe, planned, &placed, &|_| {})?);
    }
    tell(Step::Proving(target.placed.stem.clone()));
    let scores = bench.divergences(&files, &bench.wish.proof_chunks)?;
    let mean = |scores: &Accumulated| scores.mean_divergence().map_or(f64::NAN, |mean| mean.mean);
    // Never worse than what everybody has already.
    let lost = scores.get(1).is_some_and(|other| mean(&scores[0]) > mean(other));
    let best = usize::from(lost);
    let paced = match &bench.wish.no_slower_than {
        Some(name) => Some(bench.paced(&files[best], name, &plans[name], shop.path())?),
        None => None,
    };
    let chosen = match other.filter(|_| lost) {
        Some(uniform) => uniform.types.clone(),
        None => found.types.clone(),
    };
    let rival = entrants.get(1).zip(scores.get(1)).map(|((recipe, planned), scores)| Rival {
        name: recipe.name.clone(),
        file_bytes: files[1].file_bytes,
        bits_per_weight: planned.bits_per_weight,
        measured: scores.clone(),
    });
    let instead = match &found.from {
        _ if lost => rival.as_ref().map(|it| it.name.clone()),
        MixSource::Uniform(name) => Some(name.clone()),
        MixSource::Optimised => None,
    };
    Ok(Mixed {
        written: moved(files.swap_remove(best), &target.placed)?,
        planned: entrants.swap_remove(best).1,
        instead,
        predicted: problem.total(&chosen).map_or(found.predicted_divergence, |it| it.divergence),
        measured: scores[best].clone(),
        rival,
        paced,
        groups: groups(problem, probes, &chosen),
    })
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."))
}

/// The types of a mix by the tensors' names.
fn types(problem: &Problem, mix: &Mix) -> Vec<(String, TensorType)> {
    let named = problem.tensors.iter().zip(&mix.types);
    named
        .filter_map(|(tensor, kind)| {
            Some((tensor.name.clone(), type_of(&problem.types[*kind].name)?))
        })
        .collect()
}

/// The uniform type that is predicted best among those that keep the budget.
fn rival<'a>(problem: &Problem, uniforms: &'a [Uniform], budget: &Budget) -> Option<&'a Uniform> {
    let seconds = budget.seconds.unwrap_or(f64::INFINITY);
    uniforms
        .iter()
        .filter_map(|uniform| Some((uniform, problem.total(&uniform.types)?)))
        .filter(|(_, total)| total.bytes <= budget.bytes && total.seconds <= seconds)
        .min_by(|(_, one), (_, other)| one.divergence.total_cmp(&other.divergence))
        .map(|(uniform, _)| uniform)
}

/// What each group has, in the order of the groups' names.
fn groups(problem: &Problem, probes: &[Probe], chosen: &[usize]) -> Vec<Probed> {
    let groups = problem.groups(chosen).into_iter();
    groups
        .map(|(group, counts)| Probed {
            group: group.to_owned(),
            divergence: probes.iter().find(|it| it.group == group).map(|it| it.divergence),
            types: counts
                .into_iter()
                .map(|(kind, count)| (problem.types[kind].name.clone(), count))
                .collect(),
        })
        .collect()
}
