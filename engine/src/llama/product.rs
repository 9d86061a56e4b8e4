//! A small matrix product on the CPU backend: tensors, their memory, one computation. What is in
//! them and whether the result is right is left to [`super::self_test`].

use std::ffi::c_void;
use std::mem::transmute;
use std::ptr::{self, NonNull};

use llama_cpp_sys_2 as sys;
use thiserror::Error;

use super::backend::{cpu_device, cpu_function};

/// Elements of a row: a multiple of every block size.
pub(super) const COLUMNS: usize = 512;
/// Rows of weights: a multiple of every interleaving, AMX's 32 included.
pub(super) const ROWS: usize = 64;
/// Matrices that a mixture of experts chooses from.
pub(super) const EXPERTS: usize = 2;
/// Threads that multiply: more than one, so that work is divided too.
const THREADS: i32 = 2;

/// ggml returned null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("memory for a test matrix could not be had")]
pub(super) struct NoMemory;

/// Which kind of product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One matrix for all rows.
    Plain,
    /// Each row chooses its matrix: a mixture of experts.
    Experts,
}

impl Shape {
    pub(super) fn matrices(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Experts => EXPERTS,
        }
    }

    /// The matrix that a row is multiplied with.
    pub(super) fn expert(self, row: usize) -> usize {
        row % self.matrices()
    }
}

/// Plain memory, and every rearranged form that the variant has (repacked, AMX tiles).
pub(super) fn buffer_types() -> Vec<sys::ggml_backend_buffer_type_t> {
    type Extra =
        unsafe extern "C" fn(sys::ggml_backend_dev_t) -> *mut sys::ggml_backend_buffer_type_t;
    // SAFETY: the device is registered once a variant has started, which callers see to.
    let mut types = vec![unsafe { sys::ggml_backend_dev_buffer_type(cpu_device()) }];
    if let Some(function) = cpu_function(c"ggml_backend_dev_get_extra_bufts") {
        // SAFETY: this is the function's type in `ggml-backend.h`; it returns a list that ends
        // with null and lives as long as the module.
        unsafe {
            let function: Extra = transmute::<*mut c_void, Extra>(function);
            let mut entry = function(cpu_device());
            while !entry.is_null() && !(*entry).is_null() {
                types.push(*entry);
                entry = entry.add(1);
            }
        }
    }
    types
}

pub(super) fn length(count: usize) -> i64 {
    i64::try_from(count).expect("test matrices are small")
}

/// A product on paper: tensors without memory yet, and what must be freed in the end.
pub(super) struct Scene {
    buffers: Vec<NonNull<sys::ggml_backend_buffer>>,
    context: NonNull<sys::ggml_context>,
    pub(super) matrix: *mut sys::ggml_tensor,
    pub(super) input: *mut sys::ggml_tensor,
    pub(super) choice: Option<*mut sys::ggml_tensor>,
    pub(super) product: *mut sys::ggml_tensor,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // SAFETY: each is owned and freed once, and the tensors are not used any more.
        unsafe {
            for buffer in self.buffers.drain(..) {
                sys::ggml_backend_buffer_free(buffer.as_ptr());
            }
            sys::ggml_free(self.context.as_ptr());
        }
    }
}

impl Scene {
    pub(super) fn new(kind: sys::ggml_type, shape: Shape, rows: usize) -> Result<Self, NoMemory> {
        let (columns, rows) = (length(COLUMNS), length(rows));
        let (height, matrices) = (length(ROWS), length(shape.matrices()));
        // SAFETY: a context of a mebibyte holds the few descriptions made in it, and lives as
        // long as the scene; the shapes are those that the two kinds of product ask for.
        unsafe {
            let params = sys::ggml_init_params {
                mem_size: 1 << 20,
                mem_buffer: ptr::null_mut(),
                no_alloc: true,
            };
            let context = NonNull::new(sys::ggml_init(params)).ok_or(NoMemory)?;
            let c = context.as_ptr();
            let matrix = sys::ggml_new_tensor_3d(c, kind, columns, height, matrices);
            let (input, choice, product) = match shape {
                Shape::Plain => {
                    let input = sys::ggml_new_tensor_2d(c, sys::GGML_TYPE_F32, columns, rows);
                    (input, None, sys::ggml_mul_mat(c, matrix, input))
                }
                Shape::Experts => {
                    let input = sys::ggml_new_tensor_3d(c, sys::GGML_TYPE_F32, columns, 1, rows);
                    let choice = sys::ggml_new_tensor_2d(c, sys::GGML_TYPE_I32, 1, rows);
                    (input, Some(choice), sys::ggml_mul_mat_id(c, matrix, input, choice))
                }
            };
            Ok(Self { buffers: Vec::new(), context, matrix, input, choice, product })
        }
    }

