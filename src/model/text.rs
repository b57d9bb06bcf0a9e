//! Text that was written by somebody else, made safe to show: on a terminal, in a log, to a model; and its length
//! there.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character does something other than being seen: controls (but for newline and tab), direction
/// overrides, characters of no width, tags and variation selectors that can smuggle bytes, odd line breaks.
/// The joiners U+200C and U+200D are part of scripts and emoji, and are not counted.
pub fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => true,
        '\u{e0000}'..='\u{e0fff}' => true,
        c => c.is_control(),
    }
}

/// The text with every hidden character written out (`\u{202e}`), and Windows line ends made plain.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 32);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\r' && chars.peek() == Some(&'\n') {
            continue;
        }
        if is_hidden(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// One line of at most `chars_max` characters, hidden ones written out; `…` where it was cut.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let shown = visible(text);
    let mut out = String::new();
    for (count, c) in shown.chars().enumerate() {
        if count == chars_max {
            out.push('…');
            break;
        }
        out.push(if c.is_whitespace() { ' ' } else { c });
    }
    out
}

/// About how many tokens a model sees: four bytes each, or one character of a script of its own.
pub fn tokens_of(text: &str) -> u32 {
    text.chars().fold(Tokens::default(), Tokens::with).count()
}

/// The same, counted while a text grows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokens {
    bytes: u32,
    wide: u32,
}

impl Tokens {
    /// With one more character.
    pub fn with(self, c: char) -> Self {
        match c.len_utf8() {
            len @ 1..=2 => Self { bytes: self.bytes + len as u32, ..self },
            _ => Self { wide: self.wide + 1, ..self },
        }
    }

    /// Tokens, rounded up.
    pub fn count(self) -> u32 {
        self.bytes.div_ceil(4) + self.wide
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_shown_as_it_is() {
        for text in ["", "a\tb\nc", "测试 テスト", "👩‍👩‍👧 नमस्ते سلام", "é́"] {
            assert!(matches!(visible(text), Cow::Borrowed(shown) if shown == text), "{text:?}");
        }
    }

    #[test]
    fn hidden_characters_are_written_out() {
        assert_eq!(visible("a\u{202e}b\u{1b}[2J\u{e0041}"), "a\\u{202e}b\\u{1b}[2J\\u{e0041}");
        assert_eq!(visible("one\r\ntwo\rthree"), "one\ntwo\\u{d}three");
    }

    #[test]
    fn one_line_stays_one_line_and_short() {
        assert_eq!(one_line("a\nb\u{2028}c", 40), "a b\\u{2028}c");
        assert_eq!(one_line("測試測試", 2), "測試…");
    }
}
