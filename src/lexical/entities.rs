//! Names in a text, found without a model: identifiers, paths, versions, tickets, acronyms, names of people and
//! products, quoted terms, mentions. Each comes as the term by which the index already knows it, so that a name's
//! posting list is the link between the memories that speak of it.

use super::question::is_stop_word;
use super::stem::stem;
use super::words::{self, Shape, is_unspaced};

/// Characters of a mention in a script without spaces: Chinese names have two or three.
const MENTION_CHARS: usize = 3;
/// A quotation of more words is a sentence.
const QUOTED_WORDS_MAX: usize = 4;

/// The terms of the names in a text, without repetitions, in order of appearance.
pub fn entities(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut keep = |term: String| {
        if !found.contains(&term) {
            found.push(term);
        }
    };
    let has_unspaced = text.chars().any(is_unspaced);
    let mut rest = text;
    let mut opens_sentence = true;
    while let Some(c) = rest.chars().next() {
        if c == '@' {
            let mention: String = rest.chars().skip(1).take_while(|c| is_unspaced(*c)).take(MENTION_CHARS).collect();
            words::each(&mention, |term, shape| {
                if shape == Shape::Bigram {
                    keep(term);
                }
            });
        }
        if c == '`'
            && let Some((quoted, after)) = rest[1..].split_once('`').filter(|(quoted, _)| is_quotable(quoted))
        {
            terms_of_name(quoted).into_iter().for_each(&mut keep);
            opens_sentence = false;
            rest = after;
            continue;
        }
        let token = &rest[..token_len(rest)];
        if token.is_empty() {
            opens_sentence = match c {
                '.' | '!' | '?' | ':' | '。' | '！' | '？' | '：' | '\n' => true,
                _ => opens_sentence && !c.is_alphanumeric(),
            };
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if is_name(token, has_unspaced, opens_sentence) {
            terms_of_name(token).into_iter().for_each(&mut keep);
        }
        opens_sentence = false;
        rest = &rest[token.len()..];
    }
    found
}

fn is_quotable(quoted: &str) -> bool {
    !quoted.trim().is_empty() && quoted.split_whitespace().count() <= QUOTED_WORDS_MAX
}

/// Bytes of the word at the beginning: letters and digits, with signs between them that hold a name together.
fn token_len(text: &str) -> usize {
    let mut len = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let is_part = |c: char| c.is_alphanumeric() && !is_unspaced(c);
        let next = chars.peek().map(|(_, next)| *next);
        let holds = at > 0 && matches!(c, '-' | '_' | '.' | '/') && next.is_some_and(is_part);
        if !is_part(c) && !holds {
            break;
        }
        len = at + c.len_utf8();
    }
    len
}

/// Whether a word names something: it is written as no plain word is, or stands out from those around it.
fn is_name(token: &str, has_unspaced: bool, opens_sentence: bool) -> bool {
    let letters = token.chars().filter(|c| c.is_alphabetic()).count();
    if letters == 0 {
        // An address or a long version; a plain number names nothing.
        return token.matches('.').count() >= 2;
    }
    if token.chars().count() < 2 || is_stop_word(&token.to_lowercase()) {
        return false;
    }
    let is_compound = token.contains(['-', '_', '/', '.']);
    let has_digit = token.chars().any(char::is_numeric);
    let uppers = token.chars().filter(|c| c.is_uppercase()).count();
    let begins_upper = token.chars().next().is_some_and(char::is_uppercase);
    let is_camel = uppers > usize::from(begins_upper);
    is_compound || has_digit || is_camel || has_unspaced || begins_upper && !opens_sentence
}

/// The joined forms of a name; of one that the index does not join, its words.
fn terms_of_name(name: &str) -> Vec<String> {
    let (mut joined, mut parts) = (Vec::new(), Vec::new());
    words::each(name, |term, shape| match shape {
        Shape::Joined => joined.push(stem(term)),
        Shape::Word if term.chars().count() > 2 && !term.chars().all(char::is_numeric) => parts.push(stem(term)),
        Shape::Word if !term.chars().all(char::is_numeric) && !term.chars().all(char::is_alphabetic) => {
            parts.push(stem(term));
        }
        Shape::Word if term.chars().count() == 2 && term.chars().all(char::is_alphabetic) => parts.push(stem(term)),
        _ => {}
    });
    if joined.is_empty() { parts } else { joined }
}

#[cfg(test)]
mod tests {
    use super::entities;

    #[test]
    fn names_are_found_as_the_index_knows_them() {
        for (text, expected) in [
            ("Mira maintains ledger-api and its schema.", &["ledgerapi"][..]),
            ("We asked Mira about it.", &["mira"]),
            ("libfoo v2.9.4 breaks src/billing/tax.rs", &["v294", "src", "bill", "tax", "rs"]),
            ("OPS-3381 needs LEDGER_DSN", &["ops3381", "ledgerdsn"]),
            ("HttpRetryPolicy was rewritten. The old one is gone.", &["httpretrypolici"]),
            ("the host 10.0.0.7 answers", &["10007"]),
            ("set `max open files` to 4096", &["max", "open", "file"]),
            ("支付模块由 @陈晨 维护，依赖 redis 和 NATS", &["陈晨", "redis", "nat"]),
            ("nothing here is a name, not even 42", &[]),
        ] {
            assert_eq!(entities(text), expected, "{text}");
        }
    }
}
