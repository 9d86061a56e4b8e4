//! `autotune quantize`: files of other quantizations, and of types chosen tensor by tensor.

use std::path::{Path, PathBuf};

use autotune_engine::api::Bytes;
use clap::{ArgGroup, Args, ValueEnum};

use super::activity::Activity;
use super::imatrix::{self, Wish};
use super::kept::{self, Fate};
use super::speech::{self, Purpose, Speaking, quantize_stop};
use super::{Exit, Printer, Stop, global, model, synth};
use crate::appraise::{self, Basis, ScoredFrom, Speech, chunks, tokenize_alike};
use crate::gguf::ModelFile;
use crate::mix::parse_target;
use crate::model::{MixBeside, MixGroup, MixReport, MixSpeed, QuantizedFile, QuantizedFiles};
use crate::quality::nats;
use crate::quantize::{
    self, Contents, Existing, MixTarget, MixWish, Mixed, Placed, Planned, Recipe, Source, Step,
    Written, contents, plan, recipe,
};

/// Chunks for the groups of a mix, and for its proof.
const MIX_CHUNKS: (usize, usize) = (4, 16);
/// Tokens of a chunk.
const CHUNK: u32 = 512;

/// Two speeds that are this much of each other are taken for the same.
const TIMED_ALIKE: f64 = 0.97;

/// What only means something where files are made.
const MAKING: [&str; 9] = [
    "source",
    "imatrix",
    "text",
    "output",
    "keep_split",
    "requantize",
    "force",
    "dry_run",
    "format",
];

/// Write quantized variants of an F16, BF16 or F32 model
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group = ArgGroup::new("what").required(true).args(["to", "mix", "list", "clear"]))]
#[command(after_help = "\
Files are named after the source: m-f16.gguf becomes m-f16-q4_k_m.gguf. A file
is there whole or not at all; those that are there already are kept, so an
interrupted run goes on. Types are read back from what was written.

Examples:
  autotune quantize m-f16.gguf --to q8_0,q6_k,q4_k_m -o quants
  autotune quantize m-f16.gguf --to q2_k,iq3_xxs --imatrix make --text mine.txt
  autotune quantize m-f16.gguf --to q4_k_m --dry-run     sizes, no files
  autotune quantize m-f16.gguf --mix 4.5bpw              a type per tensor
  autotune quantize m-f16.gguf --mix 5GB --no-slower-than q4_k_m
  autotune quantize --list                    what sweeps made and kept

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 the quantizer crashed,
5 other failure such as a full disk, 130 interrupted.")]
pub struct Arguments {
    /// The model, the first file of a split one
    #[arg(value_name = "SOURCE", required_unless_present_any = ["list", "clear"])]
    source: Option<String>,
    /// Types to make: `q8_0`, `q4_k_m`, `iq4_xs`, `mxfp4` and the other names of llama-quantize
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    to: Vec<String>,
    /// Make a file of this size, 4.5bpw or 900MB, with types chosen tensor by tensor
    #[arg(long, value_name = "SIZE")]
    mix: Vec<String>,
    /// Make mixes that decode as fast as this type: types are timed first
    #[arg(long, value_name = "TYPE", requires = "mix")]
    no_slower_than: Option<String>,
    /// An importance matrix, or `make` to make one first
    #[arg(long, value_name = "FILE")]
    imatrix: Option<String>,
    /// What `--imatrix make` reads, and `--mix` [default: the text within]
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    text: String,
    /// Where the files go
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Keep the parts of a split source
    #[arg(long)]
    keep_split: bool,
    /// Take a source that is quantized already, at a loss
    #[arg(long)]
    requantize: bool,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// List the files that `sweep --quant` made in the cache
    #[arg(long, conflicts_with_all = MAKING)]
    list: bool,
    /// Remove the files that `sweep --quant` made in the cache
    #[arg(long, conflicts_with_all = MAKING)]
    clear: bool,
    /// Tell sizes and types, write nothing
    #[arg(long, conflicts_with = "mix")]
    dry_run: bool,
    /// Threads [default: physical cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    threads: Option<u32>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One document
    Json,
}

