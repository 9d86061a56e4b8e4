//! A header is not believed: whatever stands in it, the answer is a header or one line.

use std::io::{self, Read};

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::{Header, HeaderError, ModelFile, TENSOR_TYPES, Value};

/// Puts a file together by hand.
#[derive(Clone, Default)]
struct Sketch {
    values: Vec<u8>,
    values_count: u64,
    tensors: Vec<u8>,
    tensors_count: u64,
    data: usize,
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

impl Sketch {
    fn value(mut self, key: &str, kind: u32, bytes: &[u8]) -> Self {
        self.values.extend(text(key));
        self.values.extend(kind.to_le_bytes());
        self.values.extend(bytes);
        self.values_count += 1;
        self
    }

    fn list(self, key: &str, kind: u32, count: u64, bytes: &[u8]) -> Self {
        let mut list = kind.to_le_bytes().to_vec();
        list.extend(count.to_le_bytes());
        list.extend(bytes);
        self.value(key, 9, &list)
    }

    fn tensor(mut self, name: &str, axes: &[u64], kind: u32, offset: u64) -> Self {
        self.tensors.extend(text(name));
        self.tensors.extend(u32::try_from(axes.len()).unwrap().to_le_bytes());
        self.tensors.extend(axes.iter().flat_map(|axis| axis.to_le_bytes()));
        self.tensors.extend(kind.to_le_bytes());
        self.tensors.extend(offset.to_le_bytes());
        self.tensors_count += 1;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3_u32.to_le_bytes());
        bytes.extend(self.tensors_count.to_le_bytes());
        bytes.extend(self.values_count.to_le_bytes());
        bytes.extend(&self.values);
        bytes.extend(&self.tensors);
        bytes.resize(bytes.len().next_multiple_of(32) + self.data, 0);
        bytes
    }
}

/// A header with everything the format has.
fn whole() -> Sketch {
    let tokens: Vec<u8> = ["a", "b", "word"].into_iter().flat_map(text).collect();
    let mut inner = 0_u32.to_le_bytes().to_vec();
    inner.extend(2_u64.to_le_bytes());
    inner.extend([1, 2]);
    let mut sketch = Sketch { data: 2048, ..Sketch::default() }
        .value("general.architecture", 8, &text("llama"))
        .value("general.alignment", 4, &32_u32.to_le_bytes())
        .value("llama.block_count", 4, &2_u32.to_le_bytes())
        .value("llama.eps", 6, &1e-5_f32.to_le_bytes())
        .value("a.flag", 7, &[1])
        .list("tokenizer.ggml.tokens", 8, 3, &tokens)
        .list("llama.heads", 5, 2, &[4, 0, 0, 0, 8, 0, 0, 0])
        .list("nested", 9, 1, &inner);
    for (kind, bytes) in [(0, 1), (1, 1), (2, 2), (3, 2), (5, 4), (10, 8), (11, 8), (12, 8)] {
        sketch = sketch.value(&format!("kind.{kind}"), kind, &vec![0; bytes]);
    }
    sketch.tensor("token_embd.weight", &[32, 2], 8, 0).tensor("norm", &[256], 0, 96)
}

fn parse(bytes: &[u8]) -> Result<Header, HeaderError> {
    Header::parse(bytes, bytes.len() as u64)
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes).expect_err("it is refused").to_string()
}

#[test]
fn everything_the_format_has_is_read() {
    let header = parse(&whole().bytes()).expect("a whole header");
    assert_eq!(header.text("general.architecture"), Some("llama"));
    assert_eq!(header.count("llama.block_count"), Some(2));
    assert_eq!(header.values["a.flag"], Value::Bool(true));
    assert_eq!(header.values["tokenizer.ggml.tokens"], Value::Passed(3));
    assert_eq!(header.values["llama.heads"], Value::Numbers(vec![4.0, 8.0]));
    assert_eq!(header.tensor("token_embd.weight").expect("there").bytes, 68);
    assert_eq!(header.tensors[1].offset, 96);
}

