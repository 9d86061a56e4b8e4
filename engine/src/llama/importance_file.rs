//! Files of importance matrices: llama.cpp's own GGUF format, read and written, and the older one
//! without a header, read.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::ptr;

use llama_cpp_sys_2 as sys;

use super::importance::Importance;
use super::{log, text, verdict};
use crate::api::{Failure, ImportanceFile};

/// Longest file that is read: four bytes for each column of each expert of the largest models.
const MOST_BYTES: u64 = 4 << 30;
const SQUARES: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// What a file holds, and how many chunks it was made of.
pub(super) fn read(path: &Path) -> Result<(BTreeMap<String, Importance>, u32), Failure> {
    log::capture();
    let wrong =
        |why: &str| Failure::refused(format!("{} is no importance matrix: {why}", path.display()));
    let metadata = fs::metadata(path)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    if !metadata.is_file() || metadata.len() > MOST_BYTES {
        return Err(wrong("it is no file, or too large"));
    }
    let mut magic = [0_u8; 4];
    let mut file = fs::File::open(path)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    file.read_exact(&mut magic).map_err(|_| wrong("it is too short"))?;
    if magic == *b"GGUF" {
        return read_gguf(path, wrong);
    }
    let mut bytes = magic.to_vec();
    file.read_to_end(&mut bytes)
        .map_err(|error| Failure::refused(format!("cannot read {}: {error}", path.display())))?;
    old(&bytes).ok_or_else(|| wrong("it is neither GGUF nor llama.cpp's older format"))
}

/// Whether a file begins as GGUF does.
pub(super) fn is_gguf(path: &Path) -> bool {
    let mut magic = [0_u8; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"GGUF"
}

fn read_gguf(
    path: &Path,
    wrong: impl Fn(&str) -> Failure,
) -> Result<(BTreeMap<String, Importance>, u32), Failure> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| wrong("its path has a zero byte in it"))?;
    let mut tensors: *mut sys::ggml_context = ptr::null_mut();
    let params = sys::gguf_init_params { no_alloc: false, ctx: &raw mut tensors };
    let mark = log::mark();
    // SAFETY: the path outlives the call; the context it makes is freed below.
    let file = unsafe { sys::gguf_init_from_file(name.as_ptr(), params) };
    if file.is_null() {
        let what = format!("cannot read {}", path.display());
        return Err(verdict::from_log(&what, log::since(mark)));
    }
    // SAFETY: both are alive until the end of this block, where they are freed once.
    let found = unsafe {
        let found = of_gguf(file, tensors);
        sys::ggml_free(tensors);
        sys::gguf_free(file);
        found
    };
    found.map_err(|why| wrong(&why))
}

/// # Safety
/// Both come from one call of `gguf_init_from_file` that read the data, too.
unsafe fn of_gguf(
    file: *mut sys::gguf_context,
    tensors: *mut sys::ggml_context,
) -> Result<(BTreeMap<String, Importance>, u32), String> {
    // SAFETY: the caller's promise; keys and indices are those that the file gives, and values are
    // read as the type that was asked for first.
    unsafe {
        let kind = key(file, c"general.type", sys::GGUF_TYPE_STRING)
            .map(|at| text(sys::gguf_get_val_str(file, at)));
        if kind.as_deref() != Some("imatrix") {
            return Err("its general.type is not imatrix".into());
        }
        let chunks = key(file, c"imatrix.chunk_count", sys::GGUF_TYPE_UINT32)
            .map_or(0, |at| sys::gguf_get_val_u32(file, at));
        let mut weights: BTreeMap<String, Importance> = BTreeMap::new();
        let mut counts: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for at in 0..sys::gguf_get_n_tensors(file) {
            let name = sys::gguf_get_tensor_name(file, at);
            let tensor = sys::ggml_get_tensor(tensors, name);
            let Some(tensor) = tensor.as_ref() else { return Err("a tensor is not there".into()) };
            let name = text(name);
            if tensor.type_ != sys::GGML_TYPE_F32 || tensor.data.is_null() {
                return Err(format!("{name} is not of 32-bit floats"));
            }
            let length = usize::try_from(sys::ggml_nelements(tensor)).unwrap_or(0);
            let values = std::slice::from_raw_parts(tensor.data.cast::<f32>(), length);
            if values.iter().any(|value| !value.is_finite() || *value < 0.0) {
                return Err(format!("{name} holds what is no sum of squares"));
            }
            let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
            if let Some(weight) = name.strip_suffix(SQUARES) {
                let columns = usize::try_from(tensor.ne[0]).unwrap_or(0);
                let known = weights.entry(weight.to_owned()).or_default();
                (known.columns, known.squares) = (columns, values);
            } else if let Some(weight) = name.strip_suffix(COUNTS) {
                counts.insert(weight.to_owned(), values);
            } else {
                return Err(format!("{name} is neither a sum nor a count"));
            }
        }
        for (name, weight) in &mut weights {
            weight.counts = counts.remove(name).ok_or_else(|| format!("{name} has no counts"))?;
            if weight.columns == 0 || weight.squares.len() != weight.columns * weight.counts.len() {
                return Err(format!("{name} has not as many counts as matrices"));
            }
        }
        if weights.is_empty() {
            return Err("it is empty".into());
        }
        Ok((weights, chunks))
    }
}

