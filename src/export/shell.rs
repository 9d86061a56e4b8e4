//! Quoting for POSIX shells.

/// The word as a POSIX shell reads it back unchanged; plain words stay as they are.
///
/// ```
/// use autotune::export::quoted;
/// assert_eq!(quoted("mmap+mlock"), "mmap+mlock");
/// assert_eq!(quoted("it's"), r"'it'\''s'");
/// ```
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_real_shell_reads_back_what_was_quoted(word in "[^\0\r]{0,40}") {
            let script = format!("printf %s {}", quoted(&word));
            let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
