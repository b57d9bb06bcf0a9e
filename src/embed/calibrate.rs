//! How the cosines of a model are read that nobody has measured: by a few questions of our own, each with its answer.
//! Models differ much in this: what has nothing to do with a question reaches 0.1 with one and 0.8 with another.

use super::Side;
use crate::error::Result;
use crate::model::Calibration;

/// Until a model was measured; of MiniLM's kind.
pub const UNKNOWN: Calibration = Calibration { floor: 0.2, ceiling: 0.45 };
/// Floor and ceiling are never nearer, even of a model that tells nothing apart.
const APART_MIN: f32 = 0.02;

/// Questions, each with what answers it; no two are about the same.
const PAIRS: &[(&str, &str)] = &[
    ("Which port does the billing service listen on?", "Invoices are served by the billing process at port 7443."),
    ("Who reviews changes to the login page?", "Anything that touches sign-in has to be approved by Marta first."),
    ("What is the user allergic to?", "She told us that peanuts make her ill."),
    ("How are database migrations run?", "Schema changes are applied with `make migrate` before a deployment."),
    ("When does the team meet?", "The weekly stand-up is on Tuesdays at half past nine."),
    ("Why was the cache removed?", "We took caching out because stale entries were shown after an update."),
    ("Which editor theme does he like?", "His preference is a dark colour scheme with a large font."),
    ("Where are the backups kept?", "Nightly dumps are copied to a bucket in Frankfurt for thirty days."),
    ("What broke the build on Windows?", "Compilation failed there since paths were written with slashes."),
    ("Should tests use a real clock?", "Never read the system time in a test; pass a fixed one."),
    ("Where did they go on holiday?", "In August the family hiked through the mountains of Norway."),
    ("What language is the parser written in?", "We rewrote the grammar and its lexer in Rust last spring."),
];

/// Embeds the pairs. [`Calibration::floor`] is the 95th percentile of the cosines between a question and what answers
/// another, [`Calibration::ceiling`] the median of those between a question and its own answer.
///
/// # Errors
/// Those of `embed`.
pub fn measured(embed: impl Fn(Side, &[&str]) -> Result<Vec<Vec<f32>>>) -> Result<Calibration> {
    let (questions, answers): (Vec<&str>, Vec<&str>) = PAIRS.iter().copied().unzip();
    let questions = embed(Side::Question, &questions)?;
    let answers = embed(Side::Passage, &answers)?;
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for (i, question) in questions.iter().enumerate() {
        for (j, answer) in answers.iter().enumerate() {
            if i == j { &mut own } else { &mut other }.push(cosine(question, answer));
        }
    }
    let floor = at_share(&mut other, 0.95);
    let ceiling = at_share(&mut own, 0.5).max(floor + APART_MIN);
    Ok(Calibration { floor, ceiling })
}

/// The number below which this share of them lies.
fn at_share(numbers: &mut [f32], share: f64) -> f32 {
    numbers.sort_by(f32::total_cmp);
    let place = (numbers.len() as f64 * share) as usize;
    numbers.get(place.min(numbers.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions and answers point the same way in pairs, and every two vectors share a part.
    fn pairs_of_vectors(_: Side, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let shared = 0.5f32;
        let vector = |place: usize| {
            let mut vector = vec![0.0; PAIRS.len() + 1];
            vector[0] = shared.sqrt();
            vector[place + 1] = (1.0 - shared).sqrt();
            vector
        };
        Ok((0..texts.len()).map(vector).collect())
    }

    #[test]
    fn floor_is_what_strangers_reach_and_ceiling_what_answers_do() {
        let found = measured(pairs_of_vectors).unwrap();
        assert!((found.floor - 0.5).abs() < 1e-5 && (found.ceiling - 1.0).abs() < 1e-5, "{found:?}");
    }

    #[test]
    fn a_model_that_tells_nothing_apart_still_has_a_scale() {
        let found = measured(|_, texts| Ok(vec![vec![1.0]; texts.len()])).unwrap();
        assert!(found.ceiling > found.floor, "{found:?}");
    }
}
