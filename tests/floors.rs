//! Holds the modules to their floors: imports go downward, only `cli` speaks to the outside, and
//! unsafe code stays where it belongs. Reads the source as tokens, so comments and strings are no
//! code, and test modules beside the code count too.

use std::fmt;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};

/// Top-level modules and the floor each stands on. One more module means one more line here.
const FLOORS: &[(&str, u8)] = &[
    ("stats", 0),
    ("gguf", 0),
    ("model", 1),
    ("knob", 2),
    ("detect", 3),
    ("observe", 3),
    ("plan", 3),
    ("analysis", 3),
    ("bottleneck", 3),
    ("activity", 3),
    ("store", 3),
    ("export", 3),
    ("synth", 3),
    ("import", 3),
    ("judge", 3),
    ("quality", 3),
    ("mix", 3),
    ("render", 4),
    ("search", 4),
    ("measure", 4),
    ("bench", 4),
    ("appraise", 4),
    ("sweep", 5),
    ("doctor", 5),
    ("verify", 5),
    ("gate", 5),
    ("quantize", 5),
    ("cli", 6),
];

/// Modules that must not know which engine answers them.
const ENGINE_BLIND: &[&str] = &[
    "stats",
    "gguf",
    "model",
    "knob",
    "plan",
    "search",
    "analysis",
    "activity",
    "observe",
    "bottleneck",
    "store",
    "render",
    "export",
    "import",
    "judge",
    "quality",
    "mix",
    "appraise",
    "measure",
    "bench",
    "sweep",
    "doctor",
    "quantize",
];

/// Folders of the engine package that may hold unsafe code.
const UNSAFE_HOMES: &[&str] = &["engine/src/llama", "engine/src/kernels"];

/// A path such as `crate::stats::Estimate`, in the order of its names.
struct SourcePath {
    names: Vec<String>,
    line: usize,
    in_test: bool,
    /// Inline modules around it.
    inline_depth: usize,
}

/// Something the floors do not allow.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Collects every path in a stream of tokens.
#[derive(Default)]
struct Reader {
    paths: Vec<SourcePath>,
    /// Names of modules in files of their own that are compiled for tests only.
    test_modules: Vec<String>,
}

impl Reader {
    fn read(&mut self, tokens: TokenStream, in_test: bool, inline_depth: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut test_item = false;
        while at < tokens.len() {
            if is_cfg_test(&tokens, at) {
                test_item = true;
                at += 2;
                continue;
            }
            if let Some(body) = inline_module(&tokens, at) {
                self.read(body, in_test || test_item, inline_depth + 1);
                (at, test_item) = (at + 3, false);
                continue;
            }
            if let Some(name) = outer_module(&tokens, at).filter(|_| test_item) {
                self.test_modules.push(name);
            }
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let ends_item = group.delimiter() == Delimiter::Brace;
                    self.read(group.stream(), in_test || test_item, inline_depth);
                    test_item &= !ends_item;
                    at += 1;
                }
                TokenTree::Ident(_) => {
                    at = self.path(&tokens, at, &[], in_test || test_item, inline_depth);
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => {
                    test_item = false;
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Reads one path from `at` on, `{…}` at its end spread out; gives the place behind it.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        before: &[String],
        in_test: bool,
        inline_depth: usize,
    ) -> usize {
        let line = tokens[at].span().start().line;
        let mut names = before.to_vec();
        while let Some(TokenTree::Ident(name)) = tokens.get(at) {
            names.push(name.to_string());
            at += 1;
            if is_macro_call(tokens, at) {
                names.push("!".to_owned());
                break;
            }
            if !is_double_colon(tokens, at) {
                break;
            }
            at += 2;
        }
        match tokens.get(at) {
            Some(TokenTree::Group(group))
                if group.delimiter() == Delimiter::Brace && follows_double_colon(tokens, at) =>
            {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut inside = 0;
                while inside < inner.len() {
                    inside = match &inner[inside] {
                        TokenTree::Ident(_) => {
                            self.path(&inner, inside, &names, in_test, inline_depth)
                        }
                        _ => inside + 1,
                    };
                }
                at + 1
            }
            _ => {
                self.paths.push(SourcePath { names, line, in_test, inline_depth });
                at
            }
        }
    }
}

fn punct(tokens: &[TokenTree], at: usize, wanted: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == wanted)
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    punct(tokens, at, ':') && punct(tokens, at + 1, ':')
}

fn follows_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && is_double_colon(tokens, at - 2)
}

