//! What is written can be read back, and is what was asked for.

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::{FILE_TYPES, Replace, Request, Shape, SynthError, file_type, size, write};
use crate::gguf::Header;

fn request(shape: &str, quant: &str) -> Request {
    Request {
        shape: Shape::named(shape).expect("built in"),
        file_type: file_type(quant).expect("known"),
        seed: 7,
    }
}

fn written(request: &Request) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("m.gguf");
    let bytes = write(request, &path, Replace::Nothing, &mut |_, _| ControlFlow::Continue(()))
        .expect("it is written");
    assert_eq!(bytes.0, path.metadata().expect("it is there").len());
    (folder, path)
}

#[test]
fn every_file_type_of_the_tiny_shape_reads_back_complete() {
    for kind in FILE_TYPES {
        // One width of rows, so that each type is searched for once.
        let shape =
            Shape { layers: 1, feed_forward: 256, ..Shape::named("tiny").expect("built in") };
        let request = Request { shape, ..request("tiny", kind.name) };
        let (_folder, path) = written(&request);
        let header = Header::read(&path).expect("our own file");
        let last = header.tensors.last().expect("it has tensors");
        let end = header.data_start + last.offset + last.bytes;
        assert_eq!(end.next_multiple_of(header.alignment), path.metadata().expect("there").len());
        assert_eq!(header.count("general.file_type"), Some(u64::from(kind.id)), "{}", kind.name);
    }
}

#[test]
fn the_mixture_is_llama_cpps() {
    let (_folder, path) = written(&request("tiny", "q4_k_m"));
    let header = Header::read(&path).expect("our own file");
    let kind = |name: &str| header.tensor(name).expect("it has this tensor").kind.name;
    assert_eq!(kind("blk.1.attn_q.weight"), "Q4_K");
    assert_eq!(kind("blk.3.ffn_down.weight"), "Q6_K");
    assert_eq!(kind("output.weight"), "Q6_K");
    assert_eq!(kind("blk.0.attn_norm.weight"), "F32");
}

#[test]
fn the_same_seed_writes_the_same_file() {
    let one = request("tiny", "q4_0");
    let other = Request { seed: 8, ..one.clone() };
    let read = |request: &Request| {
        let (_folder, path) = written(request);
        std::fs::read(path).expect("it is there")
    };
    assert_eq!(read(&one), read(&one));
    assert_ne!(read(&one), read(&other));
}

#[test]
fn a_stopped_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("m.gguf");
    let mut calls = 0;
    let stopped = write(&request("tiny", "q8_0"), &path, Replace::Nothing, &mut |_, _| {
        calls += 1;
        if calls > 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(SynthError::Stopped(_))));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn an_existing_file_is_not_touched_unless_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, "mine").expect("it is written");
    let request = request("tiny", "q8_0");
    let refused = write(&request, &path, Replace::Nothing, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(SynthError::Exists(_))));
    assert_eq!(std::fs::read(&path).expect("it is there"), b"mine");
    write(&request, &path, Replace::Existing, &mut |_, _| ControlFlow::Continue(()))
        .expect("it is replaced");
    Header::read(&path).expect("a model now");
}

#[test]
fn sizes_of_known_models_are_those_of_their_published_files() {
    // Published files differ in their vocabularies' text only, by some megabytes at most.
    for (shape, quant, megabytes) in [
        ("llama-3.2-1b", "q4_k_m", 808),
        ("llama-3.2-1b", "q8_0", 1321),
        ("llama-3.1-8b", "q4_k_m", 4921),
        ("qwen3-0.6b", "q8_0", 639),
        ("qwen3-8b", "q4_k_m", 5028),
        ("qwen3-30b-a3b", "q4_k_m", 18557),
        ("gpt-oss-20b", "mxfp4", 12109),
    ] {
        let bytes = size(&request(shape, quant)).expect("a layout").0;
        let difference = bytes.abs_diff(megabytes * 1_000_000) as f64 / bytes as f64;
        assert!(difference < 0.02, "{shape} {quant}: {bytes} bytes, not {megabytes} MB");
    }
}
