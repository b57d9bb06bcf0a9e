//! BERT's tokenizer: a text into words (`letters.rs` knows Unicode), a word into the longest pieces that a vocabulary
//! has. Compared with the reference for every letter and for texts of many kinds. It knows no model, and special
//! tokens such as `[SEP]` are words like any others in a text: what a user writes cannot end a text early.

mod letters;

use std::borrow::Cow;

use crate::error::{Error, Result};

/// Letters of a word that is still cut into pieces; a longer one is unknown as a whole.
const WORD_LETTERS_MAX: usize = 100;
/// What a piece in a vocabulary starts with when it continues a word.
const CONTINUED: &str = "##";
/// The piece of a word that cannot be made of pieces.
pub const UNKNOWN: &str = "[UNK]";

/// Where a piece stands in its word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Later,
}

/// The pieces of a model, numbered from 0 in the order of its vocabulary file.
pub struct Vocabulary {
    text: Cow<'static, str>,
    /// Where each line starts, and the end.
    starts: Vec<u32>,
    /// Numbers of pieces by hash, [`EMPTY`] where there is none; a power of two, at most half full.
    slots: Vec<u32>,
    /// Bytes of the longest piece, the mark of continuation not counted.
    longest: usize,
    unknown: Option<u32>,
}

const EMPTY: u32 = u32::MAX;

/// A text in pieces.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    /// Their numbers. Of words that are not in the vocabulary that of [`UNKNOWN`], or none if the vocabulary lacks it.
    pub ids: Vec<u32>,
    /// Words that are not in the vocabulary.
    pub unknown: usize,
    /// Those of them that have a letter: words of another script, not signs and pictures.
    pub foreign: usize,
    /// Whether some of the text was left out, because it has more pieces than were wanted.
    pub is_cut: bool,
}

impl Vocabulary {
    /// From the lines of a vocabulary file (`vocab.txt`), one piece each.
    ///
    /// # Errors
    /// If it is empty or too large, or holds a piece twice.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Result<Self> {
        let text = text.into();
        if u32::try_from(text.len()).is_err() {
            return Err(Error::too_large("a vocabulary has at most 4 GB"));
        }
        let mut starts = vec![0];
        starts.extend(text.bytes().zip(1..).filter(|(byte, _)| *byte == b'\n').map(|(_, end)| end));
        if !text.ends_with('\n') {
            starts.push(text.len() as u32 + 1);
        }
        let pieces = starts.len() - 1;
        if text.is_empty() {
            return Err(Error::corrupt("the vocabulary is empty"));
        }
        let mut vocabulary = Self { text, starts, slots: Vec::new(), longest: 0, unknown: None };
        let mut slots = vec![EMPTY; (pieces * 2).next_power_of_two()];
        for id in 0..pieces as u32 {
            let piece = vocabulary.piece(id);
            let (place, rest) = placed(piece);
            let slot = vocabulary.slot(&slots, place, rest.as_bytes());
            if slots[slot] != EMPTY {
                return Err(Error::corrupt(format!("the vocabulary holds `{piece}` twice")));
            }
            slots[slot] = id;
            vocabulary.longest = vocabulary.longest.max(rest.len());
        }
        vocabulary.slots = slots;
        vocabulary.unknown = vocabulary.id(UNKNOWN);
        Ok(vocabulary)
    }

    /// How many pieces it has.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Never: an empty vocabulary is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The piece of this number, with its mark of continuation; empty if there is none.
    pub fn piece(&self, id: u32) -> &str {
        let bounds = (self.starts.get(id as usize), self.starts.get(id as usize + 1));
        let (Some(start), Some(end)) = bounds else { return "" };
        self.text[*start as usize..*end as usize - 1].trim_end_matches('\r')
    }

    /// The number of a piece as it stands in the vocabulary.
    pub fn id(&self, piece: &str) -> Option<u32> {
        let (place, rest) = placed(piece);
        self.find(place, rest.as_bytes())
    }

    fn find(&self, place: Place, piece: &[u8]) -> Option<u32> {
        Some(self.slots[self.slot(&self.slots, place, piece)]).filter(|id| *id != EMPTY)
    }

    /// Where this piece is, or would be.
    fn slot(&self, slots: &[u32], place: Place, piece: &[u8]) -> usize {
        let mut slot = hash(place, piece) as usize & (slots.len() - 1);
        while slots[slot] != EMPTY {
            let (other_place, other) = placed(self.piece(slots[slot]));
            if other_place == place && other.as_bytes() == piece {
                break;
            }
            slot = (slot + 1) & (slots.len() - 1);
        }
        slot
    }

    /// The first `most` pieces of a text.
    pub fn cut(&self, text: &str, most: usize) -> Pieces {
        let mut pieces = Pieces::default();
        words(text, |word| {
            if !self.cut_word(word, &mut pieces.ids) {
                pieces.unknown += 1;
                pieces.foreign += usize::from(word.chars().any(char::is_alphabetic));
                pieces.ids.extend(self.unknown);
            }
            pieces.is_cut = pieces.ids.len() > most;
            !pieces.is_cut
        });
        pieces.ids.truncate(most);
        pieces
    }

    /// Adds the pieces of a word, the longest that fits first; false, and nothing added, if some of it fits no piece.
    fn cut_word(&self, word: &str, ids: &mut Vec<u32>) -> bool {
        let known = ids.len();
        if word.len() > WORD_LETTERS_MAX && word.chars().count() > WORD_LETTERS_MAX {
            return false;
        }
        let (mut place, mut rest) = (Place::First, word);
        while !rest.is_empty() {
            let ends = (1..=rest.len().min(self.longest)).rev().filter(|end| rest.is_char_boundary(*end));
            let found = ends.map(|end| (end, self.find(place, &rest.as_bytes()[..end]))).find(|(_, id)| id.is_some());
            let Some((end, Some(id))) = found else {
                ids.truncate(known);
                return false;
            };
            ids.push(id);
            (place, rest) = (Place::Later, &rest[end..]);
        }
        true
    }
}

