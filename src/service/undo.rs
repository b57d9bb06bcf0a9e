//! `undo` and `redo`: a session's own last operations on a branch. What was undone is read from history itself, so
//! that it holds after a restart and on another machine.

use std::collections::HashSet;

use super::memo::Memo;
use super::moved::Order;
use super::{Caller, Service};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{CommitEntry, CommitFilter, CommitId, Later, Page, Plan, Selection, Verb, Walk};
use crate::wire::limits;
use crate::wire::message::{Moved, Undo, Way};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`.
    pub async fn undo(&self, caller: &Caller, ask: Undo) -> Result<Moved> {
        let branch = self.branch(caller, ask.branch);
        let count = ask.count.max(1) as usize;
        if count > limits::COMMITS_NAMED_MAX {
            return Err(Error::too_large(format!(
                "at most {} operations can be taken back at once: roll back to a revision instead",
                limits::COMMITS_NAMED_MAX
            )));
        }
        let at = self.head(&branch).await?;
        let known = self.points(caller).await?;
        let (verb, commits) = if known.is_empty() {
            let filter = CommitFilter {
                session: Some(caller.session.clone()),
                project: caller.project.clone(),
                ..CommitFilter::default()
            };
            let (own, _) = self.engine.history(&at, &filter, Walk::Branch, Page::default()).await?;
            match ask.way {
                Way::Undo => (Verb::Undo, undoable(&own)),
                Way::Redo => (Verb::Redo, redoable(&own)),
            }
        } else {
            (if ask.way == Way::Undo { Verb::Undo } else { Verb::Redo }, known)
        };
        let commits: Vec<CommitId> = commits.into_iter().take(count).collect();
        if commits.is_empty() {
            return Err(Error::not_found(match ask.way {
                Way::Undo => format!("this session has done nothing on `{branch}` that could be undone"),
                Way::Redo => {
                    format!("there is nothing to redo on `{branch}`: the session's last operation was no undo")
                }
            }));
        }
        let memo = Memo { points: commits.clone(), ..Memo::default() };
        let plan = Plan::Invert { what: Selection::Commits(commits), later: Later::Keep };
        let (mode, page) = (ask.mode, ask.page);
        self.carry_out(caller, Order { branch, verb, plan: Some(plan), note: None, mode, page, memo }).await
    }
}

/// The session's operations that stand, newest first. An undo takes back what it is about, unless it was redone.
fn undoable(own: &[CommitEntry]) -> Vec<CommitId> {
    let (mut redone, mut undone, mut out) = (HashSet::new(), HashSet::new(), Vec::new());
    for entry in own {
        match entry.bare.verb {
            Verb::Redo => redone.extend(entry.bare.about.iter().copied()),
            Verb::Undo if redone.contains(&entry.id) => {}
            Verb::Undo => undone.extend(entry.bare.about.iter().copied()),
            Verb::Init | Verb::Erase => {}
            _ if undone.contains(&entry.id) => {}
            _ => out.push(entry.id),
        }
    }
    out
}

/// The session's undos that can be done again, newest first: those with nothing new behind them.
fn redoable(own: &[CommitEntry]) -> Vec<CommitId> {
    let (mut redone, mut out) = (HashSet::new(), Vec::new());
    for entry in own {
        match entry.bare.verb {
            Verb::Redo => redone.extend(entry.bare.about.iter().copied()),
            Verb::Undo if redone.contains(&entry.id) => {}
            Verb::Undo => out.push(entry.id),
            _ => break,
        }
    }
    out
}
