//! Writes the file: layout first, then the header, then the tensors one after another.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use autotune_engine::api::Bytes;
use autotune_engine::llama::quantize::{FileType, QuantizeModel, tensor_types};

use super::SynthError;
use super::metadata::{metadata, put_text};
use super::rows::{RowMaker, rope_factors};
use super::shape::Shape;
use super::tensors::{Fill, Wanted, tensors};
use crate::gguf::TensorType;

/// Tensors start at multiples of this many bytes.
const ALIGNMENT: u64 = 32;
/// Fills a gap between tensors.
const PADDING: [u8; 32] = [0; 32];
/// ggml's number for full precision.
const F32: u32 = 0;
/// Spread of biases.
const BIAS_SPREAD: f64 = 0.02;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The model.
    pub shape: Shape,
    /// How its weights are stored.
    pub file_type: FileType,
    /// Where its weights come from.
    pub seed: u64,
}

/// Whether a file that is there already may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It may.
    Existing,
    /// It may not.
    Nothing,
}

/// Is told how many bytes of how many are written, and says whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(Bytes, Bytes) -> ControlFlow<()>;

/// Prefix of files that are not finished.
pub(super) const UNFINISHED: &str = ".autotune-synth-";

/// A file before it is written.
struct Layout {
    header: Vec<u8>,
    tensors: Vec<Placed>,
    bytes: u64,
}

struct Placed {
    wanted: Wanted,
    kind: &'static TensorType,
    /// From the start of the file.
    offset: u64,
    bytes: u64,
}

/// The size the file will have.
pub fn size(request: &Request) -> Result<Bytes, SynthError> {
    layout(request).map(|layout| Bytes(layout.bytes))
}

/// The header of the file, and the size the file will have.
pub(super) fn outline_of(request: &Request) -> Result<(Vec<u8>, Bytes), SynthError> {
    layout(request).map(|layout| (layout.header, Bytes(layout.bytes)))
}

/// Writes the file and gives its size. Under its final name it is complete or absent.
pub fn write(
    request: &Request,
    path: &Path,
    replace: Replace,
    progress: Progress<'_>,
) -> Result<Bytes, SynthError> {
    if replace == Replace::Nothing && path.symlink_metadata().is_ok() {
        return Err(SynthError::Exists(path.to_owned()));
    }
    let layout = layout(request)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let failed = |cause| SynthError::Write { path: path.to_owned(), cause };
    check_space(folder, path, layout.bytes)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED).suffix(".tmp");
    #[cfg(unix)]
    // Like any new file; the process's mask applies.
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    fill(request, &layout, file.as_file_mut(), path, progress)?;
    let kept = match replace {
        Replace::Existing => file.persist(path),
        Replace::Nothing => file.persist_noclobber(path),
    };
    kept.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => SynthError::Exists(path.to_owned()),
        _ => failed(error.error),
    })?;
    Ok(Bytes(layout.bytes))
}

/// Bytes that a file in this folder may still take.
pub fn free_bytes(folder: &Path) -> Result<u64, rustix::io::Errno> {
    let space = rustix::fs::statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn check_space(folder: &Path, path: &Path, needed: u64) -> Result<(), SynthError> {
    let failed =
        |cause: rustix::io::Errno| SynthError::Write { path: path.to_owned(), cause: cause.into() };
    let free = free_bytes(folder).map_err(failed)?;
    if free < needed {
        return Err(SynthError::NoSpace {
            path: path.to_owned(),
            needed: Bytes(needed),
            free: Bytes(free),
        });
    }
    Ok(())
}

fn layout(request: &Request) -> Result<Layout, SynthError> {
    request.shape.check()?;
    let wanted = tensors(&request.shape);
    let kinds = kinds(request, &wanted)?;
    let metadata = metadata(&request.shape, request.file_type, request.seed);
    let mut header = Vec::from(*b"GGUF");
    header.extend(3_u32.to_le_bytes());
    header.extend((wanted.len() as u64).to_le_bytes());
    header.extend(metadata.entries.to_le_bytes());
    header.extend(metadata.bytes);
    let mut placed = Vec::with_capacity(wanted.len());
    let mut offset = 0_u64;
    for (wanted, kind) in wanted.into_iter().zip(kinds) {
        put_text(&mut header, &wanted.name);
        header.extend(u32::try_from(wanted.axes.len()).expect("at most 4").to_le_bytes());
        for axis in &wanted.axes {
            header.extend(axis.to_le_bytes());
        }
        header.extend(kind.id.to_le_bytes());
        header.extend(offset.to_le_bytes());
        let bytes =
            kind.bytes(wanted.axes.iter().product()).ok_or_else(|| SynthError::BadShape {
                name: request.shape.name.clone(),
                what: format!(
                    "rows of {} in {}, which {} cannot hold",
                    wanted.axes[0], wanted.name, kind.name
                ),
            })?;
        placed.push(Placed { wanted, kind, offset, bytes });
        offset += bytes.next_multiple_of(ALIGNMENT);
    }
    let start = (header.len() as u64).next_multiple_of(ALIGNMENT);
    for tensor in &mut placed {
        tensor.offset += start;
    }
    Ok(Layout { header, tensors: placed, bytes: start + offset })
}

/// The type of each tensor, by llama.cpp's own mixture.
fn kinds(request: &Request, wanted: &[Wanted]) -> Result<Vec<&'static TensorType>, SynthError> {
    let shape = &request.shape;
    let failed = |cause| SynthError::Quantize { tensor: shape.name.clone(), cause };
    let model = QuantizeModel {
        architecture: shape.architecture.name(),
        embedding: shape.embedding,
        feed_forward: shape.feed_forward,
        layers: shape.layers,
        heads: shape.heads,
        kv_heads: shape.kv_heads,
        experts: shape.experts,
        key_length: shape.head_length,
        value_length: shape.head_length,
    };
    let weights: Vec<(String, Vec<u64>)> = wanted
        .iter()
        .filter(|tensor| tensor.fill == Fill::Weights)
        .map(|tensor| (tensor.name.clone(), tensor.axes.clone()))
        .collect();
    let mut chosen = tensor_types(&model, request.file_type, &weights).map_err(failed)?.into_iter();
    Ok(wanted
        .iter()
        .map(|tensor| match tensor.fill {
            Fill::Weights => chosen.next().expect("one type per tensor of weights"),
            _ => F32,
        })
        .map(|id| TensorType::from_id(id).expect("llama.cpp's types are all in the table"))
        .collect())
}

