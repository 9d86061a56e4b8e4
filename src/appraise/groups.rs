//! Who is asked side by side: as many candidates beside the reference as memory holds.

use std::path::{Path, PathBuf};

/// Share of the free memory that models may take; the rest is for contexts and everybody else.
const SHARE: f64 = 0.8;

/// How a candidate meets its reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Basis {
    /// Side by side where memory holds both, else through a file.
    #[default]
    Auto,
    /// Side by side, whatever the memory.
    LockStep,
    /// Through a file with what the reference says.
    Stored,
}

/// Memory that models may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// How a candidate meets its reference.
    pub basis: Basis,
    /// Bytes that are free; `None` where nobody knows.
    pub free_bytes: Option<u64>,
    /// Where a file of the reference's answers may lie: on a disk, since memory is what is short.
    pub folder: PathBuf,
}

/// Rows of candidates that are asked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Groups {
    /// Whether the reference is among them each time, or read from a file.
    pub(super) lock_step: bool,
    /// Places of the candidates.
    pub(super) rows: Vec<Vec<usize>>,
}

impl Groups {
    /// Whether models leave memory for each other.
    pub(super) fn take_turns(&self) -> bool {
        !self.lock_step || self.rows.len() > 1
    }
}

/// Divides candidates of such sizes. A model that is there twice counts once.
pub(super) fn groups(
    fit: &Fit,
    (reference, reference_bytes): (&Path, u64),
    candidates: &[(PathBuf, u64)],
) -> Groups {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
    let room = fit.free_bytes.map_or(u64::MAX, |free| (free as f64 * SHARE) as u64);
    let others = candidates.iter().filter(|(path, _)| path != reference);
    let largest = others.map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let lock_step = match fit.basis {
        Basis::LockStep => true,
        Basis::Stored => false,
        Basis::Auto => reference_bytes.saturating_add(largest) <= room,
    };
    if !lock_step {
        // Each is asked alone.
        return Groups { lock_step, rows: vec![(0..candidates.len()).collect()] };
    }
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut taken = u64::MAX;
    for (place, (path, bytes)) in candidates.iter().enumerate() {
        let shares = |row: &Vec<usize>| row.iter().any(|other| candidates[*other].0 == *path);
        let known = path == reference || rows.last().is_some_and(shares);
        let more = if known { 0 } else { *bytes };
        if let Some(row) = rows.last_mut().filter(|_| taken.saturating_add(more) <= room) {
            row.push(place);
        } else {
            rows.push(vec![place]);
            taken = reference_bytes;
        }
        taken = taken.saturating_add(more);
    }
    Groups { lock_step, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divided(basis: Basis, free: Option<u64>, sizes: &[u64]) -> (bool, Vec<Vec<usize>>) {
        let fit = Fit { basis, free_bytes: free, folder: PathBuf::new() };
        let models: Vec<_> =
            (0..).zip(sizes).map(|(at, size): (u32, _)| (at.to_string().into(), *size)).collect();
        let groups = groups(&fit, (Path::new("r"), 100), &models);
        (groups.lock_step, groups.rows)
    }

    #[test]
    fn what_fits_is_asked_together() {
        assert_eq!(divided(Basis::Auto, None, &[50, 40, 30]), (true, vec![vec![0, 1, 2]]));
        // 80 % of 250 is 200.
        assert_eq!(
            divided(Basis::Auto, Some(250), &[50, 40, 30]),
            (true, vec![vec![0, 1], vec![2]])
        );
        assert_eq!(divided(Basis::Auto, Some(180), &[50, 40]), (false, vec![vec![0, 1]]));
        assert_eq!(divided(Basis::LockStep, Some(1), &[50, 40]), (true, vec![vec![0], vec![1]]));
        assert_eq!(divided(Basis::Stored, None, &[5]), (false, vec![vec![0]]));
        assert_eq!(divided(Basis::Auto, None, &[]), (true, vec![]));
        // The reference under other settings takes no more memory than it has.
        let fit = Fit { basis: Basis::Auto, free_bytes: Some(130), folder: PathBuf::new() };
        let again = [("r".into(), 100), ("r".into(), 100)];
        let found = groups(&fit, (Path::new("r"), 100), &again);
        assert_eq!((found.lock_step, found.rows), (true, vec![vec![0, 1]]));
    }
}
