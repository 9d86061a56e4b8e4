//! A model's file, or all the parts it was split into, and the digest that tells it from others.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{GgufError, Header, HeaderError, Tensor};

/// Places in the data that the digest looks at.
const SAMPLES: u64 = 64;
/// Bytes read at each place.
const SAMPLE_BYTES: u64 = 16 << 10;
/// Parts that are believed; names have room for 99999.
const PARTS_LIMIT: u64 = 1000;

/// The parts of a model and what they hold together.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The first part.
    pub path: PathBuf,
    /// All parts, the first one first.
    pub parts: Vec<PathBuf>,
    /// The headers, the first part's first.
    pub headers: Vec<Header>,
    /// Bytes of all parts.
    pub bytes: u64,
    /// Hash over headers, sizes and samples of the data of all parts, in hexadecimal.
    pub digest: String,
}

impl ModelFile {
    /// Reads the header of a file and, where it was split, those of its other parts.
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let first = Header::read(path)?;
        let parts =
            parts(path, &first).map_err(|cause| GgufError { path: path.to_owned(), cause })?;
        let mut hasher = blake3::Hasher::new();
        let mut headers = vec![first];
        let mut bytes = 0;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                headers.push(Header::read(part)?);
            }
            bytes += digest(part, headers[index].data_start, &mut hasher).map_err(|error| {
                GgufError { path: part.clone(), cause: HeaderError::Read(error) }
            })?;
        }
        let digest = hasher.finalize().to_hex()[..32].to_owned();
        Ok(Self { path: path.to_owned(), parts, headers, bytes, digest })
    }
}

impl ModelFile {
    /// The tensors of all parts.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.headers.iter().flat_map(|header| &header.tensors)
    }

    /// Bits of all tensors over their weights.
    #[must_use]
    pub fn bits_per_weight(&self) -> f64 {
        let weights: u64 = self.tensors().map(Tensor::weights).sum();
        let bytes: u64 = self.tensors().map(|tensor| tensor.bytes).sum();
        8.0 * bytes as f64 / weights.max(1) as f64
    }
}

/// The files of a split model by their names, or the file alone.
fn parts(path: &Path, first: &Header) -> Result<Vec<PathBuf>, HeaderError> {
    let count = first.count("split.count").unwrap_or(1);
    if count <= 1 {
        return Ok(vec![path.to_owned()]);
    }
    if count > PARTS_LIMIT {
        return Err(HeaderError::TooMany { what: "parts".into(), count, limit: PARTS_LIMIT });
    }
    let wrong = || {
        HeaderError::Malformed(format!(
            "it is one of {count} parts; name the first, …-00001-of-{count:05}.gguf"
        ))
    };
    if first.count("split.no").unwrap_or(0) != 0 {
        return Err(wrong());
    }
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
    let stem = name.strip_suffix(&format!("-00001-of-{count:05}.gguf")).ok_or_else(wrong)?;
    let part = |number| path.with_file_name(format!("{stem}-{number:05}-of-{count:05}.gguf"));
    Ok((1..=count).map(part).collect())
}

/// Adds a file to the digest: its size, its header, and samples of its data. Gives its size.
fn digest(path: &Path, data_start: u64, hasher: &mut blake3::Hasher) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    hasher.update(&size.to_le_bytes());
    io::copy(&mut (&mut file).take(data_start), hasher)?;
    let data = size.saturating_sub(data_start);
    if data <= SAMPLES * SAMPLE_BYTES {
        io::copy(&mut file, hasher)?;
        return Ok(size);
    }
    for index in 0..SAMPLES {
        let offset = u128::from(data - SAMPLE_BYTES) * u128::from(index) / u128::from(SAMPLES - 1);
        let offset = u64::try_from(offset).expect("an offset inside a file fits 64 bits");
        file.seek(SeekFrom::Start(data_start + offset))?;
        io::copy(&mut (&mut file).take(SAMPLE_BYTES), hasher)?;
    }
    Ok(size)
}
