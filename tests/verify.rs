//! `autotune verify` as people run it: against servers that behave and misbehave, and against
//! llama.cpp's own llama-server where `AUTOTUNE_LLAMA_TOOLS` names the folder that it lies in
//! (`make llama-tools` builds it).
//!
//! This program is its own fake server: started with a manner in the environment it answers as a
//! llama-server does, or not. Nothing here asserts how long anything takes.
#![expect(clippy::unnecessary_wraps, reason = "the tests are one table of one type")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use autotune::model::{Proof, Side, Transfer, Verification};
use autotune::store::{VERIFICATION, read_verification};
use autotune::verify::{Launch, Patience, Programs, ServeError, Servers};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Printed, alone, autotune, journal, run, tiny_model};

/// How the fake server behaves; without it this program is the tests.
const MANNER: &str = "AUTOTUNE_TEST_SERVER";
/// Where the fake server writes its process id.
const PID: &str = "AUTOTUNE_TEST_PID";
/// The folder of llama.cpp's own programs.
const TOOLS: &str = "AUTOTUNE_LLAMA_TOOLS";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A test of the table.
type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    if let Ok(manner) = std::env::var(MANNER) {
        return fake_server(&manner);
    }
    let tests: [(&str, Test); 15] = [
        ("a_gain_that_is_there_holds", a_gain_that_is_there_holds),
        ("a_gain_that_is_not_there_does_not_hold", a_gain_that_is_not_there_does_not_hold),
        ("one_running_server_proves_nothing", one_running_server_proves_nothing),
        ("two_running_servers_are_compared", two_running_servers_are_compared),
        ("a_server_that_crashes_at_its_start_is_quoted", a_crash_at_the_start_is_quoted),
        ("a_server_killed_by_a_signal_is_named", a_server_killed_by_a_signal_is_named),
        ("a_flag_that_an_older_server_lacks_is_named", a_refused_flag_is_named),
        ("a_server_that_never_gets_ready_is_given_up", a_server_never_ready_is_given_up),
        ("a_server_that_dies_in_the_middle_is_told", a_server_that_dies_is_told),
        ("a_server_that_fails_half_of_the_time_is_given_up", a_failing_server_is_given_up),
        ("a_talkative_server_is_not_stopped_by_a_full_pipe", a_talkative_server_goes_on),
        ("no_server_outlives_a_killed_autotune", no_server_outlives_a_killed_autotune),
        ("no_server_outlives_an_interrupted_autotune", no_server_outlives_an_interruption),
        ("wrong_usage_starts_nothing", wrong_usage_starts_nothing),
        ("a_real_server_is_measured_and_a_worse_setting_found_out", a_real_server_is_measured),
    ];
    let trials = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

// The fake server.

/// Serves as llama-server does, after its own manner.
fn fake_server(manner: &str) -> ExitCode {
    if let Some(path) = std::env::var_os(PID) {
        fs::write(path, std::process::id().to_string()).expect("a place for the process id");
    }
    let arguments: Vec<String> = std::env::args().collect();
    let after = |flag: &str| arguments.iter().skip_while(|word| *word != flag).nth(1);
    eprintln!("the server begins");
    match manner {
        "crash" => {
            eprintln!("GGML_ASSERT(false) failed");
            return ExitCode::from(3);
        }
        "signal" => {
            let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
            loop {
                let _ = kill_process(own, Signal::ILL);
                thread::sleep(Duration::from_millis(50));
            }
        }
        "refuse" => {
            eprintln!("error: invalid argument: --ubatch-size");
            return ExitCode::FAILURE;
        }
        "never" => loop {
            thread::sleep(PATIENCE);
        },
        "talk" => (0..200_000).for_each(|line| eprintln!("line {line} of a talkative server")),
        _ => {}
    }
    let port: u16 = after("--port").expect("a port").parse().expect("a number");
    let flags = arguments.iter().filter(|word| word.starts_with("--")).count();
    // The default needs model, threads, context, layers and the number of requests beside the
    // address; more is tuned.
    let speed = match (manner, flags > 7) {
        ("gain", true) => 4.0,
        ("loss", true) => 0.5,
        _ => 1.0,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let answered = Arc::new(AtomicU32::new(0));
    for stream in listener.incoming().flatten() {
        let (manner, answered) = (manner.to_owned(), Arc::clone(&answered));
        thread::spawn(move || answer(stream, &manner, speed, &answered));
    }
    ExitCode::SUCCESS
}

/// Reads one request and answers it; nothing comes of a broken connection.
fn answer(stream: TcpStream, manner: &str, speed: f64, answered: &AtomicU32) {
    let mut reader = BufReader::new(stream);
    let Some((path, body)) = request(&mut reader) else { return };
    let (status, text) = match path.as_str() {
        "/health" => (200, json!({"status": "ok"}).to_string()),
        "/props" => (200, json!({"total_slots": 4, "build_info": "b7-fake"}).to_string()),
        _ => {
            let count = answered.fetch_add(1, Ordering::Relaxed);
            match manner {
                "die" if count == 1 => {
                    eprintln!("terminate called after throwing an instance");
                    std::process::exit(134);
                }
                "half" if count % 2 == 1 => {
                    (500, json!({"error": {"message": "busy"}}).to_string())
                }
                "hang" => loop {
                    thread::sleep(PATIENCE);
                },
                _ => (200, completion(&body, speed, count)),
            }
        }
    };
    let length = text.len();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = reader.get_mut().write_all((head + &text).as_bytes());
}

/// Path and document of a request.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if let Some(count) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = count.trim().parse().ok()?;
        }
        if header.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).unwrap_or_default()))
}

