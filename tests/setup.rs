//! `scripts/setup.sh` on systems nobody here has: its package table is complete for every
//! manager, and a system made of stubs sees exactly the commands it should.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const MANAGERS: [&str; 4] = ["apt", "dnf", "pacman", "brew"];

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup.sh")
}

fn listed(manager: &str) -> BTreeMap<String, String> {
    let output = Command::new("sh").arg(script()).args(["--list", manager]).output().unwrap();
    assert!(output.status.success(), "{manager}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| match line.split_once(' ') {
            Some((need, package)) => (need.to_owned(), package.trim().to_owned()),
            None => (line.to_owned(), String::new()),
        })
        .collect()
}

/// A system with the few tools that every one has, and stubs for the rest. Stubs write what they
/// were called with to `calls`.
struct System {
    folder: TempDir,
}

impl System {
    fn new(name: &str, user: &str) -> Self {
        let system = Self { folder: TempDir::new().unwrap() };
        fs::create_dir(system.bin()).unwrap();
        for tool in ["sh", "awk", "grep", "sort", "cat", "mktemp", "rm", "ls", "env"] {
            let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
                .map(|folder| folder.join(tool))
                .find(|path| path.is_file())
                .unwrap_or_else(|| panic!("{tool} is on every system"));
            symlink(real, system.bin().join(tool)).unwrap();
        }
        system.answers("uname", name);
        system.answers("id", user);
        system.answers("cargo", "");
        system
    }

    fn bin(&self) -> std::path::PathBuf {
        self.folder.path().join("bin")
    }

    /// A tool that prints one line.
    fn answers(&self, tool: &str, line: &str) {
        self.tool(tool, &format!("echo '{line}'"));
    }

    /// A package manager (or `sudo`) that only says what it was asked.
    fn records(&self, tool: &str) {
        let calls = self.folder.path().join("calls");
        self.tool(tool, &format!("echo {tool} \"$@\" >>'{}'", calls.display()));
    }

