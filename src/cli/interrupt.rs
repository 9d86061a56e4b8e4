//! Ctrl-C and SIGTERM as a flag, and as the end of what an engine is doing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use autotune_engine::worker::Canceller;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use super::{Exit, Stop};

const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Set by the first signal, so that a verb can end in order; a second one ends the program at
/// once. The first one also ends the jobs that engines are at.
pub(super) fn flag(
    cancellers: impl IntoIterator<Item = Canceller>,
) -> Result<Arc<AtomicBool>, Stop> {
    install(cancellers.into_iter().collect())
        .map_err(|error| Stop::from_error(Exit::Failure, &error))
}

fn install(cancellers: Vec<Canceller>) -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        let code = Exit::Interrupted as i32;
        flag::register_conditional_shutdown(signal, code, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    // After the flag: whoever sees a cancelled job finds the flag set.
    if !cancellers.is_empty() {
        let mut signals = Signals::new(SIGNALS)?;
        thread::spawn(move || {
            if signals.forever().next().is_some() {
                cancellers.iter().for_each(Canceller::cancel);
            }
        });
    }
    Ok(interrupted)
}