/// A completion that took a millisecond per token at speed 1, and a little more or less.
fn completion(body: &Value, speed: f64, count: u32) -> String {
    let prompt = body["prompt"].as_array().map_or(0, Vec::len);
    let generated = body["n_predict"].as_u64().unwrap_or_default();
    let wobble = 1.0 + 0.002 * f64::from(count % 5);
    let milliseconds = |tokens: u64| wobble * tokens as f64 / speed;
    json!({"content": "x", "timings": {
        "prompt_n": prompt, "prompt_ms": milliseconds(prompt as u64),
        "predicted_n": generated, "predicted_ms": milliseconds(generated),
    }})
    .to_string()
}

// What the tests share.

/// A simulated sweep that confirmed a gain, made once.
fn simulated_run() -> &'static Path {
    static RUN: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run");
        let world = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/worlds/quiet-8c.toml");
        let printed = run(autotune(folder.path())
            .args(["sweep", "--model", "m.gguf", "--engine", &format!("sim:{world}"), "-q"])
            .arg("--out")
            .arg(&path));
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        (folder, path)
    });
    path
}

/// A copy of a run directory, its model beside it.
struct Case {
    folder: tempfile::TempDir,
    run: PathBuf,
    model: PathBuf,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (run, model) = (folder.path().join("run"), folder.path().join("m.gguf"));
        copy(simulated_run(), &run);
        fs::write(&model, "not read by any fake").expect("a model");
        Self { folder, run, model }
    }

    /// `autotune verify` with this program as the server.
    fn verify(&self, manner: &str) -> Command {
        let mut command = autotune(self.folder.path());
        command.arg("verify").arg(&self.run).arg("--server").arg(own());
        command.arg("--model-path").arg(&self.model).env(MANNER, manner);
        command.env(PID, self.pid_file());
        // Simulated turns take long, and the budget would shorten them.
        command.args(["--budget", "100h"]);
        command
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.path().join("pid")
    }

    fn written(&self) -> Verification {
        read_verification(&self.run.join(VERIFICATION)).expect("a verification was written")
    }
}

/// Copies the documents of a run.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in ["machine.json", "plan.json", "trials.jsonl", "findings.json"] {
        fs::copy(from.join(name), to.join(name)).expect("a run has it");
    }
}

fn own() -> PathBuf {
    std::env::current_exe().expect("this program has a path")
}

fn transfer(verification: &Verification) -> Transfer {
    match &verification.result {
        Proof::Compared { transfer, .. } => *transfer,
        other => panic!("nothing was compared: {other:?}"),
    }
}

/// Waits until something is there.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "{what} did not come");
        thread::sleep(Duration::from_millis(20));
    }
}

fn pid_in(file: &Path) -> u32 {
    wait_for("the server", || fs::read_to_string(file).ok()?.parse().ok())
}

/// Whether a process is gone, or waits for nothing but its burial.
fn gone(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")),
        Err(_) => true,
    }
}

fn wait_until_gone(pid: u32) {
    wait_for("the end of the server", || gone(pid).then_some(()));
}

