//! Which announced instruction sets can really be used: a child executes one instruction of each,
//! and the next child goes on where one died.

use std::path::Path;
use std::time::Duration;

use autotune_engine::kernels::instructions::known;
use autotune_engine::probe::{Ask, Child, Ended, Instructions, Line, Outcome};

use super::Unmeasured;
use crate::detect::Host;
use crate::model::UnusableIsa;

/// A child that takes longer hangs: it takes milliseconds.
const DEADLINE: Duration = Duration::from_secs(2);
/// A set without which those whose names begin like this cannot be used.
const GROUNDS: [(&str, &str); 3] = [("amx_tile", "amx_"), ("avx512f", "avx512"), ("sve", "sve")];

/// Which start of the system this is; equal until the next one.
#[must_use]
pub fn boot(host: &dyn Host) -> Option<String> {
    let text = host.read("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Executes what is announced; what died or was wrong, in the order of the names.
pub fn unusable(program: &Path, announced: &[String]) -> Result<Vec<UnusableIsa>, Unmeasured> {
    let mut left: Vec<String> = announced.iter().filter(|name| known(name)).cloned().collect();
    let mut found = Vec::new();
    while !left.is_empty() {
        let ask = Ask::Instructions(Instructions { names: left.clone() });
        let child = Child::start(program, &ask)
            .map_err(|error| Unmeasured::Failed(format!("{}: {error}", program.display())))?;
        let (mut at, mut executed) = (None, Vec::new());
        let ended = child.hear(DEADLINE, &|| true, &mut |line| match line {
            Line::Begins(name) => at = Some(name),
            Line::Executed { name, outcome } => executed.push((name, outcome)),
            _ => {}
        });
        left.retain(|name| !executed.iter().any(|(done, _)| done == name));
        for (name, outcome) in executed {
            if let Some(reason) = words(outcome) {
                bar(&name, reason, &mut left, &mut found);
            }
        }
        let last = at.filter(|name| left.contains(name));
        match (ended, last) {
            (Ended::Done, None) => {}
            (Ended::Died(cause), Some(name)) => {
                let reason = format!("announced, but its instruction ends the process ({cause})");
                left.retain(|other| *other != name);
                bar(&name, &reason, &mut left, &mut found);
            }
            (Ended::TimedOut, Some(name)) => {
                left.retain(|other| *other != name);
                bar(&name, "announced, but its instruction never ends", &mut left, &mut found);
            }
            (ended, _) => return Err(Unmeasured::Failed(format!("no answer: {ended:?}"))),
        }
    }
    let place = |isa: &UnusableIsa| announced.iter().position(|name| *name == isa.name);
    found.sort_by_key(place);
    Ok(found)
}

fn words(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Right | Outcome::Unknown => None,
        Outcome::Wrong => Some("announced, but its result is wrong"),
        Outcome::Forbidden => Some("announced, but the kernel does not allow it"),
    }
}

/// Notes a set as unusable, and with it those that stand on it.
fn bar(name: &str, reason: &str, left: &mut Vec<String>, found: &mut Vec<UnusableIsa>) {
    found.push(UnusableIsa { name: name.to_owned(), reason: reason.to_owned() });
    let Some((_, prefix)) = GROUNDS.iter().find(|(ground, _)| *ground == name) else { return };
    left.retain(|other| {
        let stands = other.starts_with(prefix);
        if stands {
            let reason = format!("it needs {name}, which is not usable");
            found.push(UnusableIsa { name: other.clone(), reason });
        }
        !stands
    });
}
