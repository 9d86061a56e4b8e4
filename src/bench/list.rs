//! Lists and ranges as llama-bench reads them: `1,2,4`, `1-4`, `1-9+2`, `1-16*2`, and mixtures.

use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// Values one flag may have: enough for every real sweep, few enough to refuse a slip of the
/// finger before it fills the memory.
const MOST_VALUES: usize = 10_000;

/// Why a list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListError {
    /// Neither a number nor a range.
    #[error(
        "`{0}` is neither a number nor a range (first-last, first-last+step, first-last*factor)"
    )]
    NotANumber(String),
    /// The last value is below the first.
    #[error("`{0}` counts downward")]
    Downward(String),
    /// A step of 0, a factor of 1, or a product that stays 0.
    #[error("`{0}` never gets anywhere")]
    Endless(String),
    /// A value that has no meaning here.
    #[error("{value} is outside {low}-{high}")]
    Outside {
        /// The value.
        value: u64,
        /// The least that is allowed.
        low: u32,
        /// The most that is allowed.
        high: u32,
    },
    /// A list too long to be meant.
    #[error("`{0}` gives more than {MOST_VALUES} values")]
    TooMany(String),
    /// Not two numbers.
    #[error("`{0}` is not a pair of prompt and generated tokens, such as 512,128")]
    NotAPair(String),
    /// A word that is not known.
    #[error("{0}")]
    NotAWord(String),
}

/// Every value of a list of numbers and ranges, in the order written.
///
/// ```
/// let values = autotune::bench::numbers("1,2,4-16*2", 0..=512).unwrap();
/// assert_eq!(values, [1, 2, 4, 8, 16]);
/// ```
pub fn numbers(text: &str, allowed: RangeInclusive<u32>) -> Result<Vec<u32>, ListError> {
    let mut values = Vec::new();
    for item in text.split(',') {
        extend(&mut values, item, text)?;
    }
    let (low, high) = (*allowed.start(), *allowed.end());
    values
        .into_iter()
        .map(|value| match u32::try_from(value) {
            Ok(fits) if allowed.contains(&fits) => Ok(fits),
            _ => Err(ListError::Outside { value, low, high }),
        })
        .collect()
}

fn extend(values: &mut Vec<u64>, item: &str, text: &str) -> Result<(), ListError> {
    let (first, last, advance) = range(item)?;
    if last < first {
        return Err(ListError::Downward(item.to_owned()));
    }
    let mut value = first;
    loop {
        if values.len() == MOST_VALUES {
            return Err(ListError::TooMany(text.to_owned()));
        }
        values.push(value);
        if value == last {
            return Ok(());
        }
        let next = match advance {
            Advance::By(step) => value.saturating_add(step),
            Advance::Times(factor) => value.saturating_mul(factor),
        };
        if next <= value {
            return Err(ListError::Endless(item.to_owned()));
        }
        if next > last {
            return Ok(());
        }
        value = next;
    }
}

/// How a range goes on.
#[derive(Debug, Clone, Copy)]
enum Advance {
    By(u64),
    Times(u64),
}

/// First value, last value and step of one item; a single number is a range of one.
fn range(item: &str) -> Result<(u64, u64, Advance), ListError> {
    let number = |digits: &str| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = plain.then(|| digits.parse().ok()).flatten();
        value.ok_or_else(|| ListError::NotANumber(item.to_owned()))
    };
    let Some((first, rest)) = item.split_once('-') else {
        let value = number(item)?;
        return Ok((value, value, Advance::By(1)));
    };
    let (last, advance) = if let Some((last, step)) = rest.split_once('+') {
        (last, Advance::By(number(step)?))
    } else if let Some((last, factor)) = rest.split_once('*') {
        (last, Advance::Times(number(factor)?))
    } else {
        (rest, Advance::By(1))
    };
    Ok((number(first)?, number(last)?, advance))
}

/// Every value of a list of words.
pub fn words<T>(text: &str) -> Result<Vec<T>, ListError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.split(',')
        .map(|word| word.parse().map_err(|error: T::Err| ListError::NotAWord(error.to_string())))
        .collect()
}

