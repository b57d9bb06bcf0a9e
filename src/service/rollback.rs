//! `rollback` and `revert`: a branch as it was, or without what somebody wrote, as a new commit that can be undone.

use super::memo::Memo;
use super::moved::Order;
use super::{Caller, Service};
use crate::clock;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{CommitFilter, OriginFilter, Plan, Selection, Time, Verb};
use crate::wire::message::{Back, Moved, Revert, Rollback};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`.
    pub async fn roll_back(&self, caller: &Caller, ask: Rollback) -> Result<Moved> {
        let branch = self.branch(caller, ask.branch);
        let mut memo = Memo::default();
        let (plan, note) = match ask.what {
            Back::To(text) => {
                let to = match self.points(caller).await?.first().copied() {
                    Some(to) => to,
                    None => self.revision(&text, &branch).await?.at.commit,
                };
                memo.points = vec![to];
                (Plan::Reset { to }, format!("to {}", text.trim()))
            }
            Back::Of { agent, session, project, origin, since, until, later } => {
                let commits = CommitFilter { memory: None, agent, session, project, since, until };
                if commits == CommitFilter::default() && origin.is_none() {
                    return Err(Error::invalid(
                        "say what to roll back: everything to a revision, or the writes of an agent, a session, a \
                         project or an origin, or those since a time",
                    ));
                }
                let note = what_of(&commits, origin.as_ref());
                (Plan::Invert { what: Selection::By { commits, origin }, later }, note)
            }
        };
        let note = Some(self.mask("note", note, &mut memo.masked)?);
        let order =
            Order { branch, verb: Verb::Rollback, plan: Some(plan), note, mode: ask.mode, page: ask.page, memo };
        self.carry_out(caller, order).await
    }

    /// Durable once it returns `Ok`.
    pub async fn revert(&self, caller: &Caller, ask: Revert) -> Result<Moved> {
        let branch = self.branch(caller, ask.branch);
        let mut commits = Vec::with_capacity(ask.commits.len());
        for text in &ask.commits {
            commits.push(self.commit_named(text).await?);
        }
        if commits.is_empty() {
            return Err(Error::invalid("name a commit to revert: `memoria log` (memory_log) has them"));
        }
        let plan = Plan::Invert { what: Selection::Commits(commits), later: ask.later };
        let (mode, page, memo) = (ask.mode, ask.page, Memo::default());
        self.carry_out(caller, Order { branch, verb: Verb::Revert, plan: Some(plan), note: None, mode, page, memo })
            .await
    }
}

/// In words, for the log.
fn what_of(commits: &CommitFilter, origin: Option<&OriginFilter>) -> String {
    let time = |time: Time| clock::local(time);
    let origin = origin.map(|origin| match origin {
        OriginFilter::Source(source) => source.to_string(),
        OriginFilter::Named(name) => name.clone(),
    });
    let parts = [
        commits.agent.as_ref().map(|agent| format!("agent {agent}")),
        commits.session.as_ref().map(|session| format!("session {session}")),
        commits.project.as_ref().map(|project| format!("project {project}")),
        origin.map(|origin| format!("origin {origin}")),
        commits.since.map(|since| format!("since {}", time(since))),
        commits.until.map(|until| format!("until {}", time(until))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
