//! The state that a machine is in now: what changes between two runs, while a [`super::Machine`]
//! stays the same.

use std::collections::BTreeMap;

use autotune_engine::api::Bytes;
use serde::{Deserialize, Serialize};

use super::CpuList;

/// The state of a machine now. What could not be seen is `None` and has its reason in
/// [`Condition::unseen`], under the name of the field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Processors that anything kept busy between two readings, as a mean: 1.5 is one and a half.
    pub busy_processors: Option<f64>,
    /// Share of all processor time between the readings that the hypervisor gave to others, 0 to 1.
    pub stolen_share: Option<f64>,
    /// Percent of the last ten seconds in which some task waited for a processor.
    pub processor_pressure: Option<f64>,
    /// How the kernel sets clocks, as far as it is not in the machine document.
    pub clocks: Switches,
    /// Times that the processor throttled because of heat.
    pub throttled: Option<ThrottleEvents>,
    /// Limits of the processors' power.
    pub power_caps: Vec<PowerCap>,
    /// Swap space that is used.
    pub swap_used_bytes: Option<Bytes>,
    /// Pages that were swapped in or out between the readings.
    pub swapped_pages: Option<u64>,
    /// `kernel.numa_balancing`: bit 0 moves pages towards the CPUs that use them.
    pub numa_balancing: Option<u32>,
    /// CPUs that this process may run on.
    pub allowed_cpus: Option<CpuList>,
    /// Physical cores that these CPUs belong to.
    pub allowed_cores: Option<u32>,
    /// Memory nodes that this process may take memory of.
    pub allowed_nodes: Option<CpuList>,
    /// `kernel.perf_event_paranoid`.
    pub perf_event_paranoid: Option<i32>,
    /// Whether the kernel drives the processor's event counters.
    pub counter_unit: Option<CounterUnit>,
    /// Capabilities of this process in force, one bit each (`capabilities(7)`).
    pub capabilities: Option<u64>,
    /// Batteries and plugs.
    pub power_sources: Vec<PowerSource>,
    /// The firmware's profile of power, for example `balanced`.
    pub platform_profile: Option<String>,
    /// The profiles that there are.
    pub platform_profiles: Vec<String>,
    /// Why a fact is missing, under its name.
    pub unseen: BTreeMap<String, String>,
}

/// How the kernel sets clocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Switches {
    /// Drivers of the clocks, each once, for example `intel_pstate`.
    pub drivers: Vec<String>,
    /// `active`, `passive`, `guided` or `off`, where the driver is Intel's or AMD's.
    pub driver_mode: Option<String>,
    /// Wishes between speed and energy, each once, for example `balance_performance`.
    pub energy_preferences: Vec<String>,
    /// Governors that may be chosen.
    pub governors: Vec<String>,
}

/// Times that the processor throttled because of heat; of cores and packages the highest counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottleEvents {
    /// Of one core, since the system started.
    pub core: u64,
    /// Of one package, since the system started.
    pub package: u64,
    /// Of either kind, between two readings.
    pub now: u64,
}

/// A limit of power.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerCap {
    /// Folder of the zone below `/sys/class/powercap`, for example `intel-rapl:0`.
    pub zone: String,
    /// Number of the constraint in it.
    pub constraint: u32,
    /// For example `package-0 long_term`.
    pub name: String,
    /// The limit.
    pub limit_microwatts: u64,
    /// What the processor is made for.
    pub maximum_microwatts: u64,
}

/// A battery or a plug.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerSource {
    /// The kernel's name, for example `BAT0`.
    pub name: String,
    /// `Battery`, `Mains`, `USB`, ….
    pub kind: String,
    /// Of a battery, for example `Discharging`.
    pub status: Option<String>,
    /// Of a plug: 1 where it gives power.
    pub online: Option<u32>,
}

/// Whether the kernel drives the processor's event counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CounterUnit {
    /// It does.
    Present,
    /// It does not, as in most virtual machines.
    Absent,
}