fn is_macro_call(tokens: &[TokenTree], at: usize) -> bool {
    punct(tokens, at, '!') && matches!(tokens.get(at + 1), Some(TokenTree::Group(_)))
}

fn is_cfg_test(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(at + 1) else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    punct(tokens, at, '#') && (text == "cfg(test)" || text.starts_with("cfg(all(test,"))
}

/// The body of `mod name { … }`.
fn inline_module(tokens: &[TokenTree], at: usize) -> Option<TokenStream> {
    match (tokens.get(at)?, tokens.get(at + 1)?, tokens.get(at + 2)?) {
        (TokenTree::Ident(word), TokenTree::Ident(_), TokenTree::Group(group))
            if word == "mod" && group.delimiter() == Delimiter::Brace =>
        {
            Some(group.stream())
        }
        _ => None,
    }
}

/// The name in `mod name;`.
fn outer_module(tokens: &[TokenTree], at: usize) -> Option<String> {
    match (tokens.get(at)?, tokens.get(at + 1)?) {
        (TokenTree::Ident(word), TokenTree::Ident(name)) if word == "mod" => {
            punct(tokens, at + 2, ';').then(|| name.to_string())
        }
        _ => None,
    }
}

/// What is read from one source text.
fn read(text: &str) -> Reader {
    let mut reader = Reader::default();
    reader.read(text.parse().expect("the compiler has accepted it"), false, 0);
    reader
}

/// Modules in files of their own that are compiled for tests only.
fn test_modules(files: &[(String, String)]) -> Vec<Vec<String>> {
    let mut modules = Vec::new();
    for (file, text) in files {
        for name in read(text).test_modules {
            let mut module = module_of(file);
            module.push(name);
            modules.push(module);
        }
    }
    modules
}

/// Modules from the crate's root to a file: `src/model/card.rs` is `["model", "card"]`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.split_once("src/").expect("a file below src").1;
    let mut names: Vec<String> =
        inner.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|last| last == "mod" || last == "lib" || last == "main") {
        names.pop();
    }
    names
}

/// The top-level module that a path leads to, when it leads to one of this crate.
fn top_module(path: &SourcePath, depth: usize) -> Option<&str> {
    let names = &path.names;
    let ups = names.iter().take_while(|name| *name == "super").count();
    let next = match names[0].as_str() {
        "crate" => names.get(1),
        "super" if ups == depth + path.inline_depth => names.get(ups),
        _ => None,
    };
    next.map(String::as_str)
}

fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Checks one file of the `autotune` package.
fn check(file: &str, text: &str, test_modules: &[Vec<String>]) -> Vec<Breach> {
    let module = module_of(file);
    let Some(own) = module.first() else { return Vec::new() };
    let Some(own_floor) = floor(own) else {
        return vec![breach(file, 1, format!("`{own}` stands on no floor of tests/floors.rs"))];
    };
    let for_tests = test_modules.iter().any(|tests| module.starts_with(tests));
    let mut found = Vec::new();
    for path in read(text).paths {
        let target = top_module(&path, module.len());
        if let Some(target) = target.filter(|target| target != own)
            && let Some(target_floor) = floor(target)
            && target_floor >= own_floor
        {
            let way = if target_floor > own_floor { "upward" } else { "sideways" };
            let what = format!("`{own}` imports {way} from `{target}`");
            found.push(breach(file, path.line, what));
        }
        if !path.in_test && !for_tests {
            found.extend(outside(own, &path).map(|what| breach(file, path.line, what)));
        }
    }
    found.dedup();
    found
}

