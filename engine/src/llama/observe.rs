//! A job under observation: what processor and kernel counted, which functions ran, and what each
//! part of the graph took.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::context::{Context, Entry};
use super::pieces::{Pass, Watcher};
use super::stage::{self, Stage};
use super::together;
use super::work::{self, Depth, Tokens, nanoseconds};
use crate::api::{
    Answer, Count, Failure, GraphTimes, KernelUse, PhaseUse, Sample, Stretch, TextTimes, Work,
};
use crate::counters::{Counters, kernel_use};
use crate::samples::{self, Mark, Sampled, Sampler, Samples};

/// Time for the passes of one graph, beyond the first quiet and the first timed one.
const GRAPH_TIME: Duration = Duration::from_secs(6);
/// Pairs of a quiet and a timed pass at most.
const MOST_PAIRS: u32 = 12;

/// What is read before and after a stretch.
struct Reading {
    at: u64,
    cpu_ns: u64,
    kernel: KernelUse,
    counts: Vec<Count>,
}

impl Reading {
    fn now(counters: &mut Counters) -> Self {
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let part = |value: i64| u64::try_from(value).unwrap_or(0);
        Self {
            cpu_ns: part(cpu.tv_sec)
                .saturating_mul(1_000_000_000)
                .saturating_add(part(cpu.tv_nsec)),
            kernel: kernel_use(None),
            counts: counters.read(),
            at: samples::now(),
        }
    }
}

/// Watches stretch by stretch.
pub(super) struct Observer {
    pub(super) counters: Counters,
    pub(super) phases: Vec<PhaseUse>,
    marks: Vec<Mark>,
    last: Reading,
}

impl Observer {
    /// Begins to watch.
    pub(super) fn new(mut counters: Counters) -> Self {
        let last = Reading::now(&mut counters);
        Self { counters, phases: Vec::new(), marks: Vec::new(), last }
    }

    /// What comes next is not what came before.
    fn begin(&mut self) {
        self.last = Reading::now(&mut self.counters);
    }

    /// Ends a stretch that began when the last one ended. `elapsed_ns`: its own time, where it was
    /// taken closer.
    pub(super) fn end(
        &mut self,
        stretch: Stretch,
        repetition: u32,
        tokens: u64,
        sampled: bool,
        elapsed_ns: Option<u64>,
    ) {
        let now = Reading::now(&mut self.counters);
        let then = std::mem::replace(&mut self.last, now);
        let now = &self.last;
        let counts = now.counts.iter().filter_map(|count| {
            let same = |other: &&Count| (other.event, &other.unit) == (count.event, &count.unit);
            count.since(then.counts.iter().find(same)?)
        });
        self.marks.extend(sampled.then_some(Mark { stretch, from_ns: then.at, until_ns: now.at }));
        self.phases.push(PhaseUse {
            stretch,
            repetition,
            sampled,
            tokens,
            elapsed_ns: elapsed_ns.unwrap_or_else(|| now.at.saturating_sub(then.at)),
            cpu_ns: now.cpu_ns.saturating_sub(then.cpu_ns),
            kernel: now.kernel.since(then.kernel),
            counts: counts.collect(),
        });
    }
}

/// What came of the repetitions.
pub(super) struct Seen {
    pub(super) samples: Vec<Sample>,
    pub(super) answers: Vec<Answer>,
    pub(super) functions: Samples,
    pub(super) cache_misses: Samples,
    pub(super) event: Option<String>,
    pub(super) text: Result<TextTimes, String>,
    pub(super) unseen: Vec<String>,
}

