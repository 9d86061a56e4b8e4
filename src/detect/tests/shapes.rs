//! Properties that hold for any shape of machine.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::machine;
use super::world::Files;
use crate::model::CpuList;

const CPUS: &str = "/sys/devices/system/cpu";

fn files(texts: Vec<(String, String)>) -> Files {
    Files { texts: texts.into_iter().collect::<BTreeMap<_, _>>(), models: None }
}

/// The list as the kernel's masks write it: words of 32 bits, the highest first.
fn mask(list: &CpuList) -> String {
    let words = list.iter().max().unwrap_or(0) / 32;
    let word = |index: u32| {
        (0..32).filter(|bit| list.contains(index * 32 + bit)).map(|bit| 1_u32 << bit).sum::<u32>()
    };
    let words: Vec<String> =
        (0..=words).rev().map(|index| format!("{:08x}", word(index))).collect();
    format!("{}\n", words.join(","))
}

#[derive(Debug, Clone, Copy)]
enum Written {
    List,
    Mask,
    Number,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the kernel tells who shares a cache, each is counted once.
    #[test]
    fn caches_times_sharers_are_all_threads(
        (stride, groups) in (1_u32..4, prop::collection::vec(1_u32..5, 1..8)),
        written in prop::sample::select(vec![Written::List, Written::Mask, Written::Number]),
    ) {
        let mut texts = Vec::new();
        let mut next = 0;
        let mut lists: Vec<CpuList> = Vec::new();
        for size in &groups {
            lists.push((next..next + size).map(|cpu| cpu * stride).collect());
            next += size;
        }
        let all: CpuList = lists.iter().flat_map(|list| list.iter().collect::<Vec<_>>()).collect();
        texts.push((format!("{CPUS}/online"), format!("{all}\n")));
        for (id, list) in lists.iter().enumerate() {
            for cpu in list.iter() {
                let folder = format!("{CPUS}/cpu{cpu}/cache/index3");
                for (name, text) in [("level", "3"), ("type", "Unified"), ("size", "8192K")] {
                    texts.push((format!("{folder}/{name}"), format!("{text}\n")));
                }
                texts.push(match written {
                    Written::List => (format!("{folder}/shared_cpu_list"), format!("{list}\n")),
                    Written::Mask => (format!("{folder}/shared_cpu_map"), mask(list)),
                    Written::Number => (format!("{folder}/id"), format!("{id}\n")),
                });
            }
        }
        let seen = machine(&files(texts));
        let sharers: u32 =
            seen.cpu.caches.iter().map(|cache| cache.instances * cache.shared_by_threads).sum();
        let instances: u32 = seen.cpu.caches.iter().map(|cache| cache.instances).sum();
        prop_assert_eq!(sharers, all.len());
        prop_assert_eq!(instances as usize, groups.len());
    }

    /// Cores are told by lists, by masks or by numbers alike, and online CPUs alone are counted.
    #[test]
    fn cores_hold_every_online_thread(
        smt in 1_u32..9, cores in 1_u32..9, packages in 1_u32..4,
        written in prop::sample::select(vec![Written::List, Written::Mask, Written::Number]),
        gone in prop::collection::btree_set(0_u32..64, 0..4),
    ) {
        let threads = smt * cores * packages;
        let online: CpuList = (0..threads).filter(|cpu| *cpu == 0 || !gone.contains(cpu)).collect();
        let mut texts = vec![(format!("{CPUS}/online"), format!("{online}\n"))];
        for cpu in online.iter() {
            let core: CpuList = (0..smt).map(|thread| cpu / smt * smt + thread).collect();
            let folder = format!("{CPUS}/cpu{cpu}/topology");
            let package = cpu / (smt * cores);
            texts.push((format!("{folder}/physical_package_id"), format!("{package}\n")));
            texts.push(match written {
                Written::List => (format!("{folder}/core_cpus_list"), format!("{core}\n")),
                Written::Mask => (format!("{folder}/thread_siblings"), mask(&core)),
                Written::Number => (format!("{folder}/core_id"), format!("{}\n", cpu / smt % cores)),
            });
        }
        let seen = machine(&files(texts));
        let left: std::collections::BTreeSet<u32> = online.iter().map(|cpu| cpu / smt).collect();
        prop_assert_eq!(seen.cpu.cores, u32::try_from(left.len()).ok());
        prop_assert_eq!(seen.cpu.kinds.iter().map(|kind| kind.threads).sum::<u32>(), online.len());
        prop_assert_eq!(seen.cpu.threads_online, Some(online.len()));
    }