/// # Safety
/// The file is alive.
unsafe fn key(file: *const sys::gguf_context, name: &CStr, kind: sys::gguf_type) -> Option<i64> {
    // SAFETY: the caller's promise; an index that was found is one of the file's.
    unsafe {
        let at = sys::gguf_find_key(file, name.as_ptr());
        (at >= 0 && sys::gguf_get_kv_type(file, at) == kind).then_some(at)
    }
}

/// The format before GGUF: a count, then for each weight its name, calls, columns and sums, and at
/// the end the chunks and the name of the text.
fn old(bytes: &[u8]) -> Option<(BTreeMap<String, Importance>, u32)> {
    let mut rest = Rest(bytes);
    let entries = rest.count(1 << 18)?;
    let mut weights = BTreeMap::new();
    for _ in 0..entries {
        let length = rest.count(64)?;
        let name = std::str::from_utf8(rest.take(length)?).ok()?.to_owned();
        let calls = f64::from(rest.whole()?);
        let columns = rest.count(rest.0.len() / 4)?;
        let mut squares = Vec::with_capacity(columns);
        for value in rest.take(columns * 4)?.chunks_exact(4) {
            let value = f32::from_le_bytes(value.try_into().ok()?);
            squares
                .push(Some(f64::from(value)).filter(|value| value.is_finite() && *value >= 0.0)?);
        }
        // Sums are already means times calls; experts lie one after another, and are one row here.
        weights.insert(name, Importance { columns, squares, counts: vec![calls.max(1.0)] });
    }
    let chunks = rest.whole().and_then(|chunks| u32::try_from(chunks).ok()).unwrap_or(0);
    (!weights.is_empty()).then_some((weights, chunks))
}

/// Bytes that were not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn whole(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A number of things, at least one.
    fn count(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.whole()?).ok().filter(|count| (1..=most).contains(count))
    }
}

