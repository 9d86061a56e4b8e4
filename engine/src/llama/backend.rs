//! The process-wide part of llama.cpp: one CPU variant, the GPU modules, the NUMA strategy. All of
//! it can be chosen once per process and never again.

use std::ffi::{CStr, CString, c_void};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use libloading::Library;
use llama_cpp_sys_2 as sys;

use super::device_modules::{self, ModuleError};
use super::modules::Modules;
use super::{log, rpc, score, surroundings, text, verdict};
use crate::api::{Failure, Identity, Numa, ProcessSetting, Threading};

/// What this process has become.
static STARTED: Mutex<Option<Backend>> = Mutex::new(None);

/// The modules this process runs with.
#[derive(Debug, Clone)]
pub(super) struct Backend {
    /// The process setting as it came about: the variant that was loaded, the niceness got.
    pub(super) setting: ProcessSetting,
    /// As it was asked for.
    asked: ProcessSetting,
    /// Whether any module brought a device that layers can be offloaded to.
    pub(super) offloads: bool,
}

/// The CPU module once more, for what ggml does not offer by name.
static CPU_MODULE: OnceLock<Library> = OnceLock::new();

/// Who answers: versions and thread pool, known without loading any module.
#[must_use]
pub fn identity() -> Identity {
    // SAFETY: both functions return static strings and touch nothing else.
    let (version, ggml_version) = unsafe { (sys::llama_version(), sys::ggml_version()) };
    Identity {
        name: "llama.cpp".into(),
        version: text(version),
        ggml_version: text(ggml_version),
        binding_version: "0.1.161".into(),
        threading: if cfg!(feature = "openmp") { Threading::OpenMp } else { Threading::Ggml },
        synthetic: false,
    }
}

impl Backend {
    /// Makes this process one with this setting. Without a variant the best score is taken.
    pub(super) fn start(setting: &ProcessSetting) -> Result<Self, Failure> {
        Self::start_with(setting, |modules| {
            load_devices(modules)?;
            rpc::register(modules, &setting.rpc)
        })
    }

    /// The same with no device but the CPU, for what concerns nothing else: a driver that breaks
    /// is no fault of a CPU variant.
    pub(super) fn start_without_devices(setting: &ProcessSetting) -> Result<Self, Failure> {
        Self::start_with(setting, |_| Ok(()))
    }

    fn start_with(
        setting: &ProcessSetting,
        add_devices: impl FnOnce(&Modules) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(backend) = started.as_ref() {
            return backend.fits(setting).map(|()| backend.clone());
        }
        log::capture();
        surroundings::enter(setting)?;
        let modules = Modules::find()?;
        let variant = match &setting.isa_variant {
            Some(variant) => variant.clone(),
            None => score::scores(&modules)
                .into_iter()
                .find_map(|(name, score)| (score > 0).then_some(name))
                .ok_or_else(|| Failure::refused("no CPU variant supports this processor"))?,
        };
        let file = modules.variant(&variant).ok_or_else(|| unknown_variant(&variant, &modules))?;
        let mark = log::mark();
        if load(&file).is_none() {
            let what = format!("the CPU variant {variant} cannot be loaded");
            return Err(verdict::from_log(&what, log::since(mark)));
        }
        // SAFETY: the module is loaded already, so this only counts it once more.
        if let Ok(library) = unsafe { Library::new(&file) } {
            let _ = CPU_MODULE.set(library);
        }
        add_devices(&modules)?;
        let offloads = has_gpu();
        // SAFETY: the registry holds a CPU backend, which both calls need; this is the only place
        // that calls them, once per process, since `STARTED` is locked and empty.
        unsafe {
            sys::llama_backend_init();
            sys::llama_numa_init(numa(setting.numa));
        }
        let asked = setting.clone();
        let nice = surroundings::nice().unwrap_or(asked.nice);
        let setting = ProcessSetting { isa_variant: Some(variant), nice, ..asked.clone() };
        Ok(started.insert(Self { setting, asked, offloads }).clone())
    }

    /// The setting as it was asked for.
    pub(super) fn asked(&self) -> ProcessSetting {
        self.asked.clone()
    }

