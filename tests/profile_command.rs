//! `profile -- COMMAND` over programs whose behaviour is known: their class, and their exit code.
//!
//! This program is also every program that is watched: started with a role in the environment it
//! plays it. No time is asserted, and a machine that does other things at the same time may not
//! change a class.

#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("skipped: programs can be watched on Linux only");
    ExitCode::SUCCESS
}

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    if let Ok(role) = std::env::var(roles::ROLE) {
        return roles::play(&role);
    }
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, cases::all()).exit_code()
}

/// What a watched program does.
#[cfg(target_os = "linux")]
mod roles {
    use std::fs::{File, OpenOptions};
    use std::hint::black_box;
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::net::TcpStream;
    use std::process::{Command, ExitCode};
    use std::sync::{Arc, Condvar, Mutex};
    use std::thread;
    use std::time::{Duration, Instant};

    use rustix::process::{Signal, getpid, kill_process};

    /// Which role; without it this program is the tests.
    pub(super) const ROLE: &str = "AUTOTUNE_TEST_ROLE";
    /// What it needs to know: an address, a file.
    pub(super) const WORD: &str = "AUTOTUNE_TEST_WORD";
    /// How long a role works.
    pub(super) const WORK: Duration = Duration::from_millis(1500);
    /// How often a swarm works, and how long each time.
    pub(super) const SWARM: (u32, Duration) = (60, Duration::from_millis(12));

    pub(super) fn play(role: &str) -> ExitCode {
        let word = std::env::var(WORD).unwrap_or_default();
        match role {
            "ask" => ask(&word, WORK),
            "sleep" => thread::sleep(WORK),
            "say-and-sleep" => {
                println!("ready");
                thread::sleep(WORK * 20);
            }
            "leave-a-sleeper" => drop(again("sleep").spawn()),
            "spin" => work(WORK),
            "spin-many" => spin_many(),
            "parked" => parked(),
            "allocate" => allocate(),
            "read" => read(&word),
            "two-phases" => {
                ask(&word, WORK);
                spin(WORK);
            }
            "by-child" => drop(again("spin").status()),
            "swarm" => (0..SWARM.0).for_each(|_| drop(again("flicker").status())),
            "flicker" => work(SWARM.1),
            "left-behind" => drop(again("orphan-maker").status()),
            // Its child loses its parent at once.
            "orphan-maker" => drop(again("spin").spawn()),
            "fail" => return ExitCode::from(7),
            "echo" => {
                let mut text = String::new();
                drop(std::io::stdin().read_to_string(&mut text));
                print!("<{text}>");
            }
            "killed" => drop(kill_process(getpid(), Signal::KILL)),
            other => panic!("no role {other}"),
        }
        ExitCode::SUCCESS
    }

    fn again(role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(ROLE, role);
        command
    }

    /// One question after the other, as long as it takes.
    fn ask(address: &str, period: Duration) {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        let began = Instant::now();
        let mut answer = [0];
        while began.elapsed() < period {
            stream.write_all(b"?").expect("it is asked");
            stream.read_exact(&mut answer).expect("it answers");
        }
    }

    fn spin(period: Duration) {
        let began = Instant::now();
        let mut sum = 0_u64;
        while began.elapsed() < period {
            for step in 0..10_000_u64 {
                sum = black_box(sum.wrapping_mul(31).wrapping_add(step));
            }
        }
    }

    /// Spins until it has used so much processor time, however long others keep it from it.
    fn work(period: Duration) {
        use rustix::time::{ClockId, clock_gettime};
        let used = || {
            let used = clock_gettime(ClockId::ThreadCPUTime);
            Duration::new(used.tv_sec.try_into().unwrap_or(0), used.tv_nsec.try_into().unwrap_or(0))
        };
        let before = used();
        while used() < before + period {
            spin(Duration::from_millis(1));
        }
    }

    fn spin_many() {
        let count = thread::available_parallelism().map_or(2, usize::from).max(2);
        let threads: Vec<_> = (0..count).map(|_| thread::spawn(|| spin(WORK))).collect();
        for thread in threads {
            thread.join().expect("it spins");
        }
    }

