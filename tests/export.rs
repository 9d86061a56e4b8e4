//! `autotune export` as its user meets it; and llama.cpp's own programs as its readers.
//!
//! The second part needs them: `AUTOTUNE_LLAMA_TOOLS=FOLDER`, where llama-server, llama-cli and
//! llama-bench lie. Without, those tests say what they skipped.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use autotune::cli::simulated;
use autotune::export::{Document, TARGETS};
use autotune::knob;
use autotune::plan::{self, Limits, Wish};
use autotune::store::RunDirectory;
use autotune_engine::api::{
    ContextSetting, CpuMask, Devices, Engine, FlashAttention, KvType, LoadMode, MemoryPolicy, Numa,
    Priority, Setting, SplitMode, Toggle,
};
use autotune_engine::sim::{Simulator, World};

use support::{Printed, autotune, run, tiny_model};

/// How long a program of llama.cpp may take to be ready: far longer than it does.
const PATIENCE: Duration = Duration::from_secs(300);

/// A run of a simulated machine that has just begun, with this baseline.
fn run_directory(folder: &Path, model: &Path, change: impl FnOnce(&mut Setting)) -> PathBuf {
    let world = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worlds/quiet-8c.toml"));
    let world = World::read(world).unwrap();
    let machine = simulated::machine(&world);
    let mut engine = Simulator::new(world.clone());
    let mut card = simulated::model(&world, "simulated.gguf");
    card.path = model.to_path_buf();
    let mut plan = plan::plan(Wish {
        model: &card,
        here: simulated::here(&machine),
        workload: plan::built_in().remove(0),
        engine: engine.identity().unwrap(),
        variants: engine.variants(&[]).unwrap(),
        knobs: knob::usual(),
        terrain: simulated::terrain(&machine),
        fixed: Vec::new(),
        levels: Vec::new(),
        calibration: None,
        limits: Limits::of(None, None),
        prior: None,
        seed: 3,
        created_at: "2026-01-01T00:00:00Z".into(),
        command: "autotune sweep".into(),
    });
    // As few tokens as show that the programs take them.
    (plan.workload.prompt_tokens, plan.workload.generate_tokens) = (8, 2);
    plan.baseline.context.context = 512;
    plan.baseline.threads.threads = 2;
    plan.baseline.threads.threads_batch = 2;
    change(&mut plan.baseline);
    let run = folder.join("run");
    drop(RunDirectory::create(&run, &machine, &plan).unwrap());
    run
}

fn export(folder: &Path, run_directory: &Path, arguments: &[&str]) -> Printed {
    run(autotune(folder).arg("export").arg(run_directory).args(arguments))
}

/// Every knob that needs no device, no privilege and no other program, off its default.
fn everything(setting: &mut Setting) {
    let process = &mut setting.process;
    process.numa = Numa::Distribute;
    process.huge_pages = autotune_engine::api::HugePages::On;
    process.malloc_arenas = 2;
    process.tiled_products = Toggle::Off;
    process.graph_reuse = Toggle::Off;
    process.nice = 1;
    if Command::new("numactl").arg("--show").output().is_ok_and(|it| it.status.success()) {
        process.memory_policy = MemoryPolicy::Interleave;
    }
    let load = &mut setting.load;
    load.load_mode = LoadMode::Mmap;
    load.repack = Toggle::Off;
    load.cpu_experts = 1;
    load.overrides = vec!["ffn_.*_exps=CPU".parse().unwrap()];
    load.split_mode = SplitMode::None;
    load.tensor_split = "3/1".parse().unwrap();
    load.devices = Devices::None;
    load.no_host = Toggle::On;
    setting.context = ContextSetting {
        context: 1024,
        batch: 256,
        ubatch: 128,
        flash_attention: FlashAttention::On,
        type_k: KvType::Q8_0,
        type_v: KvType::Q8_0,
        kv_offload: Toggle::Off,
        op_offload: Toggle::Off,
        sequences: 2,
        kv_unified: Toggle::On,
        swa_full: Toggle::On,
    };
    let threads = &mut setting.threads;
    (threads.threads, threads.threads_batch) = (1, 2);
    threads.cpu_mask = CpuMask::new([0, 1]);
    threads.strict = Toggle::On;
    threads.poll = 0;
    threads.priority = Priority::Low;
}

