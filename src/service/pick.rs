//! `pick` and `apply`: part of what one state has, onto another branch.

use super::memo::Memo;
use super::moved::{Order, refused_by};
use super::{Caller, Service};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{CommitId, MemoryId, Plan, Rule, Verb};
use crate::wire::limits;
use crate::wire::message::{Apply, Moved, Pick};

impl<E: Engine> Service<E> {
    /// Memories as they are at `from`, or one commit's change. Durable once it returns `Ok`.
    pub async fn pick(&self, caller: &Caller, ask: Pick) -> Result<Moved> {
        let branch = self.branch(caller, ask.into);
        if let Some(moved) = self.told_again(caller, &branch, Verb::Pick, ask.page).await? {
            return Ok(moved);
        }
        if ask.what.is_empty() || ask.what.len() > limits::IDS_MAX {
            return Err(Error::invalid(format!("name 1 to {} memories, or a commit, to pick", limits::IDS_MAX)));
        }
        let from = self.revision(&ask.from, &branch).await?;
        let (mut ids, mut commits) = (Vec::new(), Vec::new());
        for text in &ask.what {
            match self.engine.find(text).await {
                Ok(id) => ids.push(id),
                Err(error) if error.kind == ErrorKind::NotFound || error.kind == ErrorKind::Invalid => {
                    commits.push(self.commit_named(text).await?);
                }
                Err(error) => return Err(error),
            }
        }
        let plan = match (&ids[..], &commits[..]) {
            (_, []) => {
                let there = self.engine.read(&from.at, &ids).await?;
                if let Some(at) = there.iter().position(Option::is_none) {
                    let why = format!("memory {} is not live at `{}`: nothing was picked", ask.what[at], ask.from);
                    return Err(Error::not_found(why));
                }
                Plan::Graft { base: None, theirs: from.at.commit, only: ids, rule: ask.rule }
            }
            ([], [commit]) => {
                let base = self.entry(*commit).await?.bare.parents.first().copied();
                let base =
                    base.ok_or_else(|| Error::invalid("the first commit changed nothing: there is nothing to pick"))?;
                Plan::Graft { base: Some(base), theirs: *commit, only: Vec::new(), rule: ask.rule }
            }
            _ => return Err(Error::invalid("pick memories together, or one commit at a time")),
        };
        let order = Order {
            branch,
            verb: Verb::Pick,
            plan: Some(plan),
            note: Some(format!("from {}", ask.from)),
            mode: ask.mode,
            page: ask.page,
            memo: Memo::default(),
        };
        self.grafted(caller, order, ask.rule).await
    }

    /// The difference of two states, or of some memories in it. Durable once it returns `Ok`.
    pub async fn apply(&self, caller: &Caller, ask: Apply) -> Result<Moved> {
        let branch = self.branch(caller, ask.into);
        if let Some(moved) = self.told_again(caller, &branch, Verb::Apply, ask.page).await? {
            return Ok(moved);
        }
        let base = match &ask.from {
            Some(text) => self.revision(text, &branch).await?.at.commit,
            None => self.head(&branch).await?.commit,
        };
        let theirs = self.revision(&ask.to, &branch).await?.at.commit;
        let mut only: Vec<MemoryId> = Vec::with_capacity(ask.ids.len());
        for id in &ask.ids {
            only.push(self.engine.find(id).await?);
        }
        let plan = Plan::Graft { base: Some(base), theirs, only, rule: ask.rule };
        let note = Some(format!("{} to {}", ask.from.as_deref().unwrap_or(branch.as_str()), ask.to));
        let (mode, page, memo) = (ask.mode, ask.page, Memo::default());
        self.grafted(caller, Order { branch, verb: Verb::Apply, plan: Some(plan), note, mode, page, memo }, ask.rule)
            .await
    }

    async fn grafted(&self, caller: &Caller, order: Order, rule: Rule) -> Result<Moved> {
        let moved = self.carry_out(caller, order).await?;
        refused_by(rule, &moved)?;
        Ok(moved)
    }

    /// A commit by id or prefix.
    pub(super) async fn commit_named(&self, text: &str) -> Result<CommitId> {
        let revision = crate::model::Revision::Commit(text.trim().to_lowercase());
        Ok(self.engine.resolve(&revision, crate::clock::now()).await?.commit)
    }
}
