//! Threads that stay: each bound to its CPU, with memory that it touched itself.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use super::cpu;
use super::message::Kernel;
use super::sample::{Marks, common_rate};
use crate::kernels::{Arithmetic, Buffer, Chain, Stream};

/// Bytes between two looks at the clock: long against the look, short against a visit.
const CHUNK: usize = 1 << 20;
/// Steps of arithmetic between two looks: some ten microseconds.
const STEPS: u64 = 4000;
/// Loads of a walk between two looks.
const LOADS: u32 = 1000;
/// Looks that a visit has room for, so that no thread asks for memory meanwhile.
const ROOM: usize = 1 << 14;

/// The instruction sets in use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sets {
    pub(super) stream: Stream,
    pub(super) float32: Arithmetic,
    pub(super) int8: Arithmetic,
}

/// Memory that its owner touched; others may read it.
pub(super) type Shared = Arc<RwLock<Buffer>>;

/// One thread's part of a visit.
struct Task {
    kernel: Kernel,
    sets: Sets,
    memory: Shared,
    bytes: usize,
    warm: bool,
    lasts: Duration,
    waiting: Arc<AtomicUsize>,
    walk: Option<Arc<RwLock<Chain>>>,
    epoch: Instant,
    reply: Sender<Marks>,
}

/// One visit to all threads of a cell.
pub(super) struct Visit<'a> {
    pub(super) kernel: Kernel,
    pub(super) threads: &'a [usize],
    /// Whose memory each reads.
    pub(super) memory: &'a [usize],
    pub(super) bytes: usize,
    pub(super) warm: bool,
    pub(super) lasts: Duration,
    pub(super) walk: Option<&'a Arc<RwLock<Chain>>>,
}

struct Member {
    tasks: Sender<Task>,
    memory: Shared,
}

/// All threads.
pub(super) struct Team {
    members: Vec<Member>,
    sets: Sets,
    epoch: Instant,
}

impl Team {
    /// Starts a thread on each CPU and has it touch its memory. The second value tells of threads
    /// that could not be bound.
    pub(super) fn start(
        cpus: &[u32],
        bytes: &[u64],
        sets: Sets,
    ) -> io::Result<(Self, Vec<String>)> {
        let mut members = Vec::new();
        let mut ready = Vec::new();
        for (cpu, bytes) in cpus.iter().zip(bytes) {
            let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
            let memory = Arc::new(RwLock::new(Buffer::new(bytes)?));
            let (tasks, inbox) = mpsc::channel();
            let (tell, told) = mpsc::channel();
            let (own, cpu) = (Arc::clone(&memory), *cpu);
            thread::Builder::new().spawn(move || {
                let bound = cpu::bind(cpu);
                own.write().expect("no thread panics with it").touch();
                let _ = tell.send(bound);
                work(&inbox);
            })?;
            members.push(Member { tasks, memory });
            ready.push((cpu, told));
        }
        let mut doubts = Vec::new();
        for (cpu, told) in ready {
            match told.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    doubts.push(format!("no thread could be bound to CPU {cpu}: {error}"));
                }
                Err(_) => return Err(io::Error::other(format!("the thread on CPU {cpu} ended"))),
            }
        }
        Ok((Self { members, sets, epoch: Instant::now() }, doubts))
    }

    /// Has threads do something for a while; units per second, all together.
    pub(super) fn visit(&self, visit: &Visit<'_>) -> Option<f64> {
        let waiting = Arc::new(AtomicUsize::new(visit.threads.len()));
        let (reply, replies) = mpsc::channel();
        for (place, thread) in visit.threads.iter().enumerate() {
            let memory = visit.memory.get(place).unwrap_or(thread);
            let task = Task {
                kernel: visit.kernel,
                sets: self.sets,
                memory: Arc::clone(&self.members.get(*memory)?.memory),
                bytes: visit.bytes,
                warm: visit.warm,
                lasts: visit.lasts,
                waiting: Arc::clone(&waiting),
                walk: visit.walk.cloned(),
                epoch: self.epoch,
                reply: reply.clone(),
            };
            self.members.get(*thread)?.tasks.send(task).ok()?;
        }
        drop(reply);
        let marks: Vec<Marks> = replies.iter().collect();
        if marks.len() == visit.threads.len() { common_rate(&marks) } else { None }
    }
}

