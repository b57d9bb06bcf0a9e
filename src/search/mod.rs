//! What turns candidates into an answer: evidence of words and vectors, a cut-off, an order, folding, a budget, and
//! hops over names. `rank` is pure and knows no engine; the functions here ask an engine, once, or twice more where a
//! hop may help, and hand on what it found.

mod budget;
mod cutoff;
mod evidence;
mod explain;
mod fold;
mod links;
mod rank;
mod similar;

pub use rank::{Ranked, RankedHit, Ranking, rank};
pub use similar::similar;

use links::{LINKED_MAX, Links};
use rank::Judgement;

use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::lexical;
use crate::model::{Asked, Calibration, Candidates, Filter, MemoryId, Moment, Query, Version};

/// Candidates that the engine brings at least by words, and by vector, beside the neighbours of the best of them. Each
/// costs the reading of a memory: recall@10 on LoCoMo is .777 with 30 and with 100 (without those neighbours, .758 with
/// 60 and .772 with 200).
const CANDIDATES_MIN: usize = 40;
/// And for each hit that is wanted, since near-duplicates are put behind.
const CANDIDATES_PER_HIT: usize = 3;
/// How many memories before and after one in its session speak for it.
pub const AROUND: u8 = 2;
/// A question of more words is a pasted page, and its beginning says what it is about; each word costs a look-up.
const QUESTION_TERMS_MAX: usize = 64;
/// The second-best must stay this far behind the best (as a share of it) for `best` to decide between them.
const CLEAR_LEAD: f32 = 0.85;

/// How many candidates an answer of `top_k` hits is chosen from.
pub fn limit(top_k: usize) -> usize {
    CANDIDATES_MIN.max(top_k.saturating_mul(CANDIDATES_PER_HIT))
}

/// A question's vector and how its cosines are read.
#[derive(Clone, Debug)]
pub struct Meaning {
    pub asked: Asked,
    pub calibration: Calibration,
}

/// A question: its words, and its meaning where a model has told it.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub text: &'a str,
    pub meaning: Option<Meaning>,
}

/// Answers a question from a state.
pub async fn retrieve(
    engine: &impl Engine,
    at: &At,
    question: &Question<'_>,
    filter: Filter,
    ask: &Ranking,
) -> Result<Ranked> {
    let mut terms = lexical::terms_of_question(question.text);
    terms.truncate(QUESTION_TERMS_MAX);
    if terms.is_empty() {
        return Ok(Ranked::default());
    }
    let vector = question.meaning.as_ref().map(|meaning| meaning.asked.clone());
    let calibration = question.meaning.as_ref().map(|meaning| meaning.calibration);
    let query = Query { terms, vector, filter, limit: limit(ask.top_k), around: AROUND };
    let candidates = found(engine, at, &query, ask.moment).await?;
    let Query { terms, filter, .. } = query;
    let mut judgement = Judgement::of(&terms, calibration, candidates, ask);
    let mut links = Links::new(&terms);
    while let Some(names) = links.next(&terms, &judgement, ask.top_k) {
        let hop = Query { terms: names, vector: None, filter: filter.clone(), limit: LINKED_MAX, around: 0 };
        let linked = found(engine, at, &hop, ask.moment).await?;
        links.take(&mut judgement, terms.len(), linked);
    }
    links.finish(&mut judgement);
    Ok(judgement.answer())
}

/// What an engine finds, with what was said of it where that counts.
async fn found(engine: &impl Engine, at: &At, query: &Query, moment: Moment) -> Result<Candidates> {
    let mut candidates = engine.candidates(at, query).await?;
    if let Moment::Now(_) = moment {
        let ids: Vec<MemoryId> = candidates.found.iter().map(|found| found.version.memory.id).collect();
        for (found, feedback) in candidates.found.iter_mut().zip(engine.feedback(&ids).await?) {
            found.feedback = feedback;
        }
    }
    Ok(candidates)
}

/// The one memory that a question means; refused when there is none, or when two are about as good.
pub async fn best(
    engine: &impl Engine,
    at: &At,
    question: &Question<'_>,
    filter: Filter,
    ask: &Ranking,
) -> Result<Version> {
    let ask = Ranking { top_k: 2, max_tokens: 0, ..ask.clone() };
    let mut hits = retrieve(engine, at, question, filter, &ask).await?.hits.into_iter();
    let Some(best) = hits.next() else {
        return Err(Error::not_found("no memory answers that question: name one by its id, or ask with its own words"));
    };
    if let Some(second) = hits.next().filter(|second| second.score > best.score * CLEAR_LEAD) {
        return Err(Error::ambiguous(format!(
            "two memories answer that question about as well ({} and {}): name one by its id",
            &best.version.memory.id.to_string()[..8],
            &second.version.memory.id.to_string()[..8]
        )));
    }
    Ok(best.version)
}
