//! Why a memory is a hit, in words.

use crate::lexical::words;
use crate::model::Parts;

/// More of the shared words are not named.
const WORDS_NAMED: usize = 4;
/// From which evidence on a vector "means nearly the same" and "means something near".
const NEARLY: f32 = 0.45;
const NEAR: f32 = 0.1;
/// A part below this is not worth a word.
const WORTH_SAYING: f32 = 0.05;

/// One line for people: what speaks for the hit, the strongest first within each sort.
pub(super) fn reason(parts: &Parts, text: &str) -> String {
    let mut reasons = Vec::new();
    let named = spelled(parts, text);
    if !named.is_empty() {
        reasons.push(format!("shares `{}`", named.join(" ")));
    }
    if parts.vector >= NEARLY {
        reasons.push("means nearly the same".to_owned());
    } else if parts.vector >= NEAR {
        reasons.push("means something near".to_owned());
    }
    if parts.neighbours >= WORTH_SAYING {
        reasons.push("what stands around it in its session speaks of it".to_owned());
    }
    if parts.link > 0.0 {
        reasons.push("shares a name with a hit above".to_owned());
    }
    if reasons.is_empty() { "speaks of it weakly".to_owned() } else { reasons.join("; ") }
}

/// The question's strongest terms as the memory spells them.
fn spelled(parts: &Parts, text: &str) -> Vec<String> {
    let mut terms: Vec<&(String, f32)> = parts.terms.iter().filter(|(_, share)| *share > 0.0).collect();
    terms.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    terms.truncate(WORDS_NAMED);
    let mut spellings: Vec<Option<String>> = vec![None; terms.len()];
    words::each(text, |word, shape| {
        let stem = words::stemmed(word.clone(), shape);
        if let Some(at) = terms.iter().position(|(term, _)| *term == stem)
            && spellings[at].is_none()
        {
            spellings[at] = Some(word);
        }
    });
    // The end of a shortened text is gone, and some of its words with it.
    terms.iter().zip(spellings).map(|((term, _), spelling)| spelling.unwrap_or_else(|| term.clone())).collect()
}