/// Makes what was asked for.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let Some(typed) = &arguments.source else { return cached(arguments, printer) };
    let path = synth::model_file(typed, printer)?;
    let source = Source::open(&path, arguments.requantize).map_err(|it| quantize_stop(&it))?;
    // Slips first: nothing is read or written for what cannot be made.
    let recipes = recipes(arguments)?;
    let targets = targets(arguments, &source)?;
    let mut speaking = speech::open()?;
    let made = make(arguments, &source, recipes, targets, &mut speaking, printer);
    let text = made.map_err(|stop| speaking.interrupted_or(stop))?;
    printer.data(&text)?;
    Ok(Exit::Done)
}

/// Lists or removes what sweeps made.
fn cached(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let folder = model::quantized_folder()?;
    let (models, fate) = if arguments.clear {
        (quantize::cache::clear(&folder), Fate::Removed)
    } else {
        (quantize::cache::list(&folder), Fate::Kept)
    };
    kept::tell(&models.map_err(|error| quantize_stop(&error))?, fate, &folder, printer)
}

/// Makes the files and tells of them.
fn make(
    arguments: &Arguments,
    source: &Source,
    recipes: Vec<Recipe>,
    targets: Vec<MixTarget>,
    speaking: &mut Speaking,
    printer: Printer,
) -> Result<String, Stop> {
    let threads = speaking.threads(arguments.threads);
    let importance = importance(arguments, source, speaking, threads, printer)?;
    let mut planned = Vec::new();
    for recipe in recipes {
        let recipe = Recipe { threads, importance: importance.clone(), ..recipe };
        let plan = plan(&mut speaking.engine, source, &recipe);
        planned.push((plan.map_err(|error| quantize_stop(&error))?, recipe));
    }
    let mut files: Vec<QuantizedFile> = Vec::new();
    for (plan, recipe) in &planned {
        let written = if arguments.dry_run {
            None
        } else {
            Some(one(arguments, source, speaking, recipe, plan, printer)?)
        };
        files.push(made(plan, written.as_ref()));
    }
    if !targets.is_empty() {
        let mixed = mixed(arguments, source, speaking, importance.as_deref(), targets, printer)?;
        let named = arguments.mix.iter().zip(&mixed);
        files.extend(named.map(|(target, mixed)| made_of_mix(arguments, target, mixed)));
    }
    name_twins(&mut files)?;
    Ok(match arguments.format {
        Format::Json => global::json(&QuantizedFiles {
            schema: QuantizedFiles::SCHEMA.to_owned(),
            source: arguments.source.clone().unwrap_or_default(),
            importance,
            files,
        }),
        Format::Text => table(source, &files),
    })
}

/// The recipes of the types that were named, each once.
fn recipes(arguments: &Arguments) -> Result<Vec<Recipe>, Stop> {
    let mut recipes: Vec<Recipe> = Vec::new();
    for name in arguments.to.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let recipe = Recipe {
            requantize: arguments.requantize,
            keep_split: arguments.keep_split,
            ..recipe(name, None).map_err(|it| quantize_stop(&it))?
        };
        if recipes.iter().all(|known| known.name != recipe.name) {
            recipes.push(recipe);
        }
    }
    Ok(recipes)
}

/// The sizes of the mixes that were named, and where they go.
fn targets(arguments: &Arguments, source: &Source) -> Result<Vec<MixTarget>, Stop> {
    if arguments.mix.is_empty() {
        return Ok(Vec::new());
    }
    if arguments.requantize || source.file.headers.len() > 1 {
        return Err(Stop::usage("a mix starts from one F16, BF16 or F32 file in one part")
            .hint("join the parts with llama-gguf-split --merge first"));
    }
    let known = quantize::UNIFORM;
    if let Some(name) = arguments.no_slower_than.as_deref().filter(|name| !known.contains(name)) {
        return Err(Stop::usage(format!("no mix is held against the speed of `{name}`"))
            .hint(format!("types that are: {}", known.join(", "))));
    }
    let target = |typed: &String| {
        let target = parse_target(typed).map_err(|it| Stop::from_error(Exit::Usage, &it))?;
        let placed = placed(arguments, source, &format!("mix-{}", name_of(typed)));
        Ok(MixTarget { target, placed })
    };
    arguments.mix.iter().map(target).collect()
}

