//! A walk through memory in which every step needs the one before.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Buffer;

/// Words of a line; two neighbouring lines of 64 bytes may be fetched together, and the random
/// order makes that useless.
const LINE: usize = 8;

/// A buffer whose lines name each other in one random circle through all of them.
#[derive(Debug)]
pub struct Chain {
    buffer: Buffer,
    bytes: usize,
    at: usize,
}

impl Chain {
    /// A circle through this many bytes, whole lines of 64.
    pub fn new(bytes: usize, seed: u64) -> std::io::Result<Self> {
        let lines = (bytes / (8 * LINE)).max(2);
        let mut buffer = Buffer::new(lines * 8 * LINE)?;
        let words = buffer.words_mut();
        for (line, next) in circle(lines, seed).into_iter().enumerate() {
            words[line * LINE] = u64::from(next) * LINE as u64;
        }
        Ok(Self { buffer, bytes: lines * 8 * LINE, at: 0 })
    }

    /// What is walked through.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Goes so many steps on from where the last walk ended.
    pub fn walk(&mut self, steps: u32) {
        let words = self.buffer.words();
        let mut at = self.at;
        for _ in 0..steps {
            // SAFETY: every line names the first word of a line of the buffer, and so does 0. A
            // check here would be part of what is measured.
            let next = unsafe { *words.get_unchecked(at) };
            #[expect(clippy::cast_possible_truncation, reason = "written from a usize")]
            {
                at = next as usize;
            }
        }
        self.at = std::hint::black_box(at);
    }
}

/// For each line the next one, such that the way from any line back to itself leads through all
/// (Sattolo's shuffle).
fn circle(lines: usize, seed: u64) -> Vec<u32> {
    let count = u32::try_from(lines).expect("a walk of at most 256 GiB");
    let mut next: Vec<u32> = (0..count).collect();
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
    for last in (1..lines).rev() {
        next.swap(last, chance.random_range(0..last));
    }
    next
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_way_leads_through_every_line_once(lines in 2_usize..3000, seed: u64) {
            let next = circle(lines, seed);
            let mut seen = vec![false; lines];
            let mut at = 0;
            for _ in 0..lines {
                prop_assert!(!std::mem::replace(&mut seen[at], true));
                at = next[at] as usize;
            }
            prop_assert_eq!(at, 0);
        }
    }

    #[test]
    fn a_walk_goes_on_where_the_last_one_ended() {
        let mut chain = Chain::new(100 * 64, 1).unwrap();
        assert_eq!(chain.bytes(), 6400);
        chain.walk(30);
        assert_ne!(chain.at, 0);
        chain.walk(70);
        assert_eq!(chain.at, 0);
    }
}
