//! The driver's library without a card: a stub of it is compiled and loaded as the real one is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use autotune_engine::api::Bytes;

use serde_json::{Value, json};

use super::card_series::CardRecorder;
use super::card_watch::CardWatch;
use super::nvidia::{cards_by, processes_by};
use super::{Card, Host, Unread, machine};
use crate::model::Provenance;

/// A machine with NVIDIA's library and, of files, one graphics node without a driver's tale.
struct WithLibrary(PathBuf);

impl Host for WithLibrary {
    fn read(&self, path: &str) -> Result<String, Unread> {
        let files = [
            ("/sys/class/drm/card0/device/vendor", "0x10de\n"),
            ("/sys/class/drm/card0/device/device", "0x2684\n"),
            ("/sys/class/drm/card0/device/numa_node", "1\n"),
            ("/sys/class/drm/card0/device/uevent", "DRIVER=nvidia\nPCI_SLOT_NAME=0000:1b:00.0\n"),
        ];
        let file = files.iter().find(|(known, _)| *known == path);
        file.map(|(_, text)| (*text).to_owned()).ok_or_else(|| Unread::Absent(path.to_owned()))
    }

    fn list(&self, path: &str) -> Vec<String> {
        if path == "/sys/class/drm" { vec!["card0".to_owned()] } else { Vec::new() }
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn now(&self) -> String {
        "2026-01-02T03:04:05Z".to_owned()
    }

    fn nvidia(&self) -> Result<Vec<Card>, String> {
        cards_by(&["/nowhere/libnvidia-ml.so.1", self.0.to_str().expect("made here")])
    }
}

/// Compiles the stub; `None`, with a sentence, where there is no compiler.
fn library(folder: &Path, flag: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml/stub.c");
    let library = folder.join("libnvidia-ml.so.1");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", flag, "-o"]).arg(&library).arg(source);
    let Ok(status) = compiler.status() else {
        eprintln!("skipped: there is no C compiler to make NVIDIA's library from");
        return None;
    };
    assert!(status.success(), "the stub does not compile");
    Some(library)
}

#[test]
fn cards_of_every_temper_are_told_with_reasons_for_what_they_hide() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = library(folder.path(), "-DORDINARY") else { return };
    let document = serde_json::to_value(machine(&WithLibrary(library))).unwrap();
    let cards = document["gpus"].as_array().unwrap();
    assert_eq!(cards.len(), 4, "{cards:#?}");

    let plain = &cards[0];
    let expected = json!({
        "vendor": "NVIDIA", "name": "NVIDIA GeForce RTX 4090", "memory_bytes": 24_u64 << 30,
        "free_bytes": 23_u64 << 30, "driver": "550.54.14", "cuda_version": "12.4",
        "backend": null, "device": null, "compute_capability": "8.9",
        "pcie": {"generation": 1, "width": 8, "max_generation": 4, "max_width": 16},
        "power_limit_watts": 350.0, "default_power_limit_watts": 450.0,
        "clocks": {"graphics_hz": 210_000_000, "memory_hz": 405_000_000,
            "max_graphics_hz": 3_105_000_000_u64, "max_memory_hz": 10_501_000_000_u64},
        "throttle_reasons": ["power limit"], "persistence": "off", "ecc": null, "mig": null,
        "mig_instances": [], "integrated": false, "numa_node": 1,
        "pci_address": "0000:1b:00.0", "sources": ["nvml", "sysfs"],
    });
    assert_eq!(*plain, expected);

    let cut = &cards[1];
    assert_eq!(cut["mig"], "on");
    assert_eq!(cut["mig_instances"].as_array().unwrap().len(), 2);
    assert_eq!(cut["mig_instances"][0]["memory_bytes"], 40_u64 << 30);
    assert_eq!((&cut["ecc"], &cut["persistence"]), (&json!("on"), &json!("on")));
    assert_eq!(cut["throttle_reasons"], json!([]), "idle is no throttling");

    let why = |path: &str| document["unseen"][path].as_str().unwrap_or_default().to_owned();
    assert_eq!(cards[2]["name"], "GRID A100-10C");
    assert!(why("gpus.2.memory_bytes").contains("does not support"), "{document:#}");
    assert!(why("gpus.3.name").contains("lost"), "{document:#}");
    for (index, card) in cards.iter().enumerate() {
        nothing_is_missing_without_a_reason(&format!("gpus.{index}"), card, &document["unseen"]);
    }
}

