//! The state of a machine, from files that change between two readings.

use std::cell::RefCell;
use std::collections::BTreeMap;

use autotune_engine::api::Bytes;

use super::super::{Host, Unread, condition};
use super::world::Files;
use crate::model::{Condition, CounterUnit, Provenance, ThrottleEvents};

const HEAT: &str = "/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count";

/// Files that a pause may change.
struct Changing(RefCell<Files>);

impl Host for Changing {
    fn read(&self, path: &str) -> Result<String, Unread> {
        self.0.borrow().read(path)
    }

    fn list(&self, path: &str) -> Vec<String> {
        self.0.borrow().list(path)
    }

    fn provenance(&self) -> Provenance {
        Provenance::Captured
    }

    fn now(&self) -> String {
        String::new()
    }
}

fn seen(before: &[(&str, &str)], after: &[(&str, &str)]) -> Condition {
    let owned = |files: &[(&str, &str)]| -> BTreeMap<String, String> {
        files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    };
    let host = Changing(RefCell::new(Files { texts: owned(before), models: None }));
    condition(&host, &mut || host.0.borrow_mut().texts.extend(owned(after)))
}

#[test]
fn what_grew_between_two_readings_is_told_apart() {
    let before = [
        ("/proc/stat", "cpu  100 0 0 900 0 0 0 0\ncpu0 1\ncpu1 1\nintr 1\n"),
        ("/proc/vmstat", "pswpin 5\npswpout 7\n"),
        ("/sys/devices/system/cpu/online", "0-1\n"),
        (HEAT, "4\n"),
    ];
    let after = [
        ("/proc/stat", "cpu  140 0 10 940 0 0 0 10\ncpu0 1\ncpu1 1\nintr 1\n"),
        ("/proc/vmstat", "pswpin 6\npswpout 9\n"),
        (HEAT, "6\n"),
    ];
    let found = seen(&before, &after);
    assert_eq!(found.busy_processors, Some(1.0));
    assert_eq!(found.stolen_share, Some(0.1));
    assert_eq!(found.swapped_pages, Some(3));
    assert_eq!(found.throttled, Some(ThrottleEvents { core: 6, package: 0, now: 2 }));
    let still = seen(&before, &[]);
    assert_eq!((still.busy_processors, still.swapped_pages), (None, Some(0)));
    assert!(still.unseen["busy_processors"].contains("no time passed"));
}

#[test]
fn clocks_power_and_permissions_are_read() {
    let cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq";
    let cap = "/sys/class/powercap/intel-rapl:0";
    let files = [
        ("/sys/devices/system/cpu/online".to_owned(), "0-1"),
        (format!("{cpufreq}/scaling_driver"), "intel_pstate\n"),
        (format!("{cpufreq}/energy_performance_preference"), "balance_power\n"),
        ("/sys/devices/system/cpu/intel_pstate/status".to_owned(), "active\n"),
        (format!("{cap}/name"), "package-0\n"),
        (format!("{cap}/constraint_0_name"), "long_term\n"),
        (format!("{cap}/constraint_0_power_limit_uw"), "65000000\n"),
        (format!("{cap}/constraint_0_max_power_uw"), "125000000\n"),
        ("/sys/class/power_supply/BAT0/type".to_owned(), "Battery\n"),
        ("/sys/class/power_supply/BAT0/status".to_owned(), "Discharging\n"),
        ("/sys/class/power_supply/mouse/type".to_owned(), "Battery\n"),
        ("/sys/class/power_supply/mouse/scope".to_owned(), "Device\n"),
        ("/sys/firmware/acpi/platform_profile".to_owned(), "quiet\n"),
        ("/sys/firmware/acpi/platform_profile_choices".to_owned(), "quiet balanced\n"),
        (
            "/proc/self/status".to_owned(),
            "CapEff:\t0000000000004000\nCpus_allowed_list:\t0-3\nMems_allowed_list:\t0\n",
        ),
        ("/sys/devices/system/cpu/cpu0/topology/core_cpus_list".to_owned(), "0-1\n"),
        ("/sys/devices/system/cpu/cpu1/topology/thread_siblings_list".to_owned(), "0-1\n"),
        ("/proc/sys/kernel/perf_event_paranoid".to_owned(), "-1\n"),
        ("/sys/bus/event_source/devices/cpu_core/type".to_owned(), "4\n"),
        ("/proc/meminfo".to_owned(), "SwapTotal: 8 kB\nSwapFree: 6 kB\n"),
        ("/proc/pressure/cpu".to_owned(), "some avg10=1.50 avg60=0.00\n"),
    ];
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
    let found = seen(&files, &[]);
    assert_eq!(found.clocks.energy_preferences, ["balance_power"]);
    assert_eq!(found.clocks.driver_mode.as_deref(), Some("active"));
    assert_eq!(found.power_caps[0].name, "package-0 long_term");
    assert_eq!(found.power_caps[0].limit_microwatts, 65_000_000);
    assert_eq!(found.power_sources.len(), 1, "a mouse powers no processor");
    assert_eq!(found.platform_profiles, ["quiet", "balanced"]);
    assert_eq!(found.allowed_cpus.unwrap().to_string(), "0-1");
    assert_eq!((found.allowed_cores, found.capabilities), (Some(1), Some(1 << 14)));
    assert_eq!(found.perf_event_paranoid, Some(-1));
    assert_eq!(found.counter_unit, Some(CounterUnit::Present));
    assert_eq!(found.swap_used_bytes, Some(Bytes(2048)));
    assert_eq!(found.processor_pressure, Some(1.5));
}

#[test]
fn missing_files_and_garbage_are_reasons() {
    let garbage = [
        ("/proc/stat", "cpu  18446744073709551616 x\n"),
        ("/proc/vmstat", "pswpin many\n"),
        ("/proc/meminfo", "SwapTotal: -1 kB\n"),
        ("/proc/pressure/cpu", "some avg10=NaN\n"),
        ("/proc/self/status", "CapEff:\tzz\nCpus_allowed_list:\t9-1\nMems_allowed_list:\n"),
        ("/proc/sys/kernel/numa_balancing", "\0\n"),
        ("/sys/devices/system/cpu/online", "0-\n"),
        ("/sys/class/powercap/x/constraint_0_power_limit_uw", "NaN\n"),
    ];
    for files in [&garbage[..], &[]] {
        let found = seen(files, &[]);
        let unseen = found.unseen.clone();
        assert_eq!(found, Condition { unseen: unseen.clone(), ..Condition::default() });
        for fact in ["busy_processors", "throttled", "numa_balancing", "capabilities", "power_caps"]
        {
            assert!(!unseen[fact].is_empty(), "{fact}");
        }
    }
}