fn fill(
    request: &Request,
    layout: &Layout,
    file: &mut File,
    path: &Path,
    progress: Progress<'_>,
) -> Result<(), SynthError> {
    let mut output = Output {
        // Pieces of rows are larger than this and pass through; small tensors are gathered.
        file: BufWriter::with_capacity(1 << 16, file),
        path: path.to_owned(),
        written: 0,
        total: layout.bytes,
        progress,
    };
    let mut maker = RowMaker::new(request.seed);
    output.put(&layout.header)?;
    for tensor in &layout.tensors {
        output.pad_to(tensor.offset)?;
        match tensor.wanted.fill {
            Fill::Weights | Fill::PlainWeights => deal(tensor, &mut maker, &mut output)?,
            _ => output.put(&plain(request, tensor, &mut maker))?,
        }
    }
    output.pad_to(layout.bytes)?;
    output.file.flush().map_err(|cause| SynthError::Write { path: path.to_owned(), cause })
}

/// Fills a tensor with pieces of a block of rows, each begun at a random row of it.
fn deal(
    tensor: &Placed,
    maker: &mut RowMaker,
    output: &mut Output<'_, '_>,
) -> Result<(), SynthError> {
    let width = usize::try_from(tensor.wanted.axes[0]).expect("checked with the shape");
    let mut left = tensor.bytes;
    while left > 0 {
        let pick = maker.below(usize::MAX);
        let rows = maker
            .rows(tensor.kind.id, width)
            .map_err(|cause| SynthError::Quantize { tensor: tensor.wanted.name.clone(), cause })?;
        let start = pick % (rows.bytes.len() / rows.row_bytes) * rows.row_bytes;
        let piece = &rows.bytes[start..];
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        output.put(&piece[..length])?;
        left -= length as u64;
    }
    Ok(())
}

/// A small tensor in full precision.
fn plain(request: &Request, tensor: &Placed, maker: &mut RowMaker) -> Vec<u8> {
    let count = usize::try_from(tensor.bytes / 4).expect("small");
    let values = match tensor.wanted.fill {
        Fill::Ones => vec![1.0; count],
        Fill::Zeros => vec![0.0; count],
        Fill::Bias => maker.normal(count, BIAS_SPREAD),
        Fill::RopeFactors => rope_factors(&request.shape),
        Fill::Weights | Fill::PlainWeights => unreachable!("weights are dealt from blocks"),
    };
    values.into_iter().flat_map(f32::to_le_bytes).collect()
}

/// The file being written, and who is told about it.
struct Output<'a, 'b> {
    file: BufWriter<&'a mut File>,
    path: PathBuf,
    written: u64,
    total: u64,
    progress: Progress<'b>,
}

impl Output<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), SynthError> {
        self.file
            .write_all(bytes)
            .map_err(|cause| SynthError::Write { path: self.path.clone(), cause })?;
        self.written += bytes.len() as u64;
        match (self.progress)(Bytes(self.written), Bytes(self.total)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SynthError::Stopped(self.path.clone())),
        }
    }

    fn pad_to(&mut self, offset: u64) -> Result<(), SynthError> {
        let count = offset.checked_sub(self.written).expect("tensors are written in order");
        let count = usize::try_from(count).expect("less than the alignment");
        if count == 0 { Ok(()) } else { self.put(&PADDING[..count]) }
    }
}
