//! `retrieve`: a question in plain words, answered by the memories that are relevant, or by none.

use super::{Caller, Service, checked_filter};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Filter;
use crate::search::{self, Question, Ranking};
use crate::wire::limits;
use crate::wire::message::{Hit, Retrieve, Retrieved, SessionScope};

impl<E: Engine> Service<E> {
    pub async fn retrieve(&self, caller: &Caller, ask: Retrieve) -> Result<Retrieved> {
        let text = checked_question(&ask.question)?;
        let mut filter = checked_filter(caller, ask.place, ask.filter)?;
        let mut ranking = self.ranking(caller, &mut filter, ask.session_scope);
        if ask.top_k > 0 {
            ranking.top_k = ask.top_k.min(limits::RESULTS_MAX) as usize;
        }
        ranking.max_tokens = ask.max_tokens;
        let seen = self.seen(caller, ask.view).await?;
        let (meaning, notice) = self.vectors.meaning(text, &self.config()).await;
        let lexical_only = meaning.is_none();
        let question = Question { text, meaning };
        let ranked = search::retrieve(&self.engine, &seen.at, &question, filter, &ranking).await?;
        let mut left_out = ranked.left_out;
        let (mut versions, mut scores) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for hit in ranked.hits {
            bytes += hit.version.memory.text.len();
            if bytes > limits::RESULT_TEXTS_BYTES_MAX {
                left_out += 1;
                continue;
            }
            versions.push(hit.version);
            scores.push((hit.score, hit.parts));
        }
        let shaped = self.shape(versions).await?.into_iter().zip(scores);
        let hits = shaped.map(|(memory, (score, parts))| Hit { memory, score, parts: ask.explain.then_some(parts) });
        Ok(Retrieved { point: seen.point(), hits: hits.collect(), left_out, lexical_only, notice })
    }

    /// How answers to this caller are ranked, before the request's own wishes. A session that is merely
    /// preferred leaves the filter.
    pub(super) fn ranking(&self, caller: &Caller, filter: &mut Filter, scope: SessionScope) -> Ranking {
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
            now: clock::now(),
        }
    }
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
