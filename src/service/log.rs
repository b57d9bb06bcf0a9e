//! `log`: commits, newest first, with a glance at what each touched.

use super::{Caller, Service, excerpt};
use crate::engine::{Engine, Names};
use crate::error::Result;
use crate::guard::flags::flags_of_all;
use crate::model::{CommitEntry, CommitFilter, Memory, VersionId};
use crate::wire::message::{Log, LogEntry, Logged};

/// How much an entry quotes of each memory that it names.
const EXCERPT_CHARS: usize = 72;

impl<E: Engine> Service<E> {
    pub async fn log(&self, caller: &Caller, ask: Log) -> Result<Logged> {
        let seen = self.seen(caller, ask.view).await?;
        let memory = match &ask.memory {
            Some(id) => Some(self.engine.find(id).await?),
            None => None,
        };
        let filter = CommitFilter {
            memory,
            agent: ask.agent,
            session: ask.session,
            project: ask.project,
            since: ask.since,
            until: ask.until,
        };
        let (entries, total) = self.engine.history(&seen.at, &filter, ask.walk, ask.page).await?;
        let mut names = self.engine.names(Names::Living).await?;
        names.retain(|name| entries.iter().any(|entry| entry.id == name.commit));
        let flagged = super::flagged(&names);
        Ok(Logged { point: seen.point(), commits: self.logged(entries).await?, total, names, flagged })
    }

    /// Commits as they are shown.
    pub(super) async fn logged(&self, entries: Vec<CommitEntry>) -> Result<Vec<LogEntry>> {
        let shown = |entry: &CommitEntry| -> Vec<VersionId> {
            entry.glance.iter().filter_map(|change| change.after.or(change.before)).collect()
        };
        let wanted: Vec<VersionId> = entries.iter().flat_map(shown).collect();
        let mut memories = self.engine.versions(&wanted).await?.into_iter();
        let logged = entries.into_iter().map(|item| {
            let touched: Vec<Memory> = memories.by_ref().take(shown(&item).len()).flatten().collect();
            entry(item, &touched)
        });
        Ok(logged.collect())
    }
}

/// A commit as it is shown.
pub(super) fn entry(from: CommitEntry, touched: &[Memory]) -> LogEntry {
    // Judged whole: what is cut may be read elsewhere.
    let texts = touched.iter().map(|memory| memory.text.as_str()).chain(from.bare.note.as_deref());
    LogEntry {
        flags: flags_of_all(texts),
        commit: from.id,
        parents: from.bare.parents,
        author: from.bare.author,
        verb: from.bare.verb.to_string(),
        note: from.bare.note,
        about: from.bare.about,
        at: from.bare.at,
        added: from.added,
        removed: from.removed,
        touched: touched.iter().map(|memory| (memory.id, excerpt(memory, EXCERPT_CHARS))).collect(),
    }
}
