//! Memory by the page: untouched until its reader touches it, in huge pages where there are some.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Sizes are whole multiples of the usual huge page.
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed memory that no page stands behind before it is written to: the kernel takes each page
/// from the node of the CPU that touches it first.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u64>,
    bytes: usize,
}

// SAFETY: the memory belongs to this value alone and is reached through `&` and `&mut` as the
// borrow rules have it.
unsafe impl Send for Buffer {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Address space of at least this size.
    pub fn new(bytes: usize) -> io::Result<Self> {
        let bytes = bytes.max(1).checked_next_multiple_of(HUGE_PAGE);
        let bytes = bytes.ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: a new mapping of its own, where the kernel finds room, and never null.
        let start = unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            mmap_anonymous(ptr::null_mut(), bytes, protection, MapFlags::PRIVATE)?
        };
        #[cfg(target_os = "linux")]
        // SAFETY: the whole of the mapping above. It is advice: where it cannot be followed,
        // pages are small.
        let _ = unsafe { rustix::mm::madvise(start, bytes, rustix::mm::Advice::LinuxHugepage) };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes })
    }

    /// Writes to every word, so that pages stand behind all of it.
    pub fn touch(&mut self) {
        self.floats_mut().fill(1.0);
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of it as integers.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        // SAFETY: mapped, readable, aligned to a page, and any bits are a `u64`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes / 8) }
    }

    /// All of it as integers that can be changed.
    pub fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `words`, writable too, and nobody else has it.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes / 8) }
    }

    /// All of it as floats.
    pub fn floats_mut(&mut self) -> &mut [f64] {
        // SAFETY: as in `words_mut`, and any bits are an `f64`.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes / 8) }
    }

    /// All of it as bytes.
    pub fn octets_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `words_mut`.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.bytes) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, which nobody refers to any more.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_zero_then_what_was_written() {
        let mut buffer = Buffer::new(1).unwrap();
        assert_eq!(buffer.bytes(), HUGE_PAGE);
        assert!(buffer.words().iter().all(|word| *word == 0));
        buffer.touch();
        assert!(buffer.floats_mut().iter().all(|float| float.to_bits() == 1.0_f64.to_bits()));
        assert!(Buffer::new(usize::MAX).is_err());
    }
}