#[test]
fn each_mistake_is_named() {
    let base = || Sketch { data: 4096, ..Sketch::default() };
    let huge = u64::MAX.to_le_bytes();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "empty"),
        (b"PK\x03\x04 something".to_vec(), "not a GGUF file"),
        (b"GG".to_vec(), "truncated"),
        (b"GGUF\x00\x00\x00\x03".to_vec(), "big-endian"),
        (b"GGUF\x01\x00\x00\x00".to_vec(), "version 1"),
        (b"GGUF\x03\x00\x00\x00".to_vec(), "8 bytes are missing"),
        ([b"GGUF\x03\x00\x00\x00".as_slice(), &huge, &huge].concat(), "tensors, more than"),
        (base().value("x", 8, &huge).bytes(), "truncated"),
        (base().list("x", 4, u64::MAX, &[]).bytes(), "truncated"),
        (base().value("x", 13, &[]).bytes(), "unknown kind 13"),
        (base().value("x", 7, &[0]).value("x", 7, &[0]).bytes(), "twice"),
        (base().value("general.alignment", 4, &33_u32.to_le_bytes()).bytes(), "alignment"),
        (base().value("general.alignment", 4, &[0; 4]).bytes(), "alignment"),
        (base().tensor("t", &[4], 4, 0).bytes(), "unknown type 4"),
        (base().tensor("t", &[33], 8, 0).bytes(), "rows of 33"),
        (base().tensor("t", &[0], 0, 0).bytes(), "impossible shape"),
        (base().tensor("t", &[1 << 40, 1 << 40], 0, 0).bytes(), "impossible shape"),
        (base().tensor("t", &[], 0, 0).bytes(), "0 axes"),
        (base().tensor("t", &[1; 5], 0, 0).bytes(), "5 axes"),
        (base().tensor("t", &[8], 0, 7).bytes(), "no multiple"),
        (base().tensor("t", &[8], 0, 0).tensor("t", &[8], 0, 32).bytes(), "twice"),
        (base().tensor("t", &[16], 0, 0).tensor("u", &[16], 0, 32).bytes(), "overlap"),
        (base().tensor("t", &[2048], 0, 0).bytes(), "at least 4096 bytes are missing"),
        (base().tensor("t", &[8], 0, u64::MAX - 31).bytes(), "beyond any file"),
        (base().tensor(&"t".repeat(64), &[8], 0, 0).bytes(), "64 bytes in the name"),
    ];
    for (bytes, named) in cases {
        let line = refusal(&bytes);
        assert!(line.contains(named), "`{line}` does not say `{named}`");
        assert!(!line.contains('\n'));
    }
}

#[test]
fn arrays_inside_arrays_end() {
    let mut bytes = Vec::new();
    for _ in 0..100 {
        bytes.extend(9_u32.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
    }
    let line = refusal(&Sketch::default().value("deep", 9, &bytes).bytes());
    assert!(line.contains("without end"), "{line}");
}

#[test]
fn folders_and_split_files_are_told_apart_from_models() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = Header::read(folder.path()).expect_err("a folder");
    assert!(matches!(error.cause, HeaderError::Directory));
    let part = |number: u16| {
        let sketch = Sketch { data: 64, ..Sketch::default() };
        let sketch = sketch.value("split.count", 2, &2_u16.to_le_bytes());
        let sketch = sketch.value("split.no", 2, &(number - 1).to_le_bytes());
        let bytes = sketch.tensor(&format!("t{number}"), &[8], 0, 0).bytes();
        let path = folder.path().join(format!("m-{number:05}-of-00002.gguf"));
        std::fs::write(&path, &bytes).expect("written");
        (path, bytes.len() as u64)
    };
    let (first, bytes_of_first) = part(1);
    assert!(
        ModelFile::open(&first).expect_err("half of it").path.ends_with("m-00002-of-00002.gguf")
    );
    let (second, bytes_of_second) = part(2);
    let file = ModelFile::open(&first).expect("both parts");
    assert_eq!(file.bytes, bytes_of_first + bytes_of_second);
    assert_eq!(file.headers.len(), 2);
    let line = ModelFile::open(&second).expect_err("not the first").cause.to_string();
    assert!(line.contains("name the first"), "{line}");
}

