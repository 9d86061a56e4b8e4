//! The threads of one phase: which CPUs they get, and what rate and bandwidth that gives.

use std::collections::BTreeSet;

use super::world::World;
use crate::api::{CpuMask, Failure, MemoryPolicy, Numa, Priority, Setting, Toggle};

/// A CPU of the simulated machine: the first hardware thread of every fast core, then the second
/// ones, then the slow cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedCpu {
    /// Its number.
    pub number: u32,
    /// The core that it belongs to; slow cores are counted after the fast ones.
    pub core: u32,
    /// Which of the core's hardware threads it is, from 0.
    pub sibling: u32,
    /// Whether the core is a slow one.
    pub slow: bool,
    /// The memory node.
    pub node: u32,
}

/// What the threads of one phase come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Team {
    /// Operations per second, with the best variant.
    pub(super) flops: f64,
    /// Bytes of weights per second.
    pub(super) bandwidth: f64,
    /// Seconds that a pass over the model waits.
    pub(super) waiting_s: f64,
    /// What everything takes longer by: quota, neighbours, too many threads.
    pub(super) stretch: f64,
}

/// What some threads could do at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Operations per second.
    pub flops: f64,
    /// Bytes read per second.
    pub bandwidth_bytes_per_s: f64,
}

impl World {
    /// The CPUs in the order of their numbers.
    #[must_use]
    pub fn cpus(&self) -> Vec<SimulatedCpu> {
        let machine = &self.machine;
        let nodes = self.numa.map_or(1, |numa| numa.nodes);
        let node = |core: u32| core * nodes / machine.cores.max(1);
        let fast = (0..machine.smt).flat_map(|sibling| {
            (0..machine.cores).map(move |core| SimulatedCpu {
                number: sibling * machine.cores + core,
                core,
                sibling,
                slow: false,
                node: node(core),
            })
        });
        let slow = self.hybrid.map_or(0, |hybrid| hybrid.slow_cores);
        let slow = (0..slow).map(|index| SimulatedCpu {
            number: machine.cores * machine.smt + index,
            core: machine.cores + index,
            sibling: 0,
            slow: true,
            node: 0,
        });
        fast.chain(slow).collect()
    }

    /// Hardware threads that may be used at once.
    #[must_use]
    pub fn usable_threads(&self) -> u32 {
        let machine = &self.machine;
        let all = machine.cores * machine.smt + self.hybrid.map_or(0, |it| it.slow_cores);
        let quota = machine.quota_cores.map_or(all, rounded_up);
        machine.usable_threads.unwrap_or(all).min(quota).min(all).max(1)
    }

    /// The CPUs that so many threads get, in the order in which the system fills them: cores
    /// first, fast before slow, nodes in turn; second hardware threads last.
    fn occupied(&self, setting: &Setting, threads: u32) -> Vec<SimulatedCpu> {
        let mut cpus = self.cpus();
        let mask = setting.threads.cpu_mask.as_ref();
        let named: Vec<u32> = mask.into_iter().flat_map(CpuMask::cpus).map(u32::from).collect();
        if mask.is_some() {
            cpus.retain(|cpu| named.contains(&cpu.number));
        }
        if setting.process.numa == Numa::Isolate {
            cpus.retain(|cpu| cpu.node == 0);
        }
        let bound = mask.is_some() && setting.threads.strict == Toggle::On;
        if !bound {
            self.spread(&mut cpus);
        }
        self.first(cpus, threads)
    }

    /// Puts CPUs in the order in which the system fills them.
    fn spread(&self, cpus: &mut [SimulatedCpu]) {
        let nodes = self.numa.map_or(1, |numa| numa.nodes);
        let turn = |cpu: &SimulatedCpu| cpu.core % (self.machine.cores / nodes).max(1);
        cpus.sort_by_key(|cpu| (cpu.sibling, cpu.slow, turn(cpu), cpu.node, cpu.number));
    }

    /// The first of these CPUs: a CPU set leaves fewer; under a quota all run, for less of the time.
    fn first(&self, mut cpus: Vec<SimulatedCpu>, threads: u32) -> Vec<SimulatedCpu> {
        let most = self.machine.usable_threads.unwrap_or(u32::MAX).min(threads);
        cpus.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        cpus
    }

    /// What so many threads come to under a setting; a refusal where it asks for what this
    /// machine does not have.
    pub(super) fn team(&self, setting: &Setting, threads: u32) -> Result<Team, Failure> {
        let cpus = self.occupied(setting, threads);
        if cpus.is_empty() {
            return Err(Failure::refused("this machine has none of the CPUs of the mask"));
        }
        let running = u32::try_from(cpus.len()).unwrap_or(u32::MAX);
        let machine = &self.machine;
        let spin = f64::from(setting.threads.poll) / 100.0;
        let (wake_s, spin_loss) =
            self.polling.map_or((0.0, 0.0), |it| (it.wake_s * (1.0 - spin), it.spin_loss * spin));
        let excess = threads.saturating_sub(running.min(self.allowed(&cpus)));
        let spread = cpus.iter().any(|cpu| cpu.node != cpus[0].node);
        let crossing_s = self.numa.filter(|_| spread).map_or(0.0, |numa| numa.crossing_s);
        let waiting_s = machine.barrier_s * f64::from(threads.saturating_sub(1))
            + machine.contention_s * f64::from(excess)
            + crossing_s
            + if threads > 1 { wake_s } else { 0.0 };
        let collapse = if excess > 0 { machine.collapse } else { 1.0 };
        let duty = machine.quota_cores.map_or(1.0, |quota| (quota / f64::from(running)).min(1.0));
        Ok(Team {
            flops: machine.core_flops * self.cores_worth(&cpus) * (1.0 - spin_loss),
            bandwidth: self.bandwidth(setting, &cpus)? * (1.0 - spin_loss),
            waiting_s,
            stretch: collapse / duty / self.left_by_others(setting.threads.priority)?,
        })
    }

