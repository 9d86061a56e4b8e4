//! The published JSON Schema is that of the documents that are written.
//!
//! `AUTOTUNE_UPDATE_GOLDENS=1 cargo test --release --test schema` rewrites it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use autotune::model::{Findings, GateReport, QualityReport, QuantizationStudy, QuantizedFiles};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn published() -> Value {
    kept("findings", &Findings::json_schema())
}

/// A published schema, which has to be what this version would publish.
fn kept(name: &str, now: &Value) -> Value {
    // Several tests would write it at once.
    static FILE: Mutex<()> = Mutex::new(());
    let _held = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = root().join(format!("docs/schema/{name}.schema.json"));
    let now = serde_json::to_string_pretty(now).unwrap() + "\n";
    if std::env::var_os("AUTOTUNE_UPDATE_GOLDENS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == now, "{} is old; AUTOTUNE_UPDATE_GOLDENS=1 rewrites it", path.display());
    serde_json::from_str(&kept).unwrap()
}

/// The findings of every run that is kept as an example.
fn examples() -> Vec<(PathBuf, Value)> {
    let runs = fs::read_dir(root().join("reports")).unwrap();
    let files = runs.map(|run| run.unwrap().path().join("findings.json"));
    files
        .filter(|path| path.exists())
        .map(|path| {
            let json = fs::read_to_string(&path).unwrap();
            (path, serde_json::from_str(&json).unwrap())
        })
        .collect()
}

#[test]
fn every_example_is_of_the_published_schema() {
    let validator = jsonschema::validator_for(&published()).unwrap();
    let examples = examples();
    assert!(examples.len() >= 3, "{}", examples.len());
    for (path, document) in examples {
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .take(3)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
    }
}

#[test]
fn a_document_with_a_wrong_part_is_not_of_the_schema() {
    let validator = jsonschema::validator_for(&published()).unwrap();
    let (_, document) = examples().remove(0);
    for (pointer, wrong) in [
        ("/schema", Value::from(7)),
        ("/baseline/setting/context/ubatch", Value::from("many")),
        ("/baseline/setting/load/gpu_layers", Value::from("most")),
        ("/verdict/kind", Value::from("probably")),
        ("/curves", Value::Null),
    ] {
        let mut changed = document.clone();
        *changed.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = wrong;
        assert!(!validator.is_valid(&changed), "{pointer} may be anything");
    }
}

#[test]
fn what_the_gate_writes_is_of_its_published_schema() {
    let validator = jsonschema::validator_for(&kept("gate", &GateReport::json_schema())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "name,seconds\na,1.0\na,1.1\na,1.05\n").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_autotune"))
        .current_dir(folder.path())
        .args(["gate", "import", "--from", "csv", "a.csv", "a.csv", "--column", "seconds"])
        .args(["--format", "json"])
        .output()
        .unwrap();
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(validator.is_valid(&document), "{document}");
    document["cells"][0]["verdict"] = "green".into();
    assert!(!validator.is_valid(&document));
}

#[test]
fn what_is_said_of_quality_is_of_its_published_schemas() {
    let schemas = [
        ("quality", QualityReport::json_schema(), "/candidates/0/class"),
        ("quantization", QuantizationStudy::json_schema(), "/floor"),
    ];
    for (name, schema, class) in schemas {
        let validator = jsonschema::validator_for(&kept(name, &schema)).unwrap();
        let path = root().join(format!("tests/goldens/{name}.json"));
        let json = fs::read_to_string(path).unwrap();
        let mut document: Value = serde_json::from_str(&json).unwrap();
        assert!(validator.is_valid(&document), "{name}");
        *document.pointer_mut(class).unwrap() = "splendid".into();
        assert!(!validator.is_valid(&document), "{name}: any class will do");
    }
}

#[test]
fn what_is_said_of_new_files_is_of_its_published_schema() {
    let schema = kept("quantize", &QuantizedFiles::json_schema());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_autotune"))
        .current_dir(folder.path())
        .env("AUTOTUNE_CACHE", folder.path().join("cache"))
        .arg("quantize")
        .arg(root().join("tools/train-tiny/tiny-rust-f16.gguf"))
        .args(["--to", "q8_0,q4_k_m", "--dry-run", "--format", "json"])
        .output()
        .unwrap();
    let mut document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(validator.is_valid(&document), "{document}");
    document["files"][0]["types"]["Q8_0"] = "many".into();
    assert!(!validator.is_valid(&document));
}
