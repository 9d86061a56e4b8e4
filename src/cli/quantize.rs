//! `autotune quantize`: files of other quantizations, and of types chosen tensor by tensor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use autotune_engine::api::Bytes;
use clap::{ArgGroup, Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::imatrix::{self, Wish};
use super::speech::{self, Purpose, Speaking, quantize_stop};
use super::{Exit, Printer, Stop, global};
use crate::appraise::{Basis, Fit, ScoredFrom, Speech, chunks, speaking, tokenize_alike};
use crate::mix::parse_target;
use crate::quantize::{
    self, Existing, MixWish, Mixed, Placed, Planned, Recipe, Source, Step, Written, plan, recipe,
};

/// Chunks for the groups of a mix, and for its proof.
const MIX_CHUNKS: (usize, usize) = (4, 16);
/// Tokens of a chunk.
const CHUNK: u32 = 512;

/// Write quantized variants of an F16, BF16 or F32 model
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(group = ArgGroup::new("what").required(true).args(["to", "mix"]))]
#[command(after_help = "\
Files are named after the source: m-f16.gguf becomes m-f16-q4_k_m.gguf. A file
is there whole or not at all; those that are there already are kept, so an
interrupted run goes on. Types are read back from what was written.

Examples:
  autotune quantize m-f16.gguf --to q8_0,q6_k,q4_k_m -o quants
  autotune quantize m-f16.gguf --to q2_k,iq3_xxs --imatrix make --text mine.txt
  autotune quantize m-f16.gguf --to q4_k_m --dry-run     sizes, no files
  autotune quantize m-f16.gguf --mix 4.5bpw              a type per tensor

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 the quantizer crashed,
5 other failure such as a full disk, 130 interrupted.")]
pub struct Arguments {
    /// The model, the first file of a split one
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Types to make: `q8_0`, `q4_k_m`, `iq4_xs`, `mxfp4` and the other names of llama-quantize
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    to: Vec<String>,
    /// Make a file of this size, 4.5bpw or 900MB, with types chosen tensor by tensor
    #[arg(long, value_name = "SIZE")]
    mix: Vec<String>,
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

/// `autotune.quantize/1`.
#[derive(Debug, Serialize)]
struct Document {
    schema: &'static str,
    source: String,
    importance: Option<PathBuf>,
    files: Vec<Made>,
}

/// A file that was made, or would be.
#[derive(Debug, Serialize)]
struct Made {
    name: String,
    /// Absent in a dry run.
    file: Option<PathBuf>,
    file_bytes: Bytes,
    bits_per_weight: f64,
    /// Tensors by type.
    types: BTreeMap<String, u32>,
    fallbacks: Vec<String>,
    warnings: Vec<String>,
    /// Another file with the very same weights.
    same_as: Option<String>,
    /// Whether it was there already.
    kept: bool,
    mix: Option<MixNotes>,
}

/// What a mix was measured at.
#[derive(Debug, Serialize)]
struct MixNotes {
    predicted_kl_divergence: f64,
    kl_divergence: Option<f64>,
    kl_divergence_se: Option<f64>,
    /// The uniform type whose file this is, where the mix did no better.
    uniform_instead: Option<String>,
    /// The best uniform type that is no larger.
    beside: Option<Beside>,
    groups: Vec<Group>,
}

#[derive(Debug, Serialize)]
struct Beside {
    name: String,
    file_bytes: Bytes,
    bits_per_weight: f64,
    kl_divergence: Option<f64>,
    kl_divergence_se: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    probe_kl_divergence: f64,
    types: BTreeMap<String, usize>,
}

/// Makes what was asked for.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let path = speech::model(&arguments.source, printer)?;
    let source = Source::open(&path, arguments.requantize).map_err(|it| quantize_stop(&it))?;
    let mut speaking = speech::open()?;
    let threads = speaking.threads(arguments.threads);
    let importance = importance(arguments, &source, &mut speaking, threads, printer)?;
    let mut files: Vec<(Made, Option<Written>)> = Vec::new();
    let recipes = recipes(arguments, importance.as_deref(), threads)?;
    let mut planned = Vec::new();
    for recipe in recipes {
        let plan = plan(&mut speaking.engine, &source, &recipe);
        let plan = plan.map_err(|error| speaking.ended(&error))?;
        planned.push((recipe, plan));
    }
    for (recipe, plan) in &planned {
        if arguments.dry_run {
            files.push((made(plan, None), None));
            continue;
        }
        let written = one(arguments, &source, &mut speaking, recipe, plan, printer)?;
        files.push((made(plan, Some(&written)), Some(written)));
    }
    for target in &arguments.mix {
        let mixed =
            mixed(arguments, &source, &mut speaking, importance.as_deref(), target, printer)?;
        files.push((made_of_mix(target, &mixed), Some(mixed.written)));
    }
    name_twins(&mut files);
    let files: Vec<Made> = files.into_iter().map(|(made, _)| made).collect();
    let text = match arguments.format {
        Format::Json => global::json(&Document {
            schema: "autotune.quantize/1",
            source: arguments.source.clone(),
            importance,
            files,
        }),
        Format::Text => table(&source, &files),
    };
    printer.data(&text)?;
    Ok(Exit::Done)
}