    /// What measured peaks of so many threads, each with its own memory, would be.
    #[must_use]
    pub fn peak(&self, threads: u32) -> Peak {
        let machine = &self.machine;
        let mut cpus = self.cpus();
        self.spread(&mut cpus);
        let cpus = self.first(cpus, threads);
        let running = f64::from(u32::try_from(cpus.len()).unwrap_or(u32::MAX)).max(1.0);
        let duty = machine.quota_cores.map_or(1.0, |quota| (quota / running).min(1.0));
        let readers = self.with_slow(&cpus, fast_cores(&cpus) as f64);
        let bandwidth = readers * machine.core_bandwidth_bytes_per_s;
        Peak {
            flops: machine.core_flops * self.cores_worth(&cpus) * duty,
            bandwidth_bytes_per_s: bandwidth.min(machine.bandwidth_bytes_per_s) * duty,
        }
    }

    /// CPUs that threads may keep busy without waiting for each other's turn.
    fn allowed(&self, cpus: &[SimulatedCpu]) -> u32 {
        let cpus = u32::try_from(cpus.len()).unwrap_or(u32::MAX);
        cpus.min(self.usable_threads())
    }

    /// Compute rate of these CPUs in fast cores.
    fn cores_worth(&self, cpus: &[SimulatedCpu]) -> f64 {
        let machine = &self.machine;
        let sharers = f64::from(machine.smt.saturating_sub(1)).max(1.0);
        let cores = fast_cores(cpus);
        let further = cpus.iter().filter(|cpu| !cpu.slow).count() - cores;
        let fast = cores as f64 + machine.smt_gain * further as f64 / sharers;
        self.with_slow(cpus, fast)
    }

    /// The worth of fast cores together with the slow ones among these CPUs, the slowest holding
    /// the others up.
    fn with_slow(&self, cpus: &[SimulatedCpu], fast: f64) -> f64 {
        let slow = cpus.iter().filter(|cpu| cpu.slow).count() as f64;
        let Some(hybrid) = self.hybrid.filter(|_| slow > 0.0) else { return fast };
        let sum = fast + slow * hybrid.slow_speed;
        let held_up = (cpus.len() as f64 * hybrid.slow_speed).min(sum);
        hybrid.drag * held_up + (1.0 - hybrid.drag) * sum
    }

    /// Bytes per second that threads on these CPUs read: one core's share each, up to the roof of
    /// the nodes that the pages are on and of the links to them.
    fn bandwidth(&self, setting: &Setting, cpus: &[SimulatedCpu]) -> Result<f64, Failure> {
        let machine = &self.machine;
        let readers = self.with_slow(cpus, fast_cores(cpus) as f64);
        let wish = readers * machine.core_bandwidth_bytes_per_s;
        let Some(numa) = self.numa else { return Ok(wish.min(machine.bandwidth_bytes_per_s)) };
        let own = machine.bandwidth_bytes_per_s / f64::from(numa.nodes);
        let on = |node: u32| {
            cpus.iter().filter(|cpu| cpu.node == node).count() as f64 / cpus.len() as f64
        };
        let nodes = 0..numa.nodes;
        // Seconds per byte of the node that takes longest.
        let slowest = |pages: &dyn Fn(u32) -> f64, remote: &dyn Fn(u32) -> f64| {
            let seconds =
                |node| pages(node) * (1.0 / own).max(remote(node) / own / numa.link_speed);
            nodes.clone().map(seconds).fold(0.0, f64::max)
        };
        let far = |node: u32| 1.0 - on(node);
        let seconds = match (setting.process.memory_policy, setting.process.numa) {
            (MemoryPolicy::Bind(node), _) if node >= numa.nodes => {
                return Err(Failure::refused(format!("there is no memory node {node}")));
            }
            (MemoryPolicy::Bind(node), _) => {
                slowest(&|other| f64::from(u8::from(other == node)), &far)
            }
            (MemoryPolicy::Interleave, _) => slowest(&|_| 1.0 / f64::from(numa.nodes), &far),
            (_, Numa::Distribute) => slowest(&on, &|_| 1.0 - numa.touched_local),
            // Whoever loads the model touches every page first.
            _ => slowest(&|other| f64::from(u8::from(other == 0)), &far),
        };
        Ok(wish.min(1.0 / seconds))
    }

    /// Share of every core that something else leaves to threads of a priority.
    fn left_by_others(&self, priority: Priority) -> Result<f64, Failure> {
        let Some(background) = self.background else { return Ok(1.0) };
        match priority {
            Priority::Low => Ok(1.0 - 2.0 * background.share),
            Priority::Normal => Ok(1.0 - background.share),
            _ if background.realtime => Ok(1.0),
            _ => Err(Failure::refused("real-time threads need a privilege")),
        }
    }
}

/// How many fast cores these CPUs belong to.
fn fast_cores(cpus: &[SimulatedCpu]) -> usize {
    let fast = cpus.iter().filter(|cpu| !cpu.slow).map(|cpu| cpu.core);
    fast.collect::<BTreeSet<u32>>().len()
}

/// The next whole number, at least 1.
fn rounded_up(cores: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let whole = cores.ceil().clamp(1.0, 1e9) as u32;
    whole
}
