//! What is executed and measured to know a machine, with what was kept of earlier times.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, Printer, Stop, interrupt, model};
use crate::detect::Host;
use crate::detect::ceiling::{self, Means, Unmeasured};
use crate::model::{Machine, Provenance};
use crate::store::PeakStore;

/// `--ceilings`, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ceilings {
    /// Those measured earlier on this machine, or now where there are none
    Cached,
    /// Measured now
    Fresh,
}

/// Adds to this machine's document what reading files cannot tell and is known or cheap: which
/// announced instructions die here, and peaks that were measured earlier. Any verb may call it.
pub(super) fn complete(machine: &mut Machine, host: &dyn Host, printer: Printer) {
    if machine.provenance != Provenance::Live {
        return;
    }
    let kept = model::cache_folder().ok().map(|folder| PeakStore::below(&folder));
    match unusable(machine, host, kept.as_ref(), printer) {
        Ok(()) => drop(machine.unseen.remove("cpu.isa_unusable")),
        Err(why) => drop(machine.unseen.insert("cpu.isa_unusable".to_owned(), why)),
    }
    if let Some(ceilings) = kept.and_then(|kept| kept.ceilings(machine)) {
        machine.ceilings = Some(ceilings);
        machine.unseen.remove("ceilings");
    }
}

fn unusable(
    machine: &mut Machine,
    host: &dyn Host,
    kept: Option<&PeakStore>,
    printer: Printer,
) -> Result<(), String> {
    let boot = ceiling::boot(host);
    let known = kept.zip(boot.as_ref()).and_then(|(kept, boot)| kept.unusable(machine, boot));
    if let Some(known) = known {
        machine.cpu.isa_unusable = Some(known);
        return Ok(());
    }
    let program = program().map_err(|stop| stop.message)?;
    let found = ceiling::unusable(&program, &machine.cpu.isa).map_err(|error| error.to_string())?;
    if let Some((kept, boot)) = kept.zip(boot)
        && let Err(error) = kept.keep_unusable(machine, &boot, &found)
    {
        printer.say_at(super::Verbosity::Verbose, format!("not kept: {error}"));
    }
    machine.cpu.isa_unusable = Some(found);
    Ok(())
}

/// Measures peaks and keeps them, unless there are some and the user did not ask for fresh ones.
pub(super) fn ceilings(
    asked: Ceilings,
    machine: &mut Machine,
    host: &dyn Host,
    printer: Printer,
) -> Result<(), Stop> {
    if let (Ceilings::Cached, Some(known)) = (asked, &machine.ceilings) {
        let age = age(&known.measured_at);
        printer.say(format!("peaks measured {age}; --ceilings=fresh measures them anew"));
        return Ok(());
    }
    let means =
        Means { program: &program()?, folder: folder(), seed: u64::from(std::process::id()) };
    let interrupted = interrupt::flag(None)?;
    let bar = printer.live().then(|| {
        let style = ProgressStyle::with_template("{bar:24} {msg}").expect("a constant");
        ProgressBar::new(1000).with_style(style).with_message("measuring peaks, up to 20 s")
    });
    let wanted = || !interrupted.load(Ordering::Relaxed);
    let measured = ceiling::measure(host, machine, &means, &wanted, &mut |share| {
        if let Some(bar) = &bar {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
            bar.set_position((share.clamp(0.0, 1.0) * 1000.0) as u64);
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let measured = measured.map_err(|error| stop(&error))?;
    if let Ok(cache) = model::cache_folder()
        && let Err(error) = PeakStore::below(&cache).keep_ceilings(machine, &measured)
    {
        printer.say(format!("warning: the peaks are not kept: {error}"));
    }
    machine.unseen.remove("ceilings");
    machine.ceilings = Some(measured);
    Ok(())
}

fn stop(error: &Unmeasured) -> Stop {
    match error {
        Unmeasured::Elsewhere(_) => Stop::usage(error.to_string()),
        Unmeasured::Interrupted => Stop::interrupted(error.to_string()),
        Unmeasured::Failed(_) => Stop::from_error(Exit::Failure, error),
    }
}

fn program() -> Result<PathBuf, Stop> {
    std::env::current_exe().map_err(|error| Stop::from_error(Exit::Failure, &error))
}

/// Where models are kept, or the nearest folder above that is there.
fn folder() -> Option<PathBuf> {
    let folder = model::cache_folder().ok()?.join("synth");
    folder.ancestors().find_map(|path| std::fs::canonicalize(path).ok())
}

/// How long ago: `today`, `3 days ago`, or the date as it stands where it is none.
fn age(measured_at: &str) -> String {
    let Ok(then) = measured_at.parse::<jiff::Timestamp>() else { return measured_at.to_owned() };
    let hours = (jiff::Timestamp::now().as_second() - then.as_second()) / 3600;
    match hours {
        ..1 => "within the hour".to_owned(),
        1..48 => format!("{hours} h ago"),
        _ => format!("{} days ago", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_reads_like_one() {
        let ago = |hours: i64| {
            let second = jiff::Timestamp::now().as_second() - hours * 3600 - 60;
            age(&jiff::Timestamp::from_second(second).unwrap().to_string())
        };
        assert_eq!([ago(0), ago(5), ago(72)], ["within the hour", "5 h ago", "3 days ago"]);
        assert_eq!(age("once"), "once");
    }
}
