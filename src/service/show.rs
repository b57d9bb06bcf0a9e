//! `show`: one memory, live or gone, with every state that it ever had.

use super::log::entry;
use super::{Caller, Service};
use crate::engine::{Engine, HistoryFilter};
use crate::error::{Error, Result};
use crate::model::{Commit, CommitId, MemoryId, Page, Version};
use crate::wire::limits;
use crate::wire::message::{Past, Show, Shown};

impl<E: Engine> Service<E> {
    pub async fn show(&self, _caller: &Caller, ask: Show) -> Result<Shown> {
        let at = self.head().await?;
        let id = self.engine.find(&ask.id).await?;
        let live = self.engine.read(&at, &[id]).await?.into_iter().next().flatten();
        let filter = HistoryFilter { memory: Some(id), ..HistoryFilter::default() };
        let (commits, history_total) = self.engine.history(&at, &filter, Page { offset: 0, limit: 0 }).await?;
        let is_live = live.is_some();
        let (history, newest) = self.past_of(id, commits).await?;
        let version = live.or(newest).ok_or_else(|| {
            Error::not_found(format!("memory {} has been erased: only its place in history is left", ask.id))
        })?;
        let memory = self.shape(vec![version]).await?.pop();
        let memory = memory.ok_or_else(|| Error::internal("a memory could not be shaped"))?;
        Ok(Shown { memory, is_live, history, history_total })
    }

    /// What each commit made of the memory, as many as fit an answer, and the newest state among them.
    async fn past_of(&self, id: MemoryId, commits: Vec<(CommitId, Commit)>) -> Result<(Vec<Past>, Option<Version>)> {
        let (mut newest, mut bytes) = (None, 0);
        let mut history = Vec::with_capacity(commits.len());
        for (commit_id, commit) in commits {
            let added = self.engine.versions(&commit.added).await?;
            let state = commit.added.iter().zip(added).find_map(|(version, memory)| {
                memory.filter(|memory| memory.id == id).map(|memory| Version { id: *version, memory })
            });
            if newest.is_none() {
                newest.clone_from(&state);
            }
            let memory = state.map(|state| state.memory);
            bytes += memory.as_ref().map_or(0, |memory| memory.text.len());
            if bytes > limits::RESULT_TEXTS_BYTES_MAX {
                break;
            }
            history.push(Past {
                commit: entry(commit_id, &commit, Vec::new()),
                trust: memory.as_ref().map(|memory| memory.trust),
                confidence: memory.as_ref().map(|memory| memory.confidence),
                text: memory.map(|memory| memory.text),
            });
        }
        Ok((history, newest))
    }
}
