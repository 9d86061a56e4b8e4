//! llama-bench's flags of several letters behind one dash (`-ngl`, `-ub`), which clap would read
//! as several flags of one letter: rewritten to their long names before clap sees them.

use std::ffi::{OsStr, OsString};

/// Spelled with one dash there, and the long name of it. Those that `bench` does not have are
/// listed too, so that the message about them names what was typed.
const SPELLINGS: &[(&str, &str)] = &[
    ("-pg", "--pg"),
    ("-ub", "--ubatch-size"),
    ("-ctk", "--cache-type-k"),
    ("-ctv", "--cache-type-v"),
    ("-tb", "--threads-batch"),
    ("-ngl", "--n-gpu-layers"),
    ("-fa", "--flash-attn"),
    ("-lm", "--load-mode"),
    ("-oe", "--output-err"),
    ("-ncmoe", "--n-cpu-moe"),
    ("-sm", "--split-mode"),
    ("-mg", "--main-gpu"),
    ("-nkvo", "--no-kv-offload"),
    ("-dev", "--device"),
    ("-lzm", "--lazy-mode"),
    ("-mmp", "--mmap"),
    ("-dio", "--direct-io"),
    ("-embd", "--embeddings"),
    ("-ts", "--tensor-split"),
    ("-ot", "--override-tensor"),
    ("-nopo", "--no-op-offload"),
    ("-hf", "--hf-repo"),
    ("-fitt", "--fit-target"),
    ("-fitc", "--fit-ctx"),
];

/// Common flags that take the next word, which therefore is no verb.
const TAKE_A_WORD: &[&str] = &["--color", "--config"];

/// The words of the command line, respelled behind the verb `bench` and nowhere else.
pub(super) fn respell(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let Some(verb) = verb(&words).filter(|verb| words[*verb] == "bench") else { return words };
    for word in words.iter_mut().skip(verb + 1).take_while(|word| *word != "--") {
        if let Some((_, long)) = SPELLINGS.iter().find(|(short, _)| word == short) {
            *word = OsString::from(long);
        }
    }
    words
}

/// The place of the first word that is neither a flag nor the value of one.
fn verb(words: &[OsString]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        if !word.to_str().is_some_and(|word| word.starts_with('-')) {
            return Some(at);
        }
        let takes = TAKE_A_WORD.iter().any(|flag| word == OsStr::new(flag));
        at += if takes { 2 } else { 1 };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respelled(line: &str) -> String {
        let words = respell(line.split(' ').map(OsString::from));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_the_verb_bench_is_respelled() {
        for (typed, wanted) in [
            ("autotune bench -ngl 9 -fa 1", "autotune bench --n-gpu-layers 9 --flash-attn 1"),
            (
                "autotune --color never -v bench -t 2 -tb 4",
                "autotune --color never -v bench -t 2 --threads-batch 4",
            ),
            ("autotune sweep -tb 4", "autotune sweep -tb 4"),
            ("autotune --config bench sweep -tb 4", "autotune --config bench sweep -tb 4"),
            ("autotune bench -- -ub", "autotune bench -- -ub"),
            ("autotune bench -pg 4,2 -m -x", "autotune bench --pg 4,2 -m -x"),
            ("autotune", "autotune"),
        ] {
            assert_eq!(respelled(typed), wanted);
        }
    }
}
