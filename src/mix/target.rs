//! The wanted size, as it is written and as bytes of the tensors that are chosen for.

use autotune_engine::api::Bytes;
use thiserror::Error;

/// Bits per weight that can be asked for: above are no types, below is no model.
const BITS: std::ops::RangeInclusive<f64> = 1.0..=32.0;

/// The wanted size of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Bits per weight of all tensors of the file, as llama.cpp prints them when it loads a model
    /// (`file size = … (4.83 BPW)`).
    BitsPerWeight(f64),
    /// Bytes of the whole file.
    Bytes(u64),
}

/// What a file holds beside the tensors that are chosen for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rest {
    /// Weights of the tensors that keep their type (norms, biases, routers).
    pub weights: u64,
    /// Bytes of these tensors.
    pub tensor_bytes: u64,
    /// Bytes of the header, its metadata and all padding.
    pub header_bytes: u64,
}

/// Why a text is no target, or a target no budget.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum TargetError {
    /// It reads like no size at all.
    #[error("`{0}` is no size; write bits per weight like 4.6bpw or a file size like 900MB")]
    NoSize(String),
    /// Bits outside of what types have.
    #[error("{0} bits per weight is outside of 1 to 32")]
    Bits(f64),
    /// The file is full before the first tensor is chosen for.
    #[error("the wanted size leaves no room: what keeps its type takes {} already", Bytes(*.0))]
    NoRoom(u64),
}

/// Reads a target: `4.6bpw`, `4.6` (up to 32 a bare number is bits per weight), `900MB` (10⁶ bytes
/// each), `0.9GiB`, or bytes without a unit.
pub fn parse_target(text: &str) -> Result<Target, TargetError> {
    let no_size = || TargetError::NoSize(text.to_owned());
    let plain = text.trim().to_ascii_lowercase();
    let (number, has_unit) = match plain.strip_suffix("bpw") {
        Some(number) => (number.trim_end(), true),
        None => (plain.as_str(), false),
    };
    let is_plain = number.bytes().all(|it| it.is_ascii_digit() || it == b'.');
    match number.parse::<f64>() {
        Ok(bits) if is_plain && BITS.contains(&bits) => Ok(Target::BitsPerWeight(bits)),
        Ok(bits) if is_plain && (has_unit || bits < *BITS.start()) => Err(TargetError::Bits(bits)),
        // A part of a byte is a mistyped number of bits.
        Ok(bits) if is_plain && number.contains('.') => Err(TargetError::Bits(bits)),
        _ if has_unit => Err(no_size()),
        _ => plain.parse().map(|Bytes(bytes)| Target::Bytes(bytes)).map_err(|_| no_size()),
    }
}

impl Target {
    /// Bytes for the tensors that are chosen for, which have so many weights together.
    pub fn budget(self, weights: u64, rest: &Rest) -> Result<u64, TargetError> {
        let (whole, fixed) = match self {
            Self::BitsPerWeight(bits) => {
                let all = weights.saturating_add(rest.weights) as f64;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "> 0")]
                let whole = (all * bits / 8.0).floor() as u64;
                (whole, rest.tensor_bytes)
            }
            Self::Bytes(bytes) => (bytes, rest.tensor_bytes.saturating_add(rest.header_bytes)),
        };
        match whole.checked_sub(fixed) {
            Some(room) if room > 0 => Ok(room),
            _ => Err(TargetError::NoRoom(fixed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_people_write_them() {
        for (text, target) in [
            ("4.6bpw", Target::BitsPerWeight(4.6)),
            (" 4.6 BPW ", Target::BitsPerWeight(4.6)),
            ("4.6", Target::BitsPerWeight(4.6)),
            ("1", Target::BitsPerWeight(1.0)),
            ("32", Target::BitsPerWeight(32.0)),
            ("33", Target::Bytes(33)),
            ("900MB", Target::Bytes(900_000_000)),
            ("900 mb", Target::Bytes(900_000_000)),
            ("0.5GiB", Target::Bytes(1 << 29)),
            ("4096", Target::Bytes(4096)),
            ("4096B", Target::Bytes(4096)),
            ("5b", Target::Bytes(5)),
        ] {
            assert_eq!(parse_target(text), Ok(target), "{text}");
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_wish() {
        for (text, wanted) in [
            ("0.9bpw", "0.9 bits per weight is outside of 1 to 32"),
            ("33bpw", "33 bits per weight is outside of 1 to 32"),
            ("0.5", "0.5 bits per weight is outside of 1 to 32"),
            ("0", "0 bits per weight is outside of 1 to 32"),
            ("45.5", "45.5 bits per weight is outside of 1 to 32"),
            ("bpw", "`bpw` is no size"),
            ("nanbpw", "`nanbpw` is no size"),
            ("-4bpw", "`-4bpw` is no size"),
            ("4e0", "`4e0` is no size"),
            ("inf", "`inf` is no size"),
            ("4.6 bits", "`4.6 bits` is no size"),
            ("", "`` is no size"),
            ("q4_k_m", "`q4_k_m` is no size"),
            ("900XB", "`900XB` is no size"),
        ] {
            let message = parse_target(text).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{text}: {message}");
        }
    }

    #[test]
    fn a_budget_is_what_the_rest_of_the_file_leaves() {
        let rest = Rest { weights: 24, tensor_bytes: 96, header_bytes: 500 };
        // (1000 + 24) weights at 4 bits are 512 bytes; the header counts in a file size only.
        assert_eq!(Target::BitsPerWeight(4.0).budget(1000, &rest), Ok(416));
        assert_eq!(Target::Bytes(1000).budget(1000, &rest), Ok(404));
        assert_eq!(Target::Bytes(596).budget(1000, &rest), Err(TargetError::NoRoom(596)));
        let message = Target::Bytes(5).budget(1000, &rest).unwrap_err().to_string();
        assert!(message.ends_with("what keeps its type takes 596 B already"), "{message}");
    }
}
