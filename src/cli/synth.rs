//! `autotune synth`: a model of a known shape with random weights; and the models that other
//! verbs name as `synth:SHAPE:QUANT`.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{ArgGroup, Args};

use super::kept::{self, Fate};
use super::{Exit, Printer, Stop};
use crate::synth::{
    self, FILE_TYPES, Name, Replace, Request, SHAPES, Shape, SynthError, file_type,
};

/// Write a GGUF of a known model's exact shape and quantization with random weights
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true)
    .args(["shape", "from_config", "from_gguf", "list", "clear"]))]
#[command(after_help = "\
Examples:
  autotune synth llama-3.2-1b --quant q4_k_m -o m.gguf    try before download
  autotune synth gpt-oss-20b --quant mxfp4 --layers 4 -o m.gguf
  autotune synth --from-config config.json --quant q8_0 -o m.gguf
  autotune synth --list                                   what is kept

The files load in any llama.cpp. Their weights are noise: for speed and
memory, not for text.")]
pub struct Arguments {
    /// Which model, for example tiny or llama-3.2-1b (an unknown name lists them all)
    pub shape: Option<String>,
    /// Take the shape from a model publisher's config.json
    #[arg(long, value_name = "FILE")]
    pub from_config: Option<PathBuf>,
    /// Take the shape from a GGUF file
    #[arg(long, value_name = "FILE")]
    pub from_gguf: Option<PathBuf>,
    /// How the weights are stored: `q4_k_m`, `q8_0`, `f16`, `mxfp4` and the other names of llama-quantize
    #[arg(long, value_name = "TYPE", default_value = "q4_k_m")]
    pub quant: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    #[arg(required_unless_present_any = ["list", "clear"])]
    pub output: Option<PathBuf>,
    /// Write this many layers instead of all
    #[arg(long, value_name = "N")]
    pub layers: Option<u32>,
    /// Where the random weights come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// List the models kept for `--model synth:…`
    #[arg(long)]
    pub list: bool,
    /// Remove the models kept for `--model synth:…`
    #[arg(long)]
    pub clear: bool,
}

/// Writes the model, or lists or clears the kept ones.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    if arguments.list || arguments.clear {
        return cached(arguments, printer);
    }
    let output = arguments.output.as_deref().expect("clap demands it without --list or --clear");
    let request = request(arguments).map_err(|error| stop(&error))?;
    let replace = if arguments.force { Replace::Existing } else { Replace::Nothing };
    let bytes = with_progress(printer, output, |progress| {
        synth::write(&request, output, replace, progress)
    })?;
    let (shape, quant) = (&request.shape, request.file_type.name);
    printer.say(format!(
        "wrote {}: {} in {quant}, {} layers, {bytes}, random weights",
        output.display(),
        shape.name,
        shape.layers
    ));
    Ok(Exit::Done)
}

/// The file that `--model` names: a path as it is, `synth:SHAPE:QUANT` after writing it into the
/// cache if it is not there.
pub fn model_file(model: &str, printer: Printer) -> Result<PathBuf, Stop> {
    if !Name::is_synthetic(model) {
        return Ok(PathBuf::from(model));
    }
    let folder = cache_folder()?;
    let mut wrote = None;
    let path = with_progress(printer, Path::new(model), |progress| {
        synth::resolve(model, &folder, &mut |done, total| {
            wrote = Some(total);
            progress(done, total)
        })
    })?;
    if let Some(bytes) = wrote {
        printer.say(format!("wrote {model} into the cache: {} ({bytes})", path.display()));
    }
    Ok(path)
}

fn request(arguments: &Arguments) -> Result<Request, SynthError> {
    let shape = match (&arguments.shape, &arguments.from_config, &arguments.from_gguf) {
        (Some(name), _, _) => Shape::named(name)?,
        (_, Some(path), _) => Shape::from_config(path)?,
        (_, _, Some(path)) => Shape::from_gguf(path)?,
        _ => unreachable!("clap demands one of them"),
    };
    let shape = match arguments.layers {
        Some(layers) => shape.with_layers(layers)?,
        None => shape,
    };
    Ok(Request { shape, file_type: file_type(&arguments.quant)?, seed: arguments.seed })
}

fn cached(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let folder = cache_folder()?;
    let models = if arguments.clear { synth::clear(&folder) } else { synth::list(&folder) };
    let models = models.map_err(|error| stop(&error))?;
    let fate = if arguments.clear { Fate::Removed } else { Fate::Kept };
    kept::tell(&models, fate, &folder, printer)
}

fn cache_folder() -> Result<PathBuf, Stop> {
    Ok(super::model::cache_folder()?.join("synth"))
}

/// Runs the work with a bar on terminals, and stops it when the user interrupts.
pub(super) fn with_progress<T>(
    printer: Printer,
    name: &Path,
    work: impl FnOnce(synth::Progress<'_>) -> Result<T, SynthError>,
) -> Result<T, Stop> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let handlers = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM]
        .map(|signal| signal_hook::flag::register(signal, Arc::clone(&interrupted)));
    let bar = printer.bar_of_bytes(&name.to_string_lossy(), None);
    let result = work(&mut |done, total| {
        bar.set_length(total.0);
        bar.set_position(done.0);
        if interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    bar.finish_and_clear();
    for handler in handlers.into_iter().flatten() {
        signal_hook::low_level::unregister(handler);
    }
    result.map_err(|error| stop(&error))
}

/// Exit code and hint of each way to fail.
fn stop(error: &SynthError) -> Stop {
    let exit = match error {
        SynthError::Stopped(_) => Exit::Interrupted,
        SynthError::Write { cause, .. } if cause.kind() == io::ErrorKind::NotFound => Exit::Usage,
        SynthError::NoSpace { .. } | SynthError::Quantize { .. } | SynthError::Write { .. } => {
            Exit::Failure
        }
        _ => Exit::Usage,
    };
    let stop = Stop::from_error(exit, error);
    match error {
        SynthError::UnknownShape(_) => stop.hint(format!("known shapes: {}", SHAPES.join(", "))),
        SynthError::UnknownQuant(_) => {
            let names: Vec<&str> = FILE_TYPES.iter().map(|kind| kind.name).collect();
            stop.hint(format!("known quantizations: {}", names.join(", ")))
        }
        SynthError::BadName { .. } => {
            stop.hint("write it as synth:llama-3.2-1b:q4_k_m or synth:tiny:q8_0:layers=2")
        }
        SynthError::Exists(_) => stop.hint("use --force to replace it, or another name"),
        SynthError::NoSpace { .. } => {
            stop.hint("free some space, cut it with --layers, or see autotune synth --list")
        }
        SynthError::Write { cause, .. } if cause.kind() == io::ErrorKind::NotFound => {
            stop.hint("make the folder first")
        }
        _ => stop,
    }
}
