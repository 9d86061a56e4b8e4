//! What is measured on this machine: which loops, on how many threads, over how much memory.

use autotune_engine::api::Bytes;
use autotune_engine::probe::{Cell, Kernel, Measure};

use crate::model::{Cache, CacheKind, Machine};

/// Memory that is gone through, over the caches it could stay in; what STREAM asks of each array.
const OVER_CACHE: u64 = 4;
/// Below this many times the caches nothing is said about memory.
const LEAST_OVER_CACHE: u64 = 2;
/// Taken as the last cache where a machine hides its caches.
const HIDDEN_CACHE: u64 = 32 << 20;
/// Memory of all threads together, over what is available.
const SHARE_OF_MEMORY: u64 = 4;
/// Longest walk: more takes longer to lay out than it tells.
const LONGEST_WALK: u64 = 1 << 30;
/// Usual length of a visit: memory, caches and arithmetic, walks.
const VISITS_US: [u64; 3] = [25_000, 10_000, 5_000];
/// Shorter ones would be mostly start and end.
const SHORTEST_US: u64 = 3_000;
/// Rounds at most; more do not narrow an interval by much.
const ROUNDS: u32 = 31;
/// Rounds that must fit the budget.
const FEWEST: u64 = 6;
/// Nodes between which every pair is measured; beyond, pairs with the first one.
const ALL_PAIRS: usize = 4;

/// What a cell's samples are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Memory { threads: u32, node: Option<u32>, memory_node: Option<u32> },
    Cache { level: u32, threads: u32 },
    Arithmetic { threads: u32 },
    Walk { bytes: u64 },
}

/// The request, and what each of its cells is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) ask: Measure,
    pub(super) subjects: Vec<Subject>,
    pub(super) caveats: Vec<String>,
}

impl Layout {
    /// Everything that can be measured with threads on these CPUs.
    pub(super) fn of(machine: &Machine, cpus: &[u32]) -> Self {
        let mut layout = Self::default();
        layout.ask.cpus = cpus.to_vec();
        layout.ask.rounds = ROUNDS;
        let last = last_cache(machine);
        if last.is_none() {
            let text = "the machine hides its caches; 32 MiB are taken for the last one";
            layout.caveats.push(text.to_owned());
        }
        let last = last.unwrap_or((HIDDEN_CACHE, 1));
        let counts = counts(machine, cpus.len());
        layout.memory(machine, &counts, last);
        layout.nodes(machine, cpus);
        layout.caches(machine, cpus.len());
        for threads in counts {
            for kernel in [Kernel::Float32, Kernel::Int8] {
                let subject = Subject::Arithmetic { threads };
                layout.add(subject, kernel, first(threads), 0, VISITS_US[1]);
            }
        }
        layout.walks(machine, last.0);
        layout
    }

    /// Shortens visits until the fewest rounds fit the budget.
    pub(super) fn fit(&mut self) {
        let round: u64 = self.ask.cells.iter().map(|cell| cell.visit_us).sum();
        let budget = self.ask.budget_ms * 1000 * 8 / 10 / FEWEST;
        if round > budget {
            for cell in &mut self.ask.cells {
                cell.visit_us = (cell.visit_us * budget / round).max(SHORTEST_US);
            }
        }
    }

    fn add(
        &mut self,
        subject: Subject,
        kernel: Kernel,
        threads: Vec<u32>,
        bytes: u64,
        visit_us: u64,
    ) {
        let (memory, warm) = (Vec::new(), matches!(subject, Subject::Cache { .. }));
        self.subjects.push(subject);
        self.ask.cells.push(Cell { kernel, threads, memory, bytes, warm, visit_us });
    }

    /// Reads, copies and triads for each count, each over several times the caches they reach.
    fn memory(&mut self, machine: &Machine, counts: &[u32], (size, instances): (u64, u32)) {
        let each = |threads: u32| {
            let reached = u64::from(threads.min(instances));
            (OVER_CACHE * size * reached).div_ceil(u64::from(threads)).next_multiple_of(1 << 21)
        };
        // A thread's memory serves the smallest count that it takes part in.
        let joins = |place: u32| counts.iter().copied().find(|count| *count > place);
        let threads = u32::try_from(self.ask.cpus.len()).unwrap_or(u32::MAX);
        let wanted: Vec<u64> = (0..threads).map(|place| joins(place).map_or(0, each)).collect();
        let most =
            machine.available_memory().map_or(1 << 30, |Bytes(bytes)| bytes / SHARE_OF_MEMORY);
        let total: u64 = wanted.iter().sum();
        let fits = |bytes: u64| if total > most { scaled(bytes, most, total) } else { bytes };
        self.ask.buffer_bytes = wanted.iter().map(|bytes| fits(*bytes)).collect();
        if total > most {
            let (total, most) = (Bytes(total), Bytes(most));
            let text = format!(
                "memory is short: {most} instead of {total} are gone through, so that caches may help"
            );
            self.caveats.push(text);
        }
        for threads in counts.iter().copied() {
            let bytes = fits(each(threads));
            let reached = size * u64::from(threads.min(instances));
            if bytes * u64::from(threads) < LEAST_OVER_CACHE * reached {
                self.caveats
                    .push(format!("no bandwidth of {threads} threads: memory is too short"));
                continue;
            }
            for kernel in [Kernel::Read, Kernel::Copy, Kernel::Triad] {
                let subject = Subject::Memory { threads, node: None, memory_node: None };
                self.add(subject, kernel, first(threads), bytes, VISITS_US[0]);
            }
        }
    }

