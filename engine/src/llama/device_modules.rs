//! Modules for GPUs: where they lie, and whether they were built for this very program. Those for
//! the CPU are left to [`super::modules`].

use std::env;
use std::ffi::c_char;
use std::fs;
use std::path::{Path, PathBuf};

use libloading::{Library, Symbol};
use thiserror::Error;

use super::text;
use crate::api::Failure;

/// Names folders with more modules, separated as in `PATH`.
pub const FOLDERS_VARIABLE: &str = "AUTOTUNE_BACKEND_DIR";
/// Where the build of this program puts them.
const BUILT: &str = env!("AUTOTUNE_BUILT_DEVICE_MODULES");
/// What a module says that was built from the sources of this program.
const STAMP: &str = env!("AUTOTUNE_MODULE_STAMP");

/// A module that is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ModuleError {
    /// Its folder cannot be read.
    #[error("cannot read the folder of modules {}: {reason}", .folder.display())]
    Folder {
        /// As named by the user.
        folder: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The system cannot load it, most often because there is no driver.
    #[error("{} cannot be loaded: {reason}", .file.display())]
    Unloadable {
        /// The module.
        file: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// It does not say what it was built from.
    #[error(
        "{} was not built for this program: a module must come from its own sources ({STAMP})",
        .file.display()
    )]
    Foreign {
        /// The module.
        file: PathBuf,
    },
    /// It was built from something else.
    #[error("{} was built from {found}, and this program from {STAMP}", .file.display())]
    OtherVersion {
        /// The module.
        file: PathBuf,
        /// What it says of itself.
        found: String,
    },
}

impl From<ModuleError> for Failure {
    fn from(error: ModuleError) -> Self {
        Self::refused(error.to_string())
    }
}

/// A module for a GPU, and whether the user named its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeviceModule {
    pub(super) file: PathBuf,
    pub(super) named: bool,
}

/// Every module for a GPU: in the folders that the environment names, beside the CPU's modules,
/// and where this program was built. Of several with one name the first counts.
pub(super) fn find(beside: &Path) -> Result<Vec<DeviceModule>, ModuleError> {
    let named = env::var_os(FOLDERS_VARIABLE).unwrap_or_default();
    let named: Vec<PathBuf> =
        env::split_paths(&named).filter(|folder| !folder.as_os_str().is_empty()).collect();
    search(&named, &[beside, Path::new(BUILT)])
}

fn search(named: &[PathBuf], own: &[&Path]) -> Result<Vec<DeviceModule>, ModuleError> {
    let mut modules: Vec<DeviceModule> = Vec::new();
    for folder in named {
        let files = in_folder(folder).map_err(|error| ModuleError::Folder {
            folder: folder.clone(),
            reason: error.to_string(),
        })?;
        modules.extend(files.into_iter().map(|file| DeviceModule { file, named: true }));
    }
    for folder in own {
        let files = in_folder(folder).unwrap_or_default();
        modules.extend(files.into_iter().map(|file| DeviceModule { file, named: false }));
    }
    let mut seen = Vec::new();
    modules.retain(|module| {
        let name = module.file.file_name().map(ToOwned::to_owned);
        let first = !seen.contains(&name);
        seen.push(name);
        first
    });
    Ok(modules)
}

/// The modules of a folder that are for a GPU, in the order of their names.
fn in_folder(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let kind = name.and_then(|name| name.strip_prefix("libggml-")?.strip_suffix(".so"));
        if kind.is_some_and(is_for_a_gpu) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The module that reaches other machines has no device until one is named; see [`super::rpc`].
fn is_for_a_gpu(kind: &str) -> bool {
    !(kind == "base" || kind == "rpc" || kind == "cpu" || kind.starts_with("cpu-"))
}

/// Whether a module can be loaded and was built from the sources of this program. ggml compares
/// no more than one integer; a structure that differs would be read wrongly in silence.
pub(super) fn check(file: &Path) -> Result<(), ModuleError> {
    // SAFETY: loading runs the module's constructors, as ggml's own loading does; nothing of it is
    // called before its stamp is known.
    let library = unsafe { Library::new(file) }.map_err(|error| ModuleError::Unloadable {
        file: file.to_owned(),
        reason: error.to_string(),
    })?;
    // SAFETY: only the address is taken here.
    let stamp: Result<Symbol<'_, *const c_char>, _> =
        unsafe { library.get(b"autotune_module_stamp\0") };
    match stamp {
        Err(_) => Err(ModuleError::Foreign { file: file.to_owned() }),
        // The symbol is the text itself: a C string that lives as long as the module.
        Ok(stamp) => match text(*stamp) {
            found if found == STAMP => Ok(()),
            found => Err(ModuleError::OtherVersion { file: file.to_owned(), found }),
        },
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
    fn modules_of_the_cpu_and_libraries_are_no_devices() {
        let own = folder(&[
            "libggml-cpu.so",
            "libggml-cpu-haswell.so",
            "libggml-base.so",
            "libggml-base.so.0",
            "libggml-rpc.so",
            "libggml-vulkan.so",
            "libggml-cuda.so",
            "libllama.so.0",
        ]);
        let found = search(&[], &[own.path(), Path::new("/nowhere/at/all")]).unwrap();
        let names: Vec<_> = found.iter().map(|it| it.file.file_name().unwrap()).collect();
        assert_eq!(names, ["libggml-cuda.so", "libggml-vulkan.so"]);
    }

    #[test]
    fn what_the_user_names_comes_first_and_once() {
        let (named, own) = (folder(&["libggml-cuda.so"]), folder(&["libggml-cuda.so"]));
        let found = search(&[named.path().to_owned()], &[own.path()]).unwrap();
        let file = named.path().join("libggml-cuda.so");
        assert_eq!(found, [DeviceModule { file, named: true }]);
    }

    #[test]
    fn a_named_folder_that_is_missing_is_an_error() {
        let error = search(&["/nowhere/at/all".into()], &[]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_library_is_named_with_the_loaders_words() {
        let own = folder(&["libggml-cuda.so"]);
        let error = check(&own.path().join("libggml-cuda.so")).unwrap_err();
        assert!(matches!(error, ModuleError::Unloadable { .. }), "{error}");
        assert!(error.to_string().contains("libggml-cuda.so"), "{error}");
    }
}
