//! The room that an answer has: what a text costs, and how one that is too long is shortened.

use crate::model::text::{Tokens, tokens_of};

/// A shortened text of fewer tokens says too little to be shown.
const SHORTENED_MIN: u32 = 8;

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
    let (mut best, mut cost) = (0, Tokens::default());
    for (at, c) in text.char_indices() {
        cost = cost.with(c);
        let end = at + c.len_utf8();
        let ends_sentence = match c {
            '.' | '!' | '?' | ';' => text[end..].starts_with(char::is_whitespace),
            '。' | '！' | '？' | '；' | '\n' => true,
            _ => false,
        };
        if cost.count() > tokens {
            break;
        }
        if ends_sentence {
            best = end;
        }
    }
    let best = text[..best].trim_end();
    if tokens_of(best) < SHORTENED_MIN { Fit::Nothing } else { Fit::Shortened(best) }
}
