//! The HTML page in a real browser: nothing breaks, nothing overflows, everything can be read, and
//! its script does what it offers. Without a Chromium the test says so and checks nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Runs in a page around the report, which is in a frame of each width.
const CHECKS: &str = include_str!("pages/checks.js");
/// Widths of a phone and of a desktop.
const WIDTHS: [u64; 2] = [375, 1440];
/// The contract's sections of a run, in order, before the table of trials.
const SECTIONS: [&str; 21] = [
    "metrics",
    "environment",
    "bottleneck",
    "utilization",
    "threads",
    "affinity",
    "context",
    "variants",
    "quantization",
    "gpu-layers",
    "batching",
    "memory",
    "latency",
    "counters",
    "log",
    "options",
    "actions",
    "production",
    "validation",
    "commands",
    "method",
];
/// The sections of a study of quantizations.
const STUDY: [&str; 5] = ["candidates", "folklore", "fronts", "answers", "how"];
/// What the script offers on every page, and what it offers where there are trials.
const OFFERS: [&str; 2] = ["copied", "hinted"];
const OF_TRIALS: [&str; 4] = ["sorted", "reversed", "filtered", "opened"];

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("AUTOTUNE_CHROMIUM").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let known = ["chromium", "chromium-browser", "google-chrome"];
    let mut found = std::env::split_paths(&folders)
        .flat_map(|folder| known.map(|name| folder.join(name)))
        .filter(|path| path.is_file());
    named.or_else(|| found.next())
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("tests/goldens/report.html")];
    let runs = fs::read_dir(root.join("reports")).unwrap();
    pages.extend(runs.map(|run| run.unwrap().path().join("report.html")).filter(|it| it.exists()));
    // A run of a study has the study in its own page.
    pages.push(root.join("reports/quant-2-core-vm/q3_k_m/report.html"));
    pages
}

/// What the checks saw in a page, one entry per width.
fn looked_at(chromium: &Path, page: &Path, dark: bool) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let report = fs::read_to_string(page).unwrap();
    // A closing tag inside of a string would end the script around it.
    let text = serde_json::to_string(&report).unwrap().replace("</", "<\\/");
    let harness = format!(
        "<!doctype html><meta charset=\"utf-8\"><body><script>const report = {text};\n\
         const widths = {WIDTHS:?};\n{CHECKS}</script></body>"
    );
    let around = folder.path().join("around.html");
    fs::write(&around, harness).unwrap();
    let scheme = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"])
        .args(["--virtual-time-budget=20000", "--window-size=1500,1000", "--dump-dom", &scheme])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", around.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{}: {console:?}", page.display());
    let dom = String::from_utf8_lossy(&output.stdout);
    let json = dom.split("id=\"checked\">").nth(1).and_then(|rest| rest.split("</pre>").next());
    let json = json.unwrap_or_else(|| panic!("{}: no answer: {said}", page.display()));
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&json).unwrap()
}

fn check(page: &Path, width: u64, seen: &Value) {
    let place = format!("{} at {width} px", page.display());
    for (fault, what) in [
        ("errors", "errors of the script"),
        ("overflow", "elements wider than the page"),
        ("faint", "text below the contrast of WCAG AA"),
        ("unnamed", "pictures and fields without a name"),
        ("foreign", "things fetched from elsewhere"),
    ] {
        assert_eq!(seen[fault], Value::Array(Vec::new()), "{place}: {what}");
    }
    let sections: Vec<&str> =
        seen["sections"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let study = sections.first() == Some(&STUDY[0]);
    if study {
        assert_eq!(sections, STUDY, "{place}");
    } else {
        assert_eq!(sections[..SECTIONS.len()], SECTIONS, "{place}");
    }
    assert_eq!(
        seen["landmarks"],
        serde_json::json!(["header", "main", "nav", "footer"]),
        "{place}"
    );
    for done in OF_TRIALS.iter().filter(|_| !study).chain(&OFFERS) {
        assert_eq!(seen[done], Value::Bool(true), "{place}: {done}");
    }
}

#[test]
fn a_page_works_in_a_browser() {
    let Some(chromium) = chromium() else {
        println!("skipped: no Chromium here (AUTOTUNE_CHROMIUM names one)");
        return;
    };
    let pages = pages();
    assert!(pages.len() >= 3, "{pages:?}");
    for page in &pages {
        let bytes = fs::metadata(page).unwrap().len();
        assert!(bytes < 2_000_000, "{}: {bytes} bytes", page.display());
        for dark in [false, true] {
            let seen = looked_at(&chromium, page, dark);
            assert_eq!(seen.len(), WIDTHS.len());
            WIDTHS.iter().zip(&seen).for_each(|(width, seen)| check(page, *width, seen));
        }
    }
}
