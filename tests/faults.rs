//! Every way in which a worker can fail, one deliberate fault each: what becomes of it is told
//! apart from the others, carries its evidence, and the next job is measured as if nothing had
//! been.
//!
//! This program is its own worker: started with a fault in the environment it serves as the real
//! one does, and does harm at a stage of the job. So no fault is ever part of `autotune` itself.

#[path = "engine/model.rs"]
mod model;

use std::fs;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use autotune_engine::api::{
    ContextSetting, Engine, Failure, GpuLayers, Job, LoadMode, LoadSetting, ProcessSetting,
    Setting, ThreadSetting, Toggle, Work,
};
use autotune_engine::llama::{Stage, observe};
use autotune_engine::worker::{WorkerEngine, WorkerOptions, serve};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

/// Which fault a worker has; without it this program is the tests.
const FAULT: &str = "AUTOTUNE_TEST_FAULT";
/// A file whose presence says that the fault has happened: it happens once.
const DONE: &str = "AUTOTUNE_TEST_FAULT_DONE";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a job may take that hangs.
const DEADLINE: Duration = Duration::from_secs(4);
/// Memory that a worker may still take once memory has ended.
const LEFT: u64 = 16 << 20;

fn main() -> ExitCode {
    if let Ok(fault) = std::env::var(FAULT) {
        return worker(&fault);
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> =
        FAULTS.iter().map(|fault| Trial::test(fault.name, move || table_row(fault))).collect();
    trials.push(Trial::test("the_program_itself_has_no_faults", the_program_has_no_faults));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The kinds of `outcome.kind` that a fault can become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Refused,
    OutOfMemory,
    Crashed,
    TimedOut,
    Invalid,
}

/// One row of the table in `docs/METHODOLOGY.md`.
struct Fault {
    name: &'static str,
    kind: Kind,
    /// The signal that must be told.
    signal: Option<Signal>,
    /// Words that its reason must have.
    says: &'static str,
    /// How the job differs from one that runs.
    job: fn(&mut Job, &Path),
}

const fn fault(name: &'static str, kind: Kind, says: &'static str) -> Fault {
    Fault { name, kind, signal: None, says, job: |_, _| {} }
}

const fn signal(name: &'static str, signal: Signal, says: &'static str) -> Fault {
    Fault { signal: Some(signal), ..fault(name, Kind::Crashed, says) }
}

const FAULTS: [Fault; 19] = [
    Fault {
        job: |job, folder| {
            job.model = folder.join("large.gguf");
            job.setting.load.load_mode = LoadMode::None;
        },
        ..fault("memory_at_load", Kind::OutOfMemory, "allocat")
    },
    Fault {
        job: |job, _| job.setting.context.context = 1 << 18,
        ..fault("memory_at_context", Kind::OutOfMemory, "allocat")
    },
    fault("memory_in_compute_cuda", Kind::OutOfMemory, "CUDA error: out of memory"),
    fault("memory_in_compute_vulkan", Kind::OutOfMemory, "OutOfDeviceMemory"),
    signal("assertion", Signal::ABORT, "SIGABRT: ggml.c:1: GGML_ASSERT(a == b) failed"),
    signal("cuda_error", Signal::ABORT, "SIGABRT: ggml-cuda.cu:1: CUDA error"),
    signal("exception", Signal::ABORT, "SIGABRT"),
    signal("illegal_instruction", Signal::ILL, "SIGILL"),
    signal("segmentation_fault", Signal::SEGV, "SIGSEGV"),
    signal("killed_from_outside", Signal::KILL, "SIGKILL from outside"),
    fault("hang_at_load", Kind::TimedOut, "no answer within 4000 ms"),
    fault("hang_at_context", Kind::TimedOut, "no answer within 4000 ms"),
    fault("hang_in_compute", Kind::TimedOut, "no answer within 4000 ms"),
    fault("garbage", Kind::Crashed, "does not keep to the protocol"),
    fault("half_a_line", Kind::Crashed, "code 0"),
    fault("end_without_an_answer", Kind::Crashed, "code 0"),
    fault("exit_code", Kind::Crashed, "code 7"),
    Fault {
        job: |job, folder| job.model = folder.join("cut.gguf"),
        ..fault("cut_file", Kind::Refused, "cut.gguf")
    },
    Fault {
        job: |job, folder| job.model = folder.join("poisoned.gguf"),
        ..fault("not_a_number", Kind::Invalid, "NaN")
    },
];

/// Runs a job into the fault, then one that is sound.
fn table_row(fault: &Fault) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let sound = folder.path().join("tiny.gguf");
    model::write(&sound, false);
    match fault.name {
        "memory_at_load" => model::write_with(&folder.path().join("large.gguf"), false, 200_000),
        "cut_file" => {
            let whole = fs::read(&sound)?;
            fs::write(folder.path().join("cut.gguf"), &whole[..whole.len() / 2])?;
        }
        "not_a_number" => model::write(&folder.path().join("poisoned.gguf"), true),
        _ => {}
    }
    let mut engine = engine(fault.name, &folder.path().join("done"));
    let mut job = job(&sound);
    job.setting.process.isa_variant = Some(usable_variant(&sound));
    let next = job.clone();
    (fault.job)(&mut job, folder.path());
    let deadline = if fault.kind == Kind::TimedOut { DEADLINE } else { PATIENCE };
    let failure = engine.run(&job, deadline).err().ok_or("the job was measured")?;
    check(fault, &failure)?;
    let run = engine.run(&next, PATIENCE).map_err(|failure| format!("the next job: {failure}"))?;
    if run.samples.len() == next.work.repetitions as usize {
        Ok(())
    } else {
        Err("the next job has other samples than asked for".into())
    }
}