/// The importance matrix that was named, or one that is made now beside the files.
fn importance(
    arguments: &Arguments,
    source: &Source,
    speaking: &mut Speaking,
    threads: u32,
    printer: Printer,
) -> Result<Option<PathBuf>, Stop> {
    let path = match arguments.imatrix.as_deref() {
        None => return Ok(None),
        Some("make") => {
            let path = arguments.output.join(format!("{}-imatrix.gguf", source.stem()));
            if path.exists() && !arguments.force {
                let name = global::one_line(&path.to_string_lossy());
                printer.say(format!("taking {name}, which is there"));
            } else if arguments.dry_run {
                return Err(Stop::usage("a dry run makes no importance matrix")
                    .hint("leave --imatrix out, or name a file that is there"));
            } else {
                std::fs::create_dir_all(&arguments.output)
                    .map_err(|error| Stop::from_error(Exit::Failure, &error))?;
                let wish = Wish {
                    model: &source.path,
                    text: &arguments.text,
                    path: &path,
                    chunk_tokens: CHUNK,
                    chunks: None,
                    merge: &[],
                    output_tensor: false,
                    threads,
                };
                imatrix::make(&wish, speaking, printer)?;
            }
            path
        }
        Some(path) => PathBuf::from(path),
    };
    if !path.is_file() {
        return Err(Stop::usage(format!("there is no importance matrix {}", path.display())));
    }
    quantize::fits(&path, source).map_err(|it| quantize_stop(&it))?;
    Ok(Some(path))
}

fn placed(arguments: &Arguments, source: &Source, name: &str) -> Placed {
    Placed {
        folder: arguments.output.clone(),
        stem: format!("{}-{name}", source.stem()),
        existing: if arguments.force { Existing::Replace } else { Existing::Keep },
    }
}

/// Writes one file under a moving bar.
fn one(
    arguments: &Arguments,
    source: &Source,
    speaking: &mut Speaking,
    recipe: &Recipe,
    plan: &Planned,
    printer: Printer,
) -> Result<Written, Stop> {
    let bar = printer.bar_of_bytes(&recipe.name, Some(plan.file_bytes.0));
    let placed = placed(arguments, source, &recipe.name);
    let grow = |bytes: Bytes| bar.set_position(bytes.0);
    let done = quantize::write(&mut speaking.engine, source, recipe, plan, &placed, &grow);
    bar.finish_and_clear();
    let written = done.map_err(|error| quantize_stop(&error))?;
    let word = if written.kept { "there already:" } else { "wrote" };
    let name = global::one_line(&written.path.to_string_lossy());
    printer.say(format!("{word} {name} ({})", written.file_bytes));
    Ok(written)
}

/// Chooses types for the sizes and writes the files.
fn mixed(
    arguments: &Arguments,
    source: &Source,
    speaking: &mut Speaking,
    importance: Option<&Path>,
    targets: Vec<MixTarget>,
    printer: Printer,
) -> Result<Vec<Mixed>, Stop> {
    let threads = speaking.threads(arguments.threads);
    let mut cut = |purpose| -> Result<Vec<_>, Stop> {
        let text = speech::text(&arguments.text, purpose)?;
        let models = std::slice::from_ref(&source.path);
        let tokens = tokenize_alike(&mut speaking.engine, models, &text)
            .map_err(|it| speech::text_stop(&it))?;
        Ok(chunks(&tokens, CHUNK).map_err(|it| speech::text_stop(&it))?.chunks)
    };
    let mut proof_chunks = cut(Purpose::Evaluation)?;
    let mut probe_chunks = if arguments.text == speech::BUILTIN {
        cut(Purpose::Calibration)?
    } else {
        // One text serves both, its end for the groups: nothing is proved on what was learnt from.
        let probes = MIX_CHUNKS.0.min(proof_chunks.len() / 2);
        proof_chunks.split_off(proof_chunks.len() - probes)
    };
    probe_chunks.truncate(MIX_CHUNKS.0);
    proof_chunks.truncate(MIX_CHUNKS.1);
    let wish = MixWish {
        targets,
        no_slower_than: arguments.no_slower_than.clone(),
        importance: importance.map(Path::to_owned),
        setting: appraise::speaking(threads, CHUNK, &Speech::default()),
        probe_chunks,
        proof_chunks,
        from: ScoredFrom::Half.tokens(CHUNK),
        fit: speaking.fit(Basis::Auto)?,
        threads,
    };
    let activity = Activity::new(printer);
    let around = (&speaking.identity, &speaking.clock as &dyn autotune_engine::api::Clock);
    let interrupted = &speaking.interrupted;
    let result =
        quantize::mix(&mut speaking.engine, around, source, &wish, interrupted, &mut |step| {
            activity.say(&match step {
                Step::Rounding => "rounding every tensor into every type".to_owned(),
                Step::Probing { group, number, of } => format!("group {number} of {of}: {group}"),
                Step::Pacing(name) => format!("timing {name}"),
                Step::Writing(name) => format!("writing {name}"),
                Step::Proving(name) => format!("measuring {name}"),
            });
        });
    result.map_err(|error| quantize_stop(&error))
}