    /// Whether the CPU multiplies with weights in such a buffer, asked as llama.cpp asks it: with
    /// an empty buffer of that type in place.
    pub(super) fn supports(
        &mut self,
        buffer_type: sys::ggml_backend_buffer_type_t,
    ) -> Result<bool, NoMemory> {
        let empty = self.buffer(buffer_type, 0)?;
        // SAFETY: the tensors live as long as the scene, and so does the buffer.
        unsafe {
            (*self.matrix).buffer = empty;
            let supported = sys::ggml_backend_dev_supports_op(cpu_device(), self.product);
            (*self.matrix).buffer = ptr::null_mut();
            Ok(supported)
        }
    }

    fn buffer(
        &mut self,
        buffer_type: sys::ggml_backend_buffer_type_t,
        size: usize,
    ) -> Result<sys::ggml_backend_buffer_t, NoMemory> {
        // SAFETY: buffer types live as long as their module; null says that there is no memory.
        let buffer = unsafe { sys::ggml_backend_buft_alloc_buffer(buffer_type, size) };
        let buffer = NonNull::new(buffer).ok_or(NoMemory)?;
        self.buffers.push(buffer);
        Ok(buffer.as_ptr())
    }

    /// Gives a tensor memory of that type and, if there are any, these bytes.
    pub(super) fn fill(
        &mut self,
        tensor: *mut sys::ggml_tensor,
        buffer_type: sys::ggml_backend_buffer_type_t,
        bytes: &[u8],
    ) -> Result<(), NoMemory> {
        // SAFETY: the tensor is one of the scene's; the size is what the type asks for it.
        let size = unsafe { sys::ggml_backend_buft_get_alloc_size(buffer_type, tensor) };
        let buffer = self.buffer(buffer_type, size)?;
        // SAFETY: as above; the tensor has no other buffer, and the bytes are at most its own.
        unsafe {
            let base = sys::ggml_backend_buffer_get_base(buffer);
            if sys::ggml_backend_tensor_alloc(buffer, tensor, base) != sys::GGML_STATUS_SUCCESS {
                return Err(NoMemory);
            }
            assert!(bytes.len() <= sys::ggml_nbytes(tensor), "bytes are made for the tensor");
            if !bytes.is_empty() {
                sys::ggml_backend_tensor_set(tensor, bytes.as_ptr().cast(), 0, bytes.len());
            }
        }
        Ok(())
    }

    /// Computes the product; the status if that is not success.
    pub(super) fn compute(&mut self, values: usize) -> Result<Vec<f32>, sys::ggml_status> {
        let mut result = vec![0.0_f32; values];
        // SAFETY: all tensors have memory; the graph lives in the context; the backend is freed
        // after its only use; the result is as long as the product.
        unsafe {
            assert_eq!(sys::ggml_nbytes(self.product), size_of_val(result.as_slice()));
            let graph = sys::ggml_new_graph(self.context.as_ptr());
            sys::ggml_build_forward_expand(graph, self.product);
            let backend = sys::ggml_backend_dev_init(cpu_device(), ptr::null());
            if backend.is_null() {
                return Err(sys::GGML_STATUS_ALLOC_FAILED);
            }
            set_threads(backend);
            let status = sys::ggml_backend_graph_compute(backend, graph);
            sys::ggml_backend_free(backend);
            if status != sys::GGML_STATUS_SUCCESS {
                return Err(status);
            }
            let size = size_of_val(result.as_slice());
            sys::ggml_backend_tensor_get(self.product, result.as_mut_ptr().cast(), 0, size);
        }
        Ok(result)
    }
}

/// # Safety
/// The backend is the CPU's and alive.
unsafe fn set_threads(backend: sys::ggml_backend_t) {
    type SetThreads = unsafe extern "C" fn(sys::ggml_backend_t, i32);
    if let Some(function) = cpu_function(c"ggml_backend_set_n_threads") {
        // SAFETY: this is the function's type in `ggml-backend.h`; the backend is as promised.
        unsafe { transmute::<*mut c_void, SetThreads>(function)(backend, THREADS) }
    }
}
