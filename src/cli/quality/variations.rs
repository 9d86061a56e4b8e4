//! `--vary`: the same model under other types of the KV cache, or with attention computed
//! otherwise.

use autotune_engine::api::{FlashAttention, KvType};

use super::Vary;
use crate::appraise::Speech;

/// Types of a KV cache that are tried: those that every backend has kernels for.
const TYPES: [KvType; 2] = [KvType::Q8_0, KvType::Q4_0];

/// Each variation as flags and as what changes. V caches of fewer bits need flash attention, so the
/// model they are compared with has it on, too.
pub(super) fn variations(vary: &[Vary], base: &Speech) -> (Speech, Vec<(String, Speech)>) {
    let has = |wanted: Vary| vary.contains(&wanted);
    let base = Speech { flash_attention: FlashAttention::On, ..base.clone() };
    let mut all = Vec::new();
    for kind in TYPES {
        if has(Vary::Ctk) {
            all.push((format!("-ctk {kind}"), Speech { type_k: kind, ..base.clone() }));
        }
        if has(Vary::Ctv) {
            all.push((format!("-ctv {kind}"), Speech { type_v: kind, ..base.clone() }));
        }
        if has(Vary::Ctk) && has(Vary::Ctv) {
            let both = Speech { type_k: kind, type_v: kind, ..base.clone() };
            all.push((format!("-ctk {kind} -ctv {kind}"), both));
        }
    }
    if has(Vary::Fa) {
        let off = Speech { flash_attention: FlashAttention::Off, ..base.clone() };
        all.push(("-fa off".to_owned(), off));
    }
    (base, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variation_differs_from_the_base_in_what_its_flags_say() {
        let (base, all) = variations(&[Vary::Ctk, Vary::Ctv, Vary::Fa], &Speech::default());
        let names: Vec<&str> = all.iter().map(|(flags, _)| flags.as_str()).collect();
        let wanted = [
            "-ctk q8_0",
            "-ctv q8_0",
            "-ctk q8_0 -ctv q8_0",
            "-ctk q4_0",
            "-ctv q4_0",
            "-ctk q4_0 -ctv q4_0",
            "-fa off",
        ];
        assert_eq!(names, wanted);
        assert!(all.iter().all(|(_, speech)| *speech != base));
        assert!(variations(&[], &base).1.is_empty());
    }
}
