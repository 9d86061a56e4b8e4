//! A header: what the file says about the model, and where its tensors lie.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::source::Source;
use super::value::{self, Value};
use super::{GgufError, HeaderError, TensorType};

/// Metadata entries; real files have under a hundred.
const VALUES_LIMIT: u64 = 1 << 16;
/// Tensors; the largest known models have some thousands.
const TENSORS_LIMIT: u64 = 1 << 18;
/// Bytes of a key.
const KEY_LIMIT: u64 = 1 << 10;
/// Bytes of a tensor's name (`GGML_MAX_NAME`, with its final zero).
const NAME_LIMIT: u64 = 63;
/// Bytes of metadata that are kept in all.
const KEPT_LIMIT: u64 = 8 << 20;
/// Where `general.alignment` is absent.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment that is believed.
const ALIGNMENT_LIMIT: u64 = 1 << 20;

/// The header of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Metadata by key.
    pub values: BTreeMap<String, Value>,
    /// Tensors in the file's order.
    pub tensors: Vec<Tensor>,
    /// Tensors start at multiples of this many bytes.
    pub alignment: u64,
    /// Where in the file the tensors' data begin.
    pub data_start: u64,
}

/// A tensor as the header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Name, for example `blk.0.attn_q.weight`.
    pub name: String,
    /// Entries along each axis, the contiguous one first.
    pub dimensions: Vec<u64>,
    /// How they are stored.
    pub kind: TensorType,
    /// Where they begin, in bytes from the start of the data.
    pub offset: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tensor {
    /// Weights in the tensor.
    #[must_use]
    pub fn weights(&self) -> u64 {
        self.dimensions.iter().product()
    }
}

impl Header {
    /// Reads the header of a file.
    pub fn read(path: &Path) -> Result<Self, GgufError> {
        Self::read_checked(path).map_err(|cause| GgufError { path: path.to_owned(), cause })
    }

    fn read_checked(path: &Path) -> Result<Self, HeaderError> {
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(HeaderError::Read)?;
        if metadata.is_dir() {
            return Err(HeaderError::Directory);
        }
        if !metadata.is_file() {
            return Err(HeaderError::NotAFile);
        }
        let file = File::open(path).map_err(HeaderError::Read)?;
        Self::parse(BufReader::with_capacity(1 << 16, file), metadata.len())
    }

    /// Reads a header from the start of a file of this many bytes.
    pub fn parse(reader: impl Read, file_bytes: u64) -> Result<Self, HeaderError> {
        let mut source = Source::new(reader, file_bytes);
        let version = version(&mut source)?;
        let tensors_count = source.u64("the number of tensors")?;
        let values_count = source.u64("the number of metadata entries")?;
        limit("tensors", tensors_count, TENSORS_LIMIT)?;
        limit("metadata entries", values_count, VALUES_LIMIT)?;
        // A key's length, a byte of it, a kind and a byte of value; a name's length, its axes,
        // one length, a kind and an offset.
        source.expect("metadata", values_count, 8 + 1 + 4 + 1)?;
        source.expect("tensor descriptions", tensors_count, 8 + 4 + 8 + 4 + 8)?;
        let values = values(&mut source, values_count)?;
        let alignment = alignment(&values)?;
        let tensors = tensors(&mut source, tensors_count, alignment)?;
        let data_start = source.position().next_multiple_of(alignment);
        check_layout(&tensors, data_start, source.size())?;
        Ok(Self { version, values, tensors, alignment, data_start })
    }

    /// Text under a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A count under a key.
    #[must_use]
    pub fn count(&self, key: &str) -> Option<u64> {
        self.values.get(key)?.count()
    }

    /// A number under a key.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        self.values.get(key)?.number()
    }

    /// The tensor of this name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}

fn limit(what: &str, count: u64, limit: u64) -> Result<(), HeaderError> {
    if count > limit {
        return Err(HeaderError::TooMany { what: what.into(), count, limit });
    }
    Ok(())
}

fn version<R: Read>(source: &mut Source<R>) -> Result<u32, HeaderError> {
    if source.size() == 0 {
        return Err(HeaderError::NotGguf { found: "nothing: it is empty".into() });
    }
    let magic: [u8; 4] = source.array("the first bytes")?;
    if &magic != b"GGUF" {
        return Err(HeaderError::NotGguf { found: format!("`{}`", magic.escape_ascii()) });
    }
    match source.u32("the version")? {
        version @ (2 | 3) => Ok(version),
        version if version != 0 && version.trailing_zeros() >= 16 => Err(HeaderError::BigEndian),
        version => Err(HeaderError::Version(version)),
    }
}

