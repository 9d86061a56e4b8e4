//! ggml's thread pools. Always attached, because without one ggml makes and joins its threads for
//! every single computation.

use std::ffi::c_void;
use std::mem::transmute;
use std::ptr::{self, NonNull};

use llama_cpp_sys_2 as sys;

use super::backend;
use crate::api::{CpuMask, Failure, Priority, ThreadSetting, Toggle};

type New = unsafe extern "C" fn(*mut sys::ggml_threadpool_params) -> sys::ggml_threadpool_t;
type Free = unsafe extern "C" fn(sys::ggml_threadpool_t);

/// One pool, freed when dropped.
///
/// Making or waking one binds the calling thread to its mask and priority for ever, as its first
/// worker. So jobs run on threads of their own, which end with them.
#[derive(Debug)]
struct Pool {
    pointer: NonNull<sys::ggml_threadpool>,
    free: Free,
    pause: Option<Free>,
    threads: i32,
}

// SAFETY: ggml guards a pool by its own lock; only a computation cares which thread it is on, and
// waking a paused pool binds that thread anew.
unsafe impl Send for Pool {}

// SAFETY: what a shared one offers are numbers, its address, and pausing, which takes ggml's lock.
unsafe impl Sync for Pool {}

impl Pool {
    fn new(setting: &ThreadSetting, threads: u32, paused: bool) -> Result<Self, Failure> {
        let missing = || Failure::refused("the CPU module has no thread pool");
        let new = backend::cpu_function(c"ggml_threadpool_new").ok_or_else(missing)?;
        let free = backend::cpu_function(c"ggml_threadpool_free").ok_or_else(missing)?;
        // SAFETY: these are the functions' types in `ggml-cpu.h` of the same version.
        let (new, free): (New, Free) =
            unsafe { (transmute::<*mut c_void, New>(new), transmute::<*mut c_void, Free>(free)) };
        let pause = backend::cpu_symbol(c"ggml_threadpool_pause");
        // SAFETY: as above; this one is not offered by name, but every module exports it.
        let pause = pause.map(|pause| unsafe { transmute::<*mut c_void, Free>(pause) });
        let threads = i32::try_from(threads).expect("thread counts are checked before");
        // SAFETY: returns a plain structure.
        let mut params = unsafe { sys::ggml_threadpool_params_default(threads) };
        for cpu in setting.cpu_mask.iter().flat_map(CpuMask::cpus) {
            params.cpumask[usize::from(cpu)] = true;
        }
        params.strict_cpu = setting.strict == Toggle::On;
        params.poll = u32::from(setting.poll);
        params.prio = priority(setting.priority);
        params.paused = paused;
        // SAFETY: the parameters outlive the call, which copies them.
        let pointer = unsafe { new(&raw mut params) };
        let pointer = NonNull::new(pointer)
            .ok_or_else(|| Failure::refused(format!("no pool of {threads} threads")))?;
        Ok(Self { pointer, free, pause, threads })
    }

    fn pause(&self) {
        if let Some(pause) = self.pause {
            // SAFETY: the pool is alive, and pausing a paused one does nothing.
            unsafe { pause(self.pointer.as_ptr()) }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once by the function that belongs to the one that made it; no
        // context computes with it any more.
        unsafe { (self.free)(self.pointer.as_ptr()) }
    }
}

/// The threads of both phases: one pool where the counts are equal, else two, of which llama.cpp
/// pauses the one it does not use. So has llama-server.
#[derive(Debug)]
pub(super) struct Pools {
    decode: Pool,
    batch: Option<Pool>,
}

impl Pools {
    /// Call it on the thread that will decode.
    pub(super) fn new(setting: &ThreadSetting) -> Result<Self, Failure> {
        if setting.threads == setting.threads_batch {
            return Ok(Self { decode: Pool::new(setting, setting.threads, false)?, batch: None });
        }
        let batch = Pool::new(setting, setting.threads_batch, false)?;
        let decode = Pool::new(setting, setting.threads, true)?;
        Ok(Self { decode, batch: Some(batch) })
    }

    pub(super) fn threads(&self) -> i32 {
        self.decode.threads
    }

    pub(super) fn threads_batch(&self) -> i32 {
        self.batch.as_ref().map_or(self.decode.threads, |pool| pool.threads)
    }

    pub(super) fn decode(&self) -> sys::ggml_threadpool_t {
        self.decode.pointer.as_ptr()
    }

    /// Sends the threads to sleep: left alone, they would spin into whatever is measured next. The
    /// next computation wakes them.
    pub(super) fn pause(&self) {
        self.decode.pause();
        if let Some(batch) = &self.batch {
            batch.pause();
        }
    }

    /// Null where the other one serves both.
    pub(super) fn batch(&self) -> sys::ggml_threadpool_t {
        self.batch.as_ref().map_or(ptr::null_mut(), |pool| pool.pointer.as_ptr())
    }
}

fn priority(priority: Priority) -> sys::ggml_sched_priority {
    match priority {
        Priority::Low => sys::GGML_SCHED_PRIO_LOW,
        Priority::Normal => sys::GGML_SCHED_PRIO_NORMAL,
        Priority::Medium => sys::GGML_SCHED_PRIO_MEDIUM,
        Priority::High => sys::GGML_SCHED_PRIO_HIGH,
        Priority::Realtime => sys::GGML_SCHED_PRIO_REALTIME,
    }
}
