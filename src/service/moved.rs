//! What merge, pick, apply, rollback, revert, undo and redo have in common: a plan is shown or carried out, and what it
//! came to is told, the same for the first time and for a replay.

use super::memo::Memo;
use super::{Caller, Service, page_of};
use crate::clock;
use crate::engine::{At, Engine};
use crate::error::{Error, Result};
use crate::model::{
    Applied, CommitEntry, CommitId, Conflict, Difference, Name, Page, Plan, Planned, Revision, Rule, Verb, Work,
};
use crate::wire::limits;
use crate::wire::message::{Conflicted, LogEntry, Mode, Moved};

/// A plan on its way.
pub(super) struct Order {
    pub branch: Name,
    pub verb: Verb,
    /// `None` only of what is told again.
    pub plan: Option<Plan>,
    pub note: Option<String>,
    pub mode: Mode,
    pub page: Page,
    pub memo: Memo,
}

impl<E: Engine> Service<E> {
    /// Durable once it returns `Ok`, unless it is a dry run.
    pub(super) async fn carry_out(&self, caller: &Caller, order: Order) -> Result<Moved> {
        if order.mode == Mode::DryRun {
            let at = self.head(&order.branch).await?;
            let planned = self.would(&at, &order).await?;
            return self.shown(order, planned, None).await;
        }
        let mut write = self.write(caller, order.branch.clone(), order.verb, clock::now());
        write.work = order.plan.clone().map_or(Work::Changes(Vec::new()), Work::Plan);
        write.note.clone_from(&order.note);
        write.memo = order.memo.encode();
        self.secure(&mut write).await?;
        let applied = self.engine.apply(caller.op, write).await?;
        let planned = self.planned(&order, &applied).await?;
        self.shown(order, planned, Some(applied)).await
    }

    /// What the plan was, on the head that it met.
    async fn planned(&self, order: &Order, applied: &Applied) -> Result<Planned> {
        let page = page_of(order.page);
        let Some(commit) = applied.commit else {
            let at = self.head(&order.branch).await?;
            return self.would(&at, order).await;
        };
        let after = self.commit_at(commit).await?;
        let bare = self.entry(commit).await?.bare;
        let first = bare.parents.first().ok_or_else(|| Error::internal("a commit has lost its parent"))?;
        let before = self.commit_at(*first).await?;
        let mut planned = Planned { commits: bare.about, merged: applied.merged, ..Planned::default() };
        if applied.counts.kept > 0 || applied.counts.conflicts > 0 {
            planned = self.would(&before, order).await?;
        }
        let diff = self.engine.diff(&before, &after, &Default::default(), page).await?;
        Ok(Planned { differences: diff.differences, fresh: Vec::new(), counts: applied.counts, ..planned })
    }

    async fn would(&self, at: &At, order: &Order) -> Result<Planned> {
        match &order.plan {
            Some(plan) => self.engine.plan(at, plan, page_of(order.page)).await,
            None => Ok(Planned::default()),
        }
    }

    /// What an operation did that was done before, whatever its names mean by now.
    pub(super) async fn told_again(
        &self,
        caller: &Caller,
        branch: &Name,
        verb: Verb,
        page: Page,
    ) -> Result<Option<Moved>> {
        let Some(applied) = self.engine.replayed(caller.op).await?.filter(|applied| applied.commit.is_some()) else {
            return Ok(None);
        };
        let memo = Memo::decode(&applied.memo)?;
        let order = Order { branch: branch.clone(), verb, plan: None, note: None, mode: Mode::Do, page, memo };
        let planned = self.planned(&order, &applied).await?;
        self.shown(order, planned, Some(applied)).await.map(Some)
    }

    pub(super) async fn commit_at(&self, commit: CommitId) -> Result<At> {
        self.engine.resolve(&Revision::Commit(commit.to_string()), clock::now()).await
    }

    /// A commit as it is listed.
    pub(super) async fn entry(&self, commit: CommitId) -> Result<CommitEntry> {
        let entry = self.engine.entries(&[commit]).await?.pop();
        entry.ok_or_else(|| Error::internal("a commit is not listed"))
    }

