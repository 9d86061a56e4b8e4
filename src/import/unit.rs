//! Units of other tools: what a second is in them, and whether more is better.

use crate::model::{Better, GateClass};

/// What is known of a unit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unit {
    /// The unit that values are kept in: times in `s`, sizes in `bytes`.
    pub word: String,
    /// How values come to it.
    pub scale: Scale,
    /// Whether more is better; `None` where the unit does not tell.
    pub better: Option<Better>,
    /// What kind of quantity.
    pub class: GateClass,
}

/// A conversion. Two kinds, because a division by 1000 is exact where a product with 0.001 is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    Times(f64),
    Over(f64),
}

impl Scale {
    pub fn apply(self, value: f64) -> f64 {
        match self {
            Self::Times(factor) => value * factor,
            Self::Over(divisor) => value / divisor,
        }
    }
}

/// A time in seconds; `None` where the unit is none of time.
pub(super) fn seconds(value: f64, unit: &str) -> Option<f64> {
    time_scale(unit).map(|scale| scale.apply(value))
}

fn time_scale(unit: &str) -> Option<Scale> {
    Some(Scale::Over(match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "ms" | "msec" | "millisecond" | "milliseconds" => 1e3,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" | "usec" | "microsecond" | "microseconds" => 1e6,
        "ns" | "nsec" | "nanosecond" | "nanoseconds" => 1e9,
        "ps" | "picosecond" | "picoseconds" => 1e12,
        "min" | "minute" | "minutes" => return Some(Scale::Times(60.0)),
        _ => return None,
    }))
}

fn byte_scale(unit: &str) -> Option<Scale> {
    Some(Scale::Times(match unit {
        "byte" | "bytes" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        _ => return None,
    }))
}

impl Unit {
    /// What is known of a unit by its word: `ms`, `MiB`, `tok/s`, `ns/op`.
    pub fn of_word(word: &str) -> Self {
        let lower = word.to_lowercase();
        let kept =
            |better, class| Self { word: word.to_owned(), scale: Scale::Times(1.0), better, class };
        let lower_is_better = Some(Better::Lower);
        if let Some(scale) = time_scale(&lower) {
            let word = "s".to_owned();
            return Self { word, scale, better: lower_is_better, class: GateClass::Timing };
        }
        if let Some(scale) = byte_scale(&lower) {
            let word = "bytes".to_owned();
            return Self { word, scale, better: lower_is_better, class: GateClass::Memory };
        }
        let rates = ["tps", "qps", "rps", "iops", "fps"];
        if rates.contains(&lower.as_str()) {
            return kept(Some(Better::Higher), GateClass::Timing);
        }
        match lower.split_once('/') {
            Some((_, over)) if time_scale(over).is_some() => {
                kept(Some(Better::Higher), GateClass::Timing)
            }
            Some((amount, _)) if time_scale(amount).is_some() => {
                kept(lower_is_better, GateClass::Timing)
            }
            Some((amount, _)) if byte_scale(amount).is_some() => {
                kept(lower_is_better, GateClass::Memory)
            }
            _ => kept(None, GateClass::Timing),
        }
    }

    /// What the heading of a column says of its unit: `load_ms`, `time [us]`, `decode_tok_per_s`.
    pub fn of_heading(heading: &str) -> Self {
        let lower = heading.trim_end_matches([')', ']']).to_lowercase();
        let mut words = lower.rsplit(['_', ' ', '-', '(', '[']).filter(|word| !word.is_empty());
        let last = words.next().unwrap_or_default();
        if words.next() == Some("per") && time_scale(last).is_some() {
            let amount = words.next().unwrap_or("1");
            let over = if seconds(1.0, last) == Some(1.0) { "s" } else { last };
            return Self::of_word(&format!("{amount}/{over}"));
        }
        let known = Self::of_word(last);
        let better = match last {
            _ if known.better.is_some() => return known,
            "time" | "duration" | "latency" | "elapsed" | "runtime" => Some(Better::Lower),
            "throughput" | "speed" => Some(Better::Higher),
            _ => None,
        };
        let (word, class) = (String::new(), GateClass::Timing);
        Self { word, scale: Scale::Times(1.0), better, class }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_end_in_their_unit() {
        let higher = Some(Better::Higher);
        let lower = Some(Better::Lower);
        for (heading, word, better, of_2000) in [
            ("load_ms", "s", lower, 2.0),
            ("time_s", "s", lower, 2000.0),
            ("Time (us)", "s", lower, 0.002),
            ("seconds", "s", lower, 2000.0),
            ("decode_tok_per_s", "tok/s", higher, 2000.0),
            ("requests per second", "requests/s", higher, 2000.0),
            ("frames_per_min", "frames/min", higher, 2000.0),
            ("avg tok/s", "tok/s", higher, 2000.0),
            ("peak_memory_KiB", "bytes", lower, 2_048_000.0),
            ("prefill_time", "", lower, 2000.0),
            ("throughput", "", higher, 2000.0),
            ("value", "", None, 2000.0),
            ("", "", None, 2000.0),
        ] {
            let unit = Unit::of_heading(heading);
            let found = (unit.word.as_str(), unit.better, unit.scale.apply(2000.0));
            assert_eq!(found, (word, better, of_2000), "{heading}");
        }
    }

    #[test]
    fn costs_per_piece_are_better_lower_and_stay_as_they_are() {
        let unit = Unit::of_word("ns/token");
        assert_eq!((unit.better, unit.scale), (Some(Better::Lower), Scale::Times(1.0)));
        assert_eq!(Unit::of_word("bytes/op").class, GateClass::Memory);
        assert_eq!(Unit::of_word("MB/s").better, Some(Better::Higher));
        assert_eq!(Unit::of_word("cycles").better, None);
    }
}
