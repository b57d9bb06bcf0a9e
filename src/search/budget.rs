//! The room that an answer has: what a text costs, and how one that is too long is shortened.

/// A shortened text of fewer tokens says too little to be shown.
const SHORTENED_MIN: u32 = 8;

/// About how many tokens a model sees: four bytes each, or one character of a script of its own.
pub fn tokens_of(text: &str) -> u32 {
    text.chars().fold(Cost::default(), Cost::with).tokens()
}

#[derive(Clone, Copy, Default)]
struct Cost {
    bytes: u32,
    wide: u32,
}

impl Cost {
    fn with(self, c: char) -> Self {
        match c.len_utf8() {
            len @ 1..=2 => Self { bytes: self.bytes + len as u32, ..self },
            _ => Self { wide: self.wide + 1, ..self },
        }
    }

    fn tokens(self) -> u32 {
        self.bytes.div_ceil(4) + self.wide
    }
}

/// What fits of a text: all of it, or its beginning up to the end of a sentence or line, or nothing.
pub(super) enum Fit<'a> {
    Whole,
    Shortened(&'a str),
    Nothing,
}

pub(super) fn fit(text: &str, tokens: u32) -> Fit<'_> {
    if tokens_of(text) <= tokens {
        return Fit::Whole;
    }
    let (mut best, mut cost) = (0, Cost::default());
    for (at, c) in text.char_indices() {
        cost = cost.with(c);
        let end = at + c.len_utf8();
        let ends_sentence = match c {
            '.' | '!' | '?' | ';' => text[end..].starts_with(char::is_whitespace),
            '。' | '！' | '？' | '；' | '\n' => true,
            _ => false,
        };
        if cost.tokens() > tokens {
            break;
        }
        if ends_sentence {
            best = end;
        }
    }
    let best = text[..best].trim_end();
    if tokens_of(best) < SHORTENED_MIN { Fit::Nothing } else { Fit::Shortened(best) }
}
