//! Which memories say nearly what a new text says: named in the reply to a store, never folded into one.

use super::fold::{prints_of, share};
use crate::engine::{At, Engine};
use crate::error::Result;
use crate::lexical;
use crate::model::{Filter, Query, Term, Version};

/// Only the rarest words of the new text are looked up; what shares none of them is not similar.
const LOOKED_UP: usize = 12;
const CANDIDATES: usize = 12;
const NAMED_MAX: usize = 3;
/// Two facts of ten words that differ in one share 9 of 11; two sentences on one subject rarely share half.
const PERCENT_MIN: u8 = 60;

/// Up to three memories of the state that share most words with `text`, with the percentage, best first.
pub async fn similar(engine: &impl Engine, at: &At, text: &str, filter: Filter) -> Result<Vec<(Version, u8)>> {
    let words = prints_of(text);
    // Long words are rare words: a guess that costs nothing, where document frequencies would cost a look-up each.
    let mut terms = lexical::terms_of_question(text);
    terms.sort_by_key(|term| std::cmp::Reverse(term.text.len()));
    terms.truncate(LOOKED_UP);
    let terms: Vec<Term> = terms.into_iter().map(|term| Term { weight: 1.0, ..term }).collect();
    // Who shares enough of all words lacks few of them, and so few of those that were looked up: most candidates
    // are out before their words are compared.
    let lacking_max = words.len() * usize::from(100 - PERCENT_MIN) / 100;
    let sharing_min = terms.len().saturating_sub(lacking_max);
    let candidates =
        engine.candidates(at, &Query { terms, vector: None, filter, limit: CANDIDATES, around: 0 }).await?;
    let mut similar: Vec<(Version, u8)> = candidates
        .found
        .into_iter()
        .filter(|found| found.words.frequencies.iter().filter(|n| **n > 0).count() >= sharing_min)
        .map(|found| {
            let percent = (share(&words, &prints_of(&found.version.memory.text)) * 100.0) as u8;
            (found.version, percent)
        })
        .filter(|(_, percent)| *percent >= PERCENT_MIN)
        .collect();
    similar.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.memory.id.cmp(&b.0.memory.id)));
    similar.truncate(NAMED_MAX);
    Ok(similar)
}
