//! Metadata values: small ones are kept, big ones are passed over and only counted.

use std::io::Read;

use super::HeaderError;
use super::source::Source;

/// Longest text that is kept (chat templates are the longest of interest).
const TEXT_LIMIT: u64 = 256 << 10;
/// Longest list of numbers that is kept: one entry per layer is the use.
const LIST_LIMIT: u64 = 4096;
/// Arrays inside arrays; real files have none.
const NESTING_LIMIT: u32 = 4;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Any unsigned width.
    Unsigned(u64),
    /// Any signed width.
    Signed(i64),
    /// Either float width.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// A list of numbers short enough to keep.
    Numbers(Vec<f64>),
    /// A list of this many entries, or a text of this many bytes, that was passed over.
    Passed(u64),
}

impl Value {
    /// The value as a count, where it is one.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            Self::Signed(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The value as a number, where it is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(*value as f64),
            Self::Signed(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// How many entries a list has.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Numbers(list) => Some(list.len() as u64),
            Self::Passed(length) => Some(*length),
            _ => None,
        }
    }
}

/// The kinds of the format, by their number there.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    fn read<R: Read>(source: &mut Source<R>, key: &str) -> Result<Self, HeaderError> {
        Ok(match source.u32(key)? {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            other => {
                return Err(HeaderError::Malformed(format!("{key} has the unknown kind {other}")));
            }
        })
    }

    /// Bytes of one value, at least (texts and arrays carry their length with them).
    fn least_bytes(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::Text => 8,
            Self::Array => 12,
        }
    }
}

/// Reads a value, its kind first. `room` is how many bytes may still be kept.
pub(super) fn read<R: Read>(
    source: &mut Source<R>,
    key: &str,
    room: &mut u64,
) -> Result<Value, HeaderError> {
    match Kind::read(source, key)? {
        Kind::Text => {
            let length = source.u64(key)?;
            if length <= TEXT_LIMIT.min(*room) {
                *room -= length;
                return source.text_of(key, length).map(Value::Text);
            }
            source.skip(key, length)?;
            Ok(Value::Passed(length))
        }
        Kind::Array => array(source, key, room),
        kind => scalar(source, key, kind),
    }
}

fn scalar<R: Read>(source: &mut Source<R>, key: &str, kind: Kind) -> Result<Value, HeaderError> {
    Ok(match kind {
        Kind::U8 => Value::Unsigned(u64::from(source.array::<1>(key)?[0])),
        Kind::I8 => Value::Signed(i64::from(i8::from_le_bytes(source.array(key)?))),
        Kind::U16 => Value::Unsigned(u64::from(u16::from_le_bytes(source.array(key)?))),
        Kind::I16 => Value::Signed(i64::from(i16::from_le_bytes(source.array(key)?))),
        Kind::U32 => Value::Unsigned(u64::from(source.u32(key)?)),
        Kind::I32 => Value::Signed(i64::from(i32::from_le_bytes(source.array(key)?))),
        Kind::F32 => Value::Float(f64::from(f32::from_le_bytes(source.array(key)?))),
        Kind::U64 => Value::Unsigned(source.u64(key)?),
        Kind::I64 => Value::Signed(i64::from_le_bytes(source.array(key)?)),
        Kind::F64 => Value::Float(f64::from_le_bytes(source.array(key)?)),
        Kind::Bool => Value::Bool(source.array::<1>(key)?[0] != 0),
        Kind::Text | Kind::Array => unreachable!("callers take texts and arrays themselves"),
    })
}

fn array<R: Read>(source: &mut Source<R>, key: &str, room: &mut u64) -> Result<Value, HeaderError> {
    let kind = Kind::read(source, key)?;
    let length = source.u64(key)?;
    source.expect(key, length, kind.least_bytes())?;
    let keep = length <= LIST_LIMIT && length * 8 <= *room;
    if matches!(kind, Kind::Text | Kind::Array) || !keep {
        pass(source, key, kind, length, 1)?;
        return Ok(Value::Passed(length));
    }
    *room -= length * 8;
    let mut numbers = Vec::new();
    for _ in 0..length {
        numbers.push(match scalar(source, key, kind)? {
            Value::Bool(value) => f64::from(u8::from(value)),
            value => value.number().expect("a scalar that is no boolean is a number"),
        });
    }
    Ok(Value::Numbers(numbers))
}

/// Passes over the entries of an array.
fn pass<R: Read>(
    source: &mut Source<R>,
    key: &str,
    kind: Kind,
    length: u64,
    depth: u32,
) -> Result<(), HeaderError> {
    source.expect(key, length, kind.least_bytes())?;
    match kind {
        Kind::Text => {
            for _ in 0..length {
                let bytes = source.u64(key)?;
                source.skip(key, bytes)?;
            }
            Ok(())
        }
        Kind::Array if depth >= NESTING_LIMIT => {
            Err(HeaderError::Malformed(format!("{key} has arrays inside arrays without end")))
        }
        Kind::Array => {
            for _ in 0..length {
                let inner = Kind::read(source, key)?;
                let entries = source.u64(key)?;
                pass(source, key, inner, entries, depth + 1)?;
            }
            Ok(())
        }
        kind => source.skip(key, length * kind.least_bytes()),
    }
}
