//! The noise of a machine: learned from the same thing measured twice, or assumed.

use super::{Finish, Suite};
use crate::judge::Rule;
use crate::model::{GateNoise, Weight};
use crate::stats;

/// What a session is assumed to add to one side alone on bare metal, until it is learned.
const SESSION_ON_METAL: f64 = 0.003;
/// The same on a virtual machine, whose neighbours nobody sees.
const SESSION_ON_VM: f64 = 0.01;
/// Limit for times on a virtual machine whose noise was never learned: 2 % is not affordable
/// there. From simulation: with a spread of 4 % per process and a level that wanders, 43 % of
/// builds on identical code stay undecided at 2 %.
const LIMIT_ON_VM: f64 = 0.05;
/// Sessions from which on what they add is believed where it is small: of fewer, half find nothing
/// by chance.
const ENOUGH_SESSIONS: u32 = 20;
/// How far above the noise floor a limit is put, so that identical code mostly passes.
const ABOVE_FLOOR: f64 = 1.5;

/// What a session adds to one side alone, as a share: what was learned, but below as many sessions
/// as tell a spread, no less than what is assumed.
#[must_use]
pub fn session_noise(noise: Option<&GateNoise>, virtualised: bool) -> f64 {
    let assumed = if virtualised { SESSION_ON_VM } else { SESSION_ON_METAL };
    match noise {
        Some(noise) if noise.sessions >= ENOUGH_SESSIONS => noise.session,
        Some(noise) => noise.session.max(assumed),
        None => assumed,
    }
}

/// The smallest limit that identical code stays below at the end of all blocks, as often as not.
#[must_use]
pub fn noise_floor(noise: &GateNoise, rule: &Rule) -> f64 {
    let blocks = f64::from(rule.most_blocks.max(2));
    let error = (noise.block.powi(2) / blocks + noise.session.powi(2)).sqrt();
    let wide = stats::student_quantile(rule.beta, blocks - 1.0).unwrap_or(0.0);
    (wide * error).exp_m1()
}

/// The limit of a quantity where nobody asked for one.
#[must_use]
pub fn limit(usual: f64, noise: Option<&GateNoise>, rule: &Rule, virtualised: bool) -> f64 {
    match noise {
        // A machine so loud that a slowdown worth knowing would pass gets no limit of its own:
        // there the verdict is that nothing can be seen.
        Some(noise) => {
            let quiet = ABOVE_FLOOR * noise_floor(noise, rule);
            usual.max(quiet.min(rule.blind_above))
        }
        None if virtualised => usual.max(LIMIT_ON_VM),
        None => usual,
    }
}

/// What sessions on identical sides say of the noise of every cell.
#[must_use]
pub fn noise(suite: &Suite, sessions: &[Finish]) -> Vec<GateNoise> {
    let cells = suite.cells().enumerate().filter(|(_, (_, it))| it.weight == Weight::Blocking);
    cells
        .filter_map(|(at, (_, wanted))| {
            let of = |session: &Finish| session.differences[at].clone();
            let blocks: Vec<Vec<f64>> =
                sessions.iter().map(of).filter(|blocks| blocks.len() >= 2).collect();
            let repetitions: Vec<&Vec<f64>> =
                sessions.iter().flat_map(|session| &session.repetitions[at]).collect();
            one(&wanted.name, &blocks, &repetitions)
        })
        .collect()
}