fn values<R: Read>(
    source: &mut Source<R>,
    count: u64,
) -> Result<BTreeMap<String, Value>, HeaderError> {
    let mut values = BTreeMap::new();
    let mut room = KEPT_LIMIT;
    for index in 0..count {
        let key = source.text(&format!("the key of metadata entry {index}"), KEY_LIMIT)?;
        room = room.checked_sub(key.len() as u64).ok_or(HeaderError::TooMany {
            what: "bytes of metadata keys".into(),
            count: KEPT_LIMIT + 1,
            limit: KEPT_LIMIT,
        })?;
        let value = value::read(source, &key, &mut room)?;
        match values.entry(key) {
            Entry::Vacant(entry) => entry.insert(value),
            Entry::Occupied(entry) => {
                return Err(HeaderError::Malformed(format!("{} stands there twice", entry.key())));
            }
        };
    }
    Ok(values)
}

fn alignment(values: &BTreeMap<String, Value>) -> Result<u64, HeaderError> {
    let key = "general.alignment";
    let Some(value) = values.get(key) else { return Ok(DEFAULT_ALIGNMENT) };
    value
        .count()
        .filter(|bytes| bytes.is_power_of_two() && *bytes <= ALIGNMENT_LIMIT)
        .ok_or_else(|| HeaderError::BadValue { key: key.into(), value: format!("{value:?}") })
}

fn tensors<R: Read>(
    source: &mut Source<R>,
    count: u64,
    alignment: u64,
) -> Result<Vec<Tensor>, HeaderError> {
    let mut tensors = Vec::new();
    for index in 0..count {
        tensors.push(tensor(source, index, alignment)?);
    }
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    if let Some((name, _)) = names.iter().zip(&names[1.min(names.len())..]).find(|(a, b)| a == b) {
        return Err(HeaderError::Malformed(format!("the tensor {name} stands there twice")));
    }
    Ok(tensors)
}

fn tensor<R: Read>(
    source: &mut Source<R>,
    index: u64,
    alignment: u64,
) -> Result<Tensor, HeaderError> {
    let name = source.text(&format!("the name of tensor {index}"), NAME_LIMIT)?;
    let malformed = |what: String| HeaderError::Malformed(format!("the tensor {name} {what}"));
    let axes = source.u32(&name)?;
    if !(1..=4).contains(&axes) {
        return Err(malformed(format!("has {axes} axes")));
    }
    let mut dimensions = Vec::new();
    for _ in 0..axes {
        dimensions.push(source.u64(&name)?);
    }
    let id = source.u32(&name)?;
    let offset = source.u64(&name)?;
    let kind =
        *TensorType::from_id(id).ok_or_else(|| malformed(format!("has the unknown type {id}")))?;
    let weights = dimensions
        .iter()
        .try_fold(1_u64, |product, axis| product.checked_mul(*axis))
        .filter(|weights| (1..=i64::MAX as u64).contains(weights))
        .ok_or_else(|| malformed(format!("has the impossible shape {dimensions:?}")))?;
    let bytes = dimensions[0]
        .is_multiple_of(kind.block)
        .then(|| kind.bytes(weights))
        .flatten()
        .ok_or_else(|| {
            malformed(format!("of type {} cannot have rows of {}", kind.name, dimensions[0]))
        })?;
    if !offset.is_multiple_of(alignment) {
        return Err(malformed(format!("starts at {offset}, no multiple of {alignment}")));
    }
    Ok(Tensor { name, dimensions, kind, offset, bytes })
}

/// Whether the tensors lie inside the file and beside one another.
fn check_layout(tensors: &[Tensor], data_start: u64, size: u64) -> Result<(), HeaderError> {
    let mut by_offset: Vec<&Tensor> = tensors.iter().collect();
    by_offset.sort_unstable_by_key(|tensor| tensor.offset);
    let mut end = 0_u64;
    let mut last = "";
    for tensor in by_offset {
        if tensor.offset < end {
            return Err(HeaderError::Malformed(format!(
                "the tensors {last} and {} overlap",
                tensor.name
            )));
        }
        end = tensor.offset.checked_add(tensor.bytes).ok_or_else(|| {
            HeaderError::Malformed(format!("the tensor {} ends beyond any file", tensor.name))
        })?;
        last = &tensor.name;
    }
    let wanted = data_start.saturating_add(end);
    if tensors.is_empty() || wanted <= size {
        return Ok(());
    }
    Err(HeaderError::Truncated {
        what: format!("the data of tensor {last} end at {wanted}, the file at {size}"),
        missing: wanted - size,
    })
}
