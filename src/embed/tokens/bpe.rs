//! Byte-level BPE, as GPT-2 and RoBERTa have it: a text is split into words, a word into bytes, and pairs are merged in
//! the order in which they were learned.

use std::collections::HashMap;

use serde_json::Value;

/// Pieces, and which two make which.
pub struct Bpe {
    pieces: HashMap<Box<str>, u32>,
    /// Of two numbers: how early it was learned, and the number of what they make.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// The piece of each byte.
    bytes: Vec<u32>,
    adds_space: bool,
    ignores_merges: bool,
}

impl Bpe {
    /// From a `tokenizer.json`.
    pub fn new(tokenizer: &Value) -> Result<Self, String> {
        let model = &tokenizer["model"];
        let split = &tokenizer["pre_tokenizer"];
        let is_gpt2 = split["type"] == "ByteLevel" && split["use_regex"].as_bool() != Some(false);
        if !is_gpt2 || !tokenizer["normalizer"].is_null() {
            return Err("its BPE prepares texts in a way that is not known here: only GPT-2's is".to_owned());
        }
        let is_odd = |key: &str| model[key].as_str().is_some_and(|text| !text.is_empty());
        if let Some(key) = ["continuing_subword_prefix", "end_of_word_suffix"].into_iter().find(|key| is_odd(key)) {
            return Err(format!("its BPE marks pieces (`{key}`), which is not known here"));
        }
        let vocab = model["vocab"].as_object().ok_or("it has no vocabulary")?;
        let number = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        let pieces: HashMap<Box<str>, u32> =
            vocab.iter().filter_map(|(piece, id)| Some((piece.as_str().into(), number(id)?))).collect();
        let mut merges = HashMap::new();
        for (rank, merge) in (0u32..).zip(model["merges"].as_array().into_iter().flatten()) {
            // `"a b"` in old files, `["a", "b"]` in new ones.
            let pair = match merge.as_str() {
                Some(text) => text.split_once(' '),
                None => merge[0].as_str().zip(merge[1].as_str()),
            };
            let (left, right) = pair.ok_or("one of its merges is none")?;
            let id = |piece: &str| pieces.get(piece).copied().ok_or("one of its merges is not in its vocabulary");
            merges.insert((id(left)?, id(right)?), (rank, id(&format!("{left}{right}"))?));
        }
        let bytes = byte_letters().map(|letter| pieces.get(letter.to_string().as_str()).copied());
        let bytes = bytes.collect::<Option<Vec<_>>>().ok_or("its vocabulary does not have every byte")?;
        let adds_space = split["add_prefix_space"].as_bool().unwrap_or(true);
        let ignores_merges = model["ignore_merges"].as_bool().unwrap_or_default();
        Ok(Self { pieces, merges, bytes, adds_space, ignores_merges })
    }

    /// The numbers of a text's pieces, `most` or a few more.
    pub fn cut(&self, text: &str, most: usize) -> Vec<u32> {
        let text = match self.adds_space && !text.starts_with(char::is_whitespace) && !text.is_empty() {
            true => format!(" {text}"),
            false => text.to_owned(),
        };
        let mut numbers = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() && numbers.len() < most {
            let (word, after) = rest.split_at(word_bytes(rest));
            self.cut_word(word, &mut numbers);
            rest = after;
        }
        numbers
    }

    fn cut_word(&self, word: &str, numbers: &mut Vec<u32>) {
        if self.ignores_merges {
            let letters: Vec<char> = byte_letters().collect();
            let whole: String = word.bytes().map(|byte| letters[usize::from(byte)]).collect();
            if let Some(number) = self.pieces.get(whole.as_str()) {
                numbers.push(*number);
                return;
            }
        }
        let mut pieces: Vec<u32> = word.bytes().map(|byte| self.bytes[usize::from(byte)]).collect();
        loop {
            let pairs = pieces.windows(2).enumerate();
            let known = pairs
                .filter_map(|(at, pair)| self.merges.get(&(pair[0], pair[1])).map(|(rank, made)| (*rank, at, *made)));
            let Some((_, at, made)) = known.min() else { break };
            pieces[at] = made;
            pieces.remove(at + 1);
        }
        numbers.append(&mut pieces);
    }
}

/// GPT-2's letter for each byte: itself where it is visible, else one from U+0100 on.
fn byte_letters() -> impl Iterator<Item = char> {
    let mut next = 0x100;
    (0..=255u8).map(move |byte| match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        _ => {
            next += 1;
            char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(letter: char) -> Class {
    match letter {
        _ if letter.is_whitespace() => Class::Space,
        _ if letter.is_numeric() => Class::Number,
        _ if letter.is_alphabetic() => Class::Letter,
        _ => Class::Other,
    }
}

/// Bytes of the first word, by GPT-2's pattern:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
fn word_bytes(text: &str) -> usize {
    let short = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].into_iter().find(|short| text.starts_with(short));
    if let Some(short) = short {
        return short.len();
    }
    let inner = text.strip_prefix(' ').unwrap_or(text);
    match inner.chars().next().map(class) {
        Some(kind) if kind != Class::Space => {
            let run = inner.find(|letter| class(letter) != kind).unwrap_or(inner.len());
            text.len() - inner.len() + run
        }
        _ => {
            let run = text.find(|letter| class(letter) != Class::Space).unwrap_or(text.len());
            let last = text[..run].chars().next_back().map_or(0, char::len_utf8);
            // The last space of several belongs to the word that follows.
            if run == text.len() || run == last { run } else { run - last }
        }
    }
}