fn breach(file: &str, line: usize, what: String) -> Breach {
    Breach { file: file.to_owned(), line, what }
}

/// What only `cli` may do, and what only some may know.
fn outside(own: &str, path: &SourcePath) -> Option<String> {
    let names: Vec<&str> = path.names.iter().map(String::as_str).collect();
    let speaks = match names.as_slice() {
        ["print" | "println" | "eprint" | "eprintln" | "dbg", "!"]
        | ["std", "env"]
        | ["env", "var" | "vars" | "args" | "var_os" | "args_os" | "set_var"]
        | ["std", "io", "stdin" | "stdout" | "stderr", ..]
        | ["std", "process", "exit"] => true,
        ["std", "env", inner, ..] => *inner != "consts",
        _ => false,
    };
    if speaks && own != "cli" {
        return Some(format!("`{own}` uses `{}`, which is left to `cli`", names.join("::")));
    }
    match names.as_slice() {
        ["autotune_engine", engine, ..] if *engine != "api" && ENGINE_BLIND.contains(&own) => {
            Some(format!("`{own}` knows the engine `{engine}` and should know only `api`"))
        }
        _ => None,
    }
}

/// Unsafe code outside its homes, in any file of the workspace.
fn check_unsafe(file: &str, text: &str) -> Vec<Breach> {
    if UNSAFE_HOMES.iter().any(|home| file.starts_with(&format!("{home}/"))) {
        return Vec::new();
    }
    let mut found = Vec::new();
    idents(text.parse().expect("the compiler has accepted it"), &mut |name, span| {
        if name == "unsafe" {
            found.push(breach(file, span.start().line, "unsafe code has no home here".to_owned()));
        }
    });
    found
}

fn idents(tokens: TokenStream, visit: &mut impl FnMut(&str, Span)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => idents(group.stream(), visit),
            TokenTree::Ident(name) => visit(&name.to_string(), name.span()),
            _ => {}
        }
    }
}

/// Every Rust file below a folder of the workspace, with its path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut files: Vec<PathBuf> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is part of the project") {
            let path = entry.expect("a folder that can be read").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "rs") => {
                    files.push(path);
                }
                false => {}
            }
        }
    }
    files.sort();
    let name = |path: &Path| {
        path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/")
    };
    files
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).expect("UTF-8 source")))
        .collect()
}

fn assert_none(breaches: &[Breach]) {
    let lines: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn imports_go_downward_and_only_cli_speaks() {
    let files = sources("src");
    assert!(files.len() > FLOORS.len(), "only {} files were found", files.len());
    let tests = test_modules(&files);
    let breaches: Vec<Breach> =
        files.iter().flat_map(|(file, text)| check(file, text, &tests)).collect();
    assert_none(&breaches);
}

#[test]
fn every_floor_has_a_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (module, _) in FLOORS {
        let there = root.join("src").join(module).is_dir();
        assert!(there, "`{module}` has a floor and no folder");
    }
}

#[test]
fn unsafe_code_stays_at_home() {
    let breaches: Vec<Breach> = ["src", "engine/src", "tests", "benches"]
        .iter()
        .filter(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).is_dir())
        .flat_map(|folder| sources(folder))
        .flat_map(|(file, text)| check_unsafe(&file, &text))
        .collect();
    assert_none(&breaches);
}

