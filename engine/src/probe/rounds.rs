//! Every cell once per round, in another order each time, so that what the machine does meanwhile
//! falls on all of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::cpu;
use super::message::{Cell, Kernel, Line, Measure};
use super::team::{Sets, Team, Visit};
use crate::kernels::{Arithmetic, Chain, Element, Stream};

/// Rounds that are run whatever the budget: fewer samples have no interval of their median.
const FEWEST: u32 = 6;
/// Beyond this many times the budget even those end.
const PATIENCE: u32 = 2;

/// The widest sets that are announced and not excluded.
pub(super) fn sets(excluded: &[String]) -> Option<Sets> {
    let allowed = |isa: &str| !excluded.iter().any(|name| name == isa);
    let best = |element| Arithmetic::all(element).find(|set| allowed(set.isa()));
    Some(Sets {
        stream: Stream::all().find(|set| allowed(set.isa()))?,
        float32: best(Element::Float32)?,
        int8: best(Element::Int8)?,
    })
}

/// Measures every cell in rounds.
pub(super) fn run(
    ask: &Measure,
    sets: Sets,
    say: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    let began = Instant::now();
    let (team, doubts) = Team::start(&ask.cpus, &ask.buffer_bytes, sets)?;
    for doubt in doubts {
        say(&Line::Caveat(doubt))?;
    }
    let walks = walks(ask)?;
    say(&Line::Ready)?;
    let budget = Duration::from_millis(ask.budget_ms);
    let mut order: Vec<usize> = (0..ask.cells.len()).collect();
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(ask.seed);
    let mut longest = Duration::ZERO;
    for round in 1..=ask.rounds {
        for last in (1..order.len()).rev() {
            order.swap(last, chance.random_range(0..=last));
        }
        let round_began = Instant::now();
        for place in &order {
            let cell = &ask.cells[*place];
            begin(round, cell, sets, say)?;
            if let Some(per_second) = visit(&team, cell, &walks) {
                let cell = u32::try_from(*place).unwrap_or(u32::MAX);
                say(&Line::Sample { cell, per_second })?;
            }
            if began.elapsed() > budget * PATIENCE {
                say(&Line::Caveat(format!("measuring took too long and ended in round {round}")))?;
                return Ok(());
            }
        }
        longest = longest.max(round_began.elapsed());
        say(&Line::Round(round))?;
        if round >= FEWEST && began.elapsed() + longest > budget {
            break;
        }
    }
    Ok(())
}

/// Names the set before its first use, for whoever finds this process dead.
fn begin(
    round: u32,
    cell: &Cell,
    sets: Sets,
    say: &mut dyn FnMut(&Line) -> io::Result<()>,
) -> io::Result<()> {
    let isa = match cell.kernel {
        Kernel::Read | Kernel::Copy | Kernel::Triad => sets.stream.isa(),
        Kernel::Float32 => sets.float32.isa(),
        Kernel::Int8 => sets.int8.isa(),
        Kernel::Walk => return Ok(()),
    };
    if round == 1 { say(&Line::Begins(isa.to_owned())) } else { Ok(()) }
}

/// One chain per size, made on the CPU that walks it.
fn walks(ask: &Measure) -> io::Result<BTreeMap<u64, Arc<RwLock<Chain>>>> {
    let mut sizes: Vec<u64> = ask
        .cells
        .iter()
        .filter(|cell| cell.kernel == Kernel::Walk)
        .map(|cell| cell.bytes)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    let (cpu, seed) = (ask.cpus.first().copied(), ask.seed);
    let make = move || -> io::Result<BTreeMap<u64, Arc<RwLock<Chain>>>> {
        if let Some(cpu) = cpu {
            let _ = cpu::bind(cpu);
        }
        sizes
            .into_iter()
            .map(|bytes| {
                let size = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
                Ok((bytes, Arc::new(RwLock::new(Chain::new(size, seed ^ bytes)?))))
            })
            .collect()
    };
    let chains = std::thread::Builder::new().spawn(make)?.join();
    chains.unwrap_or_else(|_| Err(io::Error::other("the thread that makes the walks ended")))
}

fn visit(team: &Team, cell: &Cell, walks: &BTreeMap<u64, Arc<RwLock<Chain>>>) -> Option<f64> {
    let places = |list: &[u32]| list.iter().map(|place| *place as usize).collect::<Vec<_>>();
    team.visit(&Visit {
        kernel: cell.kernel,
        threads: &places(&cell.threads),
        memory: &places(&cell.memory),
        bytes: usize::try_from(cell.bytes).unwrap_or(usize::MAX),
        warm: cell.warm,
        lasts: Duration::from_micros(cell.visit_us),
        walk: walks.get(&cell.bytes).filter(|_| cell.kernel == Kernel::Walk),
    })
}
