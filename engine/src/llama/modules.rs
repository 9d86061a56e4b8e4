//! Finds the modules for the CPU, one per variant, and the one that reaches other machines. Those
//! for GPUs are left to [`super::device_modules`], and loading them to [`super::backend`].

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::api::Failure;

/// Names the modules' folder in place of the usual ones.
const FOLDER_VARIABLE: &str = "AUTOTUNE_ENGINE_DIR";
/// The variant name of a build that has only one.
const ONLY_VARIANT: &str = "default";

/// A folder with at least one module for the CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    folder: PathBuf,
    names: Vec<String>,
}

/// No folder has a module.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no engine module (libggml-cpu*.so) in {}", .searched.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", "))]
pub struct ModulesError {
    /// The folders, in the order they were searched.
    pub searched: Vec<PathBuf>,
}

impl From<ModulesError> for Failure {
    fn from(error: ModulesError) -> Self {
        Self::refused(error.to_string())
    }
}

impl Modules {
    /// Searches the folder that the environment names, or else the installed one, then the one
    /// this program was built with.
    pub fn find() -> Result<Self, ModulesError> {
        if let Some(named) = env::var_os(FOLDER_VARIABLE).filter(|value| !value.is_empty()) {
            return Self::search(vec![PathBuf::from(named)]);
        }
        let installed = env::current_exe().ok().and_then(|program| {
            let program = program.canonicalize().unwrap_or(program);
            Some(program.parent()?.parent()?.join("lib").join("autotune"))
        });
        let built = PathBuf::from(env!("AUTOTUNE_BUILT_MODULES"));
        Self::search(installed.into_iter().chain([built]).collect())
    }

    fn search(folders: Vec<PathBuf>) -> Result<Self, ModulesError> {
        let found = folders.iter().find_map(|folder| Self::in_folder(folder));
        found.ok_or(ModulesError { searched: folders })
    }

    fn in_folder(folder: &Path) -> Option<Self> {
        let entries = fs::read_dir(folder).ok()?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                Some(name.strip_prefix("libggml-")?.strip_suffix(".so")?.to_owned())
            })
            .filter(|name| name != "base")
            .collect();
        names.sort();
        let modules = Self { folder: folder.to_owned(), names };
        modules.variants().next()?;
        Some(modules)
    }

    /// The CPU variants, by ggml's names for them.
    pub fn variants(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| match name.strip_prefix("cpu-") {
            Some(variant) => Some(variant),
            None => (name == "cpu").then_some(ONLY_VARIANT),
        })
    }

    /// The file of a CPU variant, if there is one of that name.
    #[must_use]
    pub fn variant(&self, variant: &str) -> Option<PathBuf> {
        self.variants().any(|name| name == variant).then(|| {
            if variant == ONLY_VARIANT && self.names.iter().any(|name| name == "cpu") {
                self.file("cpu")
            } else {
                self.file(&format!("cpu-{variant}"))
            }
        })
    }

    /// The module that reaches other machines: it has no device until one is named.
    #[must_use]
    pub fn rpc(&self) -> Option<PathBuf> {
        self.names.iter().any(|name| name == "rpc").then(|| self.file("rpc"))
    }

    /// Where they lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("libggml-{name}.so"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn variants_are_told_from_the_other_modules() {
        let folder = folder(&[
            "libggml-cpu-haswell.so",
            "libggml-cuda.so",
            "libggml-rpc.so",
            "libggml-base.so",
            "libggml-base.so.0",
            "libllama.so.0",
        ]);
        let modules = Modules::in_folder(folder.path()).unwrap();
        assert_eq!(modules.variants().collect::<Vec<_>>(), ["haswell"]);
        assert_eq!(modules.rpc(), Some(folder.path().join("libggml-rpc.so")));
        assert_eq!(modules.variant("haswell"), Some(folder.path().join("libggml-cpu-haswell.so")));
        assert_eq!(modules.variant("../haswell"), None);
    }

    #[test]
    fn a_build_with_one_variant_has_a_name_for_it() {
        let folder = folder(&["libggml-cpu.so"]);
        let modules = Modules::in_folder(folder.path()).unwrap();
        assert_eq!(modules.variant("default"), Some(folder.path().join("libggml-cpu.so")));
    }

    #[test]
    fn folders_without_modules_are_named() {
        let (empty, gone) = (folder(&["libggml-cuda.so"]), PathBuf::from("/nowhere/at/all"));
        let error = Modules::search(vec![empty.path().to_owned(), gone]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
        assert!(error.contains(&empty.path().display().to_string()), "{error}");
    }
}