    /// One works, eight wait for it.
    fn parked() {
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        let waiting = |_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let (lock, condition) = &*done;
                let guard = lock.lock().expect("nobody panics");
                drop(condition.wait_while(guard, |done| !*done));
            })
        };
        let threads: Vec<_> = (0..8).map(waiting).collect();
        work(WORK);
        *done.0.lock().expect("nobody panics") = true;
        done.1.notify_all();
        for thread in threads {
            thread.join().expect("it waits");
        }
    }

    fn allocate() {
        let began = Instant::now();
        while began.elapsed() < WORK {
            let mut fresh = vec![0_u8; 64 << 20];
            fresh.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
            black_box(&fresh);
        }
    }

    /// Reads a file piece by piece; what is in memory of it is dropped before.
    fn read(path: &str) {
        use rustix::fs::{Advice, fadvise};
        let began = Instant::now();
        let mut piece = vec![0_u8; 64 << 10];
        while began.elapsed() < WORK {
            let mut file = File::open(path).expect("the file is there");
            fadvise(&file, 0, None, Advice::DontNeed).expect("it is a file");
            fadvise(&file, 0, None, Advice::Random).expect("it is a file");
            let length = file.metadata().expect("it is there").len();
            let mut at = 0;
            while at < length && began.elapsed() < WORK {
                file.seek(SeekFrom::Start(at)).expect("within it");
                file.read_exact(&mut piece).expect("it is long enough");
                at += piece.len() as u64 * 4;
            }
        }
    }

    /// A file whose bytes are on storage, not only in memory.
    pub(super) fn write(path: &std::path::Path, bytes: usize) {
        let mut file =
            OpenOptions::new().write(true).create_new(true).open(path).expect("a new file");
        let mut piece = vec![0_u8; 1 << 20];
        let mut state = 1_u32;
        for _ in 0..bytes / piece.len() {
            for byte in &mut piece {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = state.to_be_bytes()[0];
            }
            file.write_all(&piece).expect("there is room");
        }
        file.sync_all().expect("it reaches storage");
    }
}

#[cfg(target_os = "linux")]
mod cases {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::OnceLock;
    use std::thread;
    use std::time::Duration;

    use libtest_mimic::{Failed, Trial};
    use rustix::process::{Pid, Signal, kill_process};
    use serde_json::Value;

    use super::roles::{self, ROLE, WORD};
    use super::support::{alone, autotune, run};

    /// What one case gives.
    struct Watched {
        code: Option<i32>,
        profile: Value,
        stderr: String,
    }

    type Case = fn() -> Result<(), Failed>;

    pub(super) fn all() -> Vec<Trial> {
        let table: Vec<(&str, Case)> = vec![
            ("asking_one_after_the_other_is_waiting_on_the_network", network),
            ("one_busy_thread_is_cpu_bound_on_one_thread", spin),
            ("a_busy_thread_on_every_processor_is_parallel", spin_many),
            ("threads_that_are_parked_do_not_hide_the_one_that_works", parked),
            ("touching_fresh_memory_is_processor_work_with_page_faults", allocate),
            ("reading_what_is_not_in_memory_is_seen", read),
            ("sleeping_is_idle", sleep),
            ("two_phases_are_told_apart", two_phases),
            ("the_work_of_a_child_counts", by_child),
            ("children_too_short_to_be_seen_count", swarm),
            ("a_process_that_lost_its_parent_is_followed", orphan),
            ("the_exit_code_is_the_commands", codes),
            ("a_command_that_is_not_there_gives_127", absent),
            ("the_command_owns_stdin_and_stdout", streams),
            ("a_command_whose_time_is_up_is_ended", time_is_up),
            ("a_signal_to_the_watch_is_passed_on", passed_on),
            ("what_is_left_behind_can_be_left_alone", left_alone),
            ("an_interrupted_watch_of_a_process_prints_what_it_saw", interrupted),
            ("a_running_process_is_joined_and_left_alone", join),
            ("a_process_that_is_not_there_is_wrong_usage", no_process),
            ("text_and_markdown_have_the_same_content", formats),
        ];
        table.into_iter().map(|(name, case)| Trial::test(name, case)).collect()
    }