/// A reader that counts what it was asked for at once.
struct Counting<'a> {
    bytes: &'a [u8],
    largest: usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.largest = self.largest.max(into.len());
        self.bytes.read(into)
    }
}

/// Neither panics nor asks for more than the file holds.
fn survives(bytes: &[u8]) {
    let mut reader = Counting { bytes, largest: 0 };
    if let Ok(header) = Header::parse(&mut reader, bytes.len() as u64) {
        let end = header.tensors.iter().map(|tensor| tensor.offset + tensor.bytes).max();
        assert!(end.is_none_or(|end| header.data_start + end <= bytes.len() as u64));
    }
    // Buffers are as long as what is read into them, so no buffer was longer than the file.
    assert!(reader.largest <= bytes.len().max(8), "{} bytes at once", reader.largest);
}

#[test]
fn thousands_of_damaged_headers_do_no_harm() {
    let whole = whole().bytes();
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut below =
        |limit: usize| usize::try_from(chance.next_u64() % limit as u64).expect("below a usize");
    let odd: [u64; 9] =
        [0, 1, 2, 9, 0x7fff_ffff, 0xffff_ffff, 1 << 31, i64::MAX.cast_unsigned(), u64::MAX];
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..=below(3) {
            let place = below(bytes.len() - 8);
            match below(4) {
                0 => bytes[place] = u8::try_from(below(256)).expect("a byte"),
                1 => {
                    bytes[place..place + 8].copy_from_slice(&odd[below(odd.len())].to_le_bytes());
                }
                2 => bytes.truncate(place.max(16)),
                _ => {
                    let end = (place + below(64)).min(bytes.len());
                    let piece = bytes[place..end].to_vec();
                    let to = below(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        survives(&bytes);
    }
}

#[test]
fn every_shorter_file_is_called_truncated() {
    let mut whole = whole();
    whole.data = 96 + 1024;
    let whole = whole.bytes();
    for length in 1..whole.len() {
        let line = refusal(&whole[..length]);
        assert!(line.contains("truncated"), "{length}: {line}");
    }
    parse(&whole).expect("the whole file");
}

proptest! {
    #[test]
    fn noise_after_the_magic_does_no_harm(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
        survives(&[b"GGUF\x03\x00\x00\x00".as_slice(), &noise].concat());
    }

    #[test]
    fn a_tensor_comes_back_as_it_was_written(
        rows in 1_u64..5,
        blocks in 1_u64..4,
        index in 0..TENSOR_TYPES.len(),
        name in "[a-z.]{1,63}",
    ) {
        let kind = TENSOR_TYPES[index];
        let axes = [blocks * kind.block, rows];
        let bytes = blocks * rows * kind.block_bytes;
        let sketch = Sketch { data: usize::try_from(bytes).unwrap(), ..Sketch::default() };
        let header = parse(&sketch.tensor(&name, &axes, kind.id, 0).bytes()).unwrap();
        prop_assert_eq!(&header.tensors[0].name, &name);
        prop_assert_eq!(header.tensors[0].dimensions.as_slice(), axes.as_slice());
        prop_assert_eq!(header.tensors[0].bytes, bytes);
        prop_assert_eq!(header.tensors[0].weights(), axes[0] * axes[1]);
    }
}

#[test]
fn the_table_of_types_is_ggmls() {
    for id in 0..64 {
        let ours = super::TensorType::from_id(id).map(|kind| (kind.block, kind.block_bytes));
        assert_eq!(ours, autotune_engine::llama::quantize::block_of(id), "type {id}");
    }
}
