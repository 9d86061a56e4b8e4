//! The importance matrix: for each column of a weight, the mean square of what it is multiplied
//! with. Looked at while a model reads a text, as llama-imatrix does.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

use super::context::{Context, Entry};
use super::text;
use crate::api::{Failure, ImportanceJob, ImportanceUse};

/// Rows from which on a product is one of a prompt.
const ROWS: i64 = 16;
/// Values kept in all: 8 GiB of them, far above any known model.
const MOST_VALUES: usize = 1 << 30;

/// What one weight was multiplied with.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Importance {
    /// Columns of a matrix.
    pub(super) columns: usize,
    /// Sum of squares, matrix after matrix (one for each expert).
    pub(super) squares: Vec<f64>,
    /// Rows seen of each matrix.
    pub(super) counts: Vec<f64>,
}

impl Importance {
    /// What the quantizer takes: mean squares, ones where nothing was seen.
    pub(super) fn means(&self) -> Vec<f32> {
        let mut means = Vec::with_capacity(self.squares.len());
        for (matrix, count) in self.squares.chunks(self.columns.max(1)).zip(&self.counts) {
            #[expect(clippy::cast_possible_truncation, reason = "the quantizer takes an f32")]
            means.extend(matrix.iter().map(
                |sum| {
                    if *count > 0.0 { (sum / count) as f32 } else { 1.0 }
                },
            ));
        }
        means
    }
}

/// An importance matrix that grows.
#[derive(Debug, Default)]
pub(super) struct Collector {
    pub(super) weights: BTreeMap<String, Importance>,
    pub(super) chunks: u32,
    output_tensor: bool,
    /// The first thing that went wrong.
    wrong: Option<String>,
    values: usize,
    /// Copies from devices.
    copied: Vec<u8>,
    ids: Vec<u8>,
}

impl Collector {
    /// One that goes on from what is known.
    pub(super) fn from(weights: BTreeMap<String, Importance>, chunks: u32) -> Self {
        let values = weights.values().map(|it| it.squares.len()).sum();
        Self { weights, chunks, values, ..Self::default() }
    }

    fn wants(&self, node: &sys::ggml_tensor) -> bool {
        if node.op == sys::GGML_OP_MUL_MAT_ID {
            return true;
        }
        if node.op != sys::GGML_OP_MUL_MAT || node.src[0].is_null() || node.src[1].is_null() {
            return false;
        }
        // SAFETY: neither is null, and the sources of a node live as long as its graph.
        let (weight, input) = unsafe { (&*node.src[0], &*node.src[1]) };
        let name = weight_name(weight);
        input.type_ == sys::GGML_TYPE_F32
            && input.ne[1] >= ROWS
            && (name.starts_with("blk.") || (self.output_tensor && name == "output.weight"))
    }

    /// The node is computed: its input is looked at.
    fn add(&mut self, node: &sys::ggml_tensor) -> Result<(), String> {
        // SAFETY: `wants` was asked first, and a product with chosen matrices has both, too.
        let (weight, input) = unsafe { (&*node.src[0], &*node.src[1]) };
        let name = weight_name(weight);
        let columns = usize::try_from(input.ne[0]).unwrap_or(0);
        let whole = |extent: i64| usize::try_from(extent).unwrap_or(0);
        let chosen = node.op == sys::GGML_OP_MUL_MAT_ID;
        if input.type_ != sys::GGML_TYPE_F32 {
            return Err(format!("{name} is not multiplied with 32-bit floats"));
        }
        let matrices =
            if chosen { whole(weight.ne[2]) } else { whole(weight.ne[2]) * whole(weight.ne[3]) };
        if weight.ne[0] != input.ne[0] || columns == 0 || matrices == 0 {
            return Err(format!("{name} has another width than its input"));
        }
        let mut copied = std::mem::take(&mut self.copied);
        let mut ids = std::mem::take(&mut self.ids);
        let data = bytes_of(input, &mut copied).ok_or_else(|| format!("no input of {name}"))?;
        let known = self.weights.entry(name.clone()).or_default();
        if known.squares.is_empty() {
            self.values += columns * matrices;
            if self.values > MOST_VALUES {
                return Err("the importance matrix does not fit into memory".into());
            }
            *known = Importance {
                columns,
                squares: vec![0.0; columns * matrices],
                counts: vec![0.0; matrices],
            };
        }
        if known.columns != columns || known.counts.len() != matrices {
            return Err(format!("{name} has another shape than in the matrix that was begun"));
        }
        let mut row_of = |matrix: usize, offset: usize| -> Result<(), String> {
            let row = data.get(offset..offset + columns * 4).ok_or("a row lies outside")?;
            known.counts[matrix] += 1.0;
            let sums = &mut known.squares[matrix * columns..][..columns];
            for (sum, value) in sums.iter_mut().zip(row.chunks_exact(4)) {
                let value = f32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
                if !value.is_finite() {
                    return Err(format!("{name} is multiplied with what is not a finite number"));
                }
                *sum += f64::from(value) * f64::from(value);
            }
            Ok(())
        };
        let at = |i1: usize, i2: usize, i3: usize| {
            i1 * input.nb[1] + i2 * input.nb[2] + i3 * input.nb[3]
        };
        if chosen {
            // SAFETY: a product with chosen matrices has a third source with their numbers.
            let choice = unsafe { node.src[2].as_ref() }.ok_or("no choice of matrices")?;
            let chosen = bytes_of(choice, &mut ids).ok_or("no choice of matrices")?;
            for token in 0..whole(choice.ne[1]) {
                for slot in 0..whole(choice.ne[0]) {
                    let offset = token * choice.nb[1] + slot * choice.nb[0];
                    let id = chosen.get(offset..offset + 4).ok_or("a choice lies outside")?;
                    let id = i32::from_ne_bytes([id[0], id[1], id[2], id[3]]);
                    let matrix = usize::try_from(id).ok().filter(|matrix| *matrix < matrices);
                    let matrix = matrix.ok_or("a matrix is chosen that is not there")?;
                    row_of(matrix, at(slot % whole(input.ne[1]).max(1), token, 0))?;
                }
            }
        } else {
            for i3 in 0..whole(input.ne[3]) {
                for i2 in 0..whole(input.ne[2]) {
                    // A weight with fewer matrices is used for several of the input's.
                    let matrix = (i3 * whole(input.ne[2]) + i2) % matrices;
                    for i1 in 0..whole(input.ne[1]) {
                        row_of(matrix, at(i1, i2, i3))?;
                    }
                }
            }
        }
        self.copied = copied;
        self.ids = ids;
        Ok(())
    }
}