/// The recipes of the types that were named, each once.
fn recipes(
    arguments: &Arguments,
    importance: Option<&Path>,
    threads: u32,
) -> Result<Vec<Recipe>, Stop> {
    let mut recipes: Vec<Recipe> = Vec::new();
    for name in arguments.to.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let recipe = Recipe {
            requantize: arguments.requantize,
            keep_split: arguments.keep_split,
            threads,
            ..recipe(name, importance).map_err(|it| quantize_stop(&it))?
        };
        if recipes.iter().all(|known| known.name != recipe.name) {
            recipes.push(recipe);
        }
    }
    Ok(recipes)
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
            let path = arguments.output.join(format!("{}-imatrix.gguf", stem(&source.path)));
            if path.exists() && !arguments.force {
                let name = global::one_line(&path.to_string_lossy());
                printer.say(format!("taking {name}, which is there"));
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

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // The first part of a split model stands for all.
    match stem.rfind("-00001-of-") {
        Some(at) => stem[..at].to_owned(),
        None => stem,
    }
}

fn placed(arguments: &Arguments, source: &Source, name: &str) -> Placed {
    Placed {
        folder: arguments.output.clone(),
        stem: format!("{}-{name}", stem(&source.path)),
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
    let bar = ProgressBar::with_draw_target(Some(plan.file_bytes.0), ProgressDrawTarget::hidden());
    let template =
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(template).expect("a template that indicatif knows"));
    bar.set_message(recipe.name.clone());
    if printer.live() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    let placed = placed(arguments, source, &recipe.name);
    let grow = |bytes: Bytes| bar.set_position(bytes.0);
    let done = quantize::write(&mut speaking.engine, source, recipe, plan, &placed, &grow);
    bar.finish_and_clear();
    let written = done.map_err(|error| speaking.ended(&error))?;
    let word = if written.kept { "there already:" } else { "wrote" };
    let name = global::one_line(&written.path.to_string_lossy());
    printer.say(format!("{word} {name} ({})", written.file_bytes));
    Ok(written)
}

/// Chooses types for a size and writes the file.
fn mixed(
    arguments: &Arguments,
    source: &Source,
    speaking: &mut Speaking,
    importance: Option<&Path>,
    target: &str,
    printer: Printer,
) -> Result<Mixed, Stop> {
    let wanted = parse_target(target).map_err(|it| Stop::from_error(Exit::Usage, &it))?;
    if arguments.requantize || source.file.headers.len() > 1 {
        return Err(Stop::usage("a mix starts from one F16, BF16 or F32 file in one part")
            .hint("join the parts with llama-gguf-split --merge first"));
    }
    let threads = speaking.threads(arguments.threads);
    let mut cut = |purpose, count: usize| -> Result<Vec<_>, Stop> {
        let text = speech::text(&arguments.text, purpose)?;
        let models = std::slice::from_ref(&source.path);
        let tokens = tokenize_alike(&mut speaking.engine, models, &text)
            .map_err(|it| speech::text_stop(&it))?;
        let mut all = chunks(&tokens, CHUNK).map_err(|it| speech::text_stop(&it))?.chunks;
        // One text serves both: its end for the groups, its beginning for the proof.
        if arguments.text != speech::BUILTIN && purpose == Purpose::Calibration {
            all.reverse();
        }
        all.truncate(count);
        Ok(all)
    };
    let probe_chunks = cut(Purpose::Calibration, MIX_CHUNKS.0)?;
    let proof_chunks = cut(Purpose::Evaluation, MIX_CHUNKS.1)?;
    let wish = MixWish {
        target: wanted,
        importance: importance.map(Path::to_owned),
        setting: speaking_setting(threads),
        probe_chunks,
        proof_chunks,
        from: ScoredFrom::Half.tokens(CHUNK),
        fit: Fit {
            basis: Basis::Auto,
            free_bytes: speaking.machine.available_memory().map(|bytes| bytes.0),
            folder: std::env::temp_dir(),
        },
        placed: placed(arguments, source, &format!("mix-{}", name_of(target))),
        threads,
    };
    let display = super::quality::Display::new(printer);
    let around = (&speaking.identity, &speaking.clock as &dyn autotune_engine::api::Clock);
    let interrupted = &speaking.interrupted;
    let result =
        quantize::mix(&mut speaking.engine, around, source, &wish, interrupted, &mut |step| {
            display.say(&match step {
                Step::Rounding => "rounding every tensor into every type".to_owned(),
                Step::Probing { group, number, of } => format!("group {number} of {of}: {group}"),
                Step::Writing(name) => format!("writing {name}"),
                Step::Proving(name) => format!("measuring {name}"),
            });
        });
    display.end();
    result.map_err(|error| speaking.ended(&error))
}

