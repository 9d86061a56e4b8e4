//! What a device reaches through its backend: reading its memory, products of matrices. The same
//! graphs run on the CPU device, where they are tested.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use llama_cpp_sys_2 as sys;

use super::backend::Backend;
use super::{log, text, verdict};
use crate::api::{DeviceRates, Failure, ProcessSetting};

/// Computations of one graph that are timed.
const SAMPLES: usize = 10;
/// One shorter than this is mostly the way to the device; a larger problem follows it.
const LONG_ENOUGH: Duration = Duration::from_millis(4);
/// Products of one graph, so that starting them is not what is timed.
const PRODUCTS: usize = 16;
/// Sides of square matrices that are tried, smallest first.
const SIDES: [i64; 4] = [1024, 2048, 4096, 8192];
/// Bytes of matrices that are multiplied with one vector, smallest first; far above any cache.
const READS: [i64; 3] = [64 << 20, 256 << 20, 1 << 30];
/// Columns of those.
const COLUMNS: i64 = 8192;
/// Every byte of every input: about 1.06 as a 16-bit float and 0.0115 as one of 32.
const FILL: u8 = 0x3c;
/// A product that is farther from the right one than this is wrong.
const TOLERANCE: f64 = 0.02;

/// The rates of every graphics card that a module brought, or of the CPU device.
pub fn device_rates(
    setting: &ProcessSetting,
    processor: bool,
) -> Result<Vec<DeviceRates>, Failure> {
    Backend::start(setting)?;
    let cards = [sys::GGML_BACKEND_DEVICE_TYPE_GPU, sys::GGML_BACKEND_DEVICE_TYPE_IGPU];
    let kinds = if processor { vec![sys::GGML_BACKEND_DEVICE_TYPE_CPU] } else { cards.to_vec() };
    // SAFETY: reads the registry.
    let count = unsafe { sys::ggml_backend_dev_count() };
    let mut all = Vec::new();
    for index in 0..count {
        // SAFETY: the index is below the count, and devices are never unregistered.
        let (device, kind) = unsafe {
            let device = sys::ggml_backend_dev_get(index);
            (device, sys::ggml_backend_dev_type(device))
        };
        if kinds.contains(&kind) {
            all.push(rates(device, processor)?);
        }
    }
    Ok(all)
}

fn rates(device: sys::ggml_backend_dev_t, processor: bool) -> Result<DeviceRates, Failure> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: the device is registered; both numbers live through the call.
    let name = unsafe {
        sys::ggml_backend_dev_memory(device, &raw mut free, &raw mut total);
        text(sys::ggml_backend_dev_name(device))
    };
    let room = i64::try_from(free / 8).unwrap_or(i64::MAX);
    // On the CPU the way is what is tested, not the peak.
    let (reads, sides) =
        if processor { (&READS[..1], &SIDES[..1]) } else { (&READS[..], &SIDES[..]) };
    let reading = reads.iter().filter(|bytes| **bytes <= room).map(|bytes| Problem {
        columns: COLUMNS,
        rows: bytes / 2 / COLUMNS,
        vectors: 1,
        products: PRODUCTS,
    });
    let multiplying = sides
        .iter()
        .filter(|side| **side * **side * 12 <= room)
        .map(|side| Problem { columns: *side, rows: *side, vectors: *side, products: 1 });
    Ok(DeviceRates {
        bytes_per_s: per_second(device, &name, reading, Problem::bytes)?,
        operations_per_s: per_second(device, &name, multiplying, Problem::operations)?,
        device: name,
    })
}

/// Times the first problem that is large enough, or the largest.
fn per_second(
    device: sys::ggml_backend_dev_t,
    name: &str,
    problems: impl Iterator<Item = Problem>,
    amount: fn(&Problem) -> f64,
) -> Result<Vec<f64>, Failure> {
    let mut rates = Vec::new();
    for problem in problems {
        let scene = match Scene::new(device, &problem) {
            Some(scene) => scene,
            // A smaller one has told something.
            None if !rates.is_empty() => break,
            None => return Err(no_memory(name)),
        };
        // The first one compiles and copies; the second one is what later ones are like.
        scene.compute(name)?;
        scene.check(&problem, name)?;
        scene.compute(name)?;
        let times = (0..SAMPLES).map(|_| scene.compute(name)).collect::<Result<Vec<_>, _>>()?;
        let long = times.iter().min().is_some_and(|least| *least >= LONG_ENOUGH);
        rates = times.iter().map(|time| amount(&problem) / time.as_secs_f64()).collect();
        if long {
            break;
        }
    }
    Ok(rates)
}

fn no_memory(name: &str) -> Failure {
    let reason = format!("no memory for test matrices on {name}");
    Failure::OutOfMemory { reason, log: Vec::new() }
}