/// The life of a thread.
fn work(inbox: &Receiver<Task>) {
    // Where the last visit to a large buffer ended: the next one goes on, so that nothing of what
    // it reads is still in a cache.
    let mut cursor = 0;
    for task in inbox {
        let marks = match task.kernel {
            Kernel::Read => read(&task, &mut cursor),
            Kernel::Copy | Kernel::Triad => write(&task, &mut cursor),
            Kernel::Float32 => arithmetic(&task, &task.sets.float32),
            Kernel::Int8 => arithmetic(&task, &task.sets.int8),
            Kernel::Walk => walk(&task),
        };
        let _ = task.reply.send(marks);
    }
}

/// Does one thing untimed, waits for the others, then does it until the time is over.
fn timed(task: &Task, mut once: impl FnMut() -> f64) -> Marks {
    let mut marks = Vec::with_capacity(ROOM);
    once();
    task.waiting.fetch_sub(1, Ordering::AcqRel);
    let mut turns = 0_u32;
    while task.waiting.load(Ordering::Acquire) > 0 {
        turns += 1;
        // Where a neighbour has this CPU's sibling, the last thread may be long in coming.
        if turns.is_multiple_of(4096) { thread::yield_now() } else { std::hint::spin_loop() }
    }
    let start = task.epoch.elapsed();
    let mut done = 0.0;
    marks.push((start.as_secs_f64(), done));
    loop {
        done += once();
        let now = task.epoch.elapsed();
        marks.push((now.as_secs_f64(), done));
        if now.saturating_sub(start) >= task.lasts || marks.len() == ROOM {
            return marks;
        }
    }
}

/// The next part of `whole` words of at most `most`.
fn next_part(cursor: &mut usize, whole: usize, most: usize) -> std::ops::Range<usize> {
    if *cursor >= whole {
        *cursor = 0;
    }
    let start = *cursor;
    *cursor = (start + most).min(whole);
    start..*cursor
}

fn read(task: &Task, cursor: &mut usize) -> Marks {
    let memory = task.memory.read().expect("no thread panics with it");
    let words = memory.words();
    let words = &words[..words.len().min(task.bytes / 8)];
    if task.warm {
        std::hint::black_box(task.sets.stream.read(words));
    }
    if words.len() >= CHUNK / 8 * 4 {
        return timed(task, || {
            let part = next_part(cursor, words.len(), CHUNK / 8);
            std::hint::black_box(task.sets.stream.read(&words[part.clone()]));
            part.len() as f64 * 8.0
        });
    }
    // What fits a cache is read often enough between two looks at the clock.
    let times = (CHUNK / (8 * words.len().max(1))).max(1);
    timed(task, || {
        for _ in 0..times {
            std::hint::black_box(task.sets.stream.read(std::hint::black_box(words)));
        }
        (times * words.len()) as f64 * 8.0
    })
}

fn write(task: &Task, cursor: &mut usize) -> Marks {
    let mut memory = task.memory.write().expect("no thread panics with it");
    let floats = memory.floats_mut();
    let parts = if task.kernel == Kernel::Copy { 2 } else { 3 };
    let length = floats.len().min(task.bytes / 8) / parts;
    let (target, rest) = floats.split_at_mut(length);
    let (first, rest) = rest.split_at(length);
    let second = &rest[..if parts == 3 { length } else { 0 }];
    let stream = task.sets.stream;
    timed(task, || {
        let part = next_part(cursor, length, CHUNK / 8 / parts);
        let count = part.len();
        if parts == 2 {
            stream.copy(&mut target[part.clone()], &first[part]);
        } else {
            stream.triad(&mut target[part.clone()], &first[part.clone()], &second[part], 3.0);
        }
        (parts * count) as f64 * 8.0
    })
}

fn arithmetic(task: &Task, set: &Arithmetic) -> Marks {
    timed(task, || {
        std::hint::black_box(set.run(std::hint::black_box(STEPS)));
        STEPS as f64 * set.operations() as f64
    })
}

fn walk(task: &Task) -> Marks {
    let Some(chain) = &task.walk else { return Vec::new() };
    let mut chain = chain.write().expect("no thread panics with it");
    timed(task, || {
        chain.walk(LOADS);
        f64::from(LOADS)
    })
}
