//! The order of visits: a walk through the tree process > load > context > setter, so that what is
//! dear to change changes seldom; chance decides within each level.

use autotune_engine::api::Setting;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::model::{Plan, Purpose};

/// The settings in the order of a walk that begins at what is `loaded`, with the chance of this
/// plan, purpose and block.
pub(super) fn walk(
    plan: &Plan,
    purpose: Purpose,
    block: u32,
    loaded: &Setting,
    mut settings: Vec<Setting>,
) -> Vec<Setting> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(
        plan.seed ^ ((purpose as u64 + 1) << 40) ^ (u64::from(block) << 8),
    );
    settings.sort();
    settings.shuffle(&mut chance);
    let process = |setting: &Setting| setting.process.clone();
    let load = |setting: &Setting| (setting.process.clone(), setting.load.clone());
    let context = |setting: &Setting| {
        (setting.process.clone(), setting.load.clone(), setting.context.clone())
    };
    // Each pass is stable, so the finest groups are made first and kept together by the coarser.
    group(&mut settings, loaded, context);
    group(&mut settings, loaded, load);
    group(&mut settings, loaded, process);
    settings
}

/// Brings settings with the same key together, the group of what is loaded first, the others in
/// the order of their first member.
fn group<K: PartialEq>(settings: &mut [Setting], loaded: &Setting, key: impl Fn(&Setting) -> K) {
    let mut keys = vec![key(loaded)];
    for setting in settings.iter() {
        let own = key(setting);
        if !keys.contains(&own) {
            keys.push(own);
        }
    }
    settings.sort_by_key(|setting| {
        let own = key(setting);
        keys.iter().position(|known| *known == own)
    });
}