/// A target as part of a file's name.
fn name_of(target: &str) -> String {
    let plain = target.trim().to_ascii_lowercase();
    plain.chars().map(|it| if it.is_ascii_alphanumeric() || it == '.' { it } else { '_' }).collect()
}

fn made(plan: &Planned, written: Option<&Written>) -> QuantizedFile {
    let mut warnings = plan.warnings.clone();
    warnings.extend(written.iter().flat_map(|it| it.warnings.clone()));
    warnings.sort();
    warnings.dedup();
    QuantizedFile {
        name: plan.name.clone(),
        file: written.map(|it| it.path.clone()),
        file_bytes: written.map_or(plan.file_bytes, |it| it.file_bytes),
        bits_per_weight: plan.bits_per_weight,
        types: plan.types().into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
        fallbacks: plan.fallbacks.clone(),
        warnings,
        same_as: None,
        kept: written.is_some_and(|it| it.kept),
        mix: None,
    }
}

fn made_of_mix(arguments: &Arguments, target: &str, mixed: &Mixed) -> QuantizedFile {
    let mean = mixed.measured.mean_divergence();
    let beside = mixed.rival.as_ref().map(|rival| {
        let mean = rival.measured.mean_divergence();
        MixBeside {
            name: rival.name.clone(),
            file_bytes: rival.file_bytes,
            bits_per_weight: rival.bits_per_weight,
            kl_divergence: mean.map(|it| it.mean),
            kl_divergence_se: mean.and_then(|it| it.se),
        }
    });
    let speed = mixed.paced.zip(arguments.no_slower_than.clone());
    let speed = speed.map(|(paced, no_slower_than)| MixSpeed {
        decode_tok_per_s: 1.0 / paced.seconds,
        no_slower_than,
        its_decode_tok_per_s: 1.0 / paced.limit_seconds,
    });
    let groups = mixed.groups.iter().map(|it| MixGroup {
        name: it.group.clone(),
        probe_kl_divergence: it.divergence,
        types: it.types.iter().cloned().collect(),
    });
    let notes = MixReport {
        predicted_kl_divergence: mixed.predicted,
        kl_divergence: mean.map(|it| it.mean),
        kl_divergence_se: mean.and_then(|it| it.se),
        uniform_instead: mixed.instead.clone(),
        beside,
        speed,
        groups: groups.collect(),
    };
    let name = format!("mix {}", target.trim());
    QuantizedFile { name, mix: Some(notes), ..made(&mixed.planned, Some(&mixed.written)) }
}

/// Files with the same weights name the first of them. Those of one size only are read for it.
fn name_twins(files: &mut [QuantizedFile]) -> Result<(), Stop> {
    let mut known: Vec<(usize, Contents)> = Vec::new();
    for at in 0..files.len() {
        let like = |other: &QuantizedFile| other.types == files[at].types;
        let Some(path) = files[at].file.clone() else { continue };
        if files.iter().filter(|other| like(other)).count() < 2 {
            continue;
        }
        let file = ModelFile::open(&path).map_err(|it| Stop::from_error(Exit::Failure, &it))?;
        let own = contents(&file).map_err(|it| quantize_stop(&it))?;
        match known.iter().find(|(_, other)| *other == own) {
            Some((first, _)) => files[at].same_as = Some(files[*first].name.clone()),
            None => known.push((at, own)),
        }
    }
    Ok(())
}