#[test]
fn a_wrong_arrow_is_caught_in_every_spelling() {
    for (file, text, wanted) in [
        ("src/stats/mod.rs", "use crate::model::Trial;", "upward from `model`"),
        ("src/stats/mean.rs", "fn f() -> crate::cli::Exit { todo!() }", "upward from `cli`"),
        ("src/plan/mod.rs", "use crate::detect::machine;", "sideways from `detect`"),
        ("src/plan/mod.rs", "use crate::{model::Plan, store::{self, Run}};", "`store`"),
        ("src/plan/fit.rs", "use super::super::search::next;", "`search`"),
        ("src/plan/mod.rs", "use super::sweep;", "`sweep`"),
        ("src/plan/mod.rs", "mod inner { use super::super::sweep; }", "`sweep`"),
        ("src/plan/mod.rs", "#[cfg(test)] mod tests { use crate::sweep::run; }", "`sweep`"),
        ("src/measure/mod.rs", "matches!(x, crate::sweep::Event::Done)", "`sweep`"),
        ("src/nowhere/mod.rs", "", "no floor"),
    ] {
        let found = check(file, text, &[]);
        assert!(found.len() == 1 && found[0].what.contains(wanted), "{text}: {found:?}");
    }
}

#[test]
fn a_right_arrow_is_left_alone() {
    for (file, text) in [
        ("src/cli/sweep.rs", "use crate::{sweep, stats::Estimate}; use std::env;"),
        ("src/model/findings.rs", "use super::Level; use crate::stats::{Change, Estimate};"),
        ("src/model/mod.rs", "mod tests { use super::*; use super::super::stats; }"),
        ("src/stats/mod.rs", "// use crate::cli;\nconst A: &str = \"crate::cli\";"),
        ("src/detect/cpu.rs", "use std::env::consts::ARCH;"),
        ("src/plan/mod.rs", "#[cfg(test)] mod tests { fn f() { println!(\"{:?}\", 1); } }"),
        ("src/lib.rs", "pub mod cli;"),
    ] {
        assert_eq!(check(file, text, &[]), [], "{text}");
    }
}

#[test]
fn speaking_outside_cli_is_caught() {
    for (file, text) in [
        ("src/plan/mod.rs", "fn f() { println!(); }"),
        ("src/sweep/mod.rs", "fn f() { std::env::var(\"HOME\").ok(); }"),
        ("src/store/mod.rs", "use std::{env, fs};"),
        ("src/store/mod.rs", "use std::io::{self, stdout};"),
        ("src/detect/mod.rs", "#[cfg(test)] fn g() {} fn f() { eprintln!(\"x\"); }"),
        ("src/measure/mod.rs", "use autotune_engine::llama::Model;"),
        ("src/measure/mod.rs", "use autotune_engine::{api::Job, worker::WorkerEngine};"),
    ] {
        assert_eq!(check(file, text, &[]).len(), 1, "{text}: {:?}", check(file, text, &[]));
    }
}

#[test]
fn a_test_module_in_a_file_of_its_own_is_known() {
    let parent = "mod a; #[cfg(test)] mod tests; mod b;";
    let tests = test_modules(&[("src/sweep/mod.rs".to_owned(), parent.to_owned())]);
    assert_eq!(tests, [["sweep", "tests"]]);
    let text = "use autotune_engine::sim::World; fn f() { println!(); }";
    assert_eq!(check("src/sweep/tests.rs", text, &tests), []);
    assert_eq!(check("src/sweep/tests/more.rs", text, &tests), []);
    assert_eq!(check("src/sweep/a.rs", text, &tests).len(), 2);
    assert_eq!(check("src/sweep/tests.rs", "use crate::cli;", &tests).len(), 1);
}

#[test]
fn stray_unsafe_is_caught() {
    let text = "fn f() { unsafe { g() } }";
    assert_eq!(check_unsafe("src/detect/mod.rs", text).len(), 1);
    assert_eq!(check_unsafe("engine/src/worker/mod.rs", text).len(), 1);
    assert_eq!(check_unsafe("engine/src/llama/model.rs", text), []);
    assert_eq!(check_unsafe("src/a.rs", "#![deny(unsafe_code)] // unsafe\n"), []);
}