fn expect(printed: &Printed, code: i32, words: &[&str]) {
    assert_eq!(printed.code, Some(code), "{}\n{}", printed.stdout, printed.stderr);
    for word in words {
        let there = printed.stdout.contains(word) || printed.stderr.contains(word);
        assert!(there, "`{word}` is missing in\n{}\n{}", printed.stdout, printed.stderr);
    }
}

// The tests.

fn a_gain_that_is_there_holds() -> Result<(), Failed> {
    let case = Case::new();
    let printed = run(case.verify("gain").args(["--format", "json", "--pairs", "5"]));
    expect(&printed, 0, &["[5/5] default setting", "[5/5] tuned setting"]);
    let verification: Verification = serde_json::from_str(&printed.stdout)?;
    assert_eq!(verification, case.written());
    assert_eq!(transfer(&verification), Transfer::Holds, "{}", verification.sentence);
    assert!(!verification.shortened && verification.promised.is_some());
    let Proof::Compared { turn, pairs, .. } = &verification.result else { unreachable!() };
    assert!((turn.unwrap().speed_ratio.value - 4.0).abs() < 0.1, "{turn:?}");
    let order: Vec<Side> = pairs.iter().map(|pair| pair.first).collect();
    assert_eq!(order[..3], [Side::Default, Side::Tuned, Side::Default]);
    let [default, tuned] = verification.servers.as_slice() else { panic!("two servers") };
    assert_eq!((default.build.as_deref(), default.side), (Some("b7-fake"), Some(Side::Default)));
    assert!(tuned.command.len() > default.command.len());
    let simulated = "the run is of a simulated machine";
    assert!(verification.notes.iter().any(|note| note.starts_with(simulated)));
    let bytes = verification.notes.iter().any(|note| note.contains("is it the same?"));
    assert!(bytes, "the model has another size: {:?}", verification.notes);
    wait_until_gone(pid_in(&case.pid_file()));
    Ok(())
}

fn a_gain_that_is_not_there_does_not_hold() -> Result<(), Failed> {
    for (manner, answer, words) in
        [("plain", Transfer::Lost, "No gain was found"), ("loss", Transfer::Worse, "Worse: ")]
    {
        let case = Case::new();
        let printed = run(&mut case.verify(manner));
        expect(&printed, 0, &[words, "llama-server b7-fake", "turn s", "decode tok/s"]);
        assert_eq!(transfer(&case.written()), answer);
        assert!(printed.stdout.lines().all(|line| line.chars().count() < 400));
    }
    Ok(())
}

/// A fake server that runs on its own, ended when dropped.
struct Alone(Child, String);