/// A piece without its mark of continuation. `##` by itself is a piece of two signs.
fn placed(piece: &str) -> (Place, &str) {
    match piece.strip_prefix(CONTINUED) {
        Some(rest) if !rest.is_empty() => (Place::Later, rest),
        _ => (Place::First, piece),
    }
}

/// FNV-1a, with the bits mixed once more for the low ones that are used.
fn hash(place: Place, piece: &[u8]) -> u32 {
    let seed = if place == Place::First { 0x811c_9dc5 } else { 0x2f0b_4c47 };
    let hash = piece.iter().fold(seed, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash ^ (hash >> 15)
}

/// Calls `each` with every word of a text in lower case and without accents, punctuation and Chinese characters by
/// themselves, until it says false.
pub fn words(text: &str, mut each: impl FnMut(&str) -> bool) {
    let mut word = String::new();
    // Whether to go on; an empty word is none.
    let mut end = |word: &mut String| {
        let goes_on = word.is_empty() || each(word);
        word.clear();
        goes_on
    };
    for letter in text.chars() {
        let goes_on = match Letter::of(letter) {
            Letter::Removed => true,
            Letter::Space => end(&mut word),
            Letter::OfWord => {
                push(letter, &mut word);
                true
            }
            Letter::Alone => {
                let goes_on = end(&mut word);
                push(letter, &mut word);
                goes_on && end(&mut word)
            }
        };
        if !goes_on {
            return;
        }
    }
    end(&mut word);
}

/// What a letter does to a word.
enum Letter {
    OfWord,
    Space,
    Alone,
    Removed,
}

impl Letter {
    fn of(letter: char) -> Self {
        let is_in = |ranges: &[(u32, u32)]| {
            let after = ranges.partition_point(|(first, _)| *first <= letter as u32);
            after > 0 && ranges[after - 1].1 >= letter as u32
        };
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' => Self::OfWord,
            ' ' | '\t' | '\n' | '\r' => Self::Space,
            '\0'..=' ' | '\x7f' => Self::Removed,
            '!'..='~' => Self::Alone,
            _ if is_in(letters::REMOVED) => Self::Removed,
            _ if letter.is_whitespace() => Self::Space,
            _ if is_in(letters::ALONE) => Self::Alone,
            _ => Self::OfWord,
        }
    }
}

/// Appends a letter in lower case, decomposed, without its marks.
pub(super) fn push(letter: char, word: &mut String) {
    if letter.is_ascii() {
        return word.push(letter.to_ascii_lowercase());
    }
    let point = letter as u32;
    if let 0xac00..0xd7a4 = point {
        // Unicode 3.12: a Hangul syllable is a leading consonant, a vowel and, but for every 28th, a trailing
        // consonant.
        let (lead, vowel, trail) =
            (0x1100 + (point - 0xac00) / 588, 0x1161 + (point - 0xac00) / 28 % 21, 0x11a7 + (point - 0xac00) % 28);
        return word.extend([lead, vowel, trail].into_iter().filter(|part| *part != 0x11a7).filter_map(char::from_u32));
    }
    let after = letters::FOLDED.partition_point(|(first, _)| *first <= point);
    if let Some((first, to)) = after.checked_sub(1).map(|at| letters::FOLDED[at])
        && let Some(to) = to.chars().nth((point - first) as usize)
    {
        return word.push(to);
    }
    match letters::PARTS.binary_search_by_key(&point, |(point, _)| *point) {
        Ok(at) => word.push_str(letters::PARTS[at].1),
        Err(_) => word.extend(letter.to_lowercase()),
    }
}

#[cfg(test)]
mod tests;