fn one(name: &str, sessions: &[Vec<f64>], repetitions: &[&Vec<f64>]) -> Option<GateNoise> {
    let within: f64 = sessions.iter().map(|blocks| squares(blocks)).sum();
    let degrees: f64 = sessions.iter().map(|blocks| blocks.len() as f64 - 1.0).sum();
    if degrees < 1.0 {
        return None;
    }
    let block = within / degrees;
    // The spread of the means of sessions, less what their blocks bring to it.
    let means: Vec<f64> = sessions.iter().map(|blocks| mean(blocks)).collect();
    let session = if means.len() < 2 {
        0.0
    } else {
        let size = sessions.iter().map(Vec::len).sum::<usize>() as f64 / means.len() as f64;
        (squares(&means) / (means.len() as f64 - 1.0) - block / size).max(0.0)
    };
    let logs: Vec<Vec<f64>> = repetitions
        .iter()
        .filter(|it| it.len() >= 2)
        .map(|it| it.iter().map(|cost| cost.ln()).collect())
        .collect();
    let (repetition, intraclass) = repeated(&logs);
    let all: Vec<f64> = sessions
        .iter()
        .zip(&means)
        .flat_map(|(blocks, mean)| blocks.iter().map(move |it| it - mean))
        .collect();
    Some(GateNoise {
        cell: name.to_owned(),
        repetition,
        block: block.sqrt(),
        session: session.sqrt(),
        intraclass,
        lag_one: stats::lag_one_autocorrelation(&all),
        sessions: u32::try_from(sessions.len()).unwrap_or(u32::MAX),
    })
}

/// Standard deviation of repetitions in a process, and the share of all variance that processes
/// have in common (the one-way random-effects intraclass correlation, Fisher 1925).
fn repeated(processes: &[Vec<f64>]) -> (Option<f64>, Option<f64>) {
    let Some(size) = processes.first().map(Vec::len) else { return (None, None) };
    let even: Vec<&Vec<f64>> = processes.iter().filter(|it| it.len() == size).collect();
    let (count, size) = (even.len() as f64, size as f64);
    let within = even.iter().map(|it| squares(it)).sum::<f64>() / (count * (size - 1.0));
    if even.len() < 2 {
        return (Some(within.sqrt()), None);
    }
    let means: Vec<f64> = even.iter().map(|it| mean(it)).collect();
    let between = size * squares(&means) / (count - 1.0);
    let share = (between - within) / (between + (size - 1.0) * within);
    (Some(within.sqrt()), share.is_finite().then(|| share.clamp(0.0, 1.0)))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Sum of squared distances from the mean.
fn squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::chance::Normals;

    #[test]
    fn what_made_the_noise_is_found_again() {
        let mut normals = Normals::seeded(5);
        let sessions: Vec<Vec<f64>> = (0..400)
            .map(|_| {
                let luck = 0.02 * normals.draw();
                (0..6).map(|_| luck + 0.01 * normals.draw()).collect()
            })
            .collect();
        let noise = one("cell", &sessions, &[]).unwrap();
        assert!((noise.block - 0.01).abs() < 0.001, "{noise:?}");
        assert!((noise.session - 0.02).abs() < 0.002, "{noise:?}");
        assert_eq!((noise.repetition, noise.intraclass), (None, None));
    }

    #[test]
    fn repetitions_of_a_process_are_told_from_processes() {
        let mut normals = Normals::seeded(6);
        let processes: Vec<Vec<f64>> = (0..500)
            .map(|_| {
                let luck = 0.03 * normals.draw();
                (0..4).map(|_| luck + 0.01 * normals.draw()).collect()
            })
            .collect();
        let (repetition, share) = repeated(&processes);
        assert!((repetition.unwrap() - 0.01).abs() < 0.001);
        assert!((share.unwrap() - 0.9).abs() < 0.02, "{share:?}");
        assert_eq!(repeated(&[]), (None, None));
    }

    #[test]
    fn limits_rise_with_the_noise_and_never_sink_below_the_usual() {
        let rule = Rule::default();
        let noise = |block: f64, session: f64| GateNoise {
            cell: String::new(),
            repetition: None,
            block,
            session,
            intraclass: None,
            lag_one: None,
            sessions: 5,
        };
        assert!((limit(0.02, None, &rule, false) - 0.02).abs() < 1e-12);
        assert!((limit(0.02, None, &rule, true) - 0.05).abs() < 1e-12);
        assert!((limit(0.02, Some(&noise(0.001, 0.0)), &rule, true) - 0.02).abs() < 1e-12);
        let loud = limit(0.02, Some(&noise(0.02, 0.03)), &rule, true);
        assert!((loud - rule.blind_above).abs() < 1e-12, "{loud}");
    }
}
