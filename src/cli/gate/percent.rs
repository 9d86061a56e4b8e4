//! Limits as they are typed: `2%`, or `tg=2%,pp=3%`.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;

/// A share that was typed as a percentage: above 0 %, at most 100 %.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Percent(f64);

impl Percent {
    /// As a share: 0.02 for 2 %.
    pub(super) fn share(self) -> f64 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| format!("`{text}` is no percentage: {why}");
        let number = text.trim().strip_suffix('%').ok_or_else(|| wrong("write it like 2%"))?;
        let value: f64 = number.trim().parse().map_err(|_| wrong("write it like 2%"))?;
        if !value.is_finite() || value <= 0.0 || value > 100.0 {
            return Err(wrong("it has to be above 0% and at most 100%"));
        }
        Ok(Self(value / 100.0))
    }
}

impl TryFrom<String> for Percent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Slowdowns that are allowed: one for all quantities, or by the quantity's key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Limits {
    pub(super) all: Option<Percent>,
    pub(super) by_metric: BTreeMap<String, Percent>,
}

impl Limits {
    /// The limit of a quantity; `None` where nothing was asked for.
    pub(super) fn of(&self, metric: &str) -> Option<f64> {
        self.by_metric.get(metric).or(self.all.as_ref()).map(|percent| percent.share())
    }

    /// These, and for what they leave open those.
    pub(super) fn or(mut self, others: &Self) -> Self {
        if self.all.is_none() {
            self.all = others.all;
            for (metric, limit) in &others.by_metric {
                self.by_metric.entry(metric.clone()).or_insert(*limit);
            }
        }
        self
    }
}

impl FromStr for Limits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut limits = Self::default();
        for item in text.split(',') {
            match item.split_once('=') {
                None if limits.all.is_none() => limits.all = Some(item.parse()?),
                None => return Err(format!("`{text}` has two limits for everything")),
                Some((metric, percent)) => {
                    let metric = metric.trim().to_owned();
                    let percent = percent.parse()?;
                    if limits.by_metric.insert(metric.clone(), percent).is_some() {
                        return Err(format!("`{text}` has two limits for `{metric}`"));
                    }
                }
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_or_refused() {
        assert_eq!("2%".parse::<Percent>().unwrap().share().to_bits(), 0.02_f64.to_bits());
        assert!(" 0.5 % ".trim().parse::<Percent>().is_ok());
        for text in ["2", "0%", "-1%", "nan%", "inf%", "101%", "%", "", "1e400%"] {
            let message = text.parse::<Percent>().unwrap_err();
            assert!(message.contains("is no percentage"), "{message}");
        }
    }

    #[test]
    fn limits_are_for_all_or_by_name() {
        let both: Limits = "3%,tg=2%".parse().unwrap();
        assert_eq!((both.of("tg"), both.of("pp")), (Some(0.02), Some(0.03)));
        let named: Limits = "tg=2%,pp=3%".parse().unwrap();
        assert_eq!(named.of("load"), None);
        let file: Limits = "tg=9%,load=8%".parse().unwrap();
        let merged = named.or(&file);
        assert_eq!((merged.of("tg"), merged.of("load")), (Some(0.02), Some(0.08)));
        let flag: Limits = "5%".parse().unwrap();
        assert_eq!(flag.or(&file).of("tg"), Some(0.05));
        assert!("tg=2%,tg=3%".parse::<Limits>().is_err());
        assert!("2%,3%".parse::<Limits>().is_err());
    }
}
