//! Reading the header of a model with 49,152 tokens: from memory, where the parser is alone, and
//! from a file, as every verb does it first.

use std::path::{Path, PathBuf};

use autotune::gguf::Header;
use autotune::synth::{Replace, Request, Shape, file_type, write};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench]
fn parse_in_memory(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's own folder");
    let path = model(folder.path());
    let header = Header::read(&path).expect("a model that was just written");
    let bytes = std::fs::read(&path).expect("a model that was just written");
    let size = bytes.len() as u64;
    let start = usize::try_from(header.data_start).expect("a header fits the memory");
    bencher
        .counter(BytesCount::new(start))
        .bench_local(|| Header::parse(black_box(&bytes[..start]), size).expect("the same bytes"));
}

#[divan::bench]
fn read_file(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's own folder");
    let path = model(folder.path());
    bencher.bench_local(|| Header::read(black_box(&path)).expect("the same file"));
}

/// One layer of a real shape: its header has the whole vocabulary, its file stays small.
fn model(folder: &Path) -> PathBuf {
    let shape = Shape::named("smollm2-135m").and_then(|shape| shape.with_layers(1));
    let request = Request {
        shape: shape.expect("a known shape"),
        file_type: file_type("q8_0").expect("a known type"),
        seed: 1,
    };
    let path = folder.join("model.gguf");
    let progress = &mut |_, _| std::ops::ControlFlow::Continue(());
    write(&request, &path, Replace::Nothing, progress).expect("room on the disk");
    path
}