fn check(fault: &Fault, failure: &Failure) -> Result<(), Failed> {
    let (kind, signal, log) = match failure {
        Failure::Refused { log, .. } => (Kind::Refused, None, Some(log)),
        Failure::OutOfMemory { log, .. } => (Kind::OutOfMemory, None, Some(log)),
        Failure::Crashed { signal, log, .. } => (Kind::Crashed, *signal, Some(log)),
        Failure::TimedOut { log, .. } => (Kind::TimedOut, None, Some(log)),
        Failure::Invalid { .. } => (Kind::Invalid, None, None),
    };
    if kind != fault.kind || signal != fault.signal.map(Signal::as_raw) {
        return Err(format!("became {failure:?}").into());
    }
    if !failure.to_string().contains(fault.says) {
        return Err(format!("does not say `{}`: {failure}", fault.says).into());
    }
    // Before a stage of the job there is nothing to log; after it, the last lines are evidence.
    let speechless = ["garbage", "half_a_line", "end_without_an_answer", "exit_code"];
    if log.is_some_and(Vec::is_empty) && !speechless.contains(&fault.name) {
        return Err("has no log".into());
    }
    Ok(())
}

/// The real program with a fault asked for: it runs the job.
fn the_program_has_no_faults() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let model = folder.path().join("tiny.gguf");
    model::write(&model, false);
    let program = Path::new(env!("CARGO_BIN_EXE_autotune"));
    let environment = vec![(FAULT.into(), "segmentation_fault".into())];
    let mut engine = WorkerEngine::new(program, WorkerOptions { resident: 1, environment });
    engine.run(&job(&model), PATIENCE).map_err(|failure| failure.to_string())?;
    let bytes = fs::read(program)?;
    if bytes.windows(FAULT.len()).any(|window| window == FAULT.as_bytes()) {
        return Err("the program knows the name of the fault's variable".into());
    }
    Ok(())
}

/// An engine whose workers are this program, the first of them with a fault.
fn engine(fault: &str, done: &Path) -> WorkerEngine {
    let program = std::env::current_exe().expect("a program knows its path");
    let environment = vec![(FAULT.into(), fault.into()), (DONE.into(), done.into())];
    WorkerEngine::new(&program, WorkerOptions { resident: 1, environment })
}

/// A variant that runs here, found by sound workers.
fn usable_variant(model: &Path) -> String {
    static VARIANT: OnceLock<String> = OnceLock::new();
    let find = || {
        let program = Path::new(env!("CARGO_BIN_EXE_autotune"));
        let mut engine = WorkerEngine::new(program, WorkerOptions::default());
        engine.best_variant(model).expect("some variant runs here")
    };
    VARIANT.get_or_init(find).clone()
}