/// Other ways to read a file and other types of the cache.
fn locked(setting: &mut Setting) {
    setting.load.load_mode = LoadMode::MmapMlock;
    setting.context.type_k = KvType::Iq4Nl;
    setting.context.type_v = KvType::Bf16;
    setting.process.numa = Numa::Isolate;
    setting.threads.cpu_mask = CpuMask::new([0]);
}

#[test]
fn every_target_writes_the_run_and_stdout_is_exactly_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_directory(folder.path(), Path::new("/models/a model.gguf"), everything);
    for target in TARGETS {
        let printed = export(folder.path(), &run, &["--to", target.name(), "--default"]);
        assert_eq!(printed.code, Some(0), "{}: {}", target.name(), printed.stderr);
        assert!(printed.stdout.contains("a model.gguf") || target.name() == "lm-studio");
        assert_eq!(printed.stderr.is_empty(), target.name() != "lm-studio", "{}", printed.stderr);
        let file = folder.path().join("out");
        let to = ["--to", target.name(), "--default", "-o", file.to_str().unwrap()];
        assert_eq!(export(folder.path(), &run, &to).stdout, "");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), printed.stdout);
    }
}

#[test]
fn a_run_that_recommends_nothing_gives_its_default_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_directory(folder.path(), Path::new("/m.gguf"), |_| {});
    for asked in [&["--to", "json"][..], &["--to", "json", "--setting", "tuned"]] {
        let printed = export(folder.path(), &run, asked);
        assert!(printed.stderr.starts_with("note: this is the default setting: "));
        assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
        let document: Document = serde_json::from_str(&printed.stdout).unwrap();
        assert_eq!((document.choice.as_str(), document.provenance.gain), ("default", None));
    }
    assert_eq!(export(folder.path(), &run, &["--to", "json", "--default"]).stderr, "");
}

#[test]
fn a_proven_gain_is_handed_over_with_its_interval() {
    let folder = tempfile::tempdir().unwrap();
    let world = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worlds/quiet-8c.toml");
    let swept = run(autotune(folder.path())
        .args(["sweep", "-m", "m.gguf", "--budget", "10m", "--out", "run", "--engine"])
        .arg(format!("sim:{world}")));
    assert_eq!(swept.code, Some(0), "{}", swept.stderr);
    let run = folder.path().join("run");
    let printed = export(folder.path(), &run, &["--to", "json", "--model-path", "/srv/x.gguf"]);
    let document: Document = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(document.choice, "tuned");
    assert!(document.provenance.gain.unwrap().speed_ratio.low > Some(1.0));
    assert!(document.provenance.synthetic);
    let server = export(folder.path(), &run, &["--to", "llama-server"]).stdout;
    assert!(server.contains("times (") && server.contains("simulated machine"), "{server}");
    // A unit runs elsewhere: the run's own path is made whole, and doubted.
    let unit = export(folder.path(), &run, &["--to", "systemd"]).stdout;
    let whole = folder.path().canonicalize().unwrap().join("m.gguf");
    assert!(unit.contains(&format!("--model {}", whole.display())), "{unit}");
    assert!(unit.contains("--model-path"), "{unit}");
}

#[test]
fn what_is_no_run_or_no_target_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let printed = export(folder.path(), &folder.path().join("none"), &["--to", "json"]);
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.starts_with("error: cannot read "), "{}", printed.stderr);
    let printed = export(folder.path(), folder.path(), &["--to", "json"]);
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""));
    assert!(printed.stderr.contains("is not a run directory"), "{}", printed.stderr);
    let printed = export(folder.path(), folder.path(), &["--to", "vim"]);
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.contains("llama-swap"), "{}", printed.stderr);
    let run = run_directory(folder.path(), Path::new("/m.gguf"), |_| {});
    let hostile = ["--to", "systemd", "--model-path", "/m\u{1b}[2J.gguf"];
    let printed = export(folder.path(), &run, &hostile);
    assert_eq!((printed.code, printed.stdout.as_str()), (Some(2), ""));
    assert!(printed.stderr.contains("control characters"), "{}", printed.stderr);
}

