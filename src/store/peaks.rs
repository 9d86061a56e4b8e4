//! What was measured of a machine, for as long as it is the same machine and program.

use std::fs;
use std::path::{Path, PathBuf};

use autotune_engine::api::{Identity, VariantReport};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::document::{read_document, write_document};
use crate::model::{Ceilings, Machine, UnusableIsa};

/// Version of kept peaks.
const CEILINGS: &str = "autotune.ceilings/1";
/// Version of kept verdicts on instruction sets.
const INSTRUCTIONS: &str = "autotune.instructions/1";
/// Version of kept verdicts on CPU variants.
const VARIANTS: &str = "autotune.variants/1";
/// Files kept; the oldest go first. A machine has two of each start and version, and one more for
/// each mixture of weight types.
const MOST: usize = 64;

/// A folder with one file per machine and fact. What cannot be read is not there.
#[derive(Debug)]
pub struct PeakStore {
    folder: PathBuf,
}

/// What the verdicts on CPU variants depend on beside the machine.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Tested<'a> {
    /// The start of the system: another one may have other microcode, or another hypervisor.
    pub boot: &'a str,
    /// Whose variants.
    pub engine: &'a Identity,
    /// Digest of the variants' files.
    pub modules: &'a str,
    /// ggml's names of what was multiplied, sorted.
    pub weight_types: &'a [String],
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry<T> {
    schema: String,
    key: String,
    value: T,
}

impl PeakStore {
    /// The store below the folder of all caches. Nothing is made before something is kept.
    #[must_use]
    pub fn below(cache: &Path) -> Self {
        Self { folder: cache.join("machine") }
    }

    /// Peaks of this machine that this version of the program measured.
    #[must_use]
    pub fn ceilings(&self, machine: &Machine) -> Option<Ceilings> {
        self.get(CEILINGS, &ceilings_key(machine))
    }

    /// Keeps them.
    pub fn keep_ceilings(&self, machine: &Machine, ceilings: &Ceilings) -> Result<(), StoreError> {
        self.put(CEILINGS, &ceilings_key(machine), ceilings)
    }

    /// Announced sets that could not be used, as this version found since this start of the
    /// system.
    #[must_use]
    pub fn unusable(&self, machine: &Machine, boot: &str) -> Option<Vec<UnusableIsa>> {
        self.get(INSTRUCTIONS, &instructions_key(machine, boot))
    }

    /// Keeps them.
    pub fn keep_unusable(
        &self,
        machine: &Machine,
        boot: &str,
        found: &[UnusableIsa],
    ) -> Result<(), StoreError> {
        self.put(INSTRUCTIONS, &instructions_key(machine, boot), &found)
    }

    /// What the self-tests of the CPU variants found.
    #[must_use]
    pub fn variants(&self, machine: &Machine, tested: Tested<'_>) -> Option<Vec<VariantReport>> {
        self.get(VARIANTS, &variants_key(machine, tested))
    }

    /// Keeps it.
    pub fn keep_variants(
        &self,
        machine: &Machine,
        tested: Tested<'_>,
        found: &[VariantReport],
    ) -> Result<(), StoreError> {
        self.put(VARIANTS, &variants_key(machine, tested), &found)
    }

    fn path(&self, schema: &str, key: &str) -> PathBuf {
        let kind = schema.strip_prefix("autotune.").and_then(|name| name.split('/').next());
        let kind = kind.unwrap_or(schema);
        self.folder.join(format!("{kind}-{key}.json"))
    }

    fn get<T: serde::de::DeserializeOwned>(&self, schema: &str, key: &str) -> Option<T> {
        let entry = read_document::<Entry<T>>(&self.path(schema, key), schema).ok()?;
        (entry.key == key).then_some(entry.value)
    }

    fn put<T: Serialize>(&self, schema: &str, key: &str, value: &T) -> Result<(), StoreError> {
        fs::create_dir_all(&self.folder).map_err(StoreError::write(&self.folder))?;
        let entry = Entry { schema: schema.to_owned(), key: key.to_owned(), value };
        write_document(&self.path(schema, key), &entry)?;
        self.shrink();
        Ok(())
    }

