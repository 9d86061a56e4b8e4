//! Which knobs were asked for and how: `--knobs`, `--fix` and `--grid`.

use std::fmt::Write as _;

use autotune_engine::api::{
    ContextSetting, LoadSetting, Placement, ProcessSetting, Setting, ThreadSetting,
};

use crate::cli::{Exit, Stop};
use crate::knob::{self, Knob, PlacementKnob, Terrain};
use crate::model::{Axis, Level, Objective, Workload};

/// Knobs as they were asked for.
#[derive(Debug)]
pub(in crate::cli) struct Wanted {
    /// Those to turn.
    pub(super) turned: Vec<&'static dyn Knob>,
    /// Those that stay where they are put; a placement is still a policy without its mask.
    fixed: Vec<(&'static dyn Knob, Level)>,
    /// Those that take other levels than they would offer.
    pub(super) levels: Vec<(&'static dyn Knob, Vec<Level>)>,
}

impl Wanted {
    /// Keeps to the levels of a recording: of its knobs those that were `named`, or all.
    pub(super) fn keep_to(&mut self, axes: &[Axis], named: bool) {
        let own = |knob: &dyn Knob| axes.iter().find(|axis| axis.knob == knob.name());
        if !named {
            self.turned = knob::ALL.iter().copied().filter(|knob| own(*knob).is_some()).collect();
        }
        self.turned.retain(|knob| own(*knob).is_some());
        for knob in &self.turned {
            let typed = self.levels.iter().any(|(other, _)| other.name() == knob.name());
            if let Some(axis) = own(*knob).filter(|_| !typed) {
                self.levels.push((*knob, axis.levels.clone()));
            }
        }
    }
}

/// Reads what was typed. A knob with levels of its own is turned besides those that are named.
pub(in crate::cli) fn wanted(
    names: &[String],
    fix: &[String],
    grid: &[String],
) -> Result<Wanted, Stop> {
    let mut turned: Vec<&'static dyn Knob> = Vec::new();
    let neutral = || knob::ALL.iter().copied().filter(|knob| !knob.changes_output());
    for name in names {
        let found = if name == "all" { neutral().collect() } else { vec![named(name)?] };
        for knob in found {
            if !turned.iter().any(|known| known.name() == knob.name()) {
                turned.push(knob);
            }
        }
    }
    if turned.is_empty() {
        turned = knob::usual();
    }
    let mut wanted = Wanted { turned, fixed: Vec::new(), levels: Vec::new() };
    for typed in fix {
        let (knob, text) = divided("--fix", typed)?;
        once("--fix", knob, wanted.fixed.iter().map(|(known, _)| *known))?;
        wanted.fixed.push((knob, level(knob, text)?));
    }
    for typed in grid {
        let (knob, text) = divided("--grid", typed)?;
        once("--grid", knob, wanted.levels.iter().map(|(known, _)| *known))?;
        let levels = text.split(',').map(|text| level(knob, text)).collect::<Result<_, _>>()?;
        wanted.levels.push((knob, levels));
        if !wanted.turned.iter().any(|known| known.name() == knob.name()) {
            wanted.turned.push(knob);
        }
    }
    Ok(wanted)
}

impl Wanted {
    /// Turns a knob besides the others.
    pub(super) fn turn(&mut self, knob: Option<&'static dyn Knob>) {
        let new = |knob: &&dyn Knob| self.turned.iter().all(|it| it.name() != knob.name());
        self.turned.extend(knob.filter(new));
    }

    /// The fixed levels on a machine: only there a placement becomes a mask.
    pub(in crate::cli) fn settled(
        &mut self,
        terrain: &Terrain,
        threads: u32,
    ) -> Result<Vec<(&'static dyn Knob, Level)>, Stop> {
        for (knob, levels) in &mut self.levels {
            for level in levels {
                settle(*knob, level, terrain, threads)?;
            }
        }
        for (knob, level) in &mut self.fixed {
            settle(*knob, level, terrain, threads)?;
        }
        Ok(self.fixed.clone())
    }
}

/// The knobs that a workload needs besides the usual ones.
pub(super) fn needed(workload: &Workload) -> Option<&'static dyn Knob> {
    let many = workload.objective == Objective::Throughput;
    if many { knob::named("sequences").ok() } else { None }
}

/// A placement as the CPUs that it comes to here.
fn settle(
    knob: &'static dyn Knob,
    level: &mut Level,
    terrain: &Terrain,
    threads: u32,
) -> Result<(), Stop> {
    if knob.name() != "placement" {
        return Ok(());
    }
    if let Ok(policy) = level.to_string().parse::<Placement>() {
        *level = PlacementKnob::level(policy, terrain, threads)
            .map_err(|why| Stop::usage(format!("`{policy}` is no placement here: {why}")))?;
    }
    Ok(())
}

fn named(name: &str) -> Result<&'static dyn Knob, Stop> {
    knob::named(name).map_err(|error| {
        Stop::from_error(Exit::Usage, &error).hint("`autotune sweep --knobs help` explains them")
    })
}

fn divided<'a>(flag: &str, typed: &'a str) -> Result<(&'static dyn Knob, &'a str), Stop> {
    let (name, text) = typed
        .split_once('=')
        .ok_or_else(|| Stop::usage(format!("{flag}: `{typed}` is not KNOB=LEVEL")))?;
    Ok((named(name)?, text))
}

