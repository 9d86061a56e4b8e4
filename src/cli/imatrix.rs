//! `autotune imatrix`: the importance matrix of a model over a text.

use std::path::{Path, PathBuf};

use autotune_engine::api::{ImportanceUse, Speaker};
use clap::Args;

use super::speech::{self, Purpose, Speaking, quantize_stop};
use super::{Exit, Printer, Stop, global, synth};
use crate::appraise::{Speech, chunks, speaking, tokenize_alike};
use crate::quantize::{self, Calibration};

/// Make the importance matrix of a model over a text
#[derive(Debug, Args)]
#[command(after_help = "\
Tells a quantizer which columns of each weight matter. The file is llama.cpp's
own format: its tools read it, and files of theirs are read with --merge. Take
a text other than the one that quality is measured with.

Examples:
  autotune imatrix m-f16.gguf -o m-imatrix.gguf
  autotune imatrix m-f16.gguf --text calibration.txt -o m-imatrix.gguf
  autotune imatrix m-f16.gguf --text more.txt --merge a.gguf -o b.gguf
  autotune quantize m-f16.gguf --to q2_k --imatrix m-imatrix.gguf

Exit codes: 0 done, 2 wrong usage or unreadable input, 4 the engine crashed, 5
other failure such as a full disk, 130 interrupted.")]
pub struct Arguments {
    /// The model, best the one that will be quantized
    #[arg(value_name = "MODEL")]
    model: String,
    /// What it reads [default: the calibration text within]
    #[arg(long, value_name = "FILE", default_value = "builtin")]
    text: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Read so many chunks [default: the whole text]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    chunks: Option<u32>,
    /// Tokens of a chunk
    #[arg(long, value_name = "N", default_value_t = 512)]
    #[arg(value_parser = clap::value_parser!(u32).range(32..=131_072))]
    chunk_tokens: u32,
    /// Go on from these matrices
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// Look at the output layer, too
    #[arg(long)]
    output_tensor: bool,
    /// Threads [default: physical cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    threads: Option<u32>,
}

/// What is to be made.
pub(super) struct Wish<'a> {
    pub(super) model: &'a Path,
    pub(super) text: &'a str,
    pub(super) path: &'a Path,
    pub(super) chunk_tokens: u32,
    pub(super) chunks: Option<u32>,
    pub(super) merge: &'a [PathBuf],
    pub(super) output_tensor: bool,
    pub(super) threads: u32,
}

/// Makes the matrix.
pub fn run(arguments: &Arguments, printer: Printer) -> Result<Exit, Stop> {
    let model = synth::model_file(&arguments.model, printer)?;
    let mut speaking = speech::open()?;
    let wish = Wish {
        model: &model,
        text: &arguments.text,
        path: &arguments.output,
        chunk_tokens: arguments.chunk_tokens,
        chunks: arguments.chunks,
        merge: &arguments.merge,
        output_tensor: arguments.output_tensor,
        threads: speaking.threads(arguments.threads),
    };
    let made = make(&wish, &mut speaking, printer);
    made.map_err(|stop| speaking.interrupted_or(stop))?;
    Ok(Exit::Done)
}

/// Makes a matrix and says so.
pub(super) fn make(
    wish: &Wish<'_>,
    speaking: &mut Speaking,
    printer: Printer,
) -> Result<ImportanceUse, Stop> {
    let text = speech::text(wish.text, Purpose::Calibration)?;
    let models = [wish.model.to_owned()];
    let tokens = tokenize_alike(&mut speaking.engine, &models, &text)
        .map_err(|error| speech::text_stop(&error))?;
    let mut all = chunks(&tokens, wish.chunk_tokens).map_err(|it| speech::text_stop(&it))?.chunks;
    if let Some(most) = wish.chunks {
        all.truncate(most as usize);
    }
    let calibration = Calibration {
        speaker: Speaker { model: wish.model.to_owned(), setting: speaking_setting(wish) },
        datasets: vec![if wish.text == speech::BUILTIN {
            "autotune builtin calibration text".to_owned()
        } else {
            wish.text.to_owned()
        }],
        merge: wish.merge.to_vec(),
        output_tensor: wish.output_tensor,
        path: wish.path.to_owned(),
        chunks: all,
    };
    let count = calibration.chunks.len() as u64;
    let bar = printer.bar("importance matrix {wide_bar} chunk {pos}/{len} {eta}", Some(count));
    let done =
        quantize::calibrate(&mut speaking.engine, &calibration, &speaking.interrupted, &mut |_| {
            bar.inc(1);
        });
    bar.finish_and_clear();
    let state = done.map_err(|error| quantize_stop(&error))?;
    let path = global::one_line(&wish.path.to_string_lossy());
    let silent = match state.silent_experts {
        0 => String::new(),
        count => format!("; {count} experts were never chosen: a longer text would reach more"),
    };
    printer.say(format!(
        "wrote {path}: {} tensors over {} chunks of {} tokens{silent}",
        state.tensors, state.chunks, wish.chunk_tokens
    ));
    Ok(state)
}

fn speaking_setting(wish: &Wish<'_>) -> autotune_engine::api::Setting {
    speaking(wish.threads, wish.chunk_tokens, &Speech::default())
}