/// A matrix of 16-bit floats times some vectors, several times.
struct Problem {
    columns: i64,
    rows: i64,
    vectors: i64,
    products: usize,
}

impl Problem {
    /// Bytes of the matrix, read once by each product.
    fn bytes(&self) -> f64 {
        2.0 * self.columns as f64 * self.rows as f64 * self.products as f64
    }

    /// Two for every multiply-add.
    fn operations(&self) -> f64 {
        self.bytes() * self.vectors as f64
    }
}

/// A graph with its memory on one device.
struct Scene {
    backend: NonNull<sys::ggml_backend>,
    context: NonNull<sys::ggml_context>,
    buffer: Option<NonNull<sys::ggml_backend_buffer>>,
    graph: *mut sys::ggml_cgraph,
    product: *mut sys::ggml_tensor,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // SAFETY: each is owned and freed once, the backend last.
        unsafe {
            if let Some(buffer) = self.buffer {
                sys::ggml_backend_buffer_free(buffer.as_ptr());
            }
            sys::ggml_free(self.context.as_ptr());
            sys::ggml_backend_free(self.backend.as_ptr());
        }
    }
}

impl Scene {
    /// `None` where the device has no memory for it.
    fn new(device: sys::ggml_backend_dev_t, problem: &Problem) -> Option<Self> {
        // SAFETY: the device is registered. The context holds the few descriptions made in it;
        // tensors, graph and buffer live as long as the scene, which frees what it has got so far
        // if it cannot get the rest.
        unsafe {
            let backend = NonNull::new(sys::ggml_backend_dev_init(device, ptr::null()))?;
            let params = sys::ggml_init_params {
                mem_size: 1 << 20,
                mem_buffer: ptr::null_mut(),
                no_alloc: true,
            };
            let Some(context) = NonNull::new(sys::ggml_init(params)) else {
                sys::ggml_backend_free(backend.as_ptr());
                return None;
            };
            let c = context.as_ptr();
            let (f16, f32) = (sys::GGML_TYPE_F16, sys::GGML_TYPE_F32);
            let matrix = sys::ggml_new_tensor_2d(c, f16, problem.columns, problem.rows);
            let vectors = sys::ggml_new_tensor_2d(c, f32, problem.columns, problem.vectors);
            let graph = sys::ggml_new_graph(c);
            let mut product = ptr::null_mut();
            for _ in 0..problem.products {
                product = sys::ggml_mul_mat(c, matrix, vectors);
                sys::ggml_build_forward_expand(graph, product);
            }
            let mut scene = Self { backend, context, buffer: None, graph, product };
            let buffer = sys::ggml_backend_alloc_ctx_tensors(c, backend.as_ptr());
            scene.buffer = Some(NonNull::new(buffer)?);
            sys::ggml_backend_buffer_clear(buffer, FILL);
            Some(scene)
        }
    }

    /// Computes all products; how long that took.
    fn compute(&self, name: &str) -> Result<Duration, Failure> {
        let mark = log::mark();
        let began = Instant::now();
        // SAFETY: graph, tensors and backend live as long as the scene.
        let status = unsafe {
            let status = sys::ggml_backend_graph_compute(self.backend.as_ptr(), self.graph);
            sys::ggml_backend_synchronize(self.backend.as_ptr());
            status
        };
        let elapsed = began.elapsed();
        if status == sys::GGML_STATUS_SUCCESS {
            return Ok(elapsed);
        }
        Err(verdict::from_log(&format!("{name} cannot multiply (code {status})"), log::since(mark)))
    }

    /// A device that computes wrongly has no rate.
    fn check(&self, problem: &Problem, name: &str) -> Result<(), Failure> {
        let half = 1.0 + f64::from(0x3c) / 1024.0;
        let single = f64::from(f32::from_bits(u32::from_ne_bytes([FILL; 4])));
        let wanted = problem.columns as f64 * half * single;
        let mut found = [0.0_f32; 2];
        let last = (problem.rows * problem.vectors - 1) * 4;
        for (value, offset) in found.iter_mut().zip([0, last]) {
            let offset = usize::try_from(offset).unwrap_or(0);
            let value = ptr::from_mut(value).cast::<c_void>();
            // SAFETY: the product has rows times vectors floats, and both places are among them.
            unsafe { sys::ggml_backend_tensor_get(self.product, value, offset, 4) };
        }
        let right = |value: &f32| (f64::from(*value) / wanted - 1.0).abs() < TOLERANCE;
        if found.iter().all(right) {
            return Ok(());
        }
        let reason = format!("{name} multiplies wrongly: {found:?} instead of {wanted:.3}");
        Err(Failure::Invalid { reason })
    }
}