/// All repetitions, or as many fours as begin before there is `enough`; samples are taken in the
/// second and third of every four, so that neither kind comes first.
pub(super) fn program(
    context: &mut Context,
    work: &Work,
    sample_hz: u32,
    enough: Duration,
    observer: &mut Observer,
) -> Result<Seen, Failure> {
    stage::reached(Stage::Compute);
    if work.warmup {
        work::warm_up(context, work)?;
    }
    let mut unseen = Vec::new();
    // After the warm-up: all threads are there.
    let rings = match sample_hz {
        0 => None,
        hz => Sampler::open(Sampled::Time, hz).map_err(|why| unseen.push(why)).ok(),
    };
    // A processor whose cycles are counted counts these too; elsewhere the counters say why not.
    let by_cycles = rings.as_ref().is_some_and(|rings| rings.event() == "cycles");
    let misses = if by_cycles { Sampler::open(Sampled::CacheMisses, sample_hz).ok() } else { None };
    let mut depth = Depth { tokens: work.depth, saved: None };
    let (mut samples, mut answers) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    for repetition in 0..work.repetitions {
        if repetition > 0 && repetition % 4 == 0 && begun.elapsed() > enough {
            break;
        }
        let mut tokens = Tokens::new(context, work.seed, repetition);
        context.clear();
        depth.fill(context, &mut tokens, work.sequences())?;
        let rings = rings.as_ref().filter(|_| matches!(repetition % 4, 1 | 2));
        let is_sampled = rings.is_some();
        let misses = misses.as_ref().filter(|_| is_sampled);
        for rings in rings.into_iter().chain(misses) {
            rings.resume();
        }
        observer.begin();
        let prefill_ns = work::prefill(context, &mut tokens, work)?;
        if work.prompt_tokens > 0 {
            let tokens = work.all_prompt_tokens();
            observer.end(Stretch::Prefill, repetition, tokens, is_sampled, Some(prefill_ns));
        }
        let decoded = work::decode(context, &mut tokens, work)?;
        if work.generate_tokens > 0 {
            let (tokens, elapsed) = (work.all_generated_tokens(), decoded.decode_ns);
            observer.end(Stretch::Decode, repetition, tokens, is_sampled, Some(elapsed));
        }
        for rings in rings.into_iter().chain(misses) {
            rings.pause();
        }
        samples.push(Sample { prefill_ns, ..decoded });
        answers.push(work::check_logits(context, work)?);
    }
    let event = rings.as_ref().map(|rings| rings.event().to_owned());
    let finish = |rings: Sampler| rings.finish(&observer.marks);
    let functions = rings.map(finish).unwrap_or_default();
    let cache_misses = misses.map(finish).unwrap_or_default();
    unseen.extend(observer.counters.unseen().iter().cloned());
    let text = super::text_times::measure(context, work);
    Ok(Seen { samples, answers, functions, cache_misses, event, text, unseen })
}

/// The graphs of a prompt and of a token, taken to pieces, and why one is missing.
pub(super) fn graphs(
    context: &mut Context,
    watcher: &Mutex<Watcher>,
    work: &Work,
    ubatch: u32,
    detail: bool,
) -> (Vec<GraphTimes>, Vec<String>) {
    stage::reached(Stage::Compute);
    let mut taken = Taken {
        tokens: Tokens::new(context, work.seed, 0),
        depth: Depth { tokens: work.depth, saved: None },
        position: 0,
        context,
        watcher,
        work,
        ubatch,
    };
    let (mut graphs, mut unseen) = (Vec::new(), Vec::new());
    let asked = [(Stretch::Prefill, work.prompt_tokens), (Stretch::Decode, work.generate_tokens)];
    for (stretch, tokens) in asked {
        if tokens == 0 {
            continue;
        }
        match taken.graph(stretch, detail) {
            Ok(graph) => graphs.push(graph),
            Err(failure) => unseen.push(format!(
                "the parts of the model in {} are not known: {failure}",
                stretch.word()
            )),
        }
    }
    (graphs, unseen)
}

struct Taken<'a> {
    context: &'a mut Context,
    watcher: &'a Mutex<Watcher>,
    work: &'a Work,
    tokens: Tokens,
    depth: Depth,
    ubatch: u32,
    /// Tokens of each sequence that are there.
    position: u32,
}

