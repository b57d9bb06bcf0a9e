//! `show`: one memory, live or gone, with every state that it ever had.

use super::log::entry;
use super::revision::Seen;
use super::{Caller, Service};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::guard::flags::flags_of;
use crate::model::{CommitEntry, CommitFilter, Memory, Page, Version, VersionId, Walk};
use crate::wire::limits;
use crate::wire::message::{Past, Show, Shown};

impl<E: Engine> Service<E> {
    pub async fn show(&self, caller: &Caller, ask: Show) -> Result<Shown> {
        let Seen { at, moment, .. } = self.seen(caller, ask.view).await?;
        let id = self.engine.find(&ask.id).await?;
        let live = self.engine.read(&at, &[id]).await?.into_iter().next().flatten();
        let filter = CommitFilter { memory: Some(id), ..CommitFilter::default() };
        let (commits, history_total) =
            self.engine.history(&at, &filter, Walk::All, Page { offset: 0, limit: 0 }).await?;
        let is_live = live.is_some();
        let (history, newest) = self.past_of(commits).await?;
        let version = live.or(newest).ok_or_else(|| unknown(&ask.id))?;
        let memory = self.shape_at(vec![version], moment).await?.pop();
        let memory = memory.ok_or_else(|| Error::internal("a memory could not be shaped"))?;
        Ok(Shown { memory, is_live, history, history_total })
    }

    async fn version_of(&self, id: Option<VersionId>) -> Result<Option<Memory>> {
        match id {
            Some(id) => Ok(self.engine.versions(&[id]).await?.pop().flatten()),
            None => Ok(None),
        }
    }

    /// What each commit made of the one memory that the entries are about, as many as fit an answer, and its newest
    /// state among them.
    pub(super) async fn past_of(&self, entries: Vec<CommitEntry>) -> Result<(Vec<Past>, Option<Version>)> {
        let (mut newest, mut bytes) = (None, 0);
        let mut history = Vec::with_capacity(entries.len());
        for item in entries {
            let (before, after) = item.glance.first().map_or((None, None), |change| (change.before, change.after));
            let (before, memory) = (self.version_of(before).await?, self.version_of(after).await?);
            if let (None, Some(id), Some(memory)) = (&newest, after, &memory) {
                newest = Some(Version { id, memory: memory.clone() });
            }
            bytes += [&before, &memory].into_iter().flatten().map(|memory| memory.text.len()).sum::<usize>();
            if bytes > limits::RESULT_TEXTS_BYTES_MAX {
                break;
            }
            history.push(Past {
                commit: entry(item, &[]),
                flags: memory.as_ref().map(flags_of).unwrap_or_default(),
                before_flags: before.as_ref().map(flags_of).unwrap_or_default(),
                trust: memory.as_ref().map(|memory| memory.trust),
                confidence: memory.as_ref().map(|memory| memory.confidence),
                text: memory.map(|memory| memory.text),
                before: before.map(|memory| memory.text),
            });
        }
        Ok((history, newest))
    }
}

/// Of a memory that the store knows of, and that can be shown nowhere in the history that was looked at.
pub(super) fn unknown(id: &str) -> Error {
    Error::not_found(format!(
        "memory {id} is not known here: it is on another branch (name that), came later, or has been erased"
    ))
}