/// Writes a file. Renaming it into its place is left to the caller.
pub(super) fn write(
    file: &ImportanceFile,
    weights: &BTreeMap<String, Importance>,
    chunks: u32,
) -> Result<(), Failure> {
    log::capture();
    let failed =
        |why: &str| Failure::refused(format!("cannot write {}: {why}", file.path.display()));
    let zero = |_| failed("a name has a zero byte in it");
    let path = CString::new(file.path.as_os_str().as_encoded_bytes()).map_err(zero)?;
    let datasets: Vec<CString> = file
        .datasets
        .iter()
        .map(|name| CString::new(name.as_str()).map_err(zero))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<_> = datasets.iter().map(|name| name.as_ptr()).collect();
    let values: usize = weights.values().map(|it| it.squares.len() + it.counts.len()).sum();
    // Each tensor's data are aligned.
    let room = values * 4 + weights.len() * 2 * (64 + 512) + 1024;
    // SAFETY: everything that is passed outlives the calls; a tensor's memory is as long as its
    // shape says, since ggml made it from that; all is freed once at the end.
    let done = unsafe {
        let params =
            sys::ggml_init_params { mem_size: room, mem_buffer: ptr::null_mut(), no_alloc: false };
        let tensors = sys::ggml_init(params);
        let gguf = sys::gguf_init_empty();
        let mut done = !tensors.is_null() && !gguf.is_null();
        if done {
            sys::gguf_set_val_str(gguf, c"general.type".as_ptr(), c"imatrix".as_ptr());
            let (names, count) = (pointers.as_mut_ptr(), pointers.len());
            sys::gguf_set_arr_str(gguf, c"imatrix.datasets".as_ptr(), names, count);
            sys::gguf_set_val_u32(gguf, c"imatrix.chunk_count".as_ptr(), chunks);
            sys::gguf_set_val_u32(gguf, c"imatrix.chunk_size".as_ptr(), file.chunk_tokens);
            for (name, weight) in weights {
                let matrices = weight.counts.len();
                let squares = (SQUARES, weight.columns, &weight.squares);
                for (suffix, columns, values) in [squares, (COUNTS, 1, &weight.counts)] {
                    let tensor = sys::ggml_new_tensor_2d(
                        tensors,
                        sys::GGML_TYPE_F32,
                        i64::try_from(columns).unwrap_or(0),
                        i64::try_from(matrices).unwrap_or(0),
                    );
                    let full = CString::new(format!("{name}{suffix}")).unwrap_or_default();
                    if tensor.is_null() || full.as_bytes_with_nul().len() > 64 {
                        done = false;
                        break;
                    }
                    sys::ggml_set_name(tensor, full.as_ptr());
                    let target = (*tensor).data.cast::<f32>();
                    #[expect(clippy::cast_possible_truncation, reason = "the format has f32")]
                    for (at, value) in values.iter().enumerate() {
                        target.add(at).write(*value as f32);
                    }
                    sys::gguf_add_tensor(gguf, tensor);
                }
            }
            done = done && sys::gguf_write_to_file(gguf, path.as_ptr(), false);
        }
        if !gguf.is_null() {
            sys::gguf_free(gguf);
        }
        if !tensors.is_null() {
            sys::ggml_free(tensors);
        }
        done
    };
    if done { Ok(()) } else { Err(failed("the disk is full, or the folder is not there")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> BTreeMap<String, Importance> {
        let dense = Importance { columns: 3, squares: vec![1.0, 4.0, 9.0], counts: vec![2.0] };
        let experts =
            Importance { columns: 2, squares: vec![1.0, 2.0, 0.0, 0.0], counts: vec![5.0, 0.0] };
        BTreeMap::from([
            ("blk.0.attn_q.weight".to_owned(), dense),
            ("blk.0.ffn_up_exps.weight".to_owned(), experts),
        ])
    }

    #[test]
    fn a_matrix_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.imatrix.gguf");
        let file = ImportanceFile {
            path: path.clone(),
            datasets: vec!["a.txt".into()],
            chunk_tokens: 512,
        };
        write(&file, &weights(), 7).unwrap();
        assert_eq!(read(&path).unwrap(), (weights(), 7));
    }

    #[test]
    fn the_older_format_is_read() {
        let mut bytes = 1_i32.to_le_bytes().to_vec();
        let name = b"blk.0.attn_q.weight";
        bytes.extend(i32::try_from(name.len()).unwrap().to_le_bytes());
        bytes.extend(name);
        bytes.extend(4_i32.to_le_bytes());
        bytes.extend(2_i32.to_le_bytes());
        bytes.extend([8.0_f32, 2.0].map(f32::to_le_bytes).concat());
        bytes.extend(12_i32.to_le_bytes());
        let (weights, chunks) = old(&bytes).unwrap();
        assert_eq!((weights["blk.0.attn_q.weight"].means(), chunks), (vec![2.0, 0.5], 12));
        for length in 0..bytes.len() - 4 {
            assert!(old(&bytes[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn what_is_no_matrix_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        for contents in
            [&b""[..], b"GGUF", b"GGUFxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", b"any text at all"]
        {
            fs::write(&path, contents).unwrap();
            let failure = read(&path).unwrap_err().to_string();
            assert!(failure.contains("other"), "{failure}");
        }
    }
}
