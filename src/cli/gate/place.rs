//! Where the gate measures, what it measures there, and by which rule.

use std::ffi::OsString;
use std::path::PathBuf;

use autotune_engine::worker::{PASSED, STRIPPED};

use super::arguments::Measured;
use super::file::{FileCells, GateFile};
use super::percent::Limits;
use super::sides::{Common, Prepared};
use crate::cli::global::now;
use crate::cli::{Printer, Stop, detect as machine_verb};
use crate::gate::{self, Quantity, Subject, Suite, Wanted};
use crate::judge::Rule;
use crate::model::{GateMachine, GateNoise, Machine, Waiver, Weight};
use crate::store::SessionStore;

/// Tests unless others are asked for.
const USUAL_TESTS: [&str; 3] = ["pp512", "tg128", "memory"];
/// Where sessions are kept unless elsewhere is asked for.
const USUAL_STORE: &str = ".autotune/history";

/// Everything that is known before anything is measured.
pub(super) struct Place {
    pub(super) file: GateFile,
    /// This machine; `None` where only simulated ones are measured.
    pub(super) machine: Option<GateMachine>,
    pub(super) virtualised: bool,
    pub(super) cores: u32,
    pub(super) store: SessionStore,
    pub(super) noise: Vec<GateNoise>,
    pub(super) commit: Option<String>,
    pub(super) printer: Printer,
    /// Names of the variables in the environment that no engine must see.
    kept_out: Vec<OsString>,
}

impl Place {
    /// Looks at this machine, unless only simulated ones are asked for.
    pub(super) fn open(
        measured: &Measured,
        sides: &[Option<&str>],
        printer: Printer,
    ) -> Result<Self, Stop> {
        let file = GateFile::read(measured.suite.as_deref())?;
        let simulated =
            !sides.is_empty() && sides.iter().all(|it| it.is_some_and(|it| it.starts_with("sim:")));
        let found: Option<Machine> = if simulated {
            None
        } else {
            let machine = crate::detect::machine(&crate::detect::live());
            machine_verb::measurable(&machine)?;
            Some(machine)
        };
        let facts = found.as_ref().map(gate::facts);
        let folder = measured
            .store
            .clone()
            .or_else(|| file.store.clone())
            .unwrap_or_else(|| PathBuf::from(USUAL_STORE));
        let store = SessionStore::new(&folder);
        let noise = match &facts {
            Some(facts) => store.read_noise(&facts.key).map_err(|it| Stop::from_store(&it))?,
            None => None,
        };
        let virtualised = found.as_ref().is_some_and(|it| it.os.hypervisor.is_some());
        let fast = found.as_ref().and_then(Machine::fast_cores).unwrap_or(4);
        let names = std::env::vars_os().map(|(name, _)| name);
        let read = |name: &OsString| {
            let name = name.to_string_lossy();
            STRIPPED.iter().any(|prefix| name.starts_with(prefix)) && !PASSED.contains(&&*name)
        };
        Ok(Self {
            file,
            machine: facts,
            virtualised,
            cores: measured.threads.unwrap_or(fast),
            store,
            noise: noise.map(|noise| noise.cells).unwrap_or_default(),
            commit: measured.commit.clone().or_else(commit),
            printer,
            kept_out: names.filter(read).collect(),
        })
    }

    /// Models of flags, or of the file.
    pub(super) fn models(&self, measured: &Measured) -> Vec<String> {
        if measured.model.is_empty() {
            self.file.cells.iter().map(|cells| cells.model.clone()).collect()
        } else {
            measured.model.clone()
        }
    }

    /// What both sides have in common.
    pub(super) fn common<'a>(&self, measured: &'a Measured, models: &'a [String]) -> Common<'a> {
        Common {
            models,
            fix: &measured.fix,
            cores: self.cores,
            repetitions: measured.repetitions,
            deadline: *measured.timeout,
            kept_out: self.kept_out.clone(),
            printer: self.printer,
        }
    }

