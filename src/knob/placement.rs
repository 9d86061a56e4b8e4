//! Which CPUs the threads run on, chosen by how these hang together.

use autotune_engine::api::{CpuMask, Placement, Setting, Toggle};

use super::{ActsOn, Ground, Knob, Offer, Terrain, Tool, WrongLevel, word};
use crate::model::{CpuList, Level, Scope};

/// `placement`: a policy, and the CPU mask that it comes to on this machine.
///
/// A level is the policy with its mask, `one_per_core:0x55`, so that a plan says what was run. A
/// mask that nobody explained is a level too: `0x55`.
#[derive(Debug)]
pub struct PlacementKnob;

impl Knob for PlacementKnob {
    fn name(&self) -> &'static str {
        "placement"
    }

    fn summary(&self) -> &'static str {
        "CPUs the threads run on: any, spread, compact, one_per_core, performance, one_cache, one_node"
    }

    fn explanation(&self) -> &'static str {
        "The system moves threads as it likes. Keeping them on one CPU per core avoids two sharing \
         one; on one cache or node they talk faster; spread out they have more caches and memory \
         channels; the fast cores of a hybrid processor need not wait for the slow ones. `spread` \
         and `compact` bind each of the default's threads to one CPU, the others leave them free \
         within the mask."
    }

    fn scope(&self) -> Scope {
        Scope::Setter
    }

    fn acts_on(&self) -> ActsOn {
        ActsOn::Both
    }

    fn offer(&self, ground: &Ground<'_>) -> Offer {
        let terrain = ground.terrain;
        if terrain.allowed.len() < 2 || terrain.cores.is_empty() {
            let reason = "which CPUs may be used, and which share a core, is not known or is one";
            return Offer::nothing(self, ground, reason);
        }
        let threads = ground.baseline.threads.threads;
        let mut offer = Offer { levels: vec![word(Placement::Any)], ..Offer::default() };
        let mut seen: Vec<(CpuMask, bool, Placement)> = Vec::new();
        for policy in Placement::ALL.iter().copied().filter(|policy| *policy != Placement::Any) {
            let (mask, strict) = match resolve(policy, terrain, threads) {
                Ok(found) => found,
                Err(reason) => {
                    offer.reject(self, Some(word(policy)), reason);
                    continue;
                }
            };
            let known = seen.iter().find(|(other, bound, _)| (other, *bound) == (&mask, strict));
            if let Some((_, _, same)) = known {
                offer.reject(self, Some(word(policy)), format!("the same CPUs as `{same}`"));
            } else {
                offer.levels.push(word(format!("{policy}:{mask}")));
                seen.push((mask, strict, policy));
            }
        }
        offer.with_own(self, ground).alone(self, "every policy comes to the same CPUs here")
    }

    fn read(&self, setting: &Setting) -> Level {
        let threads = &setting.threads;
        match (&threads.cpu_mask, threads.placement) {
            (None, _) => word(Placement::Any),
            (Some(mask), Placement::Any) => word(mask),
            (Some(mask), policy) => word(format!("{policy}:{mask}")),
        }
    }

    fn write(&self, setting: &mut Setting, level: &Level) -> Result<(), WrongLevel> {
        let text = level.to_string();
        let wrong = || WrongLevel {
            knob: "placement",
            level: text.clone(),
            wanted: "`any`, a mask such as 0x55, or a policy of this machine",
        };
        let threads = &mut setting.threads;
        let (policy, mask) = match text.split_once(':') {
            _ if text == Placement::Any.word() => {
                (threads.placement, threads.cpu_mask) = (Placement::Any, None);
                threads.strict = Toggle::Off;
                return Ok(());
            }
            Some((policy, mask)) => (policy.parse().map_err(|_| wrong())?, mask),
            None => (Placement::Any, text.as_str()),
        };
        threads.cpu_mask = Some(mask.parse().map_err(|_| wrong())?);
        threads.placement = policy;
        // A mask without a policy leaves the choice to `strict`.
        if policy != Placement::Any {
            threads.strict = binds(policy).into();
        }
        Ok(())
    }

    fn spell(&self, tool: Tool, level: &Level) -> Vec<String> {
        let text = level.to_string();
        let mask = text.rsplit_once(':').map_or(text.as_str(), |(_, mask)| mask);
        match tool {
            Tool::LlamaServer | Tool::LlamaCli | Tool::LlamaBench if mask.starts_with("0x") => {
                vec!["--cpu-mask".into(), mask.to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

impl PlacementKnob {
    /// The level of a policy on this machine, for so many threads.
    pub fn level(policy: Placement, terrain: &Terrain, threads: u32) -> Result<Level, String> {
        match policy {
            Placement::Any => Ok(word(policy)),
            _ => {
                resolve(policy, terrain, threads).map(|(mask, _)| word(format!("{policy}:{mask}")))
            }
        }
    }
}

/// Whether a policy binds each thread to one CPU: only then does it matter which are neighbours.
fn binds(policy: Placement) -> bool {
    matches!(policy, Placement::Spread | Placement::Compact)
}

/// The CPUs of a policy within those that are allowed, and whether threads are bound to them.
fn resolve(policy: Placement, terrain: &Terrain, threads: u32) -> Result<(CpuMask, bool), String> {
    let within = |list: &CpuList| list.intersection(&terrain.allowed);
    let cores: Vec<CpuList> =
        terrain.cores.iter().map(within).filter(|core| !core.is_empty()).collect();
    let firsts = || cores.iter().filter_map(|core| core.iter().next());
    let threads = usize::try_from(threads).unwrap_or(usize::MAX);
    let cpus: Vec<u32> = match policy {
        Placement::Any => terrain.allowed.iter().collect(),
        Placement::Spread => apart(terrain, &cores).into_iter().take(threads).collect(),
        Placement::Compact => cores.iter().flat_map(CpuList::iter).take(threads).collect(),
        Placement::OnePerCore => {
            if cores.iter().all(|core| core.len() == 1) {
                return Err("every core has one CPU that may be used".to_owned());
            }
            firsts().collect()
        }
        Placement::Performance => {
            let fast = within(&terrain.fast);
            if fast.is_empty() || fast.len() == terrain.allowed.len() {
                return Err("all cores that may be used are of one kind".to_owned());
            }
            fast.iter().collect()
        }
        Placement::OneCache => largest(terrain.caches.iter().map(within), "last-level cache")?,
        Placement::OneNode => {
            largest(terrain.nodes.iter().map(|(_, cpus)| within(cpus)), "memory node")?
        }
    };
    let named = cpus.into_iter().filter_map(|cpu| u16::try_from(cpu).ok());
    let mask = CpuMask::new(named.filter(|cpu| *cpu < CpuMask::LIMIT))
        .ok_or_else(|| "ggml can name none of its CPUs".to_owned())?;
    Ok((mask, binds(policy)))
}

/// The group with most CPUs, the first of several; an error where there is one group alone.
fn largest(groups: impl Iterator<Item = CpuList>, what: &str) -> Result<Vec<u32>, String> {
    let groups: Vec<CpuList> = groups.filter(|group| !group.is_empty()).collect();
    if groups.len() < 2 {
        return Err(format!("all CPUs that may be used share one {what}, or it is unknown"));
    }
    let most = groups.iter().map(CpuList::len).max().unwrap_or_default();
    let found = groups.iter().find(|group| group.len() == most);
    Ok(found.map(|group| group.iter().collect()).unwrap_or_default())
}

/// CPUs in an order in which the first few are as far apart as they can be: nodes take turns, in
/// them caches, in them cores, and second CPUs of cores come last.
fn apart(terrain: &Terrain, cores: &[CpuList]) -> Vec<u32> {
    let nodes: Vec<CpuList> = terrain.nodes.iter().map(|(_, cpus)| cpus.clone()).collect();
    let rounds = cores.iter().map(CpuList::len).max().unwrap_or_default();
    let mut order = Vec::new();
    for round in 0..rounds {
        let row: Vec<u32> =
            cores.iter().filter_map(|core| core.iter().nth(round as usize)).collect();
        order.extend(in_turns(&in_turns(&row, &terrain.caches), &nodes));
    }
    order
}

/// The same CPUs, taken from one group after the other.
fn in_turns(cpus: &[u32], groups: &[CpuList]) -> Vec<u32> {
    let group = |cpu: u32| groups.iter().position(|group| group.contains(cpu));
    let mut taken = std::collections::BTreeMap::new();
    let mut ranked: Vec<(usize, Option<usize>, u32)> = cpus
        .iter()
        .map(|cpu| {
            let group = group(*cpu);
            let turn: &mut usize = taken.entry(group).or_default();
            *turn += 1;
            (*turn, group, *cpu)
        })
        .collect();
    // Stable: within a turn and a group the order stays.
    ranked.sort_by_key(|(turn, group, _)| (*turn, *group));
    ranked.into_iter().map(|(_, _, cpu)| cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ground, setting};
    use super::*;

    /// Two nodes of four cores with two CPUs each; the second CPUs are 8 to 15.
    fn terrain() -> Terrain {
        let list = |text: &str| text.parse().unwrap();
        Terrain {
            allowed: list("0-15"),
            cores: (0..8).map(|core| list(&format!("{core},{}", core + 8))).collect(),
            caches: ["0-1,8-9", "2-3,10-11", "4-5,12-13", "6-7,14-15"].map(list).to_vec(),
            nodes: vec![(0, list("0-3,8-11")), (1, list("4-7,12-15"))],
            fast: list("0-3,8-11"),
            ..Terrain::default()
        }
    }

    fn cpus(policy: Placement, terrain: &Terrain, threads: u32) -> Vec<u16> {
        resolve(policy, terrain, threads).unwrap().0.cpus().collect()
    }

    #[test]
    fn policies_come_to_the_cpus_that_they_name() {
        let terrain = terrain();
        assert_eq!(apart(&terrain, &terrain.cores)[..5], [0, 4, 2, 6, 1]);
        assert_eq!(cpus(Placement::Spread, &terrain, 4), [0, 2, 4, 6]);
        assert_eq!(cpus(Placement::Compact, &terrain, 4), [0, 1, 8, 9]);
        assert_eq!(cpus(Placement::OnePerCore, &terrain, 4), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(cpus(Placement::OneCache, &terrain, 4), [0, 1, 8, 9]);
        assert_eq!(cpus(Placement::OneNode, &terrain, 4), [0, 1, 2, 3, 8, 9, 10, 11]);
    }

    #[test]
    fn only_allowed_cpus_are_taken() {
        let allowed = "4-6".parse().unwrap();
        let terrain = Terrain { allowed, ..terrain() };
        assert_eq!(cpus(Placement::Spread, &terrain, 2), [4, 6]);
        assert!(resolve(Placement::OnePerCore, &terrain, 2).unwrap_err().contains("one CPU"));
        assert!(resolve(Placement::OneNode, &terrain, 2).unwrap_err().contains("memory node"));
        assert!(resolve(Placement::Performance, &terrain, 2).unwrap_err().contains("one kind"));
    }

    #[test]
    fn equal_masks_are_offered_once() {
        let (baseline, terrain) = (setting(), terrain());
        let offer = PlacementKnob.offer(&Ground { terrain: &terrain, ..ground(&baseline, &[]) });
        let levels: Vec<String> = offer.levels.iter().map(ToString::to_string).collect();
        let wanted = [
            "any",
            "spread:0x55",
            "compact:0x303",
            "one_per_core:0xff",
            "performance:0xf0f",
            "one_cache:0x303",
        ];
        assert_eq!(levels, wanted);
        assert!(offer.rejected[0].reason.contains("`performance`"), "{offer:?}");
    }

    #[test]
    fn a_policy_brings_its_binding_and_any_takes_it_away() {
        let mut changed = setting();
        PlacementKnob.write(&mut changed, &word("spread:0x55")).unwrap();
        assert_eq!(changed.threads.strict, Toggle::On);
        assert_eq!(PlacementKnob.read(&changed), word("spread:0x55"));
        PlacementKnob.write(&mut changed, &word("any")).unwrap();
        assert_eq!(changed, setting());
        PlacementKnob.write(&mut changed, &word("0x3")).unwrap();
        assert_eq!(PlacementKnob.read(&changed), word("0x3"));
        assert!(PlacementKnob.write(&mut changed, &word("nowhere:0x3")).is_err());
    }
}