impl Alone {
    fn start(manner: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(own());
        command.env(MANNER, manner).args(["--port", &port.to_string()]).stderr(Stdio::null());
        // As many flags as a tuned setting has.
        command.args(["--a", "--b", "--c", "--d", "--e", "--f", "--g", "--h"]);
        let child = command.spawn().expect("this program starts");
        wait_for("the server", || TcpStream::connect(("127.0.0.1", port)).ok());
        Self(child, format!("http://127.0.0.1:{port}"))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one_running_server_proves_nothing() -> Result<(), Failed> {
    let (case, server) = (Case::new(), Alone::start("plain"));
    let printed =
        run(autotune(case.folder.path()).arg("verify").arg(&case.run).args(["-s", &server.1]));
    expect(&printed, 0, &["proves no gain", "median of 6 visits"]);
    let verification = case.written();
    assert!(matches!(&verification.result, Proof::Observed { visits, .. } if visits.len() == 6));
    assert_eq!(verification.servers[0].address.as_deref(), Some(server.1.as_str()));
    Ok(())
}

fn two_running_servers_are_compared() -> Result<(), Failed> {
    let (case, slow, fast) = (Case::new(), Alone::start("plain"), Alone::start("gain"));
    let mut command = autotune(case.folder.path());
    command.arg("verify").arg(&case.run).args(["-q", "--budget", "100h"]);
    let printed = run(command.args(["--server", &fast.1, "--against", &slow.1]));
    expect(&printed, 0, &["The gain holds"]);
    assert_eq!(printed.stderr, "", "-q is silent");
    assert_eq!(transfer(&case.written()), Transfer::Holds);
    Ok(())
}

fn a_crash_at_the_start_is_quoted() -> Result<(), Failed> {
    let case = Case::new();
    let words = ["exited with code 3 before it was ready", "GGML_ASSERT(false) failed"];
    expect(&run(&mut case.verify("crash")), 4, &words);
    assert!(!case.run.join(VERIFICATION).exists());
    Ok(())
}

fn a_server_killed_by_a_signal_is_named() -> Result<(), Failed> {
    expect(&run(&mut Case::new().verify("signal")), 4, &["was killed by SIGILL"]);
    Ok(())
}

fn a_refused_flag_is_named() -> Result<(), Failed> {
    let words =
        ["invalid argument: --ubatch-size", "hint: this llama-server does not take --ubatch"];
    expect(&run(&mut Case::new().verify("refuse")), 4, &words);
    Ok(())
}

fn a_server_never_ready_is_given_up() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let pid = folder.path().join("pid");
    let script = folder.path().join("server.sh");
    // A wrapper that stays: its child is ended with it.
    let (own, place) = (own(), pid.display());
    let text = format!("#!/bin/sh\n{MANNER}=never {PID}={place} '{}' \"$@\"\n", own.display());
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let launch = Launch { words: vec![script.into()], variables: Vec::new() };
    let mut programs = Programs {
        kept_out: Vec::new(),
        guard: env!("CARGO_BIN_EXE_autotune").into(),
        default: launch.clone(),
        tuned: launch,
        patience: Patience { ready: Duration::from_secs(2), answer: PATIENCE },
        interrupted: Arc::new(AtomicBool::new(false)),
    };
    let Err(error) = programs.open(Side::Tuned) else { panic!("it never gets ready") };
    assert!(matches!(&error, ServeError::NotReady { seconds: 2, .. }), "{error}");
    wait_until_gone(pid_in(&pid));
    Ok(())
}

fn a_server_that_dies_is_told() -> Result<(), Failed> {
    let words = ["in the middle of a request", "terminate called after"];
    expect(&run(&mut Case::new().verify("die")), 4, &words);
    Ok(())
}

fn a_failing_server_is_given_up() -> Result<(), Failed> {
    let words = ["3 of 3 visits failed", "status 500: busy", "a visit is repeated"];
    expect(&run(&mut Case::new().verify("half")), 4, &words);
    Ok(())
}

fn a_talkative_server_goes_on() -> Result<(), Failed> {
    let case = Case::new();
    expect(&run(case.verify("talk").args(["--pairs", "4"])), 0, &[]);
    Ok(())
}

fn no_server_outlives_a_killed_autotune() -> Result<(), Failed> {
    let case = Case::new();
    let mut parent = case.verify("hang").stderr(Stdio::null()).spawn()?;
    let server = pid_in(&case.pid_file());
    assert!(!gone(server), "the server hangs, and lives");
    // SIGKILL: nothing of the program's own can run any more.
    parent.kill()?;
    parent.wait()?;
    wait_until_gone(server);
    Ok(())
}

fn no_server_outlives_an_interruption() -> Result<(), Failed> {
    for signal in [Signal::INT, Signal::TERM] {
        let case = Case::new();
        let parent = case.verify("hang").stderr(Stdio::piped()).spawn()?;
        let server = pid_in(&case.pid_file());
        // Its handler is in place before any server is started.
        let pid = Pid::from_raw(i32::try_from(parent.id())?).expect("not zero");
        kill_process(pid, signal)?;
        let printed: Printed = parent.wait_with_output()?.into();
        expect(&printed, 130, &["interrupted; nothing was written"]);
        assert!(gone(server), "the server outlives the program");
        assert!(!case.run.join(VERIFICATION).exists());
    }
    Ok(())
}

fn wrong_usage_starts_nothing() -> Result<(), Failed> {
    let case = Case::new();
    let verify = |words: &[&str]| {
        let mut command = autotune(case.folder.path());
        run(command.arg("verify").arg(&case.run).args(words).env(PID, case.pid_file()))
    };
    let own = own().display().to_string();
    fs::remove_file(&case.model)?;
    expect(&verify(&["--server", "/no/such/program"]), 2, &["there is no program"]);
    expect(&verify(&["--server", "https://x"]), 2, &["only http:// can be asked"]);
    expect(&verify(&["--server", "http://127.0.0.1:9"]), 2, &["does not answer as llama-server"]);
    expect(&verify(&["--server", &own]), 2, &["the model m.gguf is not there", "--model-path"]);
    expect(&verify(&["--server", &own, "--budget", "soon"]), 2, &["is not a budget"]);
    let printed = run(autotune(case.folder.path()).args(["verify", "none", "--server", &own]));
    expect(&printed, 2, &["cannot read"]);
    assert!(!case.pid_file().exists(), "a server was started");
    Ok(())
}

fn a_real_server_is_measured() -> Result<(), Failed> {
    let Some(tools) = std::env::var_os(TOOLS).map(PathBuf::from) else {
        eprintln!(
            "skipped: {TOOLS} names no folder with llama.cpp's llama-server (make llama-tools)"
        );
        return Ok(());
    };
    let _alone = alone();
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("run");
    let printed = run(autotune(folder.path())
        .args(["sweep", "--budget", "1m", "--max-trials", "30", "--knobs", "threads,ubatch"])
        .args(["--context", "1024", "--model"])
        .arg(tiny_model())
        .arg("--out")
        .arg(&out));
    expect(&printed, 0, &[]);
    let server = tools.join("llama-server");
    let verify = |run_directory: &Path, words: &[&str]| {
        let mut command = autotune(folder.path());
        command.arg("verify").arg(run_directory).arg("--server").arg(&server).args(words);
        let printed = run(&mut command);
        eprintln!("{}\n{}", printed.stderr, printed.stdout);
        expect(&printed, 0, &["turn s", "prefill tok/s"]);
        read_verification(&run_directory.join(VERIFICATION)).expect("it was written")
    };
    let found = verify(&out, &["--anyway", "--pairs", "4", "--budget", "5m"]);
    let Proof::Compared { turn, prefill, decode, pairs, .. } = &found.result else {
        panic!("nothing was compared: {:?}", found.result)
    };
    assert_eq!(pairs.len(), 4);
    assert!([turn, prefill, decode].iter().all(|change| change.is_some()));
    assert!(found.servers.iter().all(|server| server.build.is_some()));
    for pair in pairs {
        for visit in [pair.default, pair.tuned] {
            // The wall clock of who asks holds the server's own time.
            assert!(visit.turn_s > 0.0 && visit.wall_s > visit.turn_s, "{visit:?}");
        }
    }
    let worse = folder.path().join("worse");
    hand_made(&out, &worse)?;
    let found = verify(&worse, &["--pairs", "6", "--budget", "5m"]);
    assert!(found.promised.is_some(), "the run was made to promise something");
    let holds = [Transfer::Holds, Transfer::Smaller].contains(&transfer(&found));
    assert!(!holds, "{}", found.sentence);
    Ok(())
}

/// A run whose pairs say that prompts in steps of one token are twice as fast: nobody would
/// believe it, and the server must not confirm it.
fn hand_made(from: &Path, to: &Path) -> Result<(), Failed> {
    copy(from, to);
    let trials = journal(from);
    let plan: Value = serde_json::from_str(&fs::read_to_string(from.join("plan.json"))?)?;
    let baseline = &plan["baseline"];
    let own = |trial: &&Value| {
        trial["asked"] == *baseline && trial["outcome"]["kind"].as_str() == Some("measured")
    };
    let model = trials.iter().find(own).ok_or("the default setting was measured")?.clone();
    let mut slow = baseline.clone();
    slow["context"]["ubatch"] = json!(1);
    let kept = trials.iter().filter(|trial| trial["purpose"] != "confirm");
    let mut lines: Vec<Value> = kept.cloned().collect();
    for block in 0..8_u64 {
        for (setting, faster) in [(baseline, 1), (&slow, 2)] {
            let mut trial = model.clone();
            trial["purpose"] = json!("confirm");
            trial["block"] = json!(block);
            trial["session"] = json!(0);
            trial["source"] = json!("measured");
            trial["asked"] = setting.clone();
            for sample in trial["outcome"]["samples"].as_array_mut().ok_or("samples")? {
                for part in ["prefill_ns", "decode_ns"] {
                    let time = sample[part].as_u64().ok_or("a time")?;
                    // No two pairs alike.
                    let wobble = 1000 + block * (faster - 1);
                    sample[part] = json!(time * wobble / (1000 * faster));
                }
            }
            lines.push(trial);
        }
    }
    for (place, trial) in lines.iter_mut().enumerate() {
        trial["id"] = json!(place + 1);
    }
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    fs::write(to.join("trials.jsonl"), text.join("\n") + "\n")?;
    fs::remove_file(to.join("findings.json"))?;
    Ok(())
}
