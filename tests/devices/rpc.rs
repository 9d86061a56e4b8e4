//! Other machines' devices, over loopback: two servers of this program.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use autotune_engine::api::{Engine, Failure, GpuLayers};

use super::logits::{MOST_ERROR, hold, logits};
use super::{Model, PATIENCE, engine, process, program};

/// A server on a free port, ended when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = Command::new(program())
            .args(["rpc-server", "--quiet", "--device", "CPU", "--threads", "1", "--port"])
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { child, address: address.to_string() };
        let hopeless = Instant::now() + PATIENCE;
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < hopeless, "no server came up at {}", server.address);
            assert!(server.child.try_wait().unwrap().is_none(), "the server ended");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn layers_on_two_servers_give_the_cpus_logits() {
    let (model, one, two) = (Model::new("q4_0"), Server::start(), Server::start());
    let there = process(vec![one.address.clone(), two.address.clone()]);
    let on_cpu = &logits(&model, process(Vec::new()), &[GpuLayers::Count(0)])[0];
    let counts: Vec<GpuLayers> = [1, model.layers].map(GpuLayers::Count).to_vec();
    let counts = [counts, vec![GpuLayers::All]].concat();
    for (count, said) in counts.iter().zip(logits(&model, there, &counts)) {
        let error = hold(&format!("{count} layers"), on_cpu, &said, MOST_ERROR);
        eprintln!("{count} layers on two servers: error {error:.1e}");
    }
}

#[test]
fn both_servers_hold_weights_and_two_processes_take_turns() {
    let (model, one, two) = (Model::new("q4_0"), Server::start(), Server::start());
    let mut engine = engine(Vec::new());
    let servers = vec![one.address.clone(), two.address.clone()];
    let run = engine.run(&model.job(servers.clone()), PATIENCE).unwrap();
    for server in &servers {
        let holds = |name: &str| name.starts_with("RPC") && name.contains(server);
        let buffer = run.memory.buffers.iter().find(|buffer| holds(&buffer.name));
        assert!(buffer.is_some_and(|it| it.model_bytes.0 > 0), "{:?}", run.memory.buffers);
    }
    assert_eq!(run.effective.process.rpc, servers);
    // Another process for the same servers: the one before must let go of them.
    let turned: Vec<String> = servers.into_iter().rev().collect();
    engine.run(&model.job(turned), PATIENCE).unwrap();
    assert_eq!(engine.worker_ids().count(), 1);
}

#[test]
fn nobody_and_somebody_else_are_refused_before_ggml_can_abort() {
    let model = Model::new("q4_0");
    let mut engine = engine(Vec::new());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = mute.local_addr().unwrap().to_string();
    for (server, says) in [
        (free.as_str(), "cannot be reached"),
        (silent.as_str(), "does not greet"),
        ("here", "is not HOST:PORT"),
    ] {
        let failure = engine.run(&model.job(vec![server.to_owned()]), PATIENCE).unwrap_err();
        let Failure::Refused { reason, .. } = failure else { panic!("{server}: {failure}") };
        assert!(reason.contains(says) && reason.contains(server), "{reason}");
    }
    engine.run(&model.job(Vec::new()), PATIENCE).expect("the engine goes on");
}

#[test]
fn a_server_that_dies_in_the_middle_costs_one_job() {
    let (model, mut server) = (Model::new("q4_0"), Server::start());
    let mut engine = engine(Vec::new());
    let address = vec![server.address.clone()];
    engine.run(&model.job(address.clone()), PATIENCE).unwrap();
    let mut endless = model.job(address.clone());
    endless.work.repetitions = u32::MAX;
    let failure = thread::scope(|scope| {
        scope.spawn(|| {
            // Before or after the job has reached the server: it never ends by itself.
            thread::sleep(Duration::from_millis(300));
            server.child.kill().unwrap();
        });
        engine.run(&endless, PATIENCE).unwrap_err()
    });
    let Failure::Crashed { reason, .. } = &failure else { panic!("{failure}") };
    assert!(reason.contains("RPC server crashed"), "{reason}");
    let failure = engine.run(&model.job(address), PATIENCE).unwrap_err();
    assert!(matches!(failure, Failure::Refused { .. }), "{failure}");
    engine.run(&model.job(Vec::new()), PATIENCE).expect("the engine goes on");
}
