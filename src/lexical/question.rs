//! A natural question to weighted terms: every word is optional, and the words that only make it a question
//! weigh little.

use super::words;
use crate::model::Term;

/// Distinct terms of a question, in order of first appearance.
pub fn terms_of_question(question: &str) -> Vec<Term> {
    let mut out: Vec<Term> = Vec::new();
    for text in words::terms(question) {
        if !out.iter().any(|term| term.text == text) {
            out.push(Term { text, weight: 1.0 });
        }
    }
    out
}
