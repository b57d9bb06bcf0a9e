//! `retrieve`: a question in plain words, answered by the memories that are relevant, or by none.

use super::{Caller, Service, checked_filter, excerpt, masking};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Filter, Moment, Relation, Version};
use crate::search::{self, Question, Ranking};
use crate::wire::limits;
use crate::wire::message::{Beside, Hit, Retrieve, Retrieved, SessionScope, Shaped};

/// Memories that are shown beside a hit, at most, and how much of each.
const BESIDE_MAX: usize = 3;
const BESIDE_CHARS_MAX: usize = 160;

impl<E: Engine> Service<E> {
    pub async fn retrieve(&self, caller: &Caller, ask: Retrieve) -> Result<Retrieved> {
        let text = &*masking::question(self.config().guard.secrets, checked_question(&ask.question)?);
        let mut filter = checked_filter(caller, ask.place, ask.filter)?;
        let seen = self.seen(caller, ask.view).await?;
        let mut ranking = self.ranking(caller, &mut filter, ask.session_scope, seen.moment);
        if ask.top_k > 0 {
            ranking.top_k = ask.top_k.min(limits::RESULTS_MAX) as usize;
        }
        ranking.max_tokens = ask.max_tokens;
        let (meaning, notice) = self.vectors.meaning(text, &self.config()).await;
        let lexical_only = meaning.is_none();
        let question = Question { text, meaning };
        let ranked = search::retrieve(&self.engine, &seen.at, &question, filter, &ranking).await?;
        let mut left_out = ranked.left_out;
        let (mut versions, mut rest) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for hit in ranked.hits {
            bytes += hit.version.memory.text.len();
            if bytes > limits::RESULT_TEXTS_BYTES_MAX {
                left_out += 1;
                continue;
            }
            let (beside, relations): (Vec<Version>, Vec<Relation>) = hit.beside.into_iter().take(BESIDE_MAX).unzip();
            rest.push((hit.score, hit.parts, hit.is_shortened, hit.twins, relations));
            versions.push(hit.version);
            versions.extend(beside);
        }
        let mut shaped = self.shape_at(versions, seen.moment).await?.into_iter();
        let mut hits = Vec::with_capacity(rest.len());
        for (score, parts, is_shortened, twins, relations) in rest {
            let Some(memory) = shaped.next() else { break };
            let beside = relations.into_iter().zip(shaped.by_ref().map(beside));
            let beside = beside.map(|(relation, memory)| Beside { memory, relation });
            let beside = beside.collect();
            hits.push(Hit { memory, score, parts: ask.explain.then_some(parts), is_shortened, twins, beside });
        }
        Ok(Retrieved { point: seen.point(), hits, left_out, lexical_only, notice })
    }

    /// How answers to this caller are ranked, before the request's own wishes. A session that is merely
    /// preferred leaves the filter.
    pub(super) fn ranking(&self, caller: &Caller, filter: &mut Filter, scope: SessionScope, moment: Moment) -> Ranking {
        let config = self.config();
        let session = match scope {
            SessionScope::Prefer => filter.session.take(),
            SessionScope::Only => filter.session.clone(),
        };
        Ranking {
            top_k: config.search.top_k as usize,
            max_tokens: 0,
            min_score: config.search.min_score as f32,
            project: caller.project.clone(),
            session: session.or_else(|| Some(caller.session.clone())),
            moment,
        }
    }
}

/// What is shown of a memory beside a hit. Its flags are those of the whole.
fn beside(mut shaped: Shaped) -> Shaped {
    shaped.memory.text = excerpt(&shaped.memory, BESIDE_CHARS_MAX);
    shaped.memory.metadata.clear();
    shaped
}

/// A question that can be asked: not empty, not too long.
pub(super) fn checked_question(question: &str) -> Result<&str> {
    let question = question.trim();
    if question.is_empty() {
        return Err(Error::invalid("the question is empty: ask in your own words"));
    }
    if question.len() > limits::QUESTION_BYTES_MAX {
        return Err(Error::too_large(format!(
            "the question has {} bytes and may have {}: ask for one thing at a time",
            question.len(),
            limits::QUESTION_BYTES_MAX
        )));
    }
    Ok(question)
}
