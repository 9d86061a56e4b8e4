//! What weights lose in other types, found by rounding them: no model runs for it.

use std::ffi::CString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr;

use llama_cpp_sys_2 as sys;

use super::quantize::{block_of, quantize_rows_by};
use super::{importance_file, log, verdict};
use crate::api::{Failure, RoundingJob, TensorRounding};

/// Weights that are rounded at once.
const AT_ONCE: usize = 1 << 22;

/// A tensor within its file.
struct Place {
    kind: sys::ggml_type,
    columns: usize,
    rows_per_matrix: usize,
    rows: usize,
    offset: u64,
}

/// Rounds every tensor of the job into every type.
pub(super) fn rounding(job: &RoundingJob) -> Result<Vec<TensorRounding>, Failure> {
    log::capture();
    let importance = match &job.importance {
        Some(path) => importance_file::read(path)?.0,
        None => std::collections::BTreeMap::new(),
    };
    let places = places(&job.model, &job.tensors)?;
    let file = File::open(&job.model).map_err(|error| {
        Failure::refused(format!("cannot read {}: {error}", job.model.display()))
    })?;
    let mut found = Vec::new();
    for (name, place) in job.tensors.iter().zip(places) {
        let means = importance.get(name).map(super::importance::Importance::means);
        let matrices = place.rows / place.rows_per_matrix.max(1);
        let means = means.filter(|means| means.len() == place.columns * matrices);
        let relative_error = round(&file, job, &place, means.as_deref())
            .map_err(|why| Failure::refused(format!("{name} of {}: {why}", job.model.display())))?;
        found.push(TensorRounding { tensor: name.clone(), relative_error });
    }
    Ok(found)
}

fn places(path: &Path, tensors: &[String]) -> Result<Vec<Place>, Failure> {
    let name = CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Failure::refused("the model's path has a zero byte in it"))?;
    super::model::readable(path)?;
    let mut shapes: *mut sys::ggml_context = ptr::null_mut();
    let params = sys::gguf_init_params { no_alloc: true, ctx: &raw mut shapes };
    let mark = log::mark();
    // SAFETY: the path outlives the call; what it makes is freed below.
    let file = unsafe { sys::gguf_init_from_file(name.as_ptr(), params) };
    if file.is_null() {
        let what = format!("cannot read the header of {}", path.display());
        return Err(verdict::from_log(&what, log::since(mark)));
    }
    let find = |tensor: &String| {
        let missing = || Failure::refused(format!("{} has no tensor {tensor}", path.display()));
        let name = CString::new(tensor.as_str()).map_err(|_| missing())?;
        // SAFETY: file and shapes are alive, and an index that was found is one of the file's.
        unsafe {
            let at = sys::gguf_find_tensor(file, name.as_ptr());
            let shape = sys::ggml_get_tensor(shapes, name.as_ptr());
            let shape = shape.as_ref().filter(|_| at >= 0).ok_or_else(missing)?;
            let whole = |extent: i64| usize::try_from(extent).unwrap_or(0);
            let start = sys::gguf_get_data_offset(file) + sys::gguf_get_tensor_offset(file, at);
            Ok(Place {
                kind: shape.type_,
                columns: whole(shape.ne[0]),
                rows_per_matrix: whole(shape.ne[1]),
                rows: whole(shape.ne[1]) * whole(shape.ne[2]) * whole(shape.ne[3]),
                offset: start as u64,
            })
        }
    };
    let places = tensors.iter().map(find).collect();
    // SAFETY: both were made above and are freed once.
    unsafe {
        sys::ggml_free(shapes);
        sys::gguf_free(file);
    }
    places
}

/// Weighted squared error over weighted square in each type.
fn round(
    file: &File,
    job: &RoundingJob,
    place: &Place,
    means: Option<&[f32]>,
) -> Result<Vec<Option<f64>>, String> {
    let (block, bytes) = block_of(place.kind).ok_or("its type is unknown")?;
    let (columns, wanted) = (place.columns, job.rows as usize);
    if columns == 0 || !(columns as u64).is_multiple_of(block) {
        return Err("its rows are no whole blocks".into());
    }
    let row_bytes = usize::try_from(columns as u64 / block * bytes).map_err(|it| it.to_string())?;
    let taken = if wanted == 0 { place.rows } else { wanted.min(place.rows) };
    let mut sums = vec![(0.0_f64, 0.0_f64); job.types.len()];
    let mut done = 0;
    while done < taken {
        let count = (AT_ONCE / columns).clamp(1, taken - done);
        let mut lines: Vec<(usize, Vec<f32>)> = Vec::with_capacity(count);
        for at in done..done + count {
            // Spread over the whole tensor.
            let row = at * place.rows / taken;
            let mut raw = vec![0_u8; row_bytes];
            file.read_exact_at(&mut raw, place.offset + (row * row_bytes) as u64)
                .map_err(|error| error.to_string())?;
            lines.push((row, widened(place.kind, &raw, columns)?));
        }
        done += count;
        for (kind, sum) in job.types.iter().zip(&mut sums) {
            for (row, values) in &lines {
                let matrix = row / place.rows_per_matrix.max(1);
                let means = means.map(|means| &means[matrix * columns..][..columns]);
                let Ok(rounded) = quantize_rows_by(*kind, values, columns, means) else {
                    sum.1 = f64::NAN;
                    break;
                };
                let back = widened(*kind, &rounded, columns)?;
                for (at, (value, back)) in values.iter().zip(back).enumerate() {
                    let weight = means.map_or(1.0, |means| f64::from(means[at]));
                    let (value, back) = (f64::from(*value), f64::from(back));
                    sum.0 += weight * (value - back).powi(2);
                    sum.1 += weight * value * value;
                }
            }
        }
    }
    let relative = |(error, square): (f64, f64)| {
        if square.is_nan() { None } else { Some(if square > 0.0 { error / square } else { 0.0 }) }
    };
    Ok(sums.into_iter().map(relative).collect())
}

/// Values of a row of any type as floats.
fn widened(kind: sys::ggml_type, bytes: &[u8], columns: usize) -> Result<Vec<f32>, String> {
    if kind == sys::GGML_TYPE_F32 {
        let float = |it: &[u8]| f32::from_le_bytes([it[0], it[1], it[2], it[3]]);
        return Ok(bytes.chunks_exact(4).map(float).collect());
    }
    // SAFETY: the type is one that `block_of` knows; the table is static.
    let widen = unsafe { (*sys::ggml_get_type_traits(kind)).to_float };
    let widen = widen.ok_or("its type cannot be read")?;
    let mut values = vec![0.0_f32; columns];
    let count = i64::try_from(columns).map_err(|error| error.to_string())?;
    // Rows are read as structures with an alignment of their own.
    let mut aligned = vec![0_u64; bytes.len().div_ceil(8)];
    // SAFETY: the target is at least as long as the source, and both are apart; the row is whole,
    // its memory aligned for any of ggml's blocks, and the values are as many as said.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), aligned.as_mut_ptr().cast(), bytes.len());
        widen(aligned.as_ptr().cast(), values.as_mut_ptr(), count);
    }
    Ok(values)
}
