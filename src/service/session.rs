//! The end of a session: what was of use during it alone leaves the branch that it was on.

use super::memo::Memo;
use super::{Caller, Service};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Applied, Change, Expect, Filter, Kind, Outcome, Page, Verb, Work};
use crate::wire::message::{EndSession, SessionEnded};

impl<E: Engine> Service<E> {
    /// One commit, which can be reverted; none where the session left nothing. What is pinned stays, and so does what
    /// the session stored on other branches: that ends with its `expires_at`.
    pub async fn end_session(&self, caller: &Caller, ask: EndSession) -> Result<SessionEnded> {
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return ended(&applied);
        }
        let branch = self.branch(caller, ask.branch);
        let session = ask.session.unwrap_or_else(|| caller.session.clone());
        let at = self.head(&branch).await?;
        let filter = Filter { kinds: vec![Kind::Working], session: Some(session.clone()), ..Filter::default() };
        let listing = self.engine.page(&at, &filter, Page { offset: 0, limit: 0 }).await?;
        let left = listing.memories.into_iter().filter(|version| !version.memory.pinned);
        // Somebody may change one meanwhile: it is then no longer this session's alone, but still `working`.
        let changes: Vec<Change> =
            left.map(|version| Change::Remove { id: version.memory.id, expect: Expect::Live }).collect();
        if changes.is_empty() {
            return Ok(SessionEnded { branch, removed: 0, commit: None });
        }
        let mut write = self.write(caller, branch.clone(), Verb::Purge, clock::now());
        write.note = Some(format!("session {session} is over"));
        write.work = Work::Changes(changes);
        write.memo = Memo { branch: branch.to_string(), ..Memo::default() }.encode();
        ended(&self.engine.apply(caller.op, write).await?)
    }
}

fn ended(applied: &Applied) -> Result<SessionEnded> {
    let gone = applied.outcomes.iter().all(|it| matches!(it, Outcome::Removed { .. } | Outcome::Missing { .. }));
    if !gone {
        return Err(Error::conflict("this operation id belongs to another kind of request"));
    }
    let branch = Memo::decode(&applied.memo)?.branch.parse()?;
    Ok(SessionEnded { branch, removed: applied.counts.removed, commit: applied.commit })
}