fn nothing_is_missing_without_a_reason(path: &str, fact: &Value, unseen: &Value) {
    match fact {
        Value::Null => {
            let covered = path.match_indices('.').map(|(end, _)| &path[..end]);
            let known = covered.chain([path]).any(|path| unseen.get(path).is_some());
            assert!(known, "{path} has no reason");
        }
        Value::Object(facts) => {
            for (name, fact) in facts {
                nothing_is_missing_without_a_reason(&format!("{path}.{name}"), fact, unseen);
            }
        }
        _ => {}
    }
}

#[test]
fn a_library_that_does_not_fit_the_kernel_module_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = library(folder.path(), "-DMISMATCH") else { return };
    let document = machine(&WithLibrary(library));
    assert!(document.unseen["gpus"].contains("of different versions"), "{:?}", document.unseen);
    assert_eq!(document.gpus.len(), 1, "the kernel still lists the card");
    assert!(document.unseen["gpus.0.memory_bytes"].contains("of different versions"));
}

#[test]
fn processes_that_hold_memory_are_told_to_who_asks_and_in_no_document() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = library(folder.path(), "-DORDINARY") else { return };
    let found = processes_by(&[library.to_str().unwrap()]).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].card, found[0].pid), (0, 4242));
    assert_eq!(found[0].name.as_deref(), Some("llama-server"));
    assert_eq!(found[0].memory_bytes.map(|bytes| bytes.0), Some(1 << 30));
    let document = serde_json::to_string(&machine(&WithLibrary(library))).unwrap();
    assert!(!document.contains("4242") && !document.contains("llama-server"));
}

#[test]
fn no_library_is_no_card() {
    assert_eq!(cards_by(&["/nowhere/libnvidia-ml.so.1"]), Ok(Vec::new()));
    assert_eq!(processes_by(&["/nowhere/libnvidia-ml.so.1"]), Ok(Vec::new()));
}

#[test]
fn cards_are_watched_from_before_until_after() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = library(folder.path(), "-DBUSY") else { return };
    let name = library.to_str().expect("made here");
    assert!(CardWatch::start_by(&["/nowhere/libnvidia-ml.so.1"], Duration::ZERO).is_none());
    // Two samples at least, however long the pause: one at each end.
    let watch = CardWatch::start_by(&[name], Duration::from_secs(60)).expect("it starts");
    let cards = watch.finish();
    // Of four cards one is lost and one tells nothing.
    assert_eq!(cards.len(), 2, "{cards:?}");
    let card = &cards[0];
    assert_eq!(card.samples, 2, "{card:?}");
    assert_eq!(card.pci_address.as_deref(), Some("0000:1b:00.0"));
    let gib = |count: u64| Some(Bytes(count << 30));
    assert_eq!((card.used_before_bytes, card.used_peak_bytes), (gib(1), gib(5)));
    assert_eq!(card.used_after_bytes, gib(5));
    assert_eq!((card.utilization, card.power_watts), (Some(0.75), Some(212.5)));
    assert_eq!((card.graphics_hz, card.lowest_graphics_hz), (Some(210_000_000), Some(210_000_000)));
    assert_eq!((card.memory_hz, card.temperature_celsius), (Some(405_000_000), Some(64)));
    assert_eq!(card.throttle_reasons, ["power limit"]);
    // An idle card has no clock that a computation was held to, and no reason to be slow.
    assert_eq!((cards[1].utilization, cards[1].lowest_graphics_hz), (Some(0.0), None));
    assert_eq!(cards[1].throttle_reasons, Vec::<String>::new());
}

#[test]
fn cards_are_recorded_over_time_with_what_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = library(folder.path(), "-DBUSY") else { return };
    let name = library.to_str().expect("made here");
    let nowhere = CardRecorder::start_by(&["/nowhere/x.so"], Duration::ZERO, Instant::now());
    assert!(nowhere.is_none());
    let pause = Duration::from_secs(60);
    let recorder = CardRecorder::start_by(&[name], pause, Instant::now()).expect("it starts");
    let cards = recorder.finish();
    // Of four cards one is lost and one tells nothing.
    assert_eq!(cards.len(), 2, "{cards:?}");
    assert_eq!(cards[0].name.as_deref(), Some("NVIDIA GeForce RTX 4090"));
    assert_eq!(cards[0].memory_bytes, Some(24 << 30));
    let sample = cards[0].samples.last().expect("one at its end");
    assert_eq!((sample.busy, sample.memory_busy), (Some(0.75), Some(0.2)));
    assert_eq!(sample.used_bytes, Some(5 << 30));
    assert_eq!(sample.copied_in_bytes_per_s, Some(3e9));
    assert_eq!(sample.copied_out_bytes_per_s, Some(1e9));
    assert_eq!(sample.power_watts, Some(212.5));
    assert_eq!(cards[1].samples[0].copied_in_bytes_per_s, None, "it does not tell");
}
