//! Joins the crate to the llama.cpp that `llama-cpp-sys-2` built: compiles our few lines of C++
//! against its headers, remembers where its modules lie, and puts its libraries beside the program.
//! With the features `cuda` and `vulkan` it builds those modules too.

#[path = "build/device_modules.rs"]
mod device_modules;

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where this crate's C++ lies.
const SHIMS: &str = "src/llama";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed={SHIMS}");
    let modules = variable("DEP_LLAMA_BACKENDS_DIR")?;
    println!("cargo::rustc-env=AUTOTUNE_BUILT_MODULES={}", modules.display());
    // `<prefix>/lib/cmake` is the one path that the binding crate publishes.
    let libraries = parent(&variable("DEP_LLAMA_GGML_CMAKE_DIR")?)?;
    let prefix = parent(&libraries)?;
    compile_shims(&prefix)?;
    place_libraries(&libraries)?;
    place_device_modules(&source_folder(&prefix)?)?;
    run_path();
    Ok(())
}

/// Modules for GPUs lie in one folder per profile, whatever features the rest was built with: a
/// program built without the feature finds them too, and they are built once.
fn place_device_modules(source: &Path) -> Result<(), Box<dyn Error>> {
    let place = profile_folder()?.join("modules");
    let stamp = device_modules::stamp(source)?;
    println!("cargo::rustc-env=AUTOTUNE_MODULE_STAMP={stamp}");
    println!("cargo::rustc-env=AUTOTUNE_BUILT_DEVICE_MODULES={}", place.display());
    device_modules::build(source, &place, &stamp)
}

/// `target/<profile>`
fn profile_folder() -> Result<PathBuf, String> {
    let out = variable("OUT_DIR")?;
    // `target/<profile>/build/<package>-<hash>/out`
    out.ancestors().nth(3).map(Path::to_owned).ok_or("OUT_DIR is in no target folder".to_owned())
}

fn variable(name: &str) -> Result<PathBuf, String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var_os(name).map(PathBuf::from).ok_or(format!("{name} is not set by llama-cpp-sys-2"))
}

fn parent(path: &Path) -> Result<PathBuf, String> {
    path.parent().map(Path::to_owned).ok_or(format!("{} has no parent", path.display()))
}

/// Compiles every `.cpp` beside the Rust code that calls it.
fn compile_shims(prefix: &Path) -> Result<(), Box<dyn Error>> {
    let mut shims = Vec::new();
    for entry in fs::read_dir(SHIMS)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cpp") {
            shims.push(path);
        }
    }
    if shims.is_empty() {
        return Ok(());
    }
    shims.sort();
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .include(prefix.join("include"))
        .include(source_folder(prefix)?.join("src"))
        .files(&shims)
        .try_compile("autotune_shims")?;
    Ok(())
}

/// llama.cpp's source folder, for the one header (`llama-ext.h`) that is not installed.
fn source_folder(prefix: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let cache = prefix.join("build").join("CMakeCache.txt");
    let text = fs::read_to_string(&cache)
        .map_err(|error| format!("cannot read {}: {error}", cache.display()))?;
    let folder = text
        .lines()
        .find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="))
        .ok_or(format!("{} does not name its source folder", cache.display()))?;
    Ok(PathBuf::from(folder))
}

/// Puts the real libraries where the program's run path finds them.
///
/// The binding crate hard-links `lib*.so` there, which are symbolic links to `lib*.so.0` and
/// dangle; when its build script runs again, it takes a dangling link for a missing one and
/// panics with "File exists". Both end when the links have something to point at.
fn place_libraries(libraries: &Path) -> Result<(), Box<dyn Error>> {
    let profile = profile_folder()?;
    for entry in fs::read_dir(libraries)? {
        let link = entry?.path();
        let unversioned =
            link.extension().is_some_and(|extension| extension == "so" || extension == "dylib");
        let Ok(versioned) = fs::read_link(&link) else { continue };
        let Some(name) = versioned.file_name().filter(|_| unversioned) else { continue };
        let real = fs::canonicalize(&link)?;
        for folder in [profile.clone(), profile.join("deps"), profile.join("examples")] {
            if folder.is_dir() {
                let place = folder.join(name);
                put(&real, &place)
                    .map_err(|error| format!("cannot write {}: {error}", place.display()))?;
                // Removed or replaced by hand, it is put back by the next build.
                println!("cargo::rerun-if-changed={}", place.display());
            }
        }
    }
    Ok(())
}

/// Gives a file a second name, replacing whatever had that name in one step: a program that is
/// running keeps the library it has.
fn put(real: &Path, place: &Path) -> io::Result<()> {
    let mut name = place.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let _ = fs::remove_file(&temporary);
    if fs::hard_link(real, &temporary).is_err() {
        fs::copy(real, &temporary)?;
        // Cargo runs this script again when the file looks younger than the script's last run.
        let written = fs::metadata(real)?.modified()?;
        fs::File::options().write(true).open(&temporary)?.set_modified(written)?;
    }
    fs::rename(&temporary, place)?;
    // Renaming a file over its own other name does nothing and leaves both.
    let _ = fs::remove_file(&temporary);
    Ok(())
}

/// Lets this crate's own tests find the libraries when they are started by path.
fn run_path() {
    match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("macos") => println!("cargo::rustc-link-arg=-Wl,-rpath,@loader_path"),
        Ok("linux") => println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN"),
        _ => {}
    }
}
