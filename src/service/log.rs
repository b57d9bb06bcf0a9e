//! `log`: commits, newest first, with a glance at what each touched.

use super::{Caller, Service, excerpt};
use crate::engine::{Engine, HistoryFilter};
use crate::error::Result;
use crate::model::{Commit, CommitId, MemoryId, VersionId};
use crate::wire::message::{Log, LogEntry, Logged};

/// How many memories an entry names, and how much of each it quotes.
const TOUCHED_MAX: usize = 3;
const EXCERPT_CHARS: usize = 72;

impl<E: Engine> Service<E> {
    pub async fn log(&self, _caller: &Caller, ask: Log) -> Result<Logged> {
        let at = self.head().await?;
        let memory = match &ask.memory {
            Some(id) => Some(self.engine.find(id).await?),
            None => None,
        };
        let filter =
            HistoryFilter { memory, agent: ask.agent, session: ask.session, since: ask.since, until: ask.until };
        let (commits, total) = self.engine.history(&at, &filter, ask.page).await?;
        let glances: Vec<Vec<VersionId>> = commits.iter().map(|(_, commit)| glance(commit)).collect();
        let mut memories = self.engine.versions(&glances.concat()).await?.into_iter();
        let entries = commits.into_iter().zip(glances).map(|((id, commit), glance)| {
            let touched = memories.by_ref().take(glance.len()).flatten();
            entry(id, &commit, touched.map(|memory| (memory.id, excerpt(&memory, EXCERPT_CHARS))).collect())
        });
        Ok(Logged { commits: entries.collect(), total })
    }
}

/// Versions to name: what the commit brought, else what it took away.
fn glance(commit: &Commit) -> Vec<VersionId> {
    let shown = if commit.added.is_empty() { &commit.removed } else { &commit.added };
    shown.iter().take(TOUCHED_MAX).copied().collect()
}

/// A commit as it is shown.
pub(super) fn entry(id: CommitId, commit: &Commit, touched: Vec<(MemoryId, String)>) -> LogEntry {
    LogEntry {
        commit: id,
        parents: commit.parents.clone(),
        author: commit.author.clone(),
        verb: commit.verb.to_string(),
        note: commit.note.clone(),
        at: commit.at,
        added: commit.added.len() as u32,
        removed: commit.removed.len() as u32,
        touched,
    }
}
