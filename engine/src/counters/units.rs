//! Which units of this machine count what.

use std::fs;
use std::path::Path;

use crate::api::Event;

/// Where the kernel lists its counting units.
pub(super) const UNITS: &str = "/sys/bus/event_source/devices";

/// Units of the cores: the plain one has no name, those of a machine with two kinds of core have
/// the number by which the kernel tells them apart.
pub(super) fn of_cores(folder: &Path) -> Vec<Option<(String, u32)>> {
    let hybrid = ["cpu_core", "cpu_atom", "cpu_lowpower"];
    let units: Vec<_> = hybrid
        .iter()
        .filter_map(|name| {
            let text = fs::read_to_string(folder.join(name).join("type")).ok()?;
            Some(Some(((*name).to_owned(), text.trim().parse().ok()?)))
        })
        .collect();
    if units.is_empty() { vec![None] } else { units }
}

/// An event that a unit counts for the whole machine.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shared {
    /// The unit's folder.
    pub(super) unit: String,
    /// Its own name of the event.
    pub(super) name: String,
    /// Ours.
    pub(super) event: Event,
    /// What one count stands for, in our event's measure.
    pub(super) scale: f64,
    /// The processors to count on, one of each package.
    pub(super) cpus: Vec<usize>,
}

/// Names that the memory controllers of client and server processors have for their traffic.
const MEMORY: [(&str, Event); 6] = [
    ("cas_count_read", Event::MemoryReads),
    ("data_read", Event::MemoryReads),
    ("data_reads", Event::MemoryReads),
    ("cas_count_write", Event::MemoryWrites),
    ("data_write", Event::MemoryWrites),
    ("data_writes", Event::MemoryWrites),
];
/// The same for energy.
const ENERGY: [(&str, Event); 2] =
    [("energy-pkg", Event::PackageEnergy), ("energy-ram", Event::MemoryEnergy)];

/// Memory controllers and energy counters, where there are some.
pub(super) fn shared(folder: &Path) -> Vec<Shared> {
    let mut found = Vec::new();
    let units = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        units.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    for unit in names {
        let events: &[(&str, Event)] = match unit.as_str() {
            "power" => &ENERGY,
            name if name.starts_with("uncore_imc") => &MEMORY,
            _ => continue,
        };
        let place = folder.join(&unit);
        let Ok(mask) = fs::read_to_string(place.join("cpumask")) else { continue };
        let Some(cpus) = cpus(&mask) else { continue };
        for (name, event) in events {
            let file = |suffix: &str| {
                fs::read_to_string(place.join("events").join(format!("{name}{suffix}"))).ok()
            };
            if file("").is_none() {
                continue;
            }
            let Some(measure) = file(".unit").as_deref().and_then(measure) else { continue };
            let factor = file(".scale").and_then(|text| text.trim().parse::<f64>().ok());
            let scale = factor.unwrap_or(1.0) * measure;
            if scale.is_finite() && scale > 0.0 {
                found.push(Shared {
                    unit: unit.clone(),
                    name: (*name).to_owned(),
                    event: *event,
                    scale,
                    cpus: cpus.clone(),
                });
            }
        }
    }
    found
}

/// Bytes, or microjoules, of the measure that the kernel names.
fn measure(unit: &str) -> Option<f64> {
    match unit.trim() {
        "MiB" => Some(f64::from(1 << 20)),
        "KiB" => Some(1024.0),
        "Bytes" => Some(1.0),
        "Joules" => Some(1e6),
        _ => None,
    }
}

/// `0,18` or `0-1`; at most as many as a machine has packages.
fn cpus(mask: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in mask.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        cpus.extend((first..=last).take(64));
    }
    (!cpus.is_empty() && cpus.len() <= 64).then_some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn two_kinds_of_core_are_two_units() {
        let hybrid = tree(&[("cpu_core/type", "4\n"), ("cpu_atom/type", "10\n")]);
        let named = |name: &str, number| Some((name.to_owned(), number));
        assert_eq!(of_cores(hybrid.path()), [named("cpu_core", 4), named("cpu_atom", 10)]);
        assert_eq!(of_cores(tree(&[("cpu/type", "4\n")]).path()), [None]);
        assert_eq!(of_cores(Path::new("/nowhere")), [None]);
    }

    #[test]
    fn memory_controllers_and_energy_are_found_with_their_measure() {
        let server = tree(&[
            ("uncore_imc_0/cpumask", "0,18\n"),
            ("uncore_imc_0/events/cas_count_read", "event=0x04,umask=0x03\n"),
            ("uncore_imc_0/events/cas_count_read.scale", "6.103515625e-5\n"),
            ("uncore_imc_0/events/cas_count_read.unit", "MiB\n"),
            ("power/cpumask", "0\n"),
            ("power/events/energy-pkg", "event=0x02\n"),
            ("power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n"),
            ("power/events/energy-pkg.unit", "Joules\n"),
            ("power/events/energy-cores", "event=0x01\n"),
        ]);
        let found = shared(server.path());
        let short: Vec<_> =
            found.iter().map(|it| (it.unit.as_str(), it.event, it.cpus.len())).collect();
        assert_eq!(
            short,
            [("power", Event::PackageEnergy, 1), ("uncore_imc_0", Event::MemoryReads, 2)]
        );
        assert!(
            (found[1].scale - 64.0).abs() < 1e-9,
            "a burst of a cache line: {}",
            found[1].scale
        );
        assert!((found[0].scale - 2.328_306_436_538_696e-4).abs() < 1e-12);
    }

    #[test]
    fn strange_files_are_no_units() {
        for (path, text) in [
            ("uncore_imc_0/cpumask", "x\n"),
            ("uncore_imc_0/events/cas_count_read.unit", "furlongs\n"),
            ("uncore_imc_0/events/cas_count_read.scale", "0\n"),
        ] {
            let mut files = vec![
                ("uncore_imc_0/cpumask", "0\n"),
                ("uncore_imc_0/events/cas_count_read", "event=0x04\n"),
                ("uncore_imc_0/events/cas_count_read.scale", "1\n"),
                ("uncore_imc_0/events/cas_count_read.unit", "MiB\n"),
            ];
            files.push((path, text));
            assert_eq!(shared(tree(&files).path()), [], "{path}");
        }
        assert_eq!(cpus("0-1,4"), Some(vec![0, 1, 4]));
        assert_eq!(cpus("0-99999999999"), Some((0..64).collect()));
    }
}
