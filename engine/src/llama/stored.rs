//! What a reference said of certain chunks, in a file: for those who do not fit into memory beside
//! it. Logarithms of probabilities in 16 bits between the smallest and the largest of their row:
//! a step is a few ten-thousandths of a nat, so that a divergence is off by less than 1e-7.
//!
//! llama-perplexity's own format cuts at 16 nats below the largest, which costs half of what an
//! 8-bit quantization does; this one does not cut.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::api::{Failure, Token};

const MAGIC: &[u8; 16] = b"autotune.base/1\n";
/// Code of a token that cannot happen.
const IMPOSSIBLE: u16 = u16::MAX;
/// Largest code of one that can.
const STEPS: f32 = 65534.0;

/// Writes what a reference says.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    codes: Vec<u8>,
}

impl Writer {
    pub(super) fn create(
        path: &Path,
        vocabulary: usize,
        chunks: &[Vec<Token>],
        from: u32,
    ) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| unwritten(path, &error))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        let mut writer = Self { path: path.to_owned(), file, codes: Vec::new() };
        let mut head = MAGIC.to_vec();
        head.extend(u32::try_from(vocabulary).unwrap_or(u32::MAX).to_le_bytes());
        head.extend(fingerprint(chunks, from).to_le_bytes());
        writer.put(&head)?;
        Ok(writer)
    }

    /// The distribution at one position.
    pub(super) fn row(
        &mut self,
        logits: &[f32],
        ln_sum: f64,
        top: usize,
        nll: f64,
    ) -> Result<(), Failure> {
        let possible = || logits.iter().copied().filter(|logit| *logit > f32::NEG_INFINITY);
        let low = possible().fold(f32::INFINITY, f32::min);
        let high = possible().fold(f32::NEG_INFINITY, f32::max);
        let step = ((high - low) / STEPS).max(f32::MIN_POSITIVE);
        let mut codes = std::mem::take(&mut self.codes);
        codes.clear();
        #[expect(clippy::cast_possible_truncation, reason = "an f32 is what is stored")]
        let base = (f64::from(low) - ln_sum) as f32;
        codes.extend(base.to_le_bytes());
        codes.extend(step.to_le_bytes());
        codes.extend(u32::try_from(top).unwrap_or(0).to_le_bytes());
        codes.extend(nll.to_le_bytes());
        for logit in logits {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "rounded and between 0 and the number of steps"
            )]
            let code = match *logit {
                f32::NEG_INFINITY => IMPOSSIBLE,
                logit => ((logit - low) / step).round().clamp(0.0, STEPS) as u16,
            };
            codes.extend(code.to_le_bytes());
        }
        let done = self.put(&codes);
        self.codes = codes;
        done
    }

    /// Everything is on its way to the disk.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| unwritten(&self.path, &error))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| unwritten(&self.path, &error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("cannot write what the reference says to {}: {error}", path.display()))
}

/// Which chunks, and from where they are scored (FNV-1a).
fn fingerprint(chunks: &[Vec<Token>], from: u32) -> u64 {
    let lengths = chunks.iter().map(|chunk| i32::try_from(chunk.len()).unwrap_or(i32::MAX));
    let words = lengths.chain(chunks.iter().flatten().copied()).chain([from.cast_signed()]);
    words.flat_map(i32::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Reads it back.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    vocabulary: usize,
    values: Vec<f32>,
    tops: Vec<usize>,
    nll: Vec<f64>,
}

/// What was said at some positions.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// Logarithms of probabilities, row after row.
    pub(super) values: &'a [f32],
    /// The likeliest token of each row.
    pub(super) tops: &'a [usize],
    /// Negative log likelihood of the true token of each row.
    pub(super) nll: &'a [f64],
}

impl Reader {
    pub(super) fn open(path: &Path, chunks: &[Vec<Token>], from: u32) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unread(path, &error.to_string()))?;
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 20, file),
            vocabulary: 0,
            values: Vec::new(),
            tops: Vec::new(),
            nll: Vec::new(),
        };
        if reader.array::<16>()? != *MAGIC {
            return Err(unread(path, "it is no such file"));
        }
        let vocabulary = u32::from_le_bytes(reader.array()?);
        if u64::from_le_bytes(reader.array()?) != fingerprint(chunks, from) {
            return Err(unread(path, "it is of another text"));
        }
        reader.vocabulary = vocabulary as usize;
        Ok(reader)
    }

    pub(super) fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The next rows.
    pub(super) fn next(&mut self, rows: usize) -> Result<Piece<'_>, Failure> {
        self.values.clear();
        self.tops.clear();
        self.nll.clear();
        let mut codes = vec![0_u8; self.vocabulary * 2];
        for _ in 0..rows {
            let base = f32::from_le_bytes(self.array()?);
            let step = f32::from_le_bytes(self.array()?);
            let top = u32::from_le_bytes(self.array()?);
            let nll = f64::from_le_bytes(self.array()?);
            self.tops.push(top as usize);
            self.nll.push(nll);
            self.file
                .read_exact(&mut codes)
                .map_err(|error| unread(&self.path, &error.to_string()))?;
            self.values.extend(codes.chunks_exact(2).map(|code| {
                match u16::from_le_bytes([code[0], code[1]]) {
                    IMPOSSIBLE => f32::NEG_INFINITY,
                    code => base + f32::from(code) * step,
                }
            }));
        }
        Ok(Piece { values: &self.values, tops: &self.tops, nll: &self.nll })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        let read = self.file.read_exact(&mut bytes);
        read.map_err(|error| unread(&self.path, &error.to_string()))?;
        Ok(bytes)
    }
}

fn unread(path: &Path, why: &str) -> Failure {
    Failure::refused(format!("cannot read what the reference said from {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_said_to_a_small_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base");
        let chunks = vec![vec![1, 2, 3]];
        let logits: Vec<f32> = (0..999_u16).map(|at| (f32::from(at) * 0.7).sin() * 20.0).collect();
        let ln_sum = 21.5;
        let mut writer = Writer::create(&path, 1000, &chunks, 1).unwrap();
        let mut row = logits.clone();
        row.push(f32::NEG_INFINITY);
        writer.row(&row, ln_sum, 7, 1.25).unwrap();
        writer.finish().unwrap();
        let mut reader = Reader::open(&path, &chunks, 1).unwrap();
        assert_eq!(reader.vocabulary(), 1000);
        let piece = reader.next(1).unwrap();
        assert_eq!((piece.tops, piece.nll), ([7].as_slice(), [1.25].as_slice()));
        assert!(piece.values[999].is_infinite() && piece.values[999] < 0.0);
        for (logit, value) in logits.iter().zip(piece.values) {
            let wanted = f64::from(*logit) - ln_sum;
            assert!((wanted - f64::from(*value)).abs() < 40.0 / 65534.0, "{wanted} {value}");
        }
        assert!(reader.next(1).is_err(), "there is no second row");
    }

    #[test]
    fn a_file_of_another_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base");
        Writer::create(&path, 10, &[vec![1, 2]], 0).unwrap().finish().unwrap();
        assert!(Reader::open(&path, &[vec![1, 3]], 0).unwrap_err().to_string().contains("text"));
        assert!(Reader::open(&path, &[vec![1, 2]], 1).is_err());
        std::fs::write(&path, b"not at all").unwrap();
        assert!(Reader::open(&path, &[vec![1, 2]], 0).is_err());
    }
}