    fn tool(&self, tool: &str, body: &str) {
        let path = self.bin().join(tool);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new("sh")
            .arg(script())
            .args(arguments)
            .env_clear()
            .env("PATH", self.bin())
            .env("SETUP_ROOT", self.folder.path())
            .output()
            .unwrap()
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_manager_has_a_package_for_every_need() {
    let apt = listed("apt");
    assert!(apt.len() >= 9, "{apt:?}");
    for manager in MANAGERS {
        let packages = listed(manager);
        assert!(packages.keys().eq(apt.keys()), "{manager} misses a need");
        for (need, package) in packages {
            let word = !package.is_empty() && !package.contains(char::is_whitespace);
            assert!(word, "{manager} has `{package}` for {need}");
            if ["none", "tools"].contains(&package.as_str()) {
                assert_eq!(manager, "brew", "only Apple brings {need} with the system");
            }
        }
    }
}

#[test]
fn the_vulkan_module_has_needs_of_its_own() {
    for manager in MANAGERS {
        let output = Command::new("sh")
            .arg(script())
            .args(["--vulkan", "--list", manager])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        for need in ["vulkan", "glslc", "spirv-headers", "vulkan-device", "cmake"] {
            let line = text.lines().find(|line| line.split(' ').next() == Some(need));
            assert!(line.is_some_and(|line| line.split(' ').count() == 2), "{manager}: {text}");
        }
    }
}

#[test]
fn each_bare_system_is_asked_for_its_own_packages() {
    for (manager, tool, wanted) in [
        ("apt", "apt-get", "install -y --no-install-recommends"),
        ("dnf", "dnf", "install -y --setopt=install_weak_deps=False"),
        ("pacman", "pacman", "-Syu --needed --noconfirm"),
    ] {
        let system = System::new("Linux", "0");
        system.records(tool);
        let output = system.run(&[]);
        assert_eq!(output.status.code(), Some(1), "a stub installs nothing: {}", said(&output));
        let calls = system.calls();
        let line = calls
            .lines()
            .find(|line| line.starts_with(&format!("{tool} {wanted}")))
            .unwrap_or_else(|| panic!("{tool} was asked: {calls}"));
        for package in listed(manager).values() {
            assert!(line.split(' ').any(|word| word == package), "{package} is not in {line}");
        }
    }
}

#[test]
fn a_mac_needs_homebrew_but_no_compiler_packages() {
    let system = System::new("Darwin", "501");
    system.records("brew");
    system.answers("xcode-select", "/Library/Developer/CommandLineTools");
    system.run(&[]);
    let calls = system.calls();
    assert!(calls.starts_with("brew install "), "{calls}");
    for word in ["tools", "none", "libudev", "gcc"] {
        assert!(!calls.split_whitespace().any(|other| other == word), "{word} in {calls}");
    }
}

#[test]
fn a_mac_without_command_line_tools_is_told_so() {
    let system = System::new("Darwin", "501");
    system.tool("xcode-select", "exit 2");
    let output = system.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("xcode-select --install"));
}

#[test]
fn sudo_is_used_by_users_and_not_by_root() {
    for (user, with_sudo) in [("1000", true), ("0", false)] {
        let system = System::new("Linux", user);
        system.records("dnf");
        system.records("sudo");
        system.run(&[]);
        assert_eq!(system.calls().contains("sudo dnf install"), with_sudo, "{}", system.calls());
    }
}

#[test]
fn package_lists_are_fetched_only_when_the_install_needs_them() {
    let system = System::new("Linux", "0");
    system.records("apt-get");
    system.run(&[]);
    assert!(!system.calls().contains("update"), "{}", system.calls());

    let stale = System::new("Linux", "0");
    let calls = stale.folder.path().join("calls");
    let fails_first = format!(
        "echo apt-get \"$@\" >>'{0}'; case $1 in update) : ;; *) grep -q update '{0}' ;; esac",
        calls.display()
    );
    stale.tool("apt-get", &fails_first);
    stale.run(&[]);
    let verbs: Vec<String> =
        stale.calls().lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(verbs, ["install", "update", "install"]);
}

#[test]
fn an_unknown_system_gets_the_list_and_status_2() {
    let output = System::new("Linux", "0").run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    for thing in ["c++", "cmake 3.14 or newer", "hwloc headers 2.4 or newer", "libclang", "ninja"] {
        assert!(said.contains(thing), "{thing} is not in {said}");
    }
}

#[test]
fn checking_installs_nothing() {
    let system = System::new("Linux", "0");
    system.records("apt-get");
    let output = system.run(&["--check"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(system.calls(), "");
}

#[test]
fn headers_that_are_too_old_are_named_with_their_version() {
    let system = System::new("Linux", "0");
    system.tool("pkg-config", "case $1 in --modversion) echo 2.1.0 ;; *) exit 1 ;; esac");
    let output = system.run(&["--check"]);
    assert!(said(&output).contains("found 2.1.0, which is too old"), "{}", said(&output));
}

#[test]
fn an_old_cmake_counts_as_missing_and_a_newer_one_does_not() {
    for (version, missing) in [("3.13.4", true), ("3.14.0", false), ("3.9", true), ("4.1.2", false)]
    {
        let system = System::new("Linux", "0");
        system.answers("cmake", &format!("cmake version {version}"));
        let said = said(&system.run(&["--check"]));
        assert_eq!(said.contains("cmake 3.14 or newer"), missing, "{version}: {said}");
    }
}

#[test]
fn libclang_without_its_headers_counts_as_missing() {
    for (headers, missing) in [(false, true), (true, false)] {
        let system = System::new("Linux", "0");
        let library = system.folder.path().join("usr/lib/llvm-19/lib");
        fs::create_dir_all(&library).unwrap();
        fs::write(library.join("libclang-19.so.1"), "").unwrap();
        if headers {
            let include = library.join("clang/19/include");
            fs::create_dir_all(&include).unwrap();
            fs::write(include.join("stddef.h"), "").unwrap();
        }
        let said = said(&system.run(&["--check"]));
        assert_eq!(said.contains("libclang"), missing, "{said}");
    }
}

#[test]
fn a_missing_cargo_is_named_and_not_installed() {
    let system = System::new("Linux", "0");
    fs::remove_file(system.bin().join("cargo")).unwrap();
    system.records("apt-get");
    let output = system.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("cargo is missing") && system.calls().is_empty());
}