    /// A server that thinks for 20 ms about every question, in this process.
    fn server() -> &'static str {
        static ADDRESS: OnceLock<String> = OnceLock::new();
        ADDRESS.get_or_init(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("it is bound").to_string();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    thread::spawn(move || {
                        let mut stream = stream;
                        let mut question = [0];
                        while stream.read_exact(&mut question).is_ok() {
                            thread::sleep(Duration::from_millis(20));
                            if stream.write_all(b"!").is_err() {
                                break;
                            }
                        }
                    });
                }
            });
            address
        })
    }

    fn command(folder: &Path, role: &str, word: &str, more: &[&str]) -> Command {
        let mut command = autotune(folder);
        command.args(["profile", "--format", "json", "-o", "profile.json"]).args(more);
        command.env(ROLE, role).env(WORD, word).arg("--");
        command.arg(std::env::current_exe().expect("this program"));
        command
    }

    fn watch_with(role: &str, word: &str, more: &[&str]) -> Result<Watched, Failed> {
        let _alone = alone();
        let folder = tempfile::tempdir()?;
        let printed = run(&mut command(folder.path(), role, word, more));
        let text = std::fs::read_to_string(folder.path().join("profile.json"));
        let text = text.map_err(|error| format!("{error}: {}", printed.stderr))?;
        let profile = serde_json::from_str(&text)?;
        Ok(Watched { code: printed.code, profile, stderr: printed.stderr })
    }

    fn watch(role: &str) -> Result<Watched, Failed> {
        watch_with(role, "", &[])
    }

    impl Watched {
        fn subject(&self) -> &Value {
            &self.profile["subject"]
        }

        fn must(&self, holds: bool, what: &str) -> Result<(), Failed> {
            if holds {
                return Ok(());
            }
            Err(format!("not {what}: {:#}\n{}", self.brief(), self.stderr).into())
        }

        /// The document without its longest lists.
        fn brief(&self) -> Value {
            let mut subject = self.subject().clone();
            if let Some(fields) = subject.as_object_mut() {
                fields.remove("course");
                fields.remove("strategies");
            }
            subject
        }

        fn class(&self, wanted: &str) -> Result<(), Failed> {
            self.must(self.subject()["class"] == wanted, wanted)?;
            let value = self.subject()["confidence"]["value"].as_f64().unwrap_or(-1.0);
            self.must((0.3..1.0).contains(&value), "sure enough, or too sure")
        }

        /// Whether this machine held what works for so long, and starts in a tenth of a second: what
        /// a hypervisor or a quota takes is in no account of a process, and looks like waiting.
        fn held(&self, work: Duration) -> bool {
            let took = self.number("/duration_s");
            let held = took > 1.1 * work.as_secs_f64() + 0.1;
            if held {
                eprintln!("skipped: {work:?} of work took {took} s, so others held it");
            }
            held
        }

        fn class_of_work(&self, wanted: &str, work: Duration) -> Result<(), Failed> {
            if self.held(work) { Ok(()) } else { self.class(wanted) }
        }

        fn number(&self, path: &str) -> f64 {
            self.subject().pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
        }

        fn share(&self, wait: &str) -> f64 {
            let shares = self.subject()["shares"].as_array().cloned().unwrap_or_default();
            let found = shares.iter().find(|share| share["wait"] == wait);
            found.and_then(|share| share["share"].as_f64()).unwrap_or(0.0)
        }
    }

    fn network() -> Result<(), Failed> {
        let seen = watch_with("ask", server(), &[])?;
        seen.class("network-bound")?;
        seen.must(seen.code == Some(0), "exit code 0")?;
        let calls = seen.subject()["calls"].to_string();
        seen.must(calls.contains(server()), "told whom it waits for")?;
        let advice = seen.subject()["strategies"][0].to_string();
        seen.must(advice.contains("in flight") && advice.contains("Little"), "advised")?;
        seen.must(seen.number("/strategies/0/speedup/high") > 1.5, "promised a gain")
    }

    fn spin() -> Result<(), Failed> {
        let seen = watch("spin")?;
        seen.class_of_work("cpu-one-thread", roles::WORK)?;
        seen.must(seen.number("/cpu/user_s") > 0.1, "counted")
    }

    fn spin_many() -> Result<(), Failed> {
        if thread::available_parallelism().map_or(1, usize::from) < 2 {
            eprintln!("skipped: one processor runs nothing in parallel");
            return Ok(());
        }
        watch("spin-many")?.class("cpu-parallel")
    }

    fn parked() -> Result<(), Failed> {
        let seen = watch("parked")?;
        if seen.held(roles::WORK) {
            return Ok(());
        }
        seen.class("cpu-one-thread")?;
        seen.must(seen.share("lock") < 0.3, "only a little waiting for a lock")
    }

    fn allocate() -> Result<(), Failed> {
        let seen = watch("allocate")?;
        seen.class("cpu-one-thread")?;
        seen.must(seen.number("/memory/minor_faults") > 1000.0, "counted")?;
        seen.must(seen.number("/memory/peak_bytes") > f64::from(48 << 20), "64 MiB at its peak")
    }

    fn read() -> Result<(), Failed> {
        // Not below the temporary folder: that is memory on many systems.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = folder.path().join("data");
        roles::write(&path, 256 << 20);
        let seen = watch_with("read", &path.to_string_lossy(), &[])?;
        let read = seen.number("/io/storage_read_bytes");
        if read == 0.0 {
            eprintln!("skipped: the file never left memory, so storage was not read");
            return Ok(());
        }
        seen.must(read > 1e6, "counted")?;
        if seen.share("disk") < 0.5 {
            eprintln!("the storage answers too quickly to be waited for: counters only");
            return Ok(());
        }
        seen.class("disk-bound")
    }

    fn sleep() -> Result<(), Failed> {
        let seen = watch("sleep")?;
        seen.class("idle")?;
        seen.must(seen.subject()["waits_for"] == "sleep", "sleeping")
    }

    fn two_phases() -> Result<(), Failed> {
        let seen = watch_with("two-phases", server(), &[])?;
        seen.class("mixed")?;
        let phases = seen.subject()["phases"].as_array().cloned().unwrap_or_default();
        let classes: Vec<&str> = phases.iter().filter_map(|one| one["class"].as_str()).collect();
        seen.must(classes.starts_with(&["network-bound"]), "first the network")?;
        seen.must(classes.contains(&"cpu-one-thread"), "then the processor")
    }

    fn by_child() -> Result<(), Failed> {
        let seen = watch("by-child")?;
        seen.class_of_work("cpu-one-thread", roles::WORK)
    }

    fn swarm() -> Result<(), Failed> {
        let seen = watch("swarm")?;
        // Most of it ends between two looks.
        let (times, each) = roles::SWARM;
        seen.must(seen.number("/cpu/user_s") > 0.3, "counted")?;
        let start = Duration::from_millis(4);
        seen.class_of_work("cpu-one-thread", (each + start) * times)
    }

    fn orphan() -> Result<(), Failed> {
        let seen = watch("left-behind")?;
        seen.must(seen.code == Some(0), "exit code 0")?;
        seen.class_of_work("cpu-one-thread", roles::WORK)?;
        seen.must(seen.number("/cpu/user_s") > 0.1, "counted")
    }

    fn codes() -> Result<(), Failed> {
        for (role, code, kind) in [("fail", 7, "exited"), ("killed", 137, "killed")] {
            let seen = watch(role)?;
            seen.must(seen.code == Some(code), "the command's code")?;
            seen.must(seen.subject()["end"]["kind"] == kind, kind)?;
        }
        Ok(())
    }

    fn absent() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        for program in ["/nowhere/program", "autotune-has-no-such-program", "/"] {
            let printed = run(autotune(folder.path()).args(["profile", "--", program]));
            if printed.code != Some(127) || !printed.stderr.contains(program) {
                return Err(format!("{program}: {:?} {}", printed.code, printed.stderr).into());
            }
        }
        Ok(())
    }

    fn streams() -> Result<(), Failed> {
        let _alone = alone();
        let folder = tempfile::tempdir()?;
        let mut child = autotune(folder.path())
            .args(["profile", "--"])
            .arg(std::env::current_exe()?)
            .env(ROLE, "echo")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().ok_or("no stdin")?.write_all(b"said")?;
        let output = child.wait_with_output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.stdout == b"<said>" && stderr.contains("confidence") {
            return Ok(());
        }
        Err(format!("{:?}: {stderr}", output.stdout).into())
    }

    fn time_is_up() -> Result<(), Failed> {
        let seen = watch_with("sleep", "", &["--for", "300ms"])?;
        seen.must(seen.code == Some(128 + 15), "ended by SIGTERM")?;
        seen.class("idle")
    }

    /// Starts it, waits for the words on one of its outputs, sends the signal, and gives its exit
    /// code and what else it said.
    fn signalled(
        command: &mut Command,
        words: &str,
        signal: Signal,
    ) -> Result<(Option<i32>, String), Failed> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id())?).ok_or("no number")?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let mut stderr = BufReader::new(child.stderr.take().ok_or("no stderr")?);
        let mut line = String::new();
        if words == "ready" {
            stdout.read_line(&mut line)?;
        } else {
            stderr.read_line(&mut line)?;
        }
        if !line.contains(words) {
            return Err(format!("it said {line}").into());
        }
        kill_process(pid, signal)?;
        let mut rest = String::new();
        stderr.read_to_string(&mut rest)?;
        // Sentences are broken wherever a line is full.
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok((child.wait()?.code(), rest))
    }

    fn own(role: &str) -> Result<Command, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, role);
        Ok(command)
    }

    fn passed_on() -> Result<(), Failed> {
        let _alone = alone();
        let folder = tempfile::tempdir()?;
        let mut command = autotune(folder.path());
        command.args(["profile", "--"]).arg(std::env::current_exe()?).env(ROLE, "say-and-sleep");
        let (code, said) = signalled(&mut command, "ready", Signal::TERM)?;
        if code == Some(128 + 15) && said.contains("killed by signal 15") {
            return Ok(());
        }
        Err(format!("{code:?} {said}").into())
    }

    fn left_alone() -> Result<(), Failed> {
        let _alone = alone();
        let folder = tempfile::tempdir()?;
        let mut command = autotune(folder.path());
        command.args(["profile", "--"]).arg(std::env::current_exe()?).env(ROLE, "leave-a-sleeper");
        let (code, said) = signalled(&mut command, "the command has ended", Signal::INT)?;
        if code == Some(0) && said.contains("confidence") {
            return Ok(());
        }
        Err(format!("{code:?} {said}").into())
    }

    fn interrupted() -> Result<(), Failed> {
        let _alone = alone();
        let folder = tempfile::tempdir()?;
        let mut other = own("sleep")?.spawn()?;
        let mut command = autotune(folder.path());
        command.args(["profile", "--pid", &other.id().to_string()]);
        let (code, said) = signalled(&mut command, "watching process", Signal::INT)?;
        let ended = other.wait()?;
        if code == Some(130) && said.contains("it still runs") && ended.success() {
            return Ok(());
        }
        Err(format!("{code:?} {said}").into())
    }

    fn join() -> Result<(), Failed> {
        let _alone = alone();
        let folder = tempfile::tempdir()?;
        let mut other = own("spin-many")?.spawn()?;
        let pid = other.id().to_string();
        let printed = run(autotune(folder.path()).args([
            "profile", "--pid", &pid, "--for", "600ms", "--format", "json", "-o", "p.json",
        ]));
        let left_alone = other.try_wait()?.is_none();
        let ended = other.wait()?;
        let text = std::fs::read_to_string(folder.path().join("p.json"))?;
        let profile: Value = serde_json::from_str(&text)?;
        let subject = &profile["subject"];
        let right = subject["class"].as_str().is_some_and(|class| class.starts_with("cpu-"))
            && subject["begin"]["pid"] == other.id()
            && printed.code == Some(0);
        if !right {
            return Err(format!("{:?} {subject:#} {}", printed.code, printed.stderr).into());
        }
        // On a slow machine it may have ended by itself, which is success too.
        if left_alone || ended.success() { Ok(()) } else { Err("it was harmed".into()) }
    }

    fn no_process() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        let printed = run(autotune(folder.path()).args(["profile", "--pid", "4194305"]));
        if printed.code == Some(2) && printed.stderr.contains("4194305") {
            return Ok(());
        }
        Err(format!("{:?} {}", printed.code, printed.stderr).into())
    }

    fn formats() -> Result<(), Failed> {
        let folder = tempfile::tempdir()?;
        for (format, head) in [("text", "\n"), ("md", "# ")] {
            let printed = run(autotune(folder.path())
                .args(["profile", "--format", format, "--"])
                .arg(std::env::current_exe()?)
                .env(ROLE, "fail"));
            let words = ["What would help", "Where the time went", "Numbers", "exit code 7"];
            let whole = words.iter().all(|words| printed.stderr.contains(words));
            let narrow = printed.stderr.lines().all(|line| line.chars().count() <= 80);
            if !printed.stderr.starts_with(head) || !whole || (format == "text" && !narrow) {
                return Err(format!("{format}: {}", printed.stderr).into());
            }
        }
        Ok(())
    }
}
