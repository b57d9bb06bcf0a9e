//! Text to terms: Unicode words, identifiers split at case, digits and `_`, CJK bigrams, light stemming.
//! `AuthMiddleware`, `auth_middleware`, `auth-middleware` and `auth middleware` share their parts; the first three
//! also share the joined form, by which an exact identifier is found before its words.

use super::fold;
use super::stem::stem;

/// Longer words are cut: nobody types them, and a blob of base64 must not become a term of kilobytes.
const TERM_BYTES_MAX: usize = 64;
/// What has more parts is a sentence with hyphens or a path, not a name; it is not joined.
const JOINED_PARTS_MAX: usize = 8;

/// A text as the index sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// In order, with repetitions.
    pub terms: Vec<String>,
    /// How long the text is: words and CJK characters. Joined forms and CJK bigrams do not add to it, so that
    /// an identifier is as long as its words, and a Chinese text as long as its characters.
    pub len: u32,
}

/// How a term stands in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A word, or a part of an identifier or number.
    Word,
    /// An identifier or number in one piece; its parts came before.
    Joined,
    /// One CJK character that has neighbours; they make bigrams.
    Character,
    /// One CJK character that stands alone.
    Lone,
    /// Two adjacent CJK characters.
    Bigram,
}

/// The words of a text. Deterministic; never panics.
pub fn analyse(text: &str) -> Words {
    let mut words = Words::default();
    each(text, |term, shape| {
        words.len += u32::from(!matches!(shape, Shape::Joined | Shape::Bigram));
        words.terms.push(stemmed(term, shape));
    });
    words
}

/// The terms of a text, in order, with repetitions. Deterministic; never panics; empty for no words.
pub fn terms(text: &str) -> Vec<String> {
    analyse(text).terms
}

/// A term as it is indexed.
pub fn stemmed(term: String, shape: Shape) -> String {
    if matches!(shape, Shape::Word | Shape::Joined) { stem(term) } else { term }
}

/// Calls `emit` with every term before stemming.
pub fn each(text: &str, mut emit: impl FnMut(String, Shape)) {
    let mut scan = Scan { emit: &mut emit, word: String::new(), last: Last::None, parts: Vec::new(), run: Vec::new() };
    let mut chars = text.chars().map(fold::narrow).filter(|c| !fold::is_mark(*c)).peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        if is_unspaced(c) {
            scan.end_compound();
            scan.run.push(c);
        } else if c.is_alphanumeric() {
            scan.end_run();
            let after = if c.is_uppercase() { chars.clone().nth(1) } else { None };
            scan.letter(c, next, after);
        } else if matches!(c, '\'' | '\u{2019}') && scan.last != Last::None && next.is_some_and(char::is_alphanumeric) {
            // `don't` is one word; the `s` of `user's` goes.
            if next.is_some_and(|c| matches!(c, 's' | 'S')) {
                chars.next();
                if chars.peek().is_some_and(|c| c.is_alphanumeric()) {
                    scan.letter('s', None, None);
                } else {
                    scan.end_compound();
                }
            }
        } else if scan.joins(c) && next.is_some_and(|c| c.is_alphanumeric() && !is_unspaced(c)) {
            scan.end_part();
        } else {
            scan.end_compound();
            scan.end_run();
        }
    }
    scan.end_compound();
    scan.end_run();
}

/// Scripts that are written without spaces: Han, kana, Hangul (for its compounds), Thai, Lao, Khmer, Burmese.
pub fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3130}'..='\u{318f}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
        && (c.is_alphanumeric() || c == '々')
}

/// What the last letter of the word was.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    None,
    Lower,
    Upper,
    Digit,
}

struct Scan<'a> {
    emit: &'a mut dyn FnMut(String, Shape),
    word: String,
    last: Last,
    /// The parts so far of an identifier.
    parts: Vec<String>,
    run: Vec<char>,
}