fn speaking_setting(threads: u32) -> autotune_engine::api::Setting {
    speaking(threads, CHUNK, &Speech::default())
}

/// A target as part of a file's name.
fn name_of(target: &str) -> String {
    let plain = target.trim().to_ascii_lowercase();
    plain.chars().map(|it| if it.is_ascii_alphanumeric() || it == '.' { it } else { '_' }).collect()
}

fn made(plan: &Planned, written: Option<&Written>) -> Made {
    let mut warnings = plan.warnings.clone();
    warnings.extend(written.iter().flat_map(|it| it.warnings.clone()));
    warnings.sort();
    warnings.dedup();
    Made {
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

fn made_of_mix(target: &str, mixed: &Mixed) -> Made {
    let mean = mixed.measured.mean_divergence();
    let beside = mixed.uniform.as_ref().map(|(name, file_bytes, bits_per_weight, scores)| {
        let mean = scores.mean_divergence();
        Beside {
            name: name.clone(),
            file_bytes: *file_bytes,
            bits_per_weight: *bits_per_weight,
            kl_divergence: mean.map(|it| it.mean),
            kl_divergence_se: mean.and_then(|it| it.se),
        }
    });
    let groups = mixed.groups.iter().map(|it| Group {
        name: it.group.clone(),
        probe_kl_divergence: it.divergence,
        types: it.types.iter().cloned().collect(),
    });
    let notes = MixNotes {
        predicted_kl_divergence: mixed.predicted,
        kl_divergence: mean.map(|it| it.mean),
        kl_divergence_se: mean.and_then(|it| it.se),
        uniform_instead: mixed.instead.clone(),
        beside,
        groups: groups.collect(),
    };
    let name = format!("mix {}", target.trim());
    Made { name, mix: Some(notes), ..made(&mixed.planned, Some(&mixed.written)) }
}

/// Files with the same weights name the first of them.
fn name_twins(files: &mut [(Made, Option<Written>)]) {
    for at in 1..files.len() {
        let (before, rest) = files.split_at_mut(at);
        let Some(own) = &rest[0].1 else { continue };
        let twin = before
            .iter()
            .find(|(_, other)| other.as_ref().is_some_and(|other| other.contents == own.contents));
        rest[0].0.same_as = twin.map(|(made, _)| made.name.clone());
    }
}

/// The files in a table for a terminal.
fn table(source: &Source, files: &[Made]) -> String {
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

fn mix_notes(mix: &MixNotes) -> Vec<String> {
    let nats = |mean: Option<f64>, se: Option<f64>| match (mean, se) {
        (Some(mean), Some(se)) => format!("{mean:.5} ± {se:.5}"),
        (Some(mean), None) => format!("{mean:.5}"),
        _ => "not measured".to_owned(),
    };
    let own = nats(mix.kl_divergence, mix.kl_divergence_se);
    let mut notes =
        vec![format!("KL divergence {own}, predicted {:.5}", mix.predicted_kl_divergence)];
    notes.extend(mix.beside.iter().map(|beside| {
        let its = nats(beside.kl_divergence, beside.kl_divergence_se);
        format!("{}, {:.2} bits, has {its}", beside.name, beside.bits_per_weight)
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
        assert_eq!(stem(Path::new("/m/a-f16.gguf")), "a-f16");
        assert_eq!(stem(Path::new("/m/a-f16-00001-of-00007.gguf")), "a-f16");
        assert_eq!(name_of(" 4.5 BPW/x"), "4.5_bpw_x");
    }
}
