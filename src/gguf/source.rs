//! Bytes from a file whose lengths are not believed: every request is held against what is left.

use std::io::Read;

use super::HeaderError;

/// A reader that knows where it is and how much the file holds.
pub(super) struct Source<R> {
    reader: R,
    position: u64,
    size: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R, size: u64) -> Self {
        Self { reader, position: 0, size }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Fails unless this many items of at least this many bytes can still follow.
    pub(super) fn expect(
        &self,
        what: &str,
        count: u64,
        bytes_each: u64,
    ) -> Result<(), HeaderError> {
        let left = self.size.saturating_sub(self.position);
        let wanted = u128::from(count) * u128::from(bytes_each);
        if wanted <= u128::from(left) {
            return Ok(());
        }
        let missing = u64::try_from(wanted - u128::from(left)).unwrap_or(u64::MAX);
        Err(HeaderError::Truncated { what: what.into(), missing })
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], HeaderError> {
        let mut bytes = [0; N];
        self.fill(what, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, HeaderError> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, HeaderError> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A length and as many bytes, which must not be more than `limit`.
    pub(super) fn text(&mut self, what: &str, limit: u64) -> Result<String, HeaderError> {
        let length = self.u64(what)?;
        self.expect(what, length, 1)?;
        if length > limit {
            return Err(HeaderError::TooMany {
                what: format!("bytes in {what}"),
                count: length,
                limit,
            });
        }
        self.text_of(what, length)
    }

    /// Text of a length that the caller has held against a limit.
    pub(super) fn text_of(&mut self, what: &str, length: u64) -> Result<String, HeaderError> {
        self.expect(what, length, 1)?;
        let length = usize::try_from(length).map_err(|_| HeaderError::TooMany {
            what: format!("bytes in {what}"),
            count: length,
            limit: usize::MAX as u64,
        })?;
        let mut bytes = vec![0; length];
        self.fill(what, &mut bytes)?;
        // Names in files of all ages: what is not UTF-8 is shown as such, and is no reason to stop.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Passes over bytes without keeping them.
    pub(super) fn skip(&mut self, what: &str, count: u64) -> Result<(), HeaderError> {
        self.expect(what, count, 1)?;
        let mut scratch = [0_u8; 4096];
        let mut left = count;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(scratch.len());
            self.fill(what, &mut scratch[..part])?;
            left -= part as u64;
        }
        Ok(())
    }

    fn fill(&mut self, what: &str, into: &mut [u8]) -> Result<(), HeaderError> {
        self.expect(what, into.len() as u64, 1)?;
        self.reader.read_exact(into).map_err(HeaderError::Read)?;
        self.position += into.len() as u64;
        Ok(())
    }
}
