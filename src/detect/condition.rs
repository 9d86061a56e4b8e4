//! What state a machine is in now: [`Host`] → [`Condition`].
//!
//! Two readings of what only grows, with a pause of the caller's between them; everything else is
//! read once. Changes nothing; what a state means is left to `doctor`.

mod clocks;
mod pace;
mod permissions;
mod power;

use std::collections::BTreeMap;
use std::fmt::Display;

use autotune_engine::api::Bytes;

use self::pace::Reading;
use super::host::value;
use super::{Host, Unread, memory};
use crate::model::Condition;

/// Looks at the state of the machine; `pause` is called once, between two readings.
pub fn condition(host: &dyn Host, pause: &mut dyn FnMut()) -> Condition {
    let mut found = Condition::default();
    let before = Reading::take(host);
    pause();
    let after = Reading::take(host);
    pace::compare(&before, &after, &mut found);
    pace::pressure(host, &mut found);
    clocks::fill(host, &mut found);
    power::fill(host, &mut found);
    permissions::fill(host, &mut found);
    let used = swap_used(host);
    found.swap_used_bytes = keep(&mut found.unseen, "swap_used_bytes", used);
    let balancing = value(host, "/proc/sys/kernel/numa_balancing");
    found.numa_balancing = keep(&mut found.unseen, "numa_balancing", balancing);
    found
}

/// The fact, or a note why there is none.
fn keep<T, E: Display>(
    unseen: &mut BTreeMap<String, String>,
    name: &str,
    fact: Result<T, E>,
) -> Option<T> {
    fact.map_err(|why| unseen.insert(name.to_owned(), why.to_string())).ok()
}

fn swap_used(host: &dyn Host) -> Result<Bytes, Unread> {
    let path = "/proc/meminfo";
    let info = host.read(path)?;
    let amount = |key: &str| {
        memory::kilobytes(&info, key).ok_or_else(|| Unread::strange(path, &format!("no {key}")))
    };
    Ok(Bytes(amount("SwapTotal")?.0.saturating_sub(amount("SwapFree")?.0)))
}
