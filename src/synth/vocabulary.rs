//! A byte-level BPE vocabulary of any size: every byte, merges learned from a few hundred words,
//! the control tokens of the model's family at their places, and plausible words for the rest.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::shape::{Architecture, Shape};

/// llama.cpp's number for an ordinary token.
const NORMAL: i32 = 1;
/// llama.cpp's number for a control token.
const CONTROL: i32 = 3;
/// Merges that are learned.
const MERGES: usize = 700;

/// What the merges are learned from.
const WORDS: &str = "the of and to in is that it was for on are as with his they at be this from \
have or by one had not but what all were when we there can an your which their said if do will \
each about how up out them then she many some so these would other into has more her two like him \
see time could no make than first been its who now people my made over did down only way find use \
may water long little very after words called just where most know get through back much before go \
good new write our used me man too any day same right look think also around another came come \
work three word must because does part even place well such here take why things help put years \
different away again off went old number great tell men say small every found still between name \
should home big give air line set own under read last never us left end along while might next \
sound below saw something thought both few those always looked show large often together asked \
house world going want school important until form food keep children feet land side without boy \
once animals life enough took sometimes four head above kind began almost live page got earth need \
far hand high year mother light parts country father let night following picture being study \
second eyes soon times story boys since white days ever paper hard near sentence better best \
across during today others however sure means knew try told young miles sun ways thing whole hear \
example heard several change answer room sea against top turned learn point city play toward five \
using himself usually money seen car morning return function import class public static const void \
int string value self print true false null error result model token memory thread kernel speed";

/// A vocabulary as a file holds it.
pub(super) struct Vocabulary {
    /// Which pre-tokenizer of llama.cpp splits the text.
    pub(super) pre: &'static str,
    pub(super) tokens: Vec<String>,
    pub(super) types: Vec<i32>,
    pub(super) merges: Vec<String>,
    pub(super) begin: u32,
    pub(super) end: u32,
    pub(super) add_begin: bool,
    pub(super) chat_template: &'static str,
}

/// What a family of models puts around the plain words.
struct Family {
    pre: &'static str,
    /// Control tokens; those that lie beyond the vocabulary move to its start.
    control: &'static [(u32, &'static str)],
    begin: &'static str,
    end: &'static str,
    add_begin: bool,
    chat_template: &'static str,
}

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + \
message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}\
{{ '<|im_start|>assistant\n' }}{% endif %}";

const SMOLLM: Family = Family {
    pre: "smollm",
    control: &[(0, "<|endoftext|>"), (1, "<|im_start|>"), (2, "<|im_end|>")],
    begin: "<|im_start|>",
    end: "<|im_end|>",
    add_begin: false,
    chat_template: CHATML,
};

const QWEN: Family = Family {
    pre: "qwen2",
    control: &[(151_643, "<|endoftext|>"), (151_644, "<|im_start|>"), (151_645, "<|im_end|>")],
    begin: "<|endoftext|>",
    end: "<|im_end|>",
    add_begin: false,
    chat_template: CHATML,
};

const LLAMA3: Family = Family {
    pre: "llama-bpe",
    control: &[
        (128_000, "<|begin_of_text|>"),
        (128_001, "<|end_of_text|>"),
        (128_006, "<|start_header_id|>"),
        (128_007, "<|end_header_id|>"),
        (128_009, "<|eot_id|>"),
    ],
    begin: "<|begin_of_text|>",
    end: "<|eot_id|>",
    add_begin: true,
    chat_template: "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + \
message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }}{% endfor %}\
{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
};

const GPT_OSS: Family = Family {
    pre: "gpt-4o",
    control: &[
        (199_998, "<|startoftext|>"),
        (199_999, "<|endoftext|>"),
        (200_002, "<|return|>"),
        (200_005, "<|channel|>"),
        (200_006, "<|start|>"),
        (200_007, "<|end|>"),
        (200_008, "<|message|>"),
        (200_012, "<|call|>"),
    ],
    begin: "<|startoftext|>",
    end: "<|return|>",
    add_begin: false,
    chat_template: "{% for message in messages %}{{ '<|start|>' + message['role'] + '<|message|>' \
+ message['content'] + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}\
{{ '<|start|>assistant<|message|>' }}{% endif %}",
};

impl Family {
    fn of(shape: &Shape) -> &'static Self {
        match shape.architecture {
            Architecture::Llama if shape.vocabulary >= 128_256 => &LLAMA3,
            Architecture::Llama => &SMOLLM,
            Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Qwen3Moe => &QWEN,
            Architecture::GptOss => &GPT_OSS,
        }
    }

    /// The control tokens with the ids they get in a vocabulary of this size.
    fn placed(&self, vocabulary: u32) -> BTreeMap<u32, &'static str> {
        let fits = self.control.iter().all(|(id, _)| *id < vocabulary);
        let place = |(index, (id, text)): (usize, &(u32, &'static str))| {
            (if fits { *id } else { u32::try_from(index).expect("a handful") }, *text)
        };
        self.control.iter().enumerate().map(place).collect()
    }
}

