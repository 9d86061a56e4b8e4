//! Quantities that cannot be mixed up.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of memory or storage, in bytes.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A number of tokens.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Tokens(pub u64);

/// Tokens per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenRate(pub f64);

impl Tokens {
    /// The rate at which this many tokens pass in `elapsed`; infinite for no time at all.
    ///
    /// ```
    /// use autotune_engine::api::Tokens;
    /// use std::time::Duration;
    /// assert_eq!(Tokens(128).per(Duration::from_secs(2)).0, 64.0);
    /// ```
    #[must_use]
    pub fn per(self, elapsed: Duration) -> TokenRate {
        TokenRate(self.0 as f64 / elapsed.as_secs_f64())
    }
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self(0), Add::add)
    }
}

/// Binary units with three significant digits, as people read memory: `1.23 GiB`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
        let mut value = self.0 as f64;
        let mut unit = 0;
        while value >= 1023.5 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let digits = match value {
            _ if unit == 0 => 0,
            v if v >= 99.95 => 0,
            v if v >= 9.995 => 1,
            _ => 2,
        };
        f.pad(&format!("{value:.digits$} {}", UNITS[unit]))
    }
}

/// An amount of memory as people write it: `32GB` (10⁹ bytes each), `512 MiB`, `1.5GiB`, `4096`.
impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount of memory; write it like 32GB or 512MiB");
        let plain = text.trim();
        let end = plain.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let (number, unit) = plain.split_at(end.unwrap_or(plain.len()));
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" | "k" => 1000,
            "mb" | "m" => 1_000_000,
            "gb" | "g" => 1_000_000_000,
            "tb" | "t" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return Err(wrong()),
        };
        let value: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = value * factor as f64;
        if !(1.0..1e18).contains(&bytes) {
            return Err(wrong());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 1e18")]
        let bytes = bytes.round() as u64;
        Ok(Self(bytes))
    }
}

/// Three significant digits: `5.03`, `42.1`, `1234`.
impl fmt::Display for TokenRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0 {
            v if v >= 99.95 => 0,
            v if v >= 9.995 => 1,
            _ => 2,
        };
        f.pad(&format!("{:.digits$}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_print_with_three_significant_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_048_064, "1.00 MiB"),
            (5_368_709_120, "5.00 GiB"),
            (105 << 20, "105 MiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn amounts_are_read_as_people_write_them() {
        for (text, bytes) in
            [("32GB", 32_000_000_000), ("512 MiB", 512 << 20), ("1.5gib", 3 << 29), ("4096", 4096)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)));
        }
        for wrong in ["", "GB", "-1GB", "1.2.3GB", "3 GBit", "0", "1e9", "99999999TB", "NaN"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
    }
}