fn once(
    flag: &str,
    knob: &dyn Knob,
    mut known: impl Iterator<Item = &'static dyn Knob>,
) -> Result<(), Stop> {
    if known.any(|other| other.name() == knob.name()) {
        return Err(Stop::usage(format!("{flag} names `{}` twice", knob.name())));
    }
    Ok(())
}

/// A level as its knob would write it: what is read back from a setting that has it.
fn level(knob: &'static dyn Knob, text: &str) -> Result<Level, Stop> {
    let text = text.trim();
    let typed = text.parse().map_or_else(|_| Level::Word(text.to_owned()), Level::Count);
    if knob.name() == "placement" && text.parse::<Placement>().is_ok() {
        return Ok(typed);
    }
    let mut setting = Setting {
        process: ProcessSetting::default(),
        load: LoadSetting::default(),
        context: ContextSetting::default(),
        threads: ThreadSetting::of(1),
    };
    knob.write(&mut setting, &typed).map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    Ok(knob.read(&setting))
}

/// The table of `--knobs help`.
pub(super) fn table() -> String {
    let mut text = String::from("knob             scope    default  answers  what it is\n");
    for knob in knob::ALL {
        let scope = format!("{:?}", knob.scope()).to_lowercase();
        let usual = if knob.usual() { "yes" } else { "-" };
        let output = if knob.changes_output() { "change" } else { "same" };
        let (name, summary) = (knob.name(), knob.summary());
        let _ = writeln!(text, "{name:16} {scope:8} {usual:8} {output:8} {summary}");
    }
    text.push_str(
        "\ndefault: turned unless --knobs names others. Knobs that change answers are turned only \
         when\nthey are named. The thread pool (ggml's or OpenMP's) is a property of the build.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    /// `docs/KNOBS.md` without its introduction.
    fn documented() -> String {
        let mut text = String::new();
        for knob in knob::ALL {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} |",
                knob.name(),
                format!("{:?}", knob.scope()).to_lowercase(),
                if knob.usual() { "yes" } else { "by name" },
                if knob.changes_output() { "may change" } else { "same" },
                knob.summary().replace('|', "\\|"),
            );
        }
        for knob in knob::ALL {
            let _ = write!(text, "\n### `{}`\n\n{}\n", knob.name(), knob.explanation());
        }
        text
    }

    #[test]
    fn the_table_in_the_docs_is_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/KNOBS.md");
        let wanted = documented();
        let found = std::fs::read_to_string(path).unwrap();
        let mark = "|---|---|---|---|---|\n";
        let (introduction, found) = found.split_once(mark).unwrap();
        if std::env::var_os("AUTOTUNE_UPDATE_GOLDENS").is_some() {
            std::fs::write(path, format!("{introduction}{mark}{wanted}")).unwrap();
        } else {
            assert_eq!(found, wanted, "AUTOTUNE_UPDATE_GOLDENS=1 rewrites it");
        }
    }

    use super::*;

    fn asked(names: &[&str], fix: &[&str], grid: &[&str]) -> Result<Wanted, String> {
        let list = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        wanted(&list(names), &list(fix), &list(grid)).map_err(|stop| stop.message)
    }

    #[test]
    fn all_is_every_knob_that_keeps_answers() {
        let all = asked(&["all", "threads"], &[], &[]).unwrap();
        assert_eq!(all.turned.len(), knob::ALL.len() - 2);
        let with = asked(&["all", "type_k"], &[], &[]).unwrap();
        assert_eq!(with.turned.len(), knob::ALL.len() - 1);
        assert!(asked(&[], &[], &[]).unwrap().turned.iter().all(|knob| knob.usual()));
    }

    #[test]
    fn levels_are_read_as_their_knob_writes_them() {
        let wanted = asked(&[], &["repack=0", "nice=-5"], &["load-mode=none,mmap"]).unwrap();
        let levels: Vec<String> = wanted.fixed.iter().map(|(_, level)| level.to_string()).collect();
        assert_eq!(levels, ["off", "-5"]);
        assert_eq!(wanted.levels[0].1.len(), 2);
        assert!(wanted.turned.iter().any(|knob| knob.name() == "load_mode"));
    }

    #[test]
    fn slips_are_told() {
        for (fix, said) in [
            ("ubatch", "is not KNOB=LEVEL"),
            ("colour=red", "no knob `colour`"),
            ("ubatch=0", "`0` is not a level of `ubatch`"),
            ("type_k=q9", "`q9` is not a level"),
        ] {
            let message = asked(&[], &[fix], &[]).unwrap_err();
            assert!(message.contains(said), "{message}");
        }
        assert!(asked(&[], &["ubatch=1", "ubatch=2"], &[]).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_placement_is_settled_on_its_machine() {
        let mut wanted = asked(&[], &["placement=compact"], &[]).unwrap();
        let unknown = wanted.settled(&Terrain::default(), 2).unwrap_err().message;
        assert!(unknown.contains("`compact` is no placement here"), "{unknown}");
        let list = |text: &str| text.parse().unwrap();
        let terrain = Terrain {
            allowed: list("0-3"),
            cores: vec![list("0-1"), list("2-3")],
            ..Terrain::default()
        };
        let fixed = wanted.settled(&terrain, 2).unwrap();
        assert_eq!(fixed[0].1.to_string(), "compact:0x3");
    }
}
