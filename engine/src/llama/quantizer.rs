//! Whole files of other quantizations, by llama.cpp's own quantizer.

use std::ffi::{CString, c_char};
use std::ptr;

use llama_cpp_sys_2 as sys;

use super::{importance_file, log, model, verdict};
use crate::api::{Failure, QuantizeJob, Quantized};

/// Writes the file, or tells what it would hold.
pub(super) fn quantize(job: &QuantizeJob) -> Result<Quantized, Failure> {
    log::capture();
    model::readable(&job.source)?;
    let zero = |_| Failure::refused("a path or a name has a zero byte in it");
    let source = CString::new(job.source.as_os_str().as_encoded_bytes()).map_err(zero)?;
    let target = job.target.as_deref().unwrap_or(std::path::Path::new("nothing"));
    let target = CString::new(target.as_os_str().as_encoded_bytes()).map_err(zero)?;
    let weights = match &job.importance {
        Some(path) => importance_file::read(path)?.0,
        None => std::collections::BTreeMap::new(),
    };
    let mut names: Vec<(CString, Vec<f32>)> = Vec::new();
    for (name, weight) in &weights {
        names.push((CString::new(name.as_str()).map_err(zero)?, weight.means()));
    }
    let mut importance: Vec<sys::llama_model_imatrix_data> = names
        .iter()
        .map(|(name, data)| sys::llama_model_imatrix_data {
            name: name.as_ptr(),
            data: data.as_ptr(),
            size: data.len(),
        })
        .collect();
    importance.push(sys::llama_model_imatrix_data {
        name: ptr::null(),
        data: ptr::null(),
        size: 0,
    });
    let patterns: Vec<(CString, u32)> = job
        .types
        .iter()
        .map(|(name, kind)| Ok((CString::new(exactly(name)).map_err(zero)?, *kind)))
        .collect::<Result<_, Failure>>()?;
    let mut overrides: Vec<sys::llama_model_tensor_override> = patterns
        .iter()
        .map(|(pattern, kind)| sys::llama_model_tensor_override {
            pattern: pattern.as_ptr(),
            type_: *kind,
        })
        .collect();
    overrides.push(sys::llama_model_tensor_override {
        pattern: ptr::null::<c_char>(),
        type_: sys::GGML_TYPE_COUNT,
    });
    // SAFETY: returns a plain structure.
    let mut params = unsafe { sys::llama_model_quantize_default_params() };
    params.nthread = i32::try_from(job.threads).unwrap_or(0);
    params.ftype = job.file_type;
    params.allow_requantize = job.requantize;
    params.keep_split = job.keep_split;
    params.dry_run = job.target.is_none();
    if job.importance.is_some() {
        params.imatrix = importance.as_ptr();
    }
    let metadata = metadata(job, weights.len());
    params.kv_overrides = metadata.as_ptr();
    if !job.types.is_empty() {
        params.tt_overrides = overrides.as_ptr();
    }
    let (code, said) = log::collect(|| {
        // SAFETY: paths, lists with their ends, names and data all outlive the call, and a
        // backend is registered; exceptions are caught inside.
        unsafe { sys::llama_model_quantize(source.as_ptr(), target.as_ptr(), &raw const params) }
    });
    if code != 0 {
        let what = format!("cannot quantize {}", job.source.display());
        let last = said.len().saturating_sub(20);
        return Err(verdict::from_log(&what, said[last..].to_vec()));
    }
    // The lines of a file that is written are broken by remarks; the file tells its types itself.
    let planned = job.target.is_none();
    let tensors = said.iter().filter(|_| planned).filter_map(|line| tensor(line));
    Ok(Quantized {
        tensors: tensors.collect(),
        warnings: said.iter().filter_map(|line| warning(line)).collect(),
    })
}