/// The files in a table for a terminal.
fn table(source: &Source, files: &[QuantizedFile]) -> String {
    let width = files.iter().map(|it| it.name.chars().count()).max().unwrap_or(0).max(4);
    let mut lines =
        vec![format!("{:width$}  {:>6}  {:>10}  {:>5}  types", "type", "bits", "size", "of it")];
    let whole = source.file.bytes.max(1) as f64;
    for it in files {
        let share = format!("{:.0} %", 100.0 * it.file_bytes.0 as f64 / whole);
        let mut types: Vec<(&String, &u32)> = it.types.iter().collect();
        types.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let types: Vec<String> =
            types.iter().map(|(name, count)| format!("{name} × {count}")).collect();
        let bits = format!("{:.2}", it.bits_per_weight);
        let size = it.file_bytes.to_string();
        let line = format!("{:width$}  {bits:>6}  {size:>10}  {share:>5}  ", it.name);
        lines.extend(wrapped(&line, &types));
        let mut notes = it.fallbacks.clone();
        notes.extend(it.warnings.iter().map(|warning| global::one_line(warning)));
        notes.extend(it.same_as.iter().map(|twin| format!("the same weights as {twin}")));
        notes.extend(it.mix.iter().flat_map(mix_notes));
        lines.extend(notes.into_iter().map(|note| format!("{:width$}  {note}", "")));
    }
    lines.join("\n") + "\n"
}

fn mix_notes(mix: &MixReport) -> Vec<String> {
    let told = |mean: Option<f64>, se| mean.map_or("not measured".to_owned(), |it| nats(it, se));
    let own = told(mix.kl_divergence, mix.kl_divergence_se);
    let predicted = nats(mix.predicted_kl_divergence, None);
    let mut notes = vec![format!("KL divergence {own}, predicted {predicted}")];
    notes.extend(mix.beside.iter().map(|beside| {
        let its = told(beside.kl_divergence, beside.kl_divergence_se);
        format!("{}, {:.2} bits, has {its}", beside.name, beside.bits_per_weight)
    }));
    notes.extend(mix.speed.iter().map(|it| {
        let (own, other) = (it.decode_tok_per_s, &it.no_slower_than);
        let times = own / it.its_decode_tok_per_s;
        let missed = if times < TIMED_ALIKE { ": slower than its types are alone" } else { "" };
        format!("{own:.1} tokens per second, {times:.2} times {other}{missed}")
    }));
    let instead = mix.uniform_instead.iter();
    notes.extend(instead.map(|name| format!("no mix did better than {name}, which this is")));
    notes.extend(mix.groups.iter().map(|group| {
        let types: Vec<String> =
            group.types.iter().map(|(name, count)| format!("{name} × {count}")).collect();
        format!("{}: {}", group.name, types.join(", "))
    }));
    notes
}

/// A line and the words after it, broken before column 80.
fn wrapped(line: &str, words: &[String]) -> Vec<String> {
    let indent = line.chars().count();
    let mut lines = vec![line.to_owned()];
    for (at, word) in words.iter().enumerate() {
        let word = if at + 1 < words.len() { format!("{word}, ") } else { word.clone() };
        let last = lines.last_mut().expect("there is a first line");
        let column = last.chars().count();
        if column + word.trim_end().chars().count() > 79 && column > indent {
            lines.push(format!("{:indent$}{word}", ""));
        } else {
            last.push_str(&word);
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_broken_before_a_terminal_ends() {
        let words: Vec<String> = (0..12).map(|at| format!("IQ{at}_XXS × 100")).collect();
        let lines = wrapped("q2_k  2.5  10 MiB  ", &words);
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() < 80), "{lines:?}");
        assert_eq!(lines.join(" ").matches("IQ").count(), 12);
    }

    #[test]
    fn a_name_leads_to_its_file() {
        assert_eq!(name_of(" 4.5 BPW/x"), "4.5_bpw_x");
    }
}