/// Where llama.cpp's programs are.
fn tools(skipped: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("AUTOTUNE_LLAMA_TOOLS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!(
            "skipped: {skipped}: AUTOTUNE_LLAMA_TOOLS names no folder of llama.cpp's programs"
        );
    }
    folder
}

/// An exported file as a shell runs it, with these programs first.
fn shell(script: &str, tools: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(tools.to_path_buf()).chain(std::env::split_paths(&path));
    let mut command = Command::new("sh");
    command
        .args(["-e", "-c", script])
        .env("PATH", std::env::join_paths(folders).unwrap())
        .env("LLAMA_ARG_N_PREDICT", "2");
    command
}

/// What makes a setting of the default.
type Turn = fn(&mut Setting);

/// The settings that llama.cpp's own parsers are shown.
fn settings() -> [(&'static str, Turn); 3] {
    [("default", |_| {}), ("everything", everything), ("locked", locked)]
}

#[test]
fn llama_bench_and_llama_cli_run_what_was_exported() {
    let Some(tools) = tools("llama-bench and llama-cli") else { return };
    for (name, change) in settings() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("a $(touch pwned) 'model'.gguf");
        std::fs::copy(tiny_model(), &model).unwrap();
        let run = run_directory(folder.path(), &model, change);
        for target in ["llama-bench", "llama-cli"] {
            let script = export(folder.path(), &run, &["--to", target, "--default"]).stdout;
            let mut child = shell(&script, &tools)
                .current_dir(folder.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(b"hi\n").unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{target}, {name}: {said}\n{script}");
            assert!(!output.stdout.is_empty(), "{target}, {name}: {said}");
        }
        assert!(!folder.path().join("pwned").exists());
    }
}

#[test]
fn llama_server_starts_with_what_was_exported() {
    let Some(tools) = tools("llama-server with its flags, and with its variables") else { return };
    for (name, change) in settings() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("a \"model\"; $HOME.gguf");
        std::fs::copy(tiny_model(), &model).unwrap();
        let run = run_directory(folder.path(), &model, change);
        let command = export(folder.path(), &run, &["--to", "llama-server", "--default"]).stdout;
        let variables = export(folder.path(), &run, &["--to", "env", "--default"]).stdout;
        let sourced = format!("set -a\n{variables}set +a\nllama-server");
        for script in [command, sourced] {
            let mut server = Server::start(&script, &tools);
            let properties = server.wait_for("/props");
            let total = if name == "everything" { 2 } else { 1 };
            let slots = format!("\"total_slots\":{total}");
            assert!(properties.contains(&slots), "{name}: {properties}\n{script}");
        }
    }
}

#[test]
fn every_variable_is_one_that_llama_server_tells_of() {
    let Some(tools) = tools("the names of variables") else { return };
    let help = shell("llama-server --help", &tools).output().unwrap();
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for (_, change) in settings() {
        let folder = tempfile::tempdir().unwrap();
        let run = run_directory(folder.path(), Path::new("/m.gguf"), change);
        let text = export(folder.path(), &run, &["--to", "env", "--default"]).stdout;
        let lines = text.lines().filter_map(|line| line.split_once('='));
        for (name, _) in lines.filter(|(name, _)| name.starts_with("LLAMA_ARG_")) {
            assert!(help.contains(&format!("(env: {name})")), "{name}");
        }
    }
}

/// A llama-server with a port of its own, stopped when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(script: &str, tools: &Path) -> Self {
        // Free a moment ago; nobody else here asks for one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = shell(script, tools)
            .env("LLAMA_ARG_PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// The body of a page, once the server is healthy.
    fn wait_for(&mut self, page: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("llama-server ended with {status}");
            }
            if self.get("/health").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return self.get(page).expect("a healthy server answers");
            }
            assert!(started.elapsed() < PATIENCE, "llama-server never got healthy");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn get(&self, page: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let request =
            format!("GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The shell and the server are a group of their own.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