    /// Reads by all threads of a node, of its own memory and of other nodes'.
    fn nodes(&mut self, machine: &Machine, cpus: &[u32]) {
        let nodes = &machine.numa.nodes;
        if nodes.len() < 2 {
            return;
        }
        let mut places = Vec::new();
        for node in nodes {
            let here = (0..).zip(cpus).filter(|(_, cpu)| node.cpus.contains(**cpu));
            let here: Vec<u32> = here.map(|(place, _)| place).collect();
            if here.is_empty() {
                let why = "no CPU of it may be used, so nobody can touch its memory first";
                self.caveats.push(format!("node {} was not measured: {why}", node.id));
            } else {
                places.push((node.id, here));
            }
        }
        let all = places.len() <= ALL_PAIRS;
        for (at, (node, readers)) in places.iter().enumerate() {
            for (memory_at, (memory_node, owners)) in places.iter().enumerate() {
                if !all && at != memory_at && at != 0 {
                    continue;
                }
                let memory: Vec<u32> = owners.iter().copied().cycle().take(readers.len()).collect();
                let bytes = memory.iter().filter_map(|at| self.ask.buffer_bytes.get(*at as usize));
                let bytes = bytes.copied().min().unwrap_or(0);
                let threads = u32::try_from(readers.len()).unwrap_or(u32::MAX);
                let (node, memory_node) = (Some(*node), Some(*memory_node));
                let subject = Subject::Memory { threads, node, memory_node };
                self.add(subject, Kernel::Read, readers.clone(), bytes, VISITS_US[0]);
                self.ask.cells.last_mut().expect("it was just added").memory = memory;
            }
        }
    }

    /// Half of each cache, read again and again, by one thread and by all.
    fn caches(&mut self, machine: &Machine, threads: usize) {
        let all = u32::try_from(threads).unwrap_or(u32::MAX);
        for threads in if all > 1 { vec![1, all] } else { vec![1] } {
            let mut inner = 0;
            for cache in data_caches(machine) {
                let sharing = threads.div_ceil(cache.instances.max(1)).max(1);
                let bytes = cache.size_bytes.0 / u64::from(sharing) / 2 / 4096 * 4096;
                let room = self.ask.buffer_bytes.iter().take(threads as usize).min();
                // A share that the cache before holds tells nothing of this one.
                if bytes >= 2 * inner.max(2048) && room.is_some_and(|room| *room >= bytes) {
                    let subject = Subject::Cache { level: cache.level, threads };
                    self.add(subject, Kernel::Read, first(threads), bytes, VISITS_US[1]);
                }
                inner = cache.size_bytes.0 / u64::from(sharing.min(cache.shared_by_threads.max(1)));
            }
        }
    }

    /// One thread's dependent loads: from what the first cache holds to what none does.
    fn walks(&mut self, machine: &Machine, last: u64) {
        let most = machine.available_memory().map_or(1 << 28, |Bytes(bytes)| bytes / 8);
        let longest = (OVER_CACHE * last).clamp(64 << 20, LONGEST_WALK).min(most);
        let mut sizes: Vec<u64> =
            data_caches(machine).map(|cache| cache.size_bytes.0 / 2).collect();
        sizes.extend(
            (0..).map(|step| (16_u64 << 10) << (2 * step)).take_while(|size| *size < longest / 2),
        );
        sizes.push(longest);
        sizes.sort_unstable();
        // Neighbours say the same.
        sizes.dedup_by(|next, kept| *next < *kept * 3 / 2);
        for bytes in sizes {
            self.add(Subject::Walk { bytes }, Kernel::Walk, vec![0], bytes, VISITS_US[2]);
        }
    }
}

/// The first threads of the order.
fn first(threads: u32) -> Vec<u32> {
    (0..threads).collect()
}

fn scaled(bytes: u64, most: u64, total: u64) -> u64 {
    let part = u128::from(bytes) * u128::from(most) / u128::from(total.max(1));
    u64::try_from(part).unwrap_or(0) >> 21 << 21
}

/// 1, 2, 4 … all, and one for each physical core.
pub(super) fn counts(machine: &Machine, threads: usize) -> Vec<u32> {
    let all = u32::try_from(threads).unwrap_or(u32::MAX).max(1);
    let mut counts: Vec<u32> =
        (0..32).map(|power| 1 << power).take_while(|count| *count < all).collect();
    counts.extend(machine.cpu.cores.filter(|cores| *cores > 0 && *cores < all));
    counts.push(all);
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Data caches, nearest first, the largest of each level: kinds of cores may differ.
fn data_caches(machine: &Machine) -> impl Iterator<Item = &Cache> {
    let data = |cache: &&Cache| cache.kind != CacheKind::Instruction && cache.size_bytes.0 > 0;
    let mut levels: Vec<&Cache> = machine.cpu.caches.iter().filter(data).collect();
    levels.sort_unstable_by_key(|cache| (cache.level, std::cmp::Reverse(cache.size_bytes)));
    levels.dedup_by_key(|cache| cache.level);
    levels.into_iter()
}

/// Size of one last-level cache, and how many there are.
fn last_cache(machine: &Machine) -> Option<(u64, u32)> {
    data_caches(machine).last().map(|cache| (cache.size_bytes.0, cache.instances.max(1)))
}