/// What the file says beside what the source says, ended by an entry without a key.
fn metadata(job: &QuantizeJob, entries: usize) -> Vec<sys::llama_model_kv_override> {
    let put = |target: &mut [c_char], text: &str| {
        // The last byte stays zero.
        let room = target.len() - 1;
        for (to, from) in target[..room].iter_mut().zip(text.bytes()) {
            *to = from.cast_signed();
        }
    };
    let entry = |key: &str, tag| {
        // SAFETY: numbers, characters and a union of them: all zero is a value of it.
        let mut entry: sys::llama_model_kv_override = unsafe { std::mem::zeroed() };
        entry.tag = tag;
        put(&mut entry.key, key);
        entry
    };
    let text = |key: &str, value: &str| {
        let mut entry = entry(key, sys::LLAMA_KV_OVERRIDE_TYPE_STR);
        // SAFETY: the tag says which member of the union is meant.
        unsafe { put(&mut entry.__bindgen_anon_1.val_str, value) };
        entry
    };
    let mut all: Vec<_> = job.metadata.iter().map(|(key, value)| text(key, value)).collect();
    // As llama-quantize has it.
    if let Some(path) = &job.importance {
        all.push(text("quantize.imatrix.file", end_of(&path.to_string_lossy())));
        let mut count = entry("quantize.imatrix.entries_count", sys::LLAMA_KV_OVERRIDE_TYPE_INT);
        count.__bindgen_anon_1.val_i64 = i64::try_from(entries).unwrap_or(0);
        all.push(count);
    }
    all.push(entry("", sys::LLAMA_KV_OVERRIDE_TYPE_INT));
    all
}

/// As much of the end of a path as a text of the metadata holds.
fn end_of(path: &str) -> &str {
    let from = path.len().saturating_sub(120);
    let whole = (from..=path.len()).find(|at| path.is_char_boundary(*at));
    &path[whole.unwrap_or(path.len())..]
}

/// A pattern that matches this name and no other.
fn exactly(name: &str) -> String {
    let mut pattern = String::from("^");
    for letter in name.chars() {
        if !letter.is_alphanumeric() && letter != '_' && letter != '-' {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern + "$"
}

/// A tensor's name and type from the line of a dry run that tells of it: `[ 2/ 47]
/// blk.0.attn_q.weight - [ 256, 256, 1, 1], type = f16, size = 0.12 MiB -> 0.04 MiB (q4_K)`.
fn tensor(line: &str) -> Option<(String, String)> {
    let (name, rest) =
        line.trim_start().strip_prefix('[')?.split_once(']')?.1.split_once(" - [")?;
    let (_, rest) = rest.split_once("type =")?;
    let (from, rest) = rest.split_once(',')?;
    let to = rest.rsplit_once('(').map_or(from, |(_, to)| to.trim_end().trim_end_matches(')'));
    Some((name.trim().to_owned(), to.trim().to_uppercase()))
}

/// A warning without the name of the function that gave it.
fn warning(line: &str) -> Option<String> {
    if let Some((_, words)) = line.split_once("WARNING: ") {
        return Some(words.trim().to_owned());
    }
    let (_, name) = line.split_once("did not find weights for ")?;
    Some(format!("the importance matrix has nothing of {}", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_read_from_its_line() {
        for (line, name, kind) in [
            (
                "[   1/  47] output_norm.weight - [  256,     1,     1,     1], type =    f32, \
                 size =    0.001 MiB",
                "output_norm.weight",
                "F32",
            ),
            (
                "[   3/  47] output.weight - [  256,  2048,     1,     1], type =    f16, size = \
                 1.00 MiB ->     0.41 MiB (q6_K)",
                "output.weight",
                "Q6_K",
            ),
        ] {
            assert_eq!(tensor(line), Some((name.to_owned(), kind.to_owned())), "{line}");
        }
        assert_eq!(tensor("llama_model_quantize_impl: quant size = 4 MiB (4.5 BPW)"), None);
    }

    #[test]
    fn a_name_matches_itself_alone() {
        assert_eq!(exactly("blk.0.ffn_up.weight"), "^blk\\.0\\.ffn_up\\.weight$");
    }

    #[test]
    fn warnings_lose_the_name_of_their_function() {
        let line = "f: WARNING: 28 of 33 tensor(s) required fallback quantization";
        assert_eq!(warning(line).unwrap(), "28 of 33 tensor(s) required fallback quantization");
        let line = "====== f: did not find weights for token_embd.weight";
        assert!(warning(line).unwrap().ends_with("nothing of token_embd.weight"));
    }
}