/// The vocabulary of a shape.
pub(super) fn vocabulary(shape: &Shape) -> Vocabulary {
    let family = Family::of(shape);
    let control = family.placed(shape.vocabulary);
    let size = shape.vocabulary as usize;
    let id_of = |text: &str| {
        let (id, _) = control.iter().find(|(_, known)| **known == text).expect("of the family");
        *id
    };
    let room = size - control.len();
    let bytes: Vec<String> = byte_letters().iter().map(char::to_string).collect();
    // A vocabulary smaller than bytes and merges learns fewer merges.
    let merges = learn(room.saturating_sub(bytes.len()).min(MERGES));
    let mut plain: Vec<String> = bytes;
    plain.extend(merges.iter().map(|(left, right)| format!("{left}{right}")));
    let known: HashSet<String> = plain.iter().cloned().collect();
    plain.extend(Invented::default().filter(|word| !known.contains(word)).take(room - plain.len()));

    let mut plain = plain.into_iter();
    let mut tokens = Vec::with_capacity(size);
    let mut types = Vec::with_capacity(size);
    for id in 0..shape.vocabulary {
        let (text, kind) = match control.get(&id) {
            Some(text) => ((*text).to_owned(), CONTROL),
            None => (plain.next().expect("as many as there are places"), NORMAL),
        };
        tokens.push(text);
        types.push(kind);
    }
    Vocabulary {
        pre: family.pre,
        tokens,
        types,
        merges: merges.iter().map(|(left, right)| format!("{left} {right}")).collect(),
        begin: id_of(family.begin),
        end: id_of(family.end),
        add_begin: family.add_begin,
        chat_template: family.chat_template,
    }
}

/// The letter that stands for each byte: itself where it prints, else one from U+0100 on.
fn byte_letters() -> [char; 256] {
    let mut next = 0x100_u32;
    std::array::from_fn(|byte| {
        let byte = u8::try_from(byte).expect("256 of them");
        if matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff) {
            return char::from(byte);
        }
        let letter = char::from_u32(next).expect("below the surrogates");
        next += 1;
        letter
    })
}

/// Learns merges as byte-pair encoding does: the most frequent neighbours first, each word with
/// and without the space before it.
fn learn(count: usize) -> Vec<(String, String)> {
    let space = byte_letters()[usize::from(b' ')];
    let mut words: Vec<Vec<String>> = Vec::new();
    for word in WORDS.split_whitespace() {
        let letters: Vec<String> = word.chars().map(String::from).collect();
        let spaced = std::iter::once(space.to_string()).chain(letters.iter().cloned()).collect();
        words.extend([letters, spaced]);
    }
    let mut merges = Vec::new();
    let mut tokens = HashSet::new();
    while merges.len() < count {
        let Some((left, right)) = most_frequent(&words) else { break };
        let joined = format!("{left}{right}");
        for word in &mut words {
            merge(word, &left, &right, &joined);
        }
        // The same token may come out of two pairs; the file can hold it only once.
        if tokens.insert(joined) {
            merges.push((left, right));
        }
    }
    merges
}

/// The pair of neighbours seen most often, the first by letter among equals.
fn most_frequent(words: &[Vec<String>]) -> Option<(String, String)> {
    let mut counts: HashMap<(&str, &str), u32> = HashMap::new();
    for word in words {
        for pair in word.windows(2) {
            *counts.entry((&pair[0], &pair[1])).or_default() += 1;
        }
    }
    let (pair, _) = counts.iter().max_by(|(a, many), (b, more)| many.cmp(more).then(b.cmp(a)))?;
    Some((pair.0.to_owned(), pair.1.to_owned()))
}

fn merge(word: &mut Vec<String>, left: &str, right: &str, merged: &str) {
    let mut index = 0;
    while index + 1 < word.len() {
        if word[index] == left && word[index + 1] == right {
            merged.clone_into(&mut word[index]);
            word.remove(index + 1);
        }
        index += 1;
    }
}

/// Words that nobody says, each once, with and without the space before it.
#[derive(Default)]
struct Invented {
    next: usize,
}

impl Iterator for Invented {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        const STARTS: [&str; 16] =
            ["b", "br", "d", "dr", "f", "g", "gl", "k", "l", "m", "n", "p", "pl", "s", "t", "v"];
        const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "ea", "ou"];
        const ENDS: [&str; 8] = ["", "n", "r", "l", "s", "t", "m", "ck"];
        let mut number = self.next / 2;
        let mut word = if self.next.is_multiple_of(2) {
            byte_letters()[usize::from(b' ')].to_string()
        } else {
            String::new()
        };
        self.next += 1;
        // The digits of a number in which every syllable is one digit. The separator keeps two
        // different rows of syllables from reading the same.
        let mut syllables = 0;
        loop {
            word.push_str(STARTS[number % STARTS.len()]);
            number /= STARTS.len();
            word.push_str(VOWELS[number % VOWELS.len()]);
            number /= VOWELS.len();
            word.push_str(ENDS[number % ENDS.len()]);
            number /= ENDS.len();
            syllables += 1;
            if number == 0 {
                return Some(word);
            }
            number -= 1;
            if syllables % 2 == 0 {
                word.push('-');
            }
        }
    }
}