impl Taken<'_> {
    fn graph(&mut self, stretch: Stretch, detail: bool) -> Result<GraphTimes, Failure> {
        let prompt = stretch == Stretch::Prefill;
        if !prompt {
            self.fill()?;
        }
        self.pass(prompt, Pass::Learn)?;
        self.watch(|watcher| watcher.divide(detail));
        let mut times = GraphTimes {
            stretch,
            tokens: if prompt {
                u32::try_from(self.work.all_prompt_tokens()).unwrap_or(u32::MAX)
            } else {
                self.work.sequences()
            },
            passes: 0,
            quiet_ns: Vec::new(),
            timed_ns: Vec::new(),
            pieces: Vec::new(),
        };
        // One step learnt, two for each pair; what is left of the generation stays unused.
        let pairs = match stretch {
            Stretch::Decode => (self.work.generate_tokens.saturating_sub(1) / 2).min(MOST_PAIRS),
            _ => MOST_PAIRS,
        };
        let begun = Instant::now();
        for pair in 0..pairs.max(1) {
            let order = [Pass::Quiet, Pass::Timed];
            for pass in if pair % 2 == 0 { order } else { [order[1], order[0]] } {
                let elapsed = self.pass(prompt, pass)?;
                let list =
                    if pass == Pass::Timed { &mut times.timed_ns } else { &mut times.quiet_ns };
                list.push(elapsed);
            }
            times.passes += 1;
            if begun.elapsed() > GRAPH_TIME {
                break;
            }
        }
        let (pieces, strayed) = self.watch(|watcher| (watcher.pieces(), watcher.strayed));
        if strayed {
            let reason = format!("the graph of the {} changes from pass to pass", stretch.word());
            return Err(Failure::Invalid { reason });
        }
        times.pieces = pieces;
        Ok(times)
    }

    /// Fills all sequences up to where generation begins.
    fn fill(&mut self) -> Result<(), Failure> {
        self.watch(|watcher| watcher.begin(Pass::Quiet));
        self.context.clear();
        let count = self.work.depth.saturating_add(self.work.prompt_tokens);
        let sequences = self.work.sequences();
        together::prompts(self.context, &mut self.tokens, sequences, 0, count)?;
        self.position = count;
        Ok(())
    }

    /// One pass over the prompts, or one step of all sequences; nanoseconds.
    fn pass(&mut self, prompt: bool, pass: Pass) -> Result<u64, Failure> {
        if prompt { self.prompt(pass) } else { self.step(pass) }
    }

    /// The prompts of all sequences, in the physical batches that the work makes of them.
    fn prompt(&mut self, pass: Pass) -> Result<u64, Failure> {
        self.watch(|watcher| watcher.begin(Pass::Quiet));
        self.context.clear();
        self.depth.fill(self.context, &mut self.tokens, self.work.sequences())?;
        let (depth, tokens) = (self.work.depth, &mut self.tokens);
        let mut all = Vec::new();
        for sequence in 0..self.work.sequences() {
            for index in 0..self.work.prompt_tokens {
                let position = depth.saturating_add(index);
                all.push(Entry { token: tokens.next(), position, sequence, answer: false });
            }
        }
        self.watch(|watcher| watcher.begin(pass));
        let started = Instant::now();
        for chunk in all.chunks_mut(self.ubatch.max(1) as usize) {
            // Each has an answer, so that the graphs of all have the same nodes.
            if let Some(last) = chunk.last_mut() {
                last.answer = true;
            }
            self.context.decode_entries(chunk)?;
            self.context.synchronize()?;
        }
        let elapsed = nanoseconds(started);
        self.watch(Watcher::end);
        Ok(elapsed)
    }

    fn step(&mut self, pass: Pass) -> Result<u64, Failure> {
        let position = self.position;
        let tokens = &mut self.tokens;
        let entry = |sequence| Entry { token: tokens.next(), position, sequence, answer: true };
        let step: Vec<Entry> = (0..self.work.sequences()).map(entry).collect();
        self.watch(|watcher| watcher.begin(pass));
        let started = Instant::now();
        self.context.decode_entries(&step)?;
        self.context.synchronize()?;
        let elapsed = nanoseconds(started);
        self.watch(Watcher::end);
        self.position += 1;
        Ok(elapsed)
    }

    fn watch<T>(&self, change: impl FnOnce(&mut Watcher) -> T) -> T {
        let mut watcher = self.watcher.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut watcher)
    }
}