impl Scan<'_> {
    fn letter(&mut self, c: char, next: Option<char>, after: Option<char>) {
        let class = if c.is_numeric() {
            Last::Digit
        } else if c.is_uppercase() {
            Last::Upper
        } else {
            Last::Lower
        };
        let is_boundary = match (self.last, class) {
            (Last::Lower, Last::Upper) => true,
            // The `S` of `HTTPServer`, but not the `L` of `URLs`.
            (Last::Upper, Last::Upper) => {
                let is_plural = next == Some('s') && !after.is_some_and(char::is_lowercase);
                next.is_some_and(char::is_lowercase) && !is_plural
            }
            // `server2`, but not `v2` and `k8s`: a lone letter and its number are one name.
            (Last::Lower | Last::Upper, Last::Digit) => self.word.chars().count() > 1,
            _ => false,
        };
        if is_boundary {
            self.end_part();
        }
        if self.word.len() < TERM_BYTES_MAX {
            fold::push(&mut self.word, c);
        }
        self.last = class;
    }

    /// Whether a sign between two letters or digits holds them together as one name.
    fn joins(&self, c: char) -> bool {
        matches!(c, '_' | '-') && self.last != Last::None || c == '.' && self.last == Last::Digit
    }

    fn end_part(&mut self) {
        if !self.word.is_empty() {
            self.parts.push(std::mem::take(&mut self.word));
        }
        self.last = Last::None;
    }

    fn end_compound(&mut self) {
        self.end_part();
        let parts = std::mem::take(&mut self.parts);
        let joined: Option<String> = (2..=JOINED_PARTS_MAX).contains(&parts.len()).then(|| parts.concat());
        parts.into_iter().for_each(|part| (self.emit)(part, Shape::Word));
        if let Some(joined) = joined.filter(|joined| joined.len() <= TERM_BYTES_MAX) {
            (self.emit)(joined, Shape::Joined);
        }
    }

    /// Every character, and every two neighbours, so that a question of one character finds something, too.
    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let shape = if run.len() == 1 { Shape::Lone } else { Shape::Character };
        for (at, c) in run.iter().enumerate() {
            (self.emit)(c.to_string(), shape);
            if let Some(next) = run.get(at + 1) {
                (self.emit)(String::from_iter([*c, *next]), Shape::Bigram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn identifiers_split_into_parts_and_keep_their_joined_form() {
        for (text, expected) in [
            ("AuthMiddleware", &["auth", "middlewar", "authmiddlewar"][..]),
            ("auth_middleware", &["auth", "middlewar", "authmiddlewar"]),
            ("auth-middleware", &["auth", "middlewar", "authmiddlewar"]),
            ("auth middleware", &["auth", "middlewar"]),
            ("HTTPServer2", &["http", "server", "2", "httpserver2"]),
            ("http_server_2", &["http", "server", "2", "httpserver2"]),
            ("parseURLs", &["pars", "url", "parseurl"]),
            ("k8s v2 S3", &["k8s", "v2", "s3"]),
            ("src/auth/mod.rs", &["src", "auth", "mod", "rs"]),
            ("std::sync::Mutex", &["std", "sync", "mutex"]),
            ("Go 1.22.3.", &["go", "1", "22", "3", "1223"]),
            ("the user's don't", &["the", "user", "dont"]),
            ("__init__", &["init"]),
        ] {
            assert_eq!(terms(text), expected, "{text}");
        }
    }

    #[test]
    fn cjk_text_becomes_characters_and_bigrams_and_is_as_long_as_its_characters() {
        let words = analyse("用redis缓存");
        assert_eq!(words.terms, ["用", "redis", "缓", "缓存", "存"]);
        assert_eq!(words.len, 4);
    }

    proptest! {
        #[test]
        fn any_text_is_analysed_without_a_panic_into_bounded_terms(text in "\\PC*|[a-zA-Z0-9_.'\\-测试가é ]{0,300}") {
            let words = analyse(&text);
            prop_assert!(words.terms.iter().all(|term| !term.is_empty() && term.len() <= TERM_BYTES_MAX + 4));
            prop_assert!(words.len as usize <= words.terms.len());
            prop_assert_eq!(words, analyse(&text));
        }
    }
}
