//! A text's words as the server keeps them: each term is one opaque token, so that the server, which would cut an
//! identifier at its underscores and Chinese into threes, finds just what the analyser found.

use std::collections::BTreeMap;

use crate::lexical::Words;

/// Characters of a token: 35 bits of a term's hash. Where two words share them, the server finds a text too many,
/// which ranking, by the words themselves, leaves out.
const TOKEN_CHARS: usize = 7;
/// Lower case, and no digit first: what the server's tokenizer passes as it is.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Bytes that a column holds.
const DOCUMENT_BYTES_MAX: usize = 65_535;
/// A word counts that often at most for the server's choice of candidates; ranking counts all.
const REPEATED_MAX: u16 = 4;

/// The token of a term.
pub fn token(term: &str) -> String {
    let hash = blake3::hash(term.as_bytes());
    let letters = hash.as_bytes().iter().take(TOKEN_CHARS).enumerate().map(|(place, byte)| {
        // The first one is a letter: what begins with a digit could pass for a number.
        let letters = if place == 0 { 26 } else { 32 };
        char::from(ALPHABET[usize::from(*byte) % letters])
    });
    letters.collect()
}

/// Every word of a text, repeated as often as it occurs there, up to a few times. Where a text has more words than a
/// column holds, repetitions go first.
pub fn document(words: &Words) -> String {
    let mut counts: BTreeMap<&str, u16> = BTreeMap::new();
    for term in &words.terms {
        let count = counts.entry(term).or_default();
        *count = count.saturating_add(1);
    }
    let mut document = String::new();
    for round in 1..=REPEATED_MAX {
        for (term, _) in counts.iter().filter(|(_, count)| **count >= round) {
            if document.len() + TOKEN_CHARS < DOCUMENT_BYTES_MAX {
                if !document.is_empty() {
                    document.push(' ');
                }
                document.push_str(&token(term));
            }
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_letters_and_digits_that_no_tokenizer_cuts() {
        for term in ["", "retry_limit", "数据", "E-1234"] {
            let token = token(term);
            assert_eq!(token.len(), TOKEN_CHARS);
            assert!(
                token.starts_with(|c: char| c.is_ascii_lowercase()) && token.bytes().all(|b| ALPHABET.contains(&b))
            );
        }
    }

    #[test]
    fn a_document_holds_every_word_whatever_its_length() {
        let text = (0..8_000).fold(String::new(), |text, n| text + &format!("w{n} w{n} "));
        let words = crate::lexical::analyse(&text[..40_000]);
        let document = document(&words);
        assert!(document.len() <= DOCUMENT_BYTES_MAX);
        assert!(words.terms.iter().all(|term| document.contains(&token(term))));
    }
}