    /// What is measured of the models of a side.
    pub(super) fn suite(
        &self,
        measured: &Measured,
        limits: &Limits,
        rule: &Rule,
        head: &Prepared,
        waivers: &[Waiver],
    ) -> Result<Suite, Stop> {
        let mut subjects: Vec<Subject> = Vec::new();
        for (place, (name, ..)) in head.models.iter().enumerate() {
            let own = measured.model.is_empty().then(|| self.file.cells.get(place)).flatten();
            let tests = tests(measured, own)?;
            let weight = if own.is_none_or(|own| own.blocking) {
                Weight::Blocking
            } else {
                Weight::Advisory
            };
            let mut wanted = Vec::new();
            for quantity in tests {
                let name = format!("{name}/{quantity}");
                if subjects.iter().flat_map(|it| &it.wanted).any(|other| other.name == name) {
                    return Err(Stop::usage(format!("two models have the cell `{name}`"))
                        .hint("their files have one name: measure them one after the other"));
                }
                if !measured.cells.as_ref().is_none_or(|glob| matches(glob, &name)) {
                    continue;
                }
                let noise = self.noise.iter().find(|noise| noise.cell == name);
                let usual = quantity.usual_limit();
                let timed = quantity != Quantity::Memory;
                let auto = gate::limit(usual, noise, rule, self.virtualised && timed);
                let session = gate::session_noise(noise, self.virtualised);
                wanted.push(Wanted {
                    quantity,
                    delta: limits.of(quantity.metric()).unwrap_or(auto),
                    weight,
                    ceiling: waivers.iter().find(|it| it.cell == name).map(|it| it.ceiling),
                    session_noise: if self.machine.is_some() { session } else { 0.0 },
                    name,
                });
            }
            // One without cells stays, so that subjects and models are numbered alike.
            subjects.push(Subject { name: name.clone(), wanted });
        }
        let suite = Suite { subjects };
        if suite.cells().next().is_none() {
            let glob = measured.cells.as_deref().unwrap_or_default();
            return Err(Stop::usage(format!("no cell matches `{glob}`")));
        }
        Ok(suite)
    }

    /// Waivers that hold today, and a note on each that is over.
    pub(super) fn waivers(&self) -> Result<(Vec<Waiver>, Vec<String>), Stop> {
        let now = now();
        let today = &now[..10];
        let waivers = self.file.waivers(Some(today)).map_err(Stop::usage)?;
        let over = self.file.expired(today).map_err(Stop::usage)?.into_iter();
        let notes = over.map(|cell| format!("the waiver of `{cell}` has expired")).collect();
        Ok((waivers, notes))
    }

    /// A note on each limit that this machine's noise hides.
    pub(super) fn below_noise(&self, suite: &Suite, rule: &Rule) -> Vec<String> {
        let cells = suite.cells().filter_map(|(_, wanted)| {
            let noise = self.noise.iter().find(|noise| noise.cell == wanted.name)?;
            let floor = gate::noise_floor(noise, rule);
            (wanted.delta < floor).then(|| {
                format!(
                    "the limit of {:.1} % of `{}` is below this machine's noise of {:.1} %",
                    100.0 * wanted.delta,
                    wanted.name,
                    100.0 * floor
                )
            })
        });
        cells.collect()
    }
}

/// The tests of a model.
fn tests(measured: &Measured, own: Option<&FileCells>) -> Result<Vec<Quantity>, Stop> {
    let typed: Vec<&str> = if !measured.tests.is_empty() {
        measured.tests.iter().map(String::as_str).collect()
    } else if let Some(own) = own.filter(|own| !own.tests.is_empty()) {
        own.tests.iter().map(String::as_str).collect()
    } else {
        USUAL_TESTS.to_vec()
    };
    let mut tests: Vec<Quantity> = Vec::new();
    for text in typed {
        let test = text.parse::<Quantity>().map_err(|error| Stop::usage(error.to_string()))?;
        if tests.contains(&test) {
            return Err(Stop::usage(format!("the test `{test}` is there twice")));
        }
        tests.push(test);
    }
    Ok(tests)
}

/// Whether a name matches a pattern in which * stands for anything.
fn matches(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The commit that CI says it is at.
fn commit() -> Option<String> {
    ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
        .map(|commit| commit.chars().take(64).collect())
}

/// The digest of how cells are measured: of which files, under which setting, in how many
/// processes. Which cells there are is no part of it, so that one that vanishes is missed.
pub(super) fn suite_digest(head: &Prepared, common: &Common<'_>, processes: u32) -> String {
    let models: Vec<&str> = head.models.iter().map(|(.., digest)| digest.as_str()).collect();
    let all = serde_json::json!([models, common.fix, common.cores, common.repetitions, processes]);
    blake3::hash(all.to_string().as_bytes()).to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests_of_globs {
    use super::matches;

    #[test]
    fn a_star_stands_for_anything() {
        for (glob, name, wanted) in [
            ("*", "a/tg1", true),
            ("a/*", "a/tg1", true),
            ("*tg*", "a/tg1", true),
            ("a/tg1", "a/tg1", true),
            ("a", "a/tg1", false),
            ("*pp*", "a/tg1", false),
            ("a*1", "a/tg1", true),
            ("a*2", "a/tg1", false),
        ] {
            assert_eq!(matches(glob, name), wanted, "{glob} {name}");
        }
    }
}
