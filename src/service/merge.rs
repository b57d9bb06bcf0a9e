//! `merge` and `resolve`: one branch into another, three-way, and the conflicts of it one by one or by rule.

use super::memo::Memo;
use super::moved::Order;
use super::{Caller, Service, checked_text, page_of};
use crate::clock;
use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::model::{Choice, Conflict, Memory, MemoryId, Name, Pending, Plan, Progress, Resolution, Rule, Trust, Verb};
use crate::wire::message::{ClientKind, Merge, Mode, Moved, Resolve, Settle, Side};

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`. With conflicts under [`Rule::Fail`] nothing is merged: the merge is in progress.
    pub async fn merge(&self, caller: &Caller, ask: Merge) -> Result<Moved> {
        let branch = self.branch(caller, ask.into);
        let mut memo = Memo::default();
        let (theirs, named) = match self.points(caller).await?.first().copied() {
            Some(theirs) => (theirs, None),
            None => {
                let seen = self.revision(&ask.source, &branch).await?;
                (seen.at.commit, seen.name)
            }
        };
        memo.points = vec![theirs];
        let note = match ask.note {
            Some(note) => Some(self.mask("note", note, &mut memo.masked)?),
            None => named.map(|name| format!("{name} into {branch}")),
        };
        let plan = Plan::Merge { theirs, rule: ask.rule, resolutions: Vec::new() };
        let order = Order { branch, verb: Verb::Merge, plan: Some(plan), note, mode: ask.mode, page: ask.page, memo };
        self.carry_out(caller, order).await
    }

    /// Looks at, settles, ends or completes the merge in progress on a branch.
    pub async fn resolve(&self, caller: &Caller, ask: Resolve) -> Result<Moved> {
        let branch = self.branch(caller, ask.into);
        if let Some(applied) = self.engine.replayed(caller.op).await? {
            return self.replayed_resolve(caller, branch, ask.page, applied).await;
        }
        let pending = self.engine.pending(&branch).await?;
        let pending = pending.ok_or_else(|| Error::not_found(format!("no merge into `{branch}` is in progress")))?;
        let head = self.head(&branch).await?;
        let mut memo = Memo::default();
        let progress = match ask.what {
            Settle::Look => return self.merging(branch, &pending, ask.page).await,
            Settle::Commit => return self.complete(caller, branch, pending, ask.page).await,
            Settle::Abort => Progress::Abort,
            Settle::Take { ids, side } => {
                let choice = |_: &Conflict| match side {
                    Side::Base => Choice::Base,
                    Side::Ours => Choice::Ours,
                    Side::Theirs => Choice::Theirs,
                };
                let open = if ids.is_empty() {
                    self.open(&head, &pending, &pending.resolutions).await?
                } else {
                    self.among(&head, &pending, &ids).await?
                };
                Progress::Resolve(open.iter().map(|one| resolution(one, choice(one))).collect())
            }
            Settle::Text { id, text } => {
                let text = checked_text(&self.mask("text", text, &mut memo.masked)?)?;
                let open = self.among(&head, &pending, &[id]).await?;
                let mut settled = Vec::new();
                for one in &open {
                    let memory = self.rewritten(caller, one, &text).await?;
                    settled.push(resolution(one, Choice::Memory(Box::new(memory))));
                }
                Progress::Resolve(settled)
            }
        };
        let is_over = progress == Progress::Abort;
        let mut write = self.write(caller, branch.clone(), Verb::Merge, clock::now());
        write.memo = memo.encode();
        write.progress = progress;
        self.engine.apply(caller.op, write).await?;
        match self.engine.pending(&branch).await? {
            Some(pending) if !is_over => {
                let moved = self.merging(branch, &pending, ask.page).await?;
                Ok(Moved { masked: memo.masked, ..moved })
            }
            _ => Ok(nothing(branch)),
        }
    }

    async fn replayed_resolve(
        &self,
        caller: &Caller,
        branch: Name,
        page: crate::model::Page,
        applied: crate::model::Applied,
    ) -> Result<Moved> {
        match self.engine.pending(&branch).await? {
            _ if applied.commit.is_some() => {
                let theirs = Memo::decode(&applied.memo)?.points.first().copied();
                let theirs = theirs.ok_or_else(|| Error::internal("a merge has lost what it merged"))?;
                let plan = Plan::Merge { theirs, rule: Rule::Fail, resolutions: Vec::new() };
                let memo = Memo::decode(&applied.memo)?;
                let order =
                    Order { branch, verb: Verb::Merge, plan: Some(plan), note: None, mode: Mode::Do, page, memo };
                self.carry_out(caller, order).await
            }
            Some(pending) => self.merging(branch, &pending, page).await,
            None => Ok(nothing(branch)),
        }
    }

    async fn complete(
        &self,
        caller: &Caller,
        branch: Name,
        pending: Pending,
        page: crate::model::Page,
    ) -> Result<Moved> {
        let memo = Memo { points: vec![pending.theirs], ..Memo::default() };
        let plan = Plan::Merge { theirs: pending.theirs, rule: Rule::Fail, resolutions: pending.resolutions };
        let order =
            Order { branch, verb: Verb::Merge, plan: Some(plan), note: pending.note, mode: Mode::Do, page, memo };
        self.carry_out(caller, order).await
    }

    /// The merge in progress as it would be now: what is open, and what is settled how.
    async fn merging(&self, branch: Name, pending: &Pending, page: crate::model::Page) -> Result<Moved> {
        let at = self.head(&branch).await?;
        let plan = |resolutions| Plan::Merge { theirs: pending.theirs, rule: Rule::Fail, resolutions };
        let planned = self.engine.plan(&at, &plan(pending.resolutions.clone()), page_of(page)).await?;
        let all = self.engine.plan(&at, &plan(Vec::new()), page_of(page)).await?.conflicts;
        let is_open = |one: &Conflict| planned.conflicts.iter().any(|open| open.id == one.id);
        let settled: Vec<(MemoryId, String)> = pending
            .resolutions
            .iter()
            .filter(|one| all.iter().any(|conflict| conflict.id == one.id && !is_open(conflict)))
            .map(|one| (one.id, said(&one.choice).to_owned()))
            .collect();
        let shown: Vec<Conflict> = all.into_iter().take(crate::wire::limits::RESULTS_MAX as usize).collect();
        Ok(Moved {
            counts: planned.counts,
            changes: self.changed(&planned.differences, &planned.fresh).await?,
            conflicts: self.conflicted(&shown, &settled).await?,
            merged: planned.merged,
            is_pending: true,
            ..nothing(branch)
        })
    }

    async fn open(&self, at: &At, pending: &Pending, resolutions: &[Resolution]) -> Result<Vec<Conflict>> {
        let plan = Plan::Merge { theirs: pending.theirs, rule: Rule::Fail, resolutions: resolutions.to_vec() };
        let none = crate::model::Page { offset: u32::MAX, limit: 1 };
        Ok(self.engine.plan(at, &plan, none).await?.conflicts)
    }

    /// The conflicts that are named, settled before or not.
    async fn among(&self, at: &At, pending: &Pending, ids: &[String]) -> Result<Vec<Conflict>> {
        let all = self.open(at, pending, &[]).await?;
        let mut named = Vec::with_capacity(ids.len());
        for id in ids {
            let found = self.engine.find(id).await?;
            let conflict = all.iter().find(|one| one.id == found);
            named.push(*conflict.ok_or_else(|| Error::not_found(format!("memory {id} is not in conflict")))?);
        }
        Ok(named)
    }

    /// The memory as the caller words it: the rest is ours, else theirs.
    async fn rewritten(&self, caller: &Caller, conflict: &Conflict, text: &str) -> Result<Memory> {
        let side = conflict.ours.or(conflict.theirs).or(conflict.base);
        let side = side.ok_or_else(|| Error::internal("a conflict has no side"))?;
        let memory = self.engine.versions(&[side]).await?.pop().flatten();
        let mut memory = memory.ok_or_else(|| Error::not_found("this memory has been erased"))?;
        text.clone_into(&mut memory.text);
        memory.trust = match caller.client {
            ClientKind::Cli => Trust::T1,
            ClientKind::Shim => self.inferred(conflict).await?,
        };
        memory.confidence = memory.trust.initial_confidence();
        memory.origin = caller.origin(None);
        memory.observed_at = clock::now();
        Ok(memory)
    }

    /// The trust of an agent's own words, which do not take the place of what is trusted more.
    async fn inferred(&self, conflict: &Conflict) -> Result<Trust> {
        let sides: Vec<_> = [conflict.ours, conflict.theirs].into_iter().flatten().collect();
        let sides = self.engine.versions(&sides).await?;
        match sides.iter().flatten().map(|memory| memory.trust).min() {
            Some(trust) if trust < Trust::T3 => Err(Error::invalid(format!(
                "nothing was settled: one side of this conflict is {trust}, and a text of your own would be trusted \
                 less. Take a side, end the merge, and correct the memory with trust_tier {trust} if the user stated \
                 the new text."
            ))),
            _ => Ok(Trust::T3),
        }
    }
}

fn resolution(conflict: &Conflict, choice: Choice) -> Resolution {
    Resolution { id: conflict.id, ours: conflict.ours, theirs: conflict.theirs, choice }
}

fn said(choice: &Choice) -> &'static str {
    match choice {
        Choice::Base => "base",
        Choice::Ours => "ours",
        Choice::Theirs => "theirs",
        Choice::Memory(_) => "text",
    }
}

/// No merge is in progress, and nothing was written.
fn nothing(branch: Name) -> Moved {
    Moved {
        verb: Verb::Merge.to_string(),
        branch,
        mode: Mode::Do,
        commit: None,
        counts: Default::default(),
        changes: Vec::new(),
        conflicts: Vec::new(),
        kept: Vec::new(),
        commits: Vec::new(),
        merged: None,
        safety: None,
        is_pending: false,
        masked: Vec::new(),
    }
}
