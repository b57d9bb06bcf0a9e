//! When two memories say the same, nearly the same, or the opposite: by their words, by their vectors, and by what is
//! different between them. It judges pairs and decides nothing.

use memoria_kernel::checksum::checksum;
use memoria_kernel::sets::shared;

use crate::lexical::{analyse, question};
use crate::model::{Memory, Relation};

/// Word sets at least this equal say the same twice, when no number and no `not` tells them apart.
const TWIN_SHARE: f32 = 0.8;
/// So do vectors at least this near.
const TWIN_COSINE: f32 = 0.96;
/// Two facts about one thing share this much of the shorter one's words, and at least so many.
const SUBJECT_SHARE: f32 = 0.6;
const SUBJECT_WORDS_MIN: usize = 3;

/// Words that say that something is no longer as it was. Sorted stems, for the binary search.
#[rustfmt::skip]
const CHANGES: &[&str] = &[
    "chang", "decrea", "decreas", "delai", "extend", "increas", "instead", "lower", "migrat", "mov", "move", "now",
    "postpon", "previousli", "rais", "reduc", "renam", "replac", "switch", "updat", "upgrad",
];
/// Words that turn a statement round. Sorted stems, for the binary search.
#[rustfmt::skip]
const NEGATIONS: &[&str] = &[
    "cancel", "cannot", "deprec", "deprecat", "disabl", "dont", "drop", "isnt", "longer", "never", "no", "not", "remov",
    "stop", "without", "不再", "停止", "停用", "取消", "废弃", "暂停", "移除",
];

/// What a memory says, as sets of words.
pub(super) struct Said {
    /// Every distinct term, by its print: pairs are judged by the hundred.
    all: Vec<u64>,
    /// Those that carry the subject: no numbers, no words that hold a sentence together, no lone characters. Sorted.
    subject: Vec<String>,
    /// The same, by their prints.
    subject_prints: Vec<u64>,
    numbers: Vec<String>,
    /// Words that turn a statement round.
    turns: Vec<String>,
    /// A number that is a name (`#1203`, `Step 3`), and so tells two things apart and not two states of one.
    titles: Vec<String>,
}

impl Said {
    pub(super) fn of(text: &str) -> Self {
        let all = word_set(text);
        let is_number = |word: &&String| word.chars().any(char::is_numeric);
        let numbers: Vec<String> = all.iter().filter(is_number).cloned().collect();
        let carries = |word: &&String| {
            !is_number(word) && !question::is_stop_word(word) && (word.is_ascii() || word.chars().count() > 1)
        };
        let subject: Vec<String> = all.iter().filter(carries).cloned().collect();
        let turns = all.iter().filter(|word| NEGATIONS.binary_search(&word.as_str()).is_ok()).cloned().collect();
        let titled = text.split_whitespace().enumerate().filter(|(at, word)| *at < 2 || word.starts_with('#'));
        let titles = titled.flat_map(|(_, word)| word_set(word)).filter(|word| is_number(&word)).collect();
        Self { all: prints(&all), subject_prints: prints(&subject), subject, numbers, turns, titles }
    }

    /// Nearly the same: one of them is enough.
    pub(super) fn is_twin(&self, other: &Self, ours: &[i8], theirs: &[i8]) -> bool {
        let is_same_fact = self.numbers == other.numbers && self.turns == other.turns;
        is_same_fact && (share(&self.all, &other.all) >= TWIN_SHARE || cosine(ours, theirs) >= TWIN_COSINE)
    }

    /// Whether `self`, which came later, says of the same thing something that cannot hold beside `older`.
    pub(super) fn contradicts(&self, older: &Self) -> bool {
        let shared = shared(&self.subject_prints, &older.subject_prints);
        let shorter = self.subject.len().min(older.subject.len());
        if shared < SUBJECT_WORDS_MIN || (shared as f32) < SUBJECT_SHARE * shorter as f32 {
            return false;
        }
        let new: Vec<&String> = lacking(&self.subject, &older.subject);
        let old: Vec<&String> = lacking(&older.subject, &self.subject);
        let numbers_differ =
            !lacking(&self.numbers, &older.numbers).is_empty() && !lacking(&older.numbers, &self.numbers).is_empty();
        if numbers_differ && self.titles == older.titles {
            // Two values of one thing; what differs in words as well (staging, production) is two things, unless the
            // later one speaks of a change.
            let is_change = new.iter().any(|word| CHANGES.binary_search(&word.as_str()).is_ok());
            return new.is_empty() || old.is_empty() || is_change;
        }
        let is_turned = !self.turns.is_empty() && older.turns.is_empty();
        is_turned && old.len() <= 1 && self.numbers == older.numbers
    }
}

/// Which of two contradicting memories holds, as seen from `hit`: `None` when it is the hit itself, or nobody knows. A
/// later one holds unless it is trusted less.
pub(super) fn loses_to(hit: &Memory, other: &Memory, ours: &Said, theirs: &Said) -> Option<Relation> {
    // T1 is the smallest.
    if hit.observed_at < other.observed_at && theirs.contradicts(ours) && other.trust <= hit.trust {
        return Some(Relation::Older);
    }
    if hit.observed_at >= other.observed_at && ours.contradicts(theirs) && other.trust < hit.trust {
        return Some(Relation::LessTrusted);
    }
    None
}

fn lacking<'a>(ours: &'a [String], theirs: &[String]) -> Vec<&'a String> {
    ours.iter().filter(|word| theirs.binary_search(word).is_err()).collect()
}

/// Distinct terms, sorted.
fn word_set(text: &str) -> Vec<String> {
    let mut words = analyse(text).terms;
    words.sort_unstable();
    words.dedup();
    words
}

/// A rising number for each word, which stands for it.
fn prints(words: &[String]) -> Vec<u64> {
    let mut prints: Vec<u64> = words.iter().map(|word| checksum(word.as_bytes())).collect();
    prints.sort_unstable();
    prints
}

/// The prints of a text's distinct terms.
pub(super) fn prints_of(text: &str) -> Vec<u64> {
    prints(&word_set(text))
}

/// Jaccard's share of two sets; of two empty ones it is 1.
pub(super) fn share(ours: &[u64], theirs: &[u64]) -> f32 {
    let shared = shared(ours, theirs);
    let all = ours.len() + theirs.len() - shared;
    if all == 0 { 1.0 } else { shared as f32 / all as f32 }
}

/// Of two vectors in eight bits; 0 where either is missing.
fn cosine(ours: &[i8], theirs: &[i8]) -> f32 {
    if ours.is_empty() || ours.len() != theirs.len() {
        return 0.0;
    }
    let dot = |a: &[i8], b: &[i8]| a.iter().zip(b).map(|(x, y)| i32::from(*x) * i32::from(*y)).sum::<i32>() as f32;
    dot(ours, theirs) / (dot(ours, ours) * dot(theirs, theirs)).sqrt().max(f32::MIN_POSITIVE)
}
