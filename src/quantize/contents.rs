//! What tells the weights of two files apart: two file types that fall back to the same tensor
//! types are one model under two names.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::QuantizeError;
use crate::gguf::{Header, ModelFile};

/// A digest of all tensors: names, shapes, types and every byte. Metadata do not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Contents(String);

/// Reads all of a model's tensors.
pub fn contents(file: &ModelFile) -> Result<Contents, QuantizeError> {
    let failed = |cause| QuantizeError::Unreadable { path: file.path.clone(), cause };
    let mut hasher = blake3::Hasher::new();
    for (path, header) in file.parts.iter().zip(&file.headers) {
        read(path, header, &mut hasher).map_err(failed)?;
    }
    Ok(Contents(hasher.finalize().to_hex().to_string()))
}

fn read(path: &Path, header: &Header, hasher: &mut blake3::Hasher) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0_u8; 1 << 20];
    let mut order: Vec<_> = header.tensors.iter().collect();
    order.sort_by(|one, other| one.name.cmp(&other.name));
    for tensor in order {
        hasher.update(tensor.name.as_bytes());
        hasher.update(&[0]);
        hasher.update(tensor.kind.name.as_bytes());
        for extent in &tensor.dimensions {
            hasher.update(&extent.to_le_bytes());
        }
        file.seek(SeekFrom::Start(header.data_start + tensor.offset))?;
        let mut left = tensor.bytes;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = file.read(&mut buffer[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            hasher.update(&buffer[..count]);
            left -= count as u64;
        }
    }
    Ok(())
}
