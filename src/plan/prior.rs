//! What measured peaks let expect before anything runs: the search begins there.

use crate::model::{Machine, ModelCard, Prior, PriorPoint};

/// A model that is not this many times as large as all caches together has no bandwidth roof.
const BEYOND_CACHES: u64 = 2;

/// Ideal speeds of a model by thread count; `None` for a machine whose peaks were not measured.
///
/// Generation reads [`ModelCard::bytes_per_token`] at the read bandwidth of so many threads,
/// prompts take two operations per parameter at their 8-bit rate. Only ratios between thread
/// counts steer the search, so parameters that rest do no harm.
#[must_use]
pub fn prior(card: &ModelCard, machine: &Machine) -> Option<Prior> {
    let ceilings = machine.ceilings.as_ref()?;
    let whole = |peaks: &[crate::model::Peak]| -> Vec<(u32, f64)> {
        let own = peaks.iter().filter(|peak| peak.node.is_none());
        own.map(|peak| (peak.threads, peak.rate.value)).collect()
    };
    let bandwidth = whole(&ceilings.read_bandwidth_bytes_per_s);
    let integer = whole(&ceilings.int8_ops);
    let operations = if integer.is_empty() { whole(&ceilings.f32_flops) } else { integer };
    let of = |rates: &[(u32, f64)], threads: u32, need: f64| {
        let own = rates.iter().find(|(known, _)| *known == threads)?;
        (need > 0.0).then(|| own.1 / need)
    };
    let mut counts: Vec<u32> = bandwidth.iter().chain(&operations).map(|(it, _)| *it).collect();
    counts.sort_unstable();
    counts.dedup();
    let bytes = card.bytes_per_token.0 as f64;
    let threads: Vec<PriorPoint> = counts
        .into_iter()
        .map(|threads| PriorPoint {
            threads,
            prefill_tok_per_s: of(&operations, threads, 2.0 * card.parameters as f64),
            decode_tok_per_s: of(&bandwidth, threads, bytes),
        })
        .collect();
    let caches = machine.cpu.caches.iter().map(|it| it.size_bytes.0 * u64::from(it.instances));
    let is_large = card.bytes_per_token.0 > BEYOND_CACHES * caches.sum::<u64>();
    let roof = ceilings.best_read_bandwidth().map(|it| it.high / bytes.max(1.0));
    Some(Prior { threads, decode_roof_tok_per_s: roof.filter(|_| is_large && bytes > 0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Ceilings;
    use crate::plan::tests::card;

    #[test]
    fn speeds_follow_the_peaks_of_their_thread_count() {
        let ceilings: Ceilings = serde_json::from_str(
            r#"{"read_bandwidth_bytes_per_s":
                [{"threads": 1, "node": null, "value": 1e10, "low": 9e9, "high": 1.1e10},
                 {"threads": 4, "node": null, "value": 3e10, "low": 2e10, "high": 3.3e10},
                 {"threads": 4, "node": 1, "value": 9e10, "low": 2e10, "high": 4e10}]}"#,
        )
        .unwrap();
        let machine = Machine { ceilings: Some(ceilings), ..Machine::default() };
        let card = card();
        let prior = prior(&card, &machine).unwrap();
        let bytes = card.bytes_per_token.0 as f64;
        let decode: Vec<f64> =
            prior.threads.iter().filter_map(|point| point.decode_tok_per_s).collect();
        assert_eq!(decode, [1e10 / bytes, 3e10 / bytes]);
        assert_eq!(prior.threads[0].prefill_tok_per_s, None);
        assert_eq!(prior.decode_roof_tok_per_s, Some(3.3e10 / bytes));
        assert_eq!(super::prior(&card, &Machine::default()), None);
    }
}
