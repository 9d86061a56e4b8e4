//! Modules for GPUs, from the very sources that the rest of llama.cpp was built from: a second
//! `CMake` configuration of the same root, of which one target is made. The rest stays as it is.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Feature of this package, `CMake`'s switch for it, and its target.
const KINDS: [(&str, &str, &str); 2] = [
    ("CARGO_FEATURE_CUDA", "-DGGML_CUDA=ON", "ggml-cuda"),
    ("CARGO_FEATURE_VULKAN", "-DGGML_VULKAN=ON", "ggml-vulkan"),
];
/// What every module has in common. Nothing of the CPU is built here: those modules exist.
const COMMON: [&str; 15] = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "-DCMAKE_INSTALL_RPATH=$ORIGIN",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_BACKEND_DL=ON",
    "-DGGML_NATIVE=OFF",
    "-DGGML_CPU=OFF",
    "-DGGML_OPENMP=OFF",
    "-DGGML_CUDA_NCCL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_COMMON=OFF",
];
/// Variables that become `CMake` definitions of the same name.
const DEFINED: [&str; 3] = ["GGML_CUDA_", "GGML_VULKAN_", "CMAKE_CUDA_"];
/// Names a folder with newer Vulkan headers than the system has.
const HEADERS: &str = "AUTOTUNE_VULKAN_HEADERS";
/// Lines of `CMake`'s output that go with a failure.
const LINES: usize = 30;

/// What a module must carry to be loaded: ggml itself compares one integer, and never the layout
/// of its structures.
pub fn stamp(source: &Path) -> Result<String, Box<dyn Error>> {
    let binding = source.parent().ok_or("llama.cpp's sources lie in no package")?;
    let manifest = fs::read_to_string(binding.join("Cargo.toml"))?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    let version = version.ok_or("the binding has no version")?.trim_matches('"');
    let lists = fs::read_to_string(source.join("ggml").join("CMakeLists.txt"))?;
    let part = |name: &str| {
        let line = lists.lines().find_map(|line| line.strip_prefix(&format!("set({name} ")));
        line.map(|rest| rest.trim_end_matches(')').to_owned()).ok_or(format!("no {name} in ggml"))
    };
    let ggml =
        [part("GGML_VERSION_MAJOR")?, part("GGML_VERSION_MINOR")?, part("GGML_VERSION_PATCH")?]
            .join(".");
    let headers = headers_hash(source)?;
    Ok(format!("llama-cpp-sys-2 {version}, ggml {ggml}, headers {headers:016x}"))
}

/// A hash (64-bit FNV-1a) of the headers that modules share with the program.
fn headers_hash(source: &Path) -> Result<u64, Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["ggml/include", "ggml/src"] {
        for entry in fs::read_dir(source.join(folder))? {
            files.push(entry?.path());
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "h"));
    files.sort();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for file in files {
        for byte in fs::read(&file)? {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}

/// Builds the modules whose features are on into that folder.
pub fn build(source: &Path, place: &Path, stamp: &str) -> Result<(), Box<dyn Error>> {
    for (feature, switch, target) in KINDS {
        println!("cargo::rerun-if-env-changed={feature}");
        if env::var_os(feature).is_none() {
            continue;
        }
        let build = place.join("build").join(target.trim_start_matches("ggml-"));
        fs::create_dir_all(&build)?;
        let object = stamp_object(&build, stamp)?;
        let mut configure = Command::new("cmake");
        configure.arg("-S").arg(source).arg("-B").arg(&build).args(["-G", "Ninja"]);
        configure.args(COMMON).arg(switch).args(definitions());
        configure.arg(format!("-DCMAKE_MODULE_LINKER_FLAGS={}", object.display()));
        run(&mut configure, &build.join("configure.log"))?;
        let mut make = Command::new("cmake");
        make.arg("--build").arg(&build).args(["--target", target]);
        run(&mut make, &build.join("build.log"))?;
        let name = format!("lib{target}.so");
        crate::put(&build.join("bin").join(&name), &place.join(&name))?;
        println!("cargo::rerun-if-changed={}", place.join(&name).display());
    }
    Ok(())
}

/// One object whose only symbol says what the module was built from.
fn stamp_object(build: &Path, stamp: &str) -> Result<PathBuf, Box<dyn Error>> {
    let source = build.join("stamp.c");
    fs::write(&source, format!("const char autotune_module_stamp[] = \"{stamp}\";\n"))?;
    let objects = cc::Build::new().file(&source).out_dir(build).try_compile_intermediates()?;
    objects.into_iter().next().ok_or("the stamp was not compiled".into())
}

/// What the environment adds: newer headers, and options of the two kinds of module.
fn definitions() -> Vec<String> {
    println!("cargo::rerun-if-env-changed={HEADERS}");
    let chosen = env::vars().filter(|(name, _)| DEFINED.iter().any(|with| name.starts_with(with)));
    let mut definitions: Vec<String> =
        chosen.map(|(name, value)| format!("-D{name}={value}")).collect();
    if let Some(folder) = env::var(HEADERS).ok().filter(|folder| !folder.is_empty()) {
        definitions.push(format!("-DVulkan_INCLUDE_DIR={folder}"));
    }
    definitions
}

/// Runs a command with its output in a file, of which a failure shows the end.
fn run(command: &mut Command, log: &Path) -> Result<(), Box<dyn Error>> {
    let output = fs::File::create(log)?;
    command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
    let status = command.status().map_err(|error| format!("cannot start cmake: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let mut message = format!("cmake ended with {status}; the end of {}:", log.display());
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        write!(message, "\n{line}")?;
    }
    Err(message.into())
}
