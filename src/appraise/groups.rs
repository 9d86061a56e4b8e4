//! Who is asked side by side: as many candidates beside the reference as memory holds.

use std::path::PathBuf;

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
    /// Where a file of the reference's answers may lie.
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

/// Divides candidates of such sizes. A model that is there twice counts once.
pub(super) fn groups(fit: &Fit, reference_bytes: u64, candidates: &[(PathBuf, u64)]) -> Groups {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
    let room = fit.free_bytes.map_or(u64::MAX, |free| (free as f64 * SHARE) as u64);
    let largest = candidates.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let lock_step = match fit.basis {
        Basis::LockStep => true,
        Basis::Stored => false,
        Basis::Auto => reference_bytes.saturating_add(largest) <= room,
    };
    let base = if lock_step { reference_bytes } else { 0 };
    let mut rows: Vec<Vec<usize>> = Vec::new();
    let mut taken = u64::MAX;
    for (place, (path, bytes)) in candidates.iter().enumerate() {
        let known = rows
            .last()
            .is_some_and(|row: &Vec<usize>| row.iter().any(|other| candidates[*other].0 == *path));
        let more = if known { 0 } else { *bytes };
        if let Some(row) = rows.last_mut().filter(|_| taken.saturating_add(more) <= room) {
            row.push(place);
        } else {
            rows.push(vec![place]);
            taken = base;
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
        let groups = groups(&fit, 100, &models);
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
    }
}
