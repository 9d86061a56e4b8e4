//! Importance matrices: a model reads chunk after chunk while the worker looks at what its weights
//! are multiplied with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autotune_engine::api::{
    ImportanceFile, ImportanceJob, ImportanceUse, Language, Speaker, Token,
};

use super::{QuantizeError, Source};
use crate::gguf::Header;
use crate::store::workshop;

/// How long a chunk may take.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// What an importance matrix is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Whose weights, under which setting.
    pub speaker: Speaker,
    /// The chunks.
    pub chunks: Vec<Vec<Token>>,
    /// Names of the texts.
    pub datasets: Vec<String>,
    /// Matrices to go on from.
    pub merge: Vec<PathBuf>,
    /// Whether the output layer is looked at, too.
    pub output_tensor: bool,
    /// The file.
    pub path: PathBuf,
}

/// Makes an importance matrix. Interrupted, it writes nothing: a matrix of a part of the text would
/// be taken for one of all of it.
pub fn calibrate(
    language: &mut dyn Language,
    wish: &Calibration,
    interrupted: &AtomicBool,
    progress: &mut dyn FnMut(&ImportanceUse),
) -> Result<ImportanceUse, QuantizeError> {
    let what = wish.path.display().to_string();
    let failed = |cause| QuantizeError::Engine { what: what.clone(), cause };
    let folder = wish.path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let unwritten = |cause| QuantizeError::Write { path: wish.path.clone(), cause };
    let workshop = workshop(folder, "imatrix").map_err(unwritten)?;
    let unfinished = workshop.path().join("matrix.gguf");
    let file = |datasets: &[String]| ImportanceFile {
        path: unfinished.clone(),
        datasets: datasets.to_vec(),
        chunk_tokens: u32::try_from(wish.chunks.first().map_or(0, Vec::len)).unwrap_or(0),
    };
    let mut begin = Some(wish.merge.clone());
    let mut state = ImportanceUse { chunks: 0, tensors: 0, silent_experts: 0 };
    for (at, chunk) in wish.chunks.iter().enumerate() {
        if interrupted.load(Ordering::Relaxed) {
            return Err(QuantizeError::Interrupted);
        }
        let last = at + 1 == wish.chunks.len();
        let job = ImportanceJob {
            speaker: wish.speaker.clone(),
            begin: begin.take(),
            chunks: vec![chunk.clone()],
            output_tensor: wish.output_tensor,
            write: last.then(|| file(&wish.datasets)),
        };
        let done = language.importance(&job, DEADLINE);
        if done.is_err() && interrupted.load(Ordering::Relaxed) {
            return Err(QuantizeError::Interrupted);
        }
        state = done.map_err(failed)?;
        progress(&state);
    }
    // A disk that was full at the last byte leaves a file that cannot be read.
    Header::read(&unfinished).map_err(|error| unwritten(io::Error::other(error)))?;
    fs::File::open(&unfinished).and_then(|file| file.sync_all()).map_err(unwritten)?;
    fs::rename(&unfinished, &wish.path).map_err(unwritten)?;
    Ok(state)
}

/// Refuses the matrix of another model. llama.cpp notices a wrong width only, and a missing tensor
/// is a line in its log.
pub fn fits(path: &Path, source: &Source) -> Result<(), QuantizeError> {
    let other = |why: String| QuantizeError::OtherImportance { path: path.to_owned(), why };
    let Ok(header) = Header::read(path) else {
        // The format before GGUF: the engine checks what it can.
        return Ok(());
    };
    let widths: BTreeMap<&str, (u64, u64)> = source
        .tensors()
        .map(|tensor| {
            let experts = tensor.dimensions.get(2).copied().unwrap_or(1);
            (tensor.name.as_str(), (tensor.dimensions[0], experts))
        })
        .collect();
    let mut known = 0;
    for tensor in &header.tensors {
        let Some(weight) = tensor.name.strip_suffix(".in_sum2") else { continue };
        let own = (tensor.dimensions[0], tensor.dimensions.get(1).copied().unwrap_or(1));
        match widths.get(weight) {
            None => return Err(other(format!("{weight} is not in {}", source.path.display()))),
            Some(wanted) if *wanted != own => {
                let ((columns, experts), (its, its_experts)) = (wanted, own);
                return Err(other(format!(
                    "{weight} has {its} × {its_experts} columns, and {columns} × {experts} in {}",
                    source.path.display()
                )));
            }
            Some(_) => known += 1,
        }
    }
    if known == 0 { Err(other("it knows no tensor".into())) } else { Ok(()) }
}