    /// The commits that an operation stood for when it was first done; none if it is new.
    pub(super) async fn points(&self, caller: &Caller) -> Result<Vec<CommitId>> {
        match self.engine.replayed(caller.op).await? {
            Some(applied) => Ok(Memo::decode(&applied.memo)?.points),
            None => Ok(Vec::new()),
        }
    }

    async fn shown(&self, order: Order, planned: Planned, applied: Option<Applied>) -> Result<Moved> {
        let fit = limits::RESULTS_MAX as usize;
        let changes = self.changed(&planned.differences, &planned.fresh).await?;
        let open: Vec<Conflict> = planned.conflicts.iter().take(fit).copied().collect();
        // As everywhere: what would become of it first, then what it is.
        let kept = planned.kept.iter().take(fit).map(|one| Difference { before: one.after, after: one.before, ..*one });
        let kept: Vec<Difference> = kept.collect();
        let (commit, safety) = match &applied {
            None => (None, None),
            Some(applied) => (applied.commit, self.safety_of(applied, order.verb)),
        };
        Ok(Moved {
            verb: order.verb.to_string(),
            is_pending: order.verb == Verb::Merge && self.engine.pending(&order.branch).await?.is_some(),
            branch: order.branch,
            mode: order.mode,
            commit,
            counts: planned.counts,
            changes,
            conflicts: self.conflicted(&open, &[]).await?,
            kept: self.changed(&kept, &[]).await?,
            commits: self.spoken_of(&planned.commits).await?,
            merged: planned.merged,
            safety,
            masked: order.memo.masked,
        })
    }

    /// The snapshot that a write made by itself.
    pub(super) fn safety_of(&self, applied: &Applied, verb: Verb) -> Option<Name> {
        let prefix = format!("{}{verb}/", super::revision::SAFETY);
        let made = applied.names.iter().find(|made| made.name.as_str().starts_with(&prefix) && !made.is_deleted);
        made.map(|made| made.name.clone())
    }

    /// Conflicts with all three sides; `settled` beside those that are.
    pub(super) async fn conflicted(
        &self,
        conflicts: &[Conflict],
        settled: &[(crate::model::MemoryId, String)],
    ) -> Result<Vec<Conflicted>> {
        let sides = |one: &Conflict| [(one.base, one.ours), (None, one.theirs)];
        let differences: Vec<Difference> = conflicts
            .iter()
            .flat_map(|one| sides(one).map(|(before, after)| Difference { id: one.id, before, after }))
            .collect();
        let mut shaped = self.changed(&differences, &[]).await?.into_iter();
        let mut out = Vec::with_capacity(conflicts.len());
        while let (Some(first), Some(second)) = (shaped.next(), shaped.next()) {
            out.push(Conflicted {
                id: first.id,
                short_len: first.short_len,
                base: first.before,
                ours: first.after,
                theirs: second.after,
                settled: settled.iter().find(|(id, _)| *id == first.id).map(|(_, how)| how.clone()),
            });
        }
        Ok(out)
    }

    /// Commits as they are listed.
    async fn spoken_of(&self, commits: &[CommitId]) -> Result<Vec<LogEntry>> {
        let named = &commits[..commits.len().min(limits::COMMITS_NAMED_MAX)];
        self.logged(self.engine.entries(named).await?).await
    }
}

/// The rule under which nothing is decided.
pub(super) fn refused_by(rule: Rule, moved: &Moved) -> Result<()> {
    if rule == Rule::Fail && moved.counts.conflicts > 0 && moved.commit.is_none() && moved.mode == Mode::Do {
        let ids: Vec<String> = moved.conflicts.iter().take(5).map(|one| one.id.to_string()[..8].to_owned()).collect();
        return Err(Error::conflict(format!(
            "nothing was changed: {} changed on both sides ({}{}). Choose with strategy `ours` or `theirs`, or look \
             first with a dry run",
            if moved.counts.conflicts == 1 {
                "one memory was".to_owned()
            } else {
                format!("{} memories were", moved.counts.conflicts)
            },
            ids.join(", "),
            if moved.counts.conflicts > 5 { ", …" } else { "" }
        )));
    }
    Ok(())
}
