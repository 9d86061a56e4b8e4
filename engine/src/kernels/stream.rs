//! Reading, copying and triad for every instruction set, over slices of any length.

use super::portable;

/// Words that one turn of the unrolled loops handles; what is left over is done one by one.
pub(super) const BLOCK: usize = 64;

/// The loops of one instruction set. Pointers cover as many words as the last argument says,
/// which is a multiple of [`BLOCK`]; what is written overlaps with nothing else.
pub(super) type Read = unsafe fn(*const u64, usize) -> u64;
pub(super) type Copy = unsafe fn(*mut f64, *const f64, usize);
pub(super) type Triad = unsafe fn(*mut f64, *const f64, *const f64, f64, usize);

/// Three loops over memory, in one instruction set.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    pub(super) isa: &'static str,
    pub(super) read: Read,
    pub(super) copy: Copy,
    pub(super) triad: Triad,
}

impl Stream {
    /// Those that this processor announces, widest registers first. Announced is not usable: ask
    /// in a process that may die.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let sets = super::x86::streams();
        #[cfg(not(target_arch = "x86_64"))]
        let sets = [];
        sets.into_iter().chain([Self::portable()])
    }

    /// What the compiler makes for any processor of this architecture.
    #[must_use]
    pub fn portable() -> Self {
        Self {
            isa: portable::NAME,
            read: portable::read,
            copy: portable::copy,
            triad: portable::triad,
        }
    }

    /// The instruction set, in Linux's spelling.
    #[must_use]
    pub fn isa(&self) -> &'static str {
        self.isa
    }

    /// The sum of all words, wrapping.
    #[must_use]
    pub fn read(&self, words: &[u64]) -> u64 {
        let (whole, rest) = words.split_at(words.len() / BLOCK * BLOCK);
        // SAFETY: the processor announces the set, which `all` looked at; the slice covers the
        // words, a multiple of the block.
        let sum = unsafe { (self.read)(whole.as_ptr(), whole.len()) };
        rest.iter().fold(sum, |sum, word| sum.wrapping_add(*word))
    }

    /// `target[i] = source[i]`, by ordinary stores.
    ///
    /// # Panics
    /// When the two differ in length.
    pub fn copy(&self, target: &mut [f64], source: &[f64]) {
        assert_eq!(target.len(), source.len(), "both are of one length");
        let whole = target.len() / BLOCK * BLOCK;
        // SAFETY: as in `read`; the target is borrowed for writing, so it overlaps with nothing.
        unsafe { (self.copy)(target.as_mut_ptr(), source.as_ptr(), whole) };
        target[whole..].copy_from_slice(&source[whole..]);
    }

    /// `target[i] = first[i] + factor * second[i]`.
    ///
    /// # Panics
    /// When the three differ in length.
    pub fn triad(&self, target: &mut [f64], first: &[f64], second: &[f64], factor: f64) {
        assert!(target.len() == first.len() && target.len() == second.len(), "one length");
        let whole = target.len() / BLOCK * BLOCK;
        let (a, b, c) = (target.as_mut_ptr(), first.as_ptr(), second.as_ptr());
        // SAFETY: as in `copy`.
        unsafe { (self.triad)(a, b, c, factor, whole) };
        for index in whole..target.len() {
            target[index] = factor.mul_add(second[index], first[index]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_reads_copies_and_adds_rightly_at_any_length() {
        for stream in Stream::all() {
            for length in [0, 1, 63, 64, 65, 128, 1000] {
                let words: Vec<u64> =
                    (0..length as u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
                let sum = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word));
                assert_eq!(stream.read(&words), sum, "{} {length}", stream.isa);
                let first: Vec<f64> = (0..length).map(|i| i as f64).collect();
                let second: Vec<f64> = first.iter().map(|x| x * 0.5 - 3.0).collect();
                let mut target = vec![-1.0; length];
                stream.copy(&mut target, &first);
                assert_eq!(target, first, "{} {length}", stream.isa);
                stream.triad(&mut target, &first, &second, 3.0);
                // Small halves: exact, fused or not.
                let wanted: Vec<f64> =
                    first.iter().zip(&second).map(|(b, c)| b + 3.0 * c).collect();
                assert_eq!(target, wanted, "{} {length}", stream.isa);
            }
        }
    }
}