    /// Removes the oldest. One that stays does no harm.
    fn shrink(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "json"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_unstable();
        for (_, path) in files.iter().take(files.len().saturating_sub(MOST)) {
            let _ = fs::remove_file(path);
        }
    }
}

fn ceilings_key(machine: &Machine) -> String {
    digest(&(CEILINGS, machine.fingerprint(), &machine.tool_version))
}

fn instructions_key(machine: &Machine, boot: &str) -> String {
    digest(&(INSTRUCTIONS, executes(machine), boot, &machine.tool_version))
}

fn variants_key(machine: &Machine, tested: Tested<'_>) -> String {
    digest(&(VARIANTS, executes(machine), tested, &machine.tool_version))
}

/// What decides which instructions can be executed.
fn executes(machine: &Machine) -> impl Serialize + '_ {
    let (cpu, os) = (&machine.cpu, &machine.os);
    (&cpu.vendor, &cpu.model, &cpu.isa, &os.kernel, &os.hypervisor)
}

fn digest(facts: &impl Serialize) -> String {
    let json = serde_json::to_vec(facts).expect("strings and lists of them");
    blake3::hash(&json).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use autotune_engine::api::VariantVerdict;

    use super::*;
    use crate::store::fixture::identity;

    fn machine(model: &str) -> Machine {
        let mut machine = Machine { tool_version: "1".into(), ..Machine::default() };
        machine.cpu.model = Some(model.to_owned());
        machine
    }

    #[test]
    fn peaks_are_those_of_one_machine_and_one_version() {
        let folder = tempfile::tempdir().unwrap();
        let store = PeakStore::below(folder.path());
        let here = machine("a");
        assert_eq!(store.ceilings(&here), None);
        let measured_at = "2026-01-02T03:04:05Z".to_owned();
        let ceilings = Ceilings { measured_at, ..Ceilings::default() };
        store.keep_ceilings(&here, &ceilings).unwrap();
        assert_eq!(store.ceilings(&here), Some(ceilings));
        assert_eq!(store.ceilings(&machine("b")), None);
        let newer = Machine { tool_version: "2".into(), ..here.clone() };
        assert_eq!(store.ceilings(&newer), None);
        // A file under the name of another machine is no answer.
        let path = |machine: &Machine| store.path(CEILINGS, &ceilings_key(machine));
        fs::copy(path(&here), path(&newer)).unwrap();
        assert_eq!(store.ceilings(&newer), None);
        fs::write(path(&here), "{").unwrap();
        assert_eq!(store.ceilings(&here), None);
    }

    #[test]
    fn variants_are_tested_again_when_anything_that_decides_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = PeakStore::below(folder.path());
        let (engine, types) = (identity(), ["Q4_K".to_owned()]);
        let tested =
            Tested { boot: "boot", engine: &engine, modules: "files", weight_types: &types };
        let (name, verdict) = ("haswell".to_owned(), VariantVerdict::Usable);
        let found = vec![VariantReport { name, score: 7, verdict }];
        store.keep_variants(&machine("a"), tested, &found).unwrap();
        assert_eq!(store.variants(&machine("a"), tested), Some(found));
        assert_eq!(store.variants(&machine("b"), tested), None);
        let mut other = identity();
        other.ggml_version = "2".to_owned();
        let more = ["Q4_K".to_owned(), "Q6_K".to_owned()];
        for changed in [
            Tested { boot: "next boot", ..tested },
            Tested { engine: &other, ..tested },
            Tested { modules: "other files", ..tested },
            Tested { weight_types: &more, ..tested },
        ] {
            assert_eq!(store.variants(&machine("a"), changed), None, "{changed:?}");
        }
    }

    #[test]
    fn instructions_are_tried_again_after_a_start_of_the_system() {
        let folder = tempfile::tempdir().unwrap();
        let store = PeakStore::below(folder.path());
        let found = vec![UnusableIsa { name: "amx_tile".into(), reason: "SIGILL".into() }];
        store.keep_unusable(&machine("a"), "boot", &found).unwrap();
        assert_eq!(store.unusable(&machine("a"), "boot"), Some(found));
        assert_eq!(store.unusable(&machine("a"), "next boot"), None);
        assert_eq!(store.unusable(&machine("b"), "boot"), None);
    }
}
