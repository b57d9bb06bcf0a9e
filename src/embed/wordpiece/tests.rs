//! Words and pieces against what the reference tokenizer makes of the same (`scripts/wordpiece.py` asks it).

use std::collections::BTreeSet;

use super::*;

const LETTERS: &str = include_str!("../../../tests/wordpiece/letters.txt");
const PIECES: &str = include_str!("../../../tests/wordpiece/pieces.txt");
const VOCABULARY: &str = include_str!("../../../tests/wordpiece/vocabulary.txt");

fn words_of(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    words(text, |word| {
        found.push(word.to_owned());
        true
    });
    found
}

/// The FNV-1a hash of 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// `\n`, `\xe9`, `\u4e2d`, `\U0001f44d` as the letters that they stand for.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let digits = match &rest[at + 1..at + 2] {
            "x" => 2,
            "u" => 4,
            "U" => 8,
            "n" => {
                out.push('\n');
                0
            }
            "t" => {
                out.push('\t');
                0
            }
            "r" => {
                out.push('\r');
                0
            }
            other => panic!("what is \\{other}?"),
        };
        let number = &rest[at + 2..at + 2 + digits];
        out.extend(u32::from_str_radix(number, 16).ok().and_then(char::from_u32));
        rest = &rest[at + 2 + digits..];
    }
    out + rest
}

/// If this fails for letters that Unicode took up lately, the standard library knows them and the reference did not:
/// make the tables anew with a newer reference.
#[test]
fn every_letter_of_unicode_is_treated_as_the_reference_treats_it() {
    let mut wrong = Vec::new();
    for line in LETTERS.lines() {
        let [first, last, what] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (first, last) = (u32::from_str_radix(first, 16).unwrap(), u32::from_str_radix(last, 16).unwrap());
        let cut = |point: u32| {
            char::from_u32(point).map(|letter| words_of(&format!("a{letter}b")).join(" ")).unwrap_or_default()
        };
        let expected = |letter: char| match what {
            "kept" => Some(format!("a{letter}b")),
            "alone" => Some(format!("a {letter} b")),
            "removed" => Some("ab".to_owned()),
            _ => None,
        };
        if what.len() < 16 {
            let differs = |letter: &char| Some(cut(*letter as u32)) != expected(*letter);
            wrong.extend((first..=last).filter_map(char::from_u32).find(differs).map(|letter| letter as u32));
        } else if format!("{:016x}", fnv(&(first..=last).map(cut).collect::<Vec<_>>().join("\n"))) != what {
            wrong.push(first);
        }
    }
    assert!(wrong.is_empty(), "blocks of 256 that differ: {wrong:x?}");
}

#[test]
fn texts_of_many_kinds_are_cut_as_the_reference_cuts_them() {
    let vocabulary = Vocabulary::new(VOCABULARY).unwrap();
    assert!(PIECES.lines().count() > 30);
    for line in PIECES.lines() {
        let (text, pieces) = line.split_once('\t').unwrap();
        let cut = vocabulary.cut(&unescaped(text), usize::MAX);
        let found: Vec<&str> = cut.ids.iter().map(|id| vocabulary.piece(*id)).collect();
        assert_eq!(found, pieces.split_whitespace().collect::<Vec<_>>(), "{text}");
        assert_eq!(cut.unknown, found.iter().filter(|piece| **piece == UNKNOWN).count());
    }
}

#[test]
fn a_vocabulary_finds_each_of_its_pieces_and_nothing_else() {
    let vocabulary = Vocabulary::new(VOCABULARY).unwrap();
    let pieces: Vec<&str> = VOCABULARY.lines().collect();
    assert_eq!(vocabulary.len(), pieces.len());
    for (id, piece) in (0..).zip(&pieces) {
        assert_eq!((vocabulary.id(piece), vocabulary.piece(id)), (Some(id), *piece));
    }
    let known: BTreeSet<&str> = pieces.iter().copied().collect();
    for other in pieces.iter().map(|piece| format!("{piece}z")).filter(|other| !known.contains(other.as_str())) {
        assert_eq!(vocabulary.id(&other), None, "{other}");
    }
    assert_eq!((vocabulary.piece(u32::MAX), vocabulary.id("")), ("", None));
}

#[test]
fn a_text_is_cut_at_the_number_of_pieces_and_says_so() {
    let vocabulary = Vocabulary::new("[UNK]\nred\ngreen\n##ish\n").unwrap();
    let cut = |most| vocabulary.cut("Red, greenish red", most);
    assert_eq!(cut(5), Pieces { ids: vec![1, 0, 2, 3, 1], unknown: 1, foreign: 0, is_cut: false });
    assert_eq!(cut(3), Pieces { ids: vec![1, 0, 2], unknown: 1, foreign: 0, is_cut: true });
    assert_eq!(cut(4), Pieces { ids: vec![1, 0, 2, 3], unknown: 1, foreign: 0, is_cut: true });
}

#[test]
fn vocabularies_without_an_end_of_line_or_with_those_of_windows_are_read() {
    let vocabulary = Vocabulary::new("one\r\n##two\r\nthree").unwrap();
    assert_eq!((vocabulary.len(), vocabulary.id("##two"), vocabulary.id("three")), (3, Some(1), Some(2)));
    let unknown_is_left_out = vocabulary.cut("onetwo four", 9);
    assert_eq!(unknown_is_left_out, Pieces { ids: vec![0, 1], unknown: 1, foreign: 1, is_cut: false });
}

#[test]
fn a_broken_vocabulary_is_refused_in_words() {
    assert!(Vocabulary::new("").err().unwrap().message.contains("empty"));
    assert!(Vocabulary::new("a\nb\na\n").err().unwrap().message.contains("`a` twice"));
}
