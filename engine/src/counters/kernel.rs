//! What the kernel keeps of every process, from its files.

use std::fs;

use crate::api::KernelUse;

/// The sums since the process began; `None`: this one.
#[must_use]
pub fn kernel_use(process: Option<u32>) -> KernelUse {
    let folder = process.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).ok();
    let (minor_faults, major_faults) = read("stat").as_deref().and_then(faults).unzip();
    let mut switches: Option<[u64; 2]> = None;
    for task in fs::read_dir(format!("{folder}/task")).into_iter().flatten().flatten() {
        // A thread that ends meanwhile is none any more.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        let own = |key: &str| field(&status, key);
        if let (Some(voluntary), Some(involuntary)) =
            (own("voluntary_ctxt_switches:"), own("nonvoluntary_ctxt_switches:"))
        {
            let sum = switches.get_or_insert([0, 0]);
            *sum = [sum[0].saturating_add(voluntary), sum[1].saturating_add(involuntary)];
        }
    }
    KernelUse {
        minor_faults,
        major_faults,
        voluntary_switches: switches.map(|sum| sum[0]),
        involuntary_switches: switches.map(|sum| sum[1]),
        read_bytes: read("io").as_deref().and_then(|text| field(text, "read_bytes:")),
    }
}

/// Fields 10 and 12 of `proc_pid_stat(5)`, counted behind the name, which may hold anything.
fn faults(stat: &str) -> Option<(u64, u64)> {
    let (_, behind) = stat.rsplit_once(')')?;
    let words: Vec<&str> = behind.split_whitespace().take(10).collect();
    Some((words.get(7)?.parse().ok()?, words.get(9)?.parse().ok()?))
}

fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_behind_the_name() {
        assert_eq!(faults("7 (a ) b) S 1 2 3 4 5 6 70 8 9 10"), Some((70, 9)));
        for strange in ["", "7 (a) S 1 2", "7 (a) S 1 2 3 4 5 6 x 8 y 10"] {
            assert_eq!(faults(strange), None, "{strange}");
        }
    }

    #[test]
    fn this_process_is_known_and_nobody_is_not() {
        let own = kernel_use(None);
        assert!(own.minor_faults > Some(0), "{own:?}");
        assert!(own.voluntary_switches.is_some(), "{own:?}");
        assert_eq!(kernel_use(Some(u32::MAX)), KernelUse::default());
    }
}