fn job(model: &Path) -> Job {
    Job {
        model: model.to_owned(),
        setting: Setting {
            process: ProcessSetting::default(),
            load: LoadSetting {
                gpu_layers: GpuLayers::Count(0),
                repack: Toggle::On,
                ..LoadSetting::default()
            },
            context: ContextSetting {
                context: 512,
                batch: 64,
                ubatch: 32,
                ..ContextSetting::default()
            },
            threads: ThreadSetting::of(1),
        },
        work: Work {
            prompt_tokens: 20,
            generate_tokens: 2,
            depth: 0,
            repetitions: 2,
            warmup: true,
            delay_ms: 0,
            seed: 1,
            parallel: 1,
        },
    }
}

/// The life of a faulty worker: as the real one, but for one fault.
fn worker(fault: &str) -> ExitCode {
    if let Some(code) = speaks(fault) {
        return code;
    }
    observe(|stage| {
        let fault = std::env::var(FAULT).unwrap_or_default();
        strike(&fault, stage);
    });
    serve()
}

/// Faults of the protocol: they need no engine.
fn speaks(fault: &str) -> Option<ExitCode> {
    let (text, code) = match fault {
        "garbage" => ("Segmentation fault? No: hello.\n", 0),
        "half_a_line" => ("{\"id\":1,\"answer\":{\"Ok\":", 0),
        "end_without_an_answer" => ("", 0),
        "exit_code" => ("", 7),
        _ => return None,
    };
    if !once() {
        return None;
    }
    let mut question = String::new();
    let _ = std::io::stdin().lock().read_line(&mut question);
    let _ = std::io::stdout().write_all(text.as_bytes());
    Some(ExitCode::from(code))
}

/// Faults inside of a job.
fn strike(fault: &str, stage: Stage) {
    let at = match fault {
        "memory_at_load" | "hang_at_load" => Stage::Load,
        "memory_at_context" | "hang_at_context" => Stage::Context,
        _ => Stage::Compute,
    };
    if stage == at && !once() {
        // The same worker goes on where llama.cpp came back with an answer.
        limit_memory(None);
    } else if stage == at {
        harm(fault);
    }
}

fn harm(fault: &str) {
    match fault {
        "memory_at_load" | "memory_at_context" => end_of_memory(),
        "hang_at_load" | "hang_at_context" | "hang_in_compute" => hang(),
        "illegal_instruction" => die(Signal::ILL, &[]),
        "segmentation_fault" => die(Signal::SEGV, &[]),
        "killed_from_outside" => die(Signal::KILL, &[]),
        // The last words are those of the libraries, as far as they are always the same.
        "assertion" => {
            die(Signal::ABORT, &["engine aborts: ggml.c:1: GGML_ASSERT(a == b) failed"]);
        }
        "cuda_error" => die(
            Signal::ABORT,
            &[
                "CUDA error: an illegal memory access was encountered",
                "  current device: 0, in function launch at ggml-cuda.cu:1",
                "  cudaGetLastError()",
                "engine aborts: ggml-cuda.cu:1: CUDA error",
            ],
        ),
        "memory_in_compute_cuda" => die(
            Signal::ABORT,
            &[
                "CUDA error: out of memory",
                "  current device: 0, in function alloc at ggml-cuda.cu:1",
                "  cuMemCreate(&handle, reserve_size, &prop, 0)",
                "engine aborts: ggml-cuda.cu:1: CUDA error",
            ],
        ),
        "memory_in_compute_vulkan" => die(
            Signal::ABORT,
            &[
                "terminate called after throwing an instance of 'vk::OutOfDeviceMemoryError'",
                "  what():  vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
            ],
        ),
        "exception" => die(
            Signal::ABORT,
            &[
                "terminate called after throwing an instance of 'std::runtime_error'",
                "  what():  nothing of importance",
            ],
        ),
        _ => {}
    }
}

/// Whether this is the first time, in whatever process.
fn once() -> bool {
    let done = PathBuf::from(std::env::var_os(DONE).unwrap_or_default());
    fs::File::create_new(done).is_ok()
}

fn die(signal: Signal, words: &[&str]) {
    for line in words {
        eprintln!("{line}");
    }
    // Rust's own handler of SIGSEGV lets the first one pass, for the instruction to fault again.
    loop {
        let _ = kill_process(getpid(), signal);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn hang() {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// From here on this process gets little more memory: llama.cpp's own allocations fail.
fn end_of_memory() {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0);
    limit_memory(Some(pages * rustix::param::page_size() as u64 + LEFT));
}

fn limit_memory(most: Option<u64>) {
    setrlimit(Resource::As, Rlimit { current: most, maximum: None }).expect("limits can be set");
}
