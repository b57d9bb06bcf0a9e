//! Which branch and which state a request means: the one place that reads a revision as people type it.

use super::{Caller, Service};
use crate::clock;
use crate::engine::{At, Engine};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CommitId, Moment, Name, Revision, Time};
use crate::wire::message::{Point, View};

/// A commit's prefix, in hex digits.
const PREFIX_DIGITS_MIN: usize = 8;
/// What snapshots are named that are made by themselves.
pub(super) const SAFETY: &str = "auto/";

/// A state that a request looks at.
pub(super) struct Seen {
    pub at: At,
    /// The branch or the snapshot that was named or meant.
    pub name: Option<Name>,
    pub moment: Moment,
}

impl Seen {
    /// A branch as it is now.
    pub(super) fn head(at: At, branch: Name) -> Self {
        Self { moment: Moment::Now(at.as_of), at, name: Some(branch) }
    }

    /// A state of its own time, even where a clock that went back says that this is still to come.
    fn past(at: At, name: Option<Name>) -> Self {
        Self { moment: Moment::Past(at.as_of), at, name }
    }

    pub(super) fn point(&self) -> Point {
        Point { commit: self.at.commit, name: self.name.clone(), at: self.at.as_of, live: self.at.live }
    }
}

impl<E: Engine> Service<E> {
    /// The branch that is named, else the session's.
    pub(super) fn branch(&self, caller: &Caller, named: Option<Name>) -> Name {
        named.unwrap_or_else(|| self.checkouts.branch_of(&caller.session, caller.project.as_ref()))
    }

    /// The head of a branch, now.
    pub(super) async fn head(&self, branch: &Name) -> Result<At> {
        let at = self.engine.resolve(&Revision::Name(branch.clone()), clock::now()).await;
        at.map_err(|error| match error.kind {
            ErrorKind::NotFound => Error::not_found(format!(
                "there is no branch `{branch}`: check out another one, or create it. Those that there are: \
                 `memoria branch` (memory_branches)"
            )),
            _ => error,
        })
    }

    /// What a read looks at.
    pub(super) async fn seen(&self, caller: &Caller, view: View) -> Result<Seen> {
        let branch = self.branch(caller, view.branch);
        match view.at {
            None => self.present(&branch).await,
            Some(text) => self.revision(&text, &branch).await,
        }
    }

    /// What an earlier look saw, at the moment that it was judged at.
    pub(super) async fn seen_again(&self, commit: CommitId, moment: Moment) -> Result<Seen> {
        let at = self.engine.resolve(&Revision::Commit(commit.to_string()), clock::now()).await?;
        Ok(Seen { at: At { as_of: moment.time(), ..at }, name: None, moment })
    }

    /// The head of a branch, as something that is looked at.
    pub(super) async fn present(&self, branch: &Name) -> Result<Seen> {
        Ok(Seen::head(self.head(branch).await?, branch.clone()))
    }

    /// A name, else `NAME@TIME`, else a commit's id or prefix, else a time on `branch`: nobody means 1234567 days with
    /// `1234567d`, and one prefix of eight digits in 430 reads like that.
    pub(super) async fn revision(&self, text: &str, branch: &Name) -> Result<Seen> {
        let (text, now) = (text.trim(), clock::now());
        if let Ok(name) = text.parse::<Name>() {
            match self.engine.resolve(&Revision::Name(name.clone()), now).await {
                // A branch is as of now, a snapshot as of its commit.
                Ok(at) if at.as_of == now => return Ok(Seen::head(at, name)),
                Ok(at) => return Ok(Seen::past(at, Some(name))),
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if let Some((name, time)) = text.rsplit_once('@')
            && let Ok(name) = name.parse::<Name>()
        {
            return self.at_time(name, clock::parse_when(time, now)?, now).await;
        }
        if is_commit(text) {
            let at = self.engine.resolve(&Revision::Commit(text.to_lowercase()), now).await?;
            return Ok(Seen::past(at, None));
        }
        if let Ok(time) = clock::parse_when(text, now) {
            return self.at_time(branch.clone(), time, now).await;
        }
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        Err(Error::not_found(format!(
            "`{shown}` is no branch, no snapshot, no commit (at least {PREFIX_DIGITS_MIN} digits of its id) and no \
             time (14:00, 2026-05-01, 2h ago)"
        )))
    }

    async fn at_time(&self, branch: Name, time: Time, now: Time) -> Result<Seen> {
        let at = self.engine.resolve(&Revision::At(branch, time), now).await?;
        Ok(Seen::past(at, None))
    }
}

/// A name that can be given: what would be read as something else, or is ours, is refused.
pub(super) fn checked_name(name: Name) -> Result<Name> {
    let text = name.as_str();
    let why = if clock::parse_when(text, clock::now()).is_ok() {
        "would be read as a time"
    } else if is_commit(text) {
        "would be read as a commit's id"
    } else if text.starts_with(SAFETY) {
        "is kept for snapshots that are made by themselves"
    } else {
        return Ok(name);
    };
    Err(Error::invalid(format!("`{text}` {why}: choose another name")))
}

fn is_commit(text: &str) -> bool {
    text.len() >= PREFIX_DIGITS_MIN && text.bytes().all(|b| b.is_ascii_hexdigit())
}