    fn fits(&self, asked: &ProcessSetting) -> Result<(), Failure> {
        let variant = asked.isa_variant.is_none() || asked.isa_variant == self.setting.isa_variant;
        let own = ProcessSetting { isa_variant: asked.isa_variant.clone(), ..self.asked.clone() };
        if variant && *asked == own {
            return Ok(());
        }
        Err(Failure::refused("another process setting needs a new process"))
    }
}

fn unknown_variant(variant: &str, modules: &Modules) -> Failure {
    let known: Vec<&str> = modules.variants().collect();
    Failure::refused(format!("there is no CPU variant `{variant}`, only {}", known.join(", ")))
}

/// Loads the modules for GPUs. One without its driver is an ordinary sight, and the log names it;
/// a wrong one is an error where the user has named its folder.
fn load_devices(modules: &Modules) -> Result<(), Failure> {
    for module in device_modules::find(modules.folder())? {
        match device_modules::check(&module.file) {
            Ok(()) => drop(load(&module.file)),
            Err(error @ ModuleError::Unloadable { .. }) => log::note(&format!("note: {error}")),
            Err(error) if module.named => return Err(error.into()),
            Err(error) => log::note(&format!("note: {error}")),
        }
    }
    Ok(())
}

pub(super) fn load(file: &Path) -> Option<sys::ggml_backend_reg_t> {
    let path = CString::new(file.as_os_str().as_encoded_bytes()).ok()?;
    // SAFETY: the path is a C string that outlives the call. The module comes from the build of
    // the same sources, so its layout of structures is ours.
    let registry = unsafe { sys::ggml_backend_load(path.as_ptr()) };
    (!registry.is_null()).then_some(registry)
}

/// Whether layers can be offloaded to a device.
pub(super) fn is_gpu(device: sys::ggml_backend_dev_t) -> bool {
    // SAFETY: devices live as long as the process; reads a number.
    let kind = unsafe { sys::ggml_backend_dev_type(device) };
    [sys::GGML_BACKEND_DEVICE_TYPE_GPU, sys::GGML_BACKEND_DEVICE_TYPE_IGPU].contains(&kind)
}

fn has_gpu() -> bool {
    [sys::GGML_BACKEND_DEVICE_TYPE_GPU, sys::GGML_BACKEND_DEVICE_TYPE_IGPU]
        .into_iter()
        // SAFETY: reads the registry; a null pointer says that there is none.
        .any(|kind| !unsafe { sys::ggml_backend_dev_by_type(kind) }.is_null())
}

/// The CPU device, null before [`Backend::start`].
pub(super) fn cpu_device() -> sys::ggml_backend_dev_t {
    // SAFETY: reads the registry.
    unsafe { sys::ggml_backend_dev_by_type(sys::GGML_BACKEND_DEVICE_TYPE_CPU) }
}

/// A function of the CPU module. They cannot be linked, because there are many such modules.
pub(super) fn cpu_function(name: &CStr) -> Option<*mut c_void> {
    let device = cpu_device();
    if device.is_null() {
        return None;
    }
    // SAFETY: the device is registered, and so is the registry it belongs to; the name is a C
    // string that outlives the call.
    let function = unsafe {
        sys::ggml_backend_reg_get_proc_address(
            sys::ggml_backend_dev_backend_reg(device),
            name.as_ptr(),
        )
    };
    (!function.is_null()).then_some(function)
}

/// A function that the CPU module exports without offering it by name.
pub(super) fn cpu_symbol(name: &CStr) -> Option<*mut c_void> {
    let library = CPU_MODULE.get()?;
    // SAFETY: only the address is taken; who calls it says what type it has.
    let symbol = unsafe { library.get::<*mut c_void>(name.to_bytes_with_nul()) }.ok()?;
    Some(*symbol).filter(|function| !function.is_null())
}

fn numa(numa: Numa) -> sys::ggml_numa_strategy {
    match numa {
        Numa::Disabled => sys::GGML_NUMA_STRATEGY_DISABLED,
        Numa::Distribute => sys::GGML_NUMA_STRATEGY_DISTRIBUTE,
        Numa::Isolate => sys::GGML_NUMA_STRATEGY_ISOLATE,
        Numa::Numactl => sys::GGML_NUMA_STRATEGY_NUMACTL,
    }
}