/// The two token counts of a `-pg` test.
pub fn pair(text: &str, allowed: RangeInclusive<u32>) -> Result<(u32, u32), ListError> {
    let error = || ListError::NotAPair(text.to_owned());
    let (prompt, generate) = text.split_once(',').ok_or_else(error)?;
    let one = |digits: &str| match numbers(digits, allowed.clone())?.as_slice() {
        [value] => Ok(*value),
        _ => Err(error()),
    };
    match (prompt.contains('-'), generate.contains(['-', ','])) {
        (false, false) => Ok((one(prompt)?, one(generate)?)),
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_ranges_read_as_llama_bench_reads_them() {
        for (text, wanted) in [
            ("0", vec![0]),
            ("512", vec![512]),
            ("1,2,4", vec![1, 2, 4]),
            ("4,4,1", vec![4, 4, 1]),
            ("1-4", vec![1, 2, 3, 4]),
            ("3-3", vec![3]),
            ("1-9+4", vec![1, 5, 9]),
            ("1-8+4", vec![1, 5]),
            ("1-16*2", vec![1, 2, 4, 8, 16]),
            ("1-20*3", vec![1, 3, 9]),
            ("8,1-3,16-64*4", vec![8, 1, 2, 3, 16, 64]),
            ("5-5*1", vec![5]),
        ] {
            assert_eq!(numbers(text, 0..=1000).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn a_bad_list_is_named() {
        let not = |item: &str| ListError::NotANumber(item.to_owned());
        for (text, wanted) in [
            ("", not("")),
            ("1,", not("")),
            ("x", not("x")),
            ("1,2-", not("2-")),
            ("-4", not("-4")),
            ("1 ,2", not("1 ")),
            ("+3", not("+3")),
            ("1-2-3", not("1-2-3")),
            ("1-8+", not("1-8+")),
            ("1-8/2", not("1-8/2")),
            ("99999999999999999999999", not("99999999999999999999999")),
            ("8-1", ListError::Downward("8-1".to_owned())),
            ("1-8+0", ListError::Endless("1-8+0".to_owned())),
            ("1-8*1", ListError::Endless("1-8*1".to_owned())),
            ("0-8*2", ListError::Endless("0-8*2".to_owned())),
            ("0-4294967295", ListError::TooMany("0-4294967295".to_owned())),
            ("1,513", ListError::Outside { value: 513, low: 1, high: 512 }),
            ("0", ListError::Outside { value: 0, low: 1, high: 512 }),
        ] {
            assert_eq!(numbers(text, 1..=512).unwrap_err(), wanted, "{text}");
        }
    }

    #[test]
    fn a_pair_is_exactly_two_numbers() {
        assert_eq!(pair("512,128", 0..=1000).unwrap(), (512, 128));
        for text in ["512", "1,2,3", "1-2,3", "1,2-3", "a,b", ","] {
            assert!(pair(text, 0..=1000).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9,+*x-]{0,24}") {
            let _ = numbers(&text, 0..=u32::MAX);
            let _ = pair(&text, 0..=u32::MAX);
        }

        #[test]
        fn plain_lists_come_back(values in prop::collection::vec(0_u32..100_000, 1..20)) {
            let text = values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
            prop_assert_eq!(numbers(&text, 0..=100_000).unwrap(), values);
        }

        #[test]
        fn a_range_starts_at_its_first_and_rises_to_its_last(
            first in 1_u32..500, span in 0_u32..500, step in 1_u32..50, factor in 2_u32..5,
        ) {
            let last = first + span;
            for text in [format!("{first}-{last}+{step}"), format!("{first}-{last}*{factor}")] {
                let values = numbers(&text, 0..=1000).unwrap();
                prop_assert_eq!(values[0], first);
                prop_assert!(values.is_sorted() && values.iter().all(|value| *value <= last));
                let end = *values.last().unwrap();
                let beyond = if text.contains('+') { end + step } else { end * factor };
                prop_assert!(beyond > last);
            }
        }
    }
}