/// `CUDA0#blk.3.ffn_up.weight#0` is a copy that the scheduler made of `blk.3.ffn_up.weight`.
fn weight_name(weight: &sys::ggml_tensor) -> String {
    let name = text(weight.name.as_ptr());
    match name.split('#').nth(1) {
        Some(own) => own.to_owned(),
        None => name,
    }
}

/// A tensor's bytes from its first to its last element, copied where they lie on a device.
fn bytes_of<'a>(tensor: &'a sys::ggml_tensor, copy: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    // SAFETY: only reads shape and strides.
    let length = unsafe { sys::ggml_nbytes(tensor) };
    let buffer = if tensor.view_src.is_null() {
        tensor.buffer
    } else {
        // SAFETY: ggml keeps what a view looks into.
        unsafe { (*tensor.view_src).buffer }
    };
    if buffer.is_null() || tensor.data.is_null() {
        return None;
    }
    // SAFETY: the buffer is one of the graph that is being computed.
    if unsafe { sys::ggml_backend_buffer_is_host(buffer) } {
        // SAFETY: it is memory of this process, as long as the tensor says, and nothing writes to
        // it before this callback returns.
        return Some(unsafe { std::slice::from_raw_parts(tensor.data.cast(), length) });
    }
    copy.resize(length, 0);
    // SAFETY: the target is as long as said.
    unsafe { sys::ggml_backend_tensor_get(tensor, copy.as_mut_ptr().cast(), 0, length) };
    Some(copy)
}

/// What llama.cpp calls.
///
/// # Safety
/// `collector` is a `Mutex<Collector>` that lives, and `tensor` a node of a graph that is computed.
pub(super) unsafe extern "C" fn look(
    tensor: *mut sys::ggml_tensor,
    ask: bool,
    collector: *mut c_void,
) -> bool {
    // SAFETY: the caller's promise; the context that calls this keeps the collector.
    let (collector, node) = unsafe { (&*collector.cast::<Mutex<Collector>>(), &*tensor) };
    // Nothing may unwind into C.
    let seen = catch_unwind(AssertUnwindSafe(|| {
        let mut collector = collector.lock().unwrap_or_else(PoisonError::into_inner);
        if ask {
            return collector.wrong.is_none() && collector.wants(node);
        }
        if collector.wrong.is_none()
            && let Err(wrong) = collector.add(node)
        {
            collector.wrong = Some(wrong);
        }
        true
    }));
    seen.unwrap_or(!ask)
}

/// Reads the chunks of a job under such eyes.
pub(super) fn read(
    context: &mut Context,
    collector: &Arc<Mutex<Collector>>,
    job: &ImportanceJob,
) -> Result<(), Failure> {
    collector.lock().unwrap_or_else(PoisonError::into_inner).output_tensor = job.output_tensor;
    for chunk in &job.chunks {
        context.clear();
        // All of them are asked for, or the last layer would see only those that are.
        let entries: Vec<Entry> = (0..)
            .zip(chunk)
            .map(|(position, token)| Entry { token: *token, position, sequence: 0, answer: true })
            .collect();
        for entries in entries.chunks(context.batch()) {
            context.decode_entries(entries)?;
        }
        context.synchronize()?;
        let mut collector = collector.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wrong) = collector.wrong.take() {
            return Err(Failure::Invalid { reason: wrong });
        }
        collector.chunks += 1;
    }
    Ok(())
}

/// How far it is.
pub(super) fn state(collector: &Collector) -> ImportanceUse {
    let silent = |it: &Importance| it.counts.iter().filter(|count| **count == 0.0).count();
    ImportanceUse {
        chunks: collector.chunks,
        tensors: u32::try_from(collector.weights.len()).unwrap_or(u32::MAX),
        silent_experts: u32::try_from(collector.weights.values().map(silent).sum::<usize>())
            .unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_what_was_seen_and_one_elsewhere() {
        let seen =
            Importance { columns: 2, squares: vec![8.0, 2.0, 0.0, 0.0], counts: vec![4.0, 0.0] };
        assert_eq!(seen.means(), [2.0, 0.5, 1.0, 1.0]);
    }
}
