//! What is seen of machines: of those of `tests/machines`, of this one, of broken ones.

mod hostile;
mod shapes;
mod state;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use self::world::{Files, World};
use super::capture::travels;
use super::{Tree, live, machine};
use crate::model::{CpuList, Provenance};

/// Whether all of `part` is in `whole`; lists must be equal in length.
fn differences(path: &str, part: &Value, whole: &Value, found: &mut Vec<String>) {
    match (part, whole) {
        (Value::Object(part), Value::Object(whole)) => {
            for (name, part) in part {
                let whole = whole.get(name).unwrap_or(&Value::Null);
                differences(&format!("{path}.{name}"), part, whole, found);
            }
        }
        (Value::Array(part), Value::Array(whole)) if part.len() == whole.len() => {
            for (index, (part, whole)) in part.iter().zip(whole).enumerate() {
                differences(&format!("{path}.{index}"), part, whole, found);
            }
        }
        (Value::Number(part), Value::Number(whole)) if part.as_f64() == whole.as_f64() => {}
        _ if part == whole => {}
        _ => found.push(format!("{path}: expected {part}, saw {whole}")),
    }
}

/// The document of the same files in a folder, with the same date.
fn from_disk(files: &Files) -> Value {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    let tree = Tree::open(folder.path()).unwrap();
    let tree = match &files.models {
        Some(models) => tree.with_model_folder(models.clone()),
        None => tree,
    };
    let mut document = serde_json::to_value(machine(&tree)).unwrap();
    document["captured_at"] = "2026-01-02T03:04:05Z".into();
    document
}

#[test]
fn every_shape_of_machine_is_seen_as_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machines");
    let mut shapes = 0;
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let shape = path.file_stem().unwrap().to_string_lossy().into_owned();
        let world: World = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{shape}: {error}"));
        let files = world.files();
        let document = serde_json::to_value(machine(&files)).unwrap();
        assert_eq!(from_disk(&files), document, "{shape}: a folder and memory differ");
        differences(&shape, &world.expect, &document, &mut found);
        travels(&shape, &files, &mut found);
        for path in world.missing.iter().chain(&world.none) {
            let pointer = format!("/{}", path.replace('.', "/"));
            if !matches!(document.pointer(&pointer), Some(value) if value.is_null()) {
                found.push(format!("{shape}.{path}: should be null"));
            }
            if document["unseen"].get(path).is_some() != world.missing.contains(path) {
                found.push(format!("{shape}.{path}: a reason where there should be none, or none"));
            }
        }
        shapes += 1;
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(shapes >= 60, "{} has lost its machines", folder.display());
}

/// Facts that a document has of itself, of whatever machine.
const ITS_OWN: &[&str] = &["schema", "tool_version", "captured_at", "provenance", "unseen"];

/// Paths of all facts that are there: no `null`, no empty list.
fn seen(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(facts) => {
            for (name, fact) in facts.iter().filter(|(name, _)| !ITS_OWN.contains(&&***name)) {
                seen(&format!("{path}/{name}"), fact, found);
            }
        }
        Value::Array(facts) if facts.is_empty() => {}
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn nothing_of_this_machine_is_seen_in_a_captured_one() {
    let document = from_disk(&Files::default());
    let mut found = Vec::new();
    seen("", &document, &mut found);
    // No card in sight is a fact too, and the advice follows from it.
    found.retain(|path| !path.starts_with("/recommendation/"));
    assert_eq!(found, Vec::<String>::new());
    for fact in ["cpu.cores", "memory.total_bytes", "os.kernel", "limits.usable_threads"] {
        assert!(document["unseen"].get(fact).is_some(), "{fact}");
    }
    let line = BTreeMap::from([("/proc/cpuinfo".to_owned(), "processor\t: 0\n".to_owned())]);
    let mut found = Vec::new();
    seen("", &from_disk(&Files { texts: line, models: None }), &mut found);
    found.retain(|path| !path.starts_with("/recommendation/"));
    assert_eq!(
        found,
        ["/cpu/threads", "/cpu/threads_allowed", "/cpu/threads_online", "/limits/usable_threads"]
    );
}

#[test]
fn this_machine_has_threads_and_memory_and_is_the_same_seen_twice() {
    let first = machine(&live());
    assert_eq!(first.provenance, Provenance::Live);
    assert!(first.limits.usable_threads.unwrap() >= 1);
    assert!(first.limits.usable_threads <= first.cpu.threads_online);
    assert_eq!(first.fingerprint(), machine(&live()).fingerprint());
}

#[cfg(target_os = "linux")]
#[test]
fn hwloc_and_the_kernels_files_agree_on_this_machine() {
    let (Some(hwloc), Some(files)) = (super::hwloc::topology(), super::topology::files(&live()))
    else {
        return;
    };
    if !hwloc.this_system || files.cores.is_empty() {
        return;
    }
    assert_eq!(hwloc.online, files.online);
    let sorted = |mut cores: Vec<CpuList>| {
        cores.sort_by_key(ToString::to_string);
        cores
    };
    assert_eq!(sorted(hwloc.cores), sorted(files.cores));
}
