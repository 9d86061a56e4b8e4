//! One test of llama-bench, from JSON or from a line of its table.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::MAX_SAMPLES;
use super::json::Bounded;

/// Most fields of one test: llama-bench has 40, `autotune bench` 70.
pub(super) const MAX_FIELDS: usize = 160;

/// Fields that say what came of a test, or of which build, and not which test it is.
const RESULTS: [&str; 25] = [
    "avg_ns",
    "avg_ts",
    "binding_version",
    "build_commit",
    "build_number",
    "caveats",
    "effective",
    "engine_version",
    "ggml_version",
    "load_ns",
    "n_depth",
    "n_gen",
    "n_prompt",
    "outcome",
    "peak_resident_bytes",
    "reason",
    "samples_decode_ns",
    "samples_ns",
    "samples_prefill_ns",
    "samples_ts",
    "stddev_ns",
    "stddev_ts",
    "synthetic_times",
    "test_time",
    "tool_version",
];

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    /// Two-way choices are 0 and 1, as in llama-bench's tables.
    Whole(i64),
    Real(f64),
    Absent,
    /// A list or an object, which no setting of llama-bench is.
    Nested,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
            Self::Absent => f.write_str("none"),
            Self::Nested => f.write_str("…"),
        }
    }
}

/// One test with its fields in the order of the file.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Tokens per second of each repetition; empty where only their mean is there.
    pub samples: Vec<f64>,
}

impl Row<'_> {
    /// A field; its most likely place is `near`.
    pub fn field(&self, name: &str, near: usize) -> Option<&Value<'_>> {
        let here = self.fields.get(near).filter(|(found, _)| found == name);
        let found = here.or_else(|| self.fields.iter().find(|(found, _)| found == name));
        found.map(|(_, value)| value)
    }

    /// A field as text; `None` where it is not there or blank.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.field(name, 0)? {
            Value::Absent | Value::Nested => None,
            value => Some(value.to_string()).filter(|text| !text.is_empty()),
        }
    }

    /// The settings of the test, each with its place among the fields.
    pub fn settings(&self) -> impl Iterator<Item = (usize, &str, &Value<'_>)> {
        let all = self.fields.iter().enumerate();
        let all = all.map(|(at, (name, value))| (at, name.as_ref(), value));
        all.filter(|(_, name, _)| !RESULTS.contains(name))
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Self::Value, E> {
        Ok(Value::Whole(i64::from(yes)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Value::Real(number as f64), Value::Whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Real(number))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Nested)
    }
}

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Row<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a test of llama-bench")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut row = Row { fields: Vec::new(), samples: Vec::new() };
        while let Some(name) = map.next_key::<Value<'de>>()? {
            let Value::Text(name) = name else {
                return Err(A::Error::custom("the name of a field is no text"));
            };
            if name == "samples_ts" {
                let samples: Option<Bounded<f64, MAX_SAMPLES>> = map.next_value()?;
                row.samples = samples.unwrap_or_default().0;
            } else if row.fields.len() == MAX_FIELDS {
                return Err(A::Error::custom("a test with too many fields"));
            } else {
                row.fields.push((name, map.next_value()?));
            }
        }
        Ok(row)
    }
}