    /// Whatever groups lie within each other, the least of each limit holds, in both versions.
    #[test]
    fn the_least_of_nested_groups_holds(
        version in 1_u32..3,
        levels in prop::collection::vec(
            (prop::option::of(1_u64..400_000), prop::option::of(1_u64..1 << 40), 0_u64..1 << 38),
            1..6,
        ),
    ) {
        let point = "/sys/fs/cgroup";
        let (kind, options) = if version == 1 { ("cgroup", "rw,cpu,memory") } else { ("cgroup2", "rw") };
        let parts: Vec<String> = (1..levels.len()).map(|level| format!("/g{level}")).collect();
        let path = parts.concat();
        let id = if version == 1 { "4:cpu,memory" } else { "0:" };
        let mut texts = vec![
            ("/proc/self/cgroup".to_owned(), format!("{id}:{}\n", if path.is_empty() { "/" } else { &path })),
            ("/proc/self/mountinfo".to_owned(),
                format!("35 26 0:30 / {point} rw - {kind} {kind} {options}\n")),
            ("/proc/self/status".to_owned(), "Cpus_allowed_list:\t0-7\n".to_owned()),
            (format!("{CPUS}/online"), "0-7\n".to_owned()),
        ];
        let mut folder = point.to_owned();
        for (level, (quota, memory, used)) in levels.iter().enumerate() {
            if level > 0 {
                folder = format!("{folder}/g{level}");
            }
            let text = |value: &Option<u64>, none: &str| value.map_or(none.to_owned(), |v| v.to_string());
            let named: Vec<(&str, String)> = if version == 1 {
                vec![
                    ("cpu.cfs_quota_us", text(quota, "-1")),
                    ("cpu.cfs_period_us", "100000".to_owned()),
                    ("memory.limit_in_bytes", text(memory, "9223372036854771712")),
                    ("memory.usage_in_bytes", used.to_string()),
                ]
            } else {
                vec![
                    ("cpu.max", format!("{} 100000", text(quota, "max"))),
                    ("memory.max", text(memory, "max")),
                    ("memory.current", used.to_string()),
                ]
            };
            texts.extend(named.into_iter().map(|(name, text)| (format!("{folder}/{name}"), format!("{text}\n"))));
        }
        let limits = machine(&files(texts)).limits;
        let quota = levels.iter().filter_map(|level| level.0).min();
        prop_assert_eq!(limits.cpu_quota_cores, quota.map(|quota| quota as f64 / 1e5));
        let usable = quota.map_or(8, |quota| quota.div_ceil(100_000).min(8));
        prop_assert_eq!(limits.usable_threads.map(u64::from), Some(usable));
        let memory = levels.iter().filter_map(|level| level.1).min();
        prop_assert_eq!(limits.memory_limit_bytes.map(|bytes| bytes.0), memory);
        let left = levels.iter().filter_map(|level| Some(level.1?.saturating_sub(level.2))).min();
        prop_assert_eq!(limits.memory_available_bytes.map(|bytes| bytes.0), left);
    }

    /// Cores of one kind stay one kind, whichever of them are favoured a little.
    #[test]
    fn favoured_cores_are_no_kind(clocks in prop::collection::vec(4_700_000_u32..5_700_000, 1..16)) {
        let mut texts = vec![(format!("{CPUS}/online"), format!("0-{}\n", clocks.len() - 1))];
        for (cpu, clock) in clocks.iter().enumerate() {
            let folder = format!("{CPUS}/cpu{cpu}");
            texts.push((format!("{folder}/topology/core_cpus_list"), format!("{cpu}\n")));
            texts.push((format!("{folder}/cpufreq/cpuinfo_max_freq"), format!("{clock}\n")));
        }
        prop_assert_eq!(machine(&files(texts)).cpu.kinds.len(), 1);
    }
}
